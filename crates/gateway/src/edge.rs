//! The edge: accepts connections, serves HTTP/1.1 on them within bounds of time and size, and lets them end in peace.
//!
//! The loop is our own because a ready-made one gives hyper no timer, and without it a client that never finishes
//! its headers holds its connection for ever.

mod conversation;
mod watched;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use domain::RequestId;
use domain::refusal::Refusal;
use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::conversation::{Conversation, Verdict};
use self::watched::Watched;
use crate::config::Limits;
use crate::state::State;
use crate::{pipeline, refusal};

/// Request line and headers together; at most 100 headers, which is hyper's own bound.
const MAX_HEAD_BYTES: usize = 32 * 1024;
/// Connections beyond the bound that are told so at the same time.
const TURNED_AWAY_AT_ONCE: usize = 64;

/// How the edge is told to stop.
#[derive(Clone, Debug, Default)]
pub struct Stop {
    /// No new connections; those there are end with their present request.
    pub gently: CancellationToken,
    /// Whatever is left ends at once.
    pub now: CancellationToken,
}

/// Accepts connections until told to stop, then waits for those there are.
pub async fn run(listener: TcpListener, state: Arc<State>, stop: Stop) {
    let tracker = TaskTracker::new();
    let places = Arc::new(Semaphore::new(state.limits.connections));
    let turned_away = Arc::new(Semaphore::new(TURNED_AWAY_AT_ONCE));
    let gently = stop.gently.clone();
    while let Some(accepted) = gently.run_until_cancelled(listener.accept()).await {
        let (socket, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Usually out of file descriptors: others must end first.
                tracing::warn!(%error, "a connection could not be accepted");
                sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        if let Ok(place) = places.clone().try_acquire_owned() {
            let serving = serve(socket, peer, state.clone(), stop.clone());
            tracker.spawn(async move {
                serving.await;
                drop(place);
            });
        } else if let Ok(place) = turned_away.clone().try_acquire_owned() {
            let turning = turn_away(socket, state.clone());
            tracker.spawn(async move {
                turning.await;
                drop(place);
            });
        }
    }
    drop(listener);
    tracker.close();
    tracker.wait().await;
}

async fn serve(socket: TcpStream, peer: SocketAddr, state: Arc<State>, stop: Stop) {
    // Without it the kernel holds back the second event of a stream until the first is acknowledged: 40 ms.
    if let Err(error) = socket.set_nodelay(true) {
        tracing::debug!(%error, "a connection was gone before it was served");
        return;
    }
    let conversation = Conversation::new(state.limits);
    let io = TokioIo::new(Watched::new(socket, conversation.clone()));
    let service = service_fn({
        let conversation = conversation.clone();
        move |request: Request<Incoming>| {
            let (state, conversation) = (state.clone(), conversation.clone());
            async move {
                let exchange = conversation.begin();
                let response = pipeline::serve(state, peer.ip(), request).await;
                Ok::<_, Infallible>(response.map(|body| exchange.until_sent(body)))
            }
        }
    });
    // Both time-outs of hyper count the time between requests as part of a request, so they are kept here instead.
    let connection = http1::Builder::new()
        .max_header_size(MAX_HEAD_BYTES)
        .header_read_timeout(None)
        .serve_connection(io, service);
    let mut connection = std::pin::pin!(connection);
    let mut is_stopping = false;
    let mut next_look = conversation.next_look();
    loop {
        tokio::select! {
            ended = connection.as_mut() => {
                if let Err(error) = ended {
                    tracing::trace!(%error, "a connection ended early");
                }
                return;
            }
            () = stop.now.cancelled() => return,
            () = stop.gently.cancelled(), if !is_stopping => {
                is_stopping = true;
                connection.as_mut().graceful_shutdown();
            }
            () = sleep_until(next_look) => match conversation.look(Instant::now()) {
                Verdict::GoOn(next) => next_look = next,
                Verdict::TooSlow => return,
            },
        }
    }
}

/// Tells a connection for which there is no place that there is none.
async fn turn_away(mut socket: TcpStream, state: Arc<State>) {
    const TIME: Duration = Duration::from_secs(2);
    let id = RequestId(store::new_id());
    let body = refusal::body(&Refusal::Overloaded, id, &state.prefix);
    let head = format!(
        "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\ncontent-length: {}\r\nx-request-id: {id}\r\n\
         retry-after: 5\r\nconnection: close\r\n\r\n",
        body.len()
    );
    let telling = async {
        socket.write_all(&[head.as_bytes(), &body].concat()).await?;
        socket.shutdown().await
    };
    if !matches!(timeout(TIME, telling).await, Ok(Ok(()))) {
        tracing::trace!("a connection too many was gone before it was told so");
    }
}

/// The longest time a look at a conversation may be put off.
fn look_interval(limits: &Limits) -> Duration {
    limits.head.min(limits.keep_alive)
}
