//! A scripted, OpenAI-compatible upstream on a real socket.
//!
//! By default it answers like a small friendly model (the demo of `cargo xtask dev`). A test queues
//! [`Answer`]s to make it slow, wrong, dishonest or dead, and reads what it received. It knows
//! nothing of the gateway.

mod demo;
mod log;
mod script;

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, HeaderName};
use hyper::http::request::Parts;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use self::log::Log;
pub use self::log::{Ending, Received};
use self::script::Body;
pub use self::script::{Answer, Gate, Step};

/// A pleasant reading speed for people who watch a demo stream: the time between two words.
pub const DEMO_PACE: Duration = Duration::from_millis(35);

/// A running upstream. Dropping it closes its port and every connection.
#[derive(Debug)]
pub struct Upstream {
    address: SocketAddr,
    shared: Arc<Shared>,
    stop: CancellationToken,
}

#[derive(Debug, Default)]
struct Shared {
    script: Mutex<VecDeque<Answer>>,
    key: Mutex<Option<String>>,
    pace: Mutex<Duration>,
    log: Log,
}

impl Upstream {
    /// Listens on `address` (port 0 takes a free one) and answers until dropped.
    ///
    /// # Errors
    /// The address cannot be bound.
    pub async fn start(address: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared::default());
        let stop = CancellationToken::new();
        tokio::spawn(stop.clone().run_until_cancelled_owned(accept(listener, shared.clone(), stop.clone())));
        Ok(Self { address, shared, stop })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What a client takes as its base URL: `http://127.0.0.1:PORT/v1`.
    pub fn base_url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// From now on every request needs `Authorization: Bearer {key}`, or `x-api-key: {key}` for messages, else it gets
    /// a 401.
    pub fn require_key(&self, key: &str) {
        *lock(&self.shared.key) = Some(key.to_owned());
    }

    /// Time between two words of a demo stream; none by default. See [`DEMO_PACE`].
    pub fn set_pace(&self, between_words: Duration) {
        *lock(&self.shared.pace) = between_words;
    }

    /// Queues the answer of the next request that has none yet; with an empty queue the demo answers.
    pub fn enqueue(&self, answer: Answer) {
        lock(&self.shared.script).push_back(answer);
    }

    /// Everything received so far, oldest first.
    pub fn received(&self) -> Vec<Received> {
        self.shared.log.all()
    }

    /// Waits until `count` requests have been received in full and gives the last of them.
    pub async fn nth_received(&self, count: usize) -> Received {
        self.shared.log.nth(count).await
    }

    /// Forgets what was received.
    pub fn clear_received(&self) {
        self.shared.log.clear();
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>, stop: CancellationToken) {
    loop {
        let Ok((socket, _peer)) = listener.accept().await else {
            // Out of file descriptors, usually: let others finish first.
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        };
        tokio::spawn(stop.clone().run_until_cancelled_owned(serve(socket, shared.clone())));
    }
}

async fn serve(socket: TcpStream, shared: Arc<Shared>) {
    // Without it the kernel holds back the second small frame of a stream for 40 ms.
    if let Err(error) = socket.set_nodelay(true) {
        tracing::debug!(%error, "a connection was gone before it was served");
        return;
    }
    let service = hyper::service::service_fn(move |request| answer(shared.clone(), request));
    let served = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(socket), service);
    if let Err(error) = served.await {
        tracing::debug!(%error, "an upstream connection ended early");
    }
}

/// Receives one request whole, then answers from the script or as the demo.
async fn answer(shared: Arc<Shared>, request: Request<Incoming>) -> Result<Response<Body>, io::Error> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    let exchange = shared.log.add(&parts, body.clone());
    if !has_key(&shared, &parts) {
        return demo::wrong_key().respond(exchange).await;
    }
    let scripted = lock(&shared.script).pop_front();
    let pace = *lock(&shared.pace);
    let answer = scripted.unwrap_or_else(|| demo::answer(&parts.method, parts.uri.path(), &body, pace));
    answer.respond(exchange).await
}

fn has_key(shared: &Shared, parts: &Parts) -> bool {
    let required = lock(&shared.key);
    required.as_ref().is_none_or(|key| {
        let (header, value) = match parts.uri.path() {
            "/v1/messages" => (HeaderName::from_static("x-api-key"), key.clone()),
            _ => (AUTHORIZATION, format!("Bearer {key}")),
        };
        parts.headers.get(header).is_some_and(|sent| sent.as_bytes() == value.as_bytes())
    })
}

/// A poisoned lock here means a test has already failed; its data is still good to read.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
