//! The upstream: answers at once, in one of four ways, and counts what it was asked.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use futures_util::stream;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Either, Full, StreamBody};
use hyper::body::Incoming;
use memchr::memmem;
use serde::Serialize;
use tokio::net::TcpListener;
use tokio::time::{Instant, sleep_until};

use crate::answers::{Answers, PACE, PACED_MODEL};
use crate::listen;

/// The flags of a request stand at its beginning.
const LOOK_AT: usize = 512;

type Body = Either<Full<Bytes>, UnsyncBoxBody<Bytes, Infallible>>;

#[derive(Debug, Default)]
struct Counts {
    plain: AtomicU64,
    streams: AtomicU64,
    embeddings: AtomicU64,
}

/// What was asked so far.
#[derive(Debug, Serialize)]
pub struct Served {
    plain: u64,
    streams: u64,
    embeddings: u64,
}

#[derive(Debug, Default)]
struct Shared {
    answers: Answers,
    counts: Counts,
}

/// Answers on `address`, until dropped.
pub async fn run(address: SocketAddr) -> io::Result<()> {
    answer_all(listen::bind(address).await?).await;
    Ok(())
}

/// The same, on a socket that listens already.
pub async fn answer_all(listener: TcpListener) {
    let shared = Arc::new(Shared::default());
    listen::serve(listener, move |request| answer(shared.clone(), request)).await;
}

async fn answer(shared: Arc<Shared>, request: Request<Incoming>) -> Response<Body> {
    let (parts, body) = request.into_parts();
    match (&parts.method, parts.uri.path()) {
        (&Method::POST, "/v1/chat/completions") => chat(shared, body).await,
        (&Method::POST, "/v1/embeddings") => {
            let _ = receive(body).await;
            add(&shared.counts.embeddings);
            json(shared.answers.embeddings.clone())
        }
        (&Method::GET, "/stats") => json(shared.counts.read()),
        (&Method::GET, "/healthz") => json(Bytes::new()),
        _ => with_status(StatusCode::NOT_FOUND),
    }
}

async fn chat(shared: Arc<Shared>, body: Incoming) -> Response<Body> {
    let Some(start) = receive(body).await else { return with_status(StatusCode::BAD_REQUEST) };
    if memmem::find(&start, b"\"stream\":true").is_none() {
        add(&shared.counts.plain);
        return json(shared.answers.chat.clone());
    }
    add(&shared.counts.streams);
    let body = if memmem::find(&start, PACED_MODEL.as_bytes()).is_some() {
        paced(shared).boxed_unsync()
    } else {
        unpaced(shared).boxed_unsync()
    };
    typed(Either::Right(body), "text/event-stream")
}

/// Reads a body to its end; gives its first bytes.
async fn receive(mut body: Incoming) -> Option<Vec<u8>> {
    let mut start = Vec::with_capacity(LOOK_AT);
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame.ok()?.into_data() {
            let room = LOOK_AT - start.len();
            start.extend_from_slice(data.get(..room).unwrap_or(&data));
        }
    }
    Some(start)
}

/// Frame after frame, each a write of its own.
fn unpaced(shared: Arc<Shared>) -> impl http_body::Body<Data = Bytes, Error = Infallible> + Send {
    StreamBody::new(stream::unfold((shared, 0), |(shared, index)| async move {
        // hyper sends what it has when there is nothing more for now.
        tokio::task::yield_now().await;
        let frame = shared.answers.frame(index)?;
        Some((Ok(Frame::data(frame)), (shared, index + 1)))
    }))
}

/// Frame after frame, [`PACE`] apart, each with the time at which it was sent.
fn paced(shared: Arc<Shared>) -> impl http_body::Body<Data = Bytes, Error = Infallible> + Send {
    StreamBody::new(stream::unfold((shared, 0, Instant::now()), |(shared, index, due)| async move {
        // The clock of a sleep ticks in milliseconds: the first byte does not wait for it.
        if index > 0 {
            sleep_until(due).await;
        }
        let frame = shared.answers.timed_frame(index)?;
        Some((Ok(Frame::data(frame)), (shared, index + 1, due + PACE)))
    }))
}

fn json(body: Bytes) -> Response<Body> {
    typed(Either::Left(Full::new(body)), "application/json")
}

fn typed(body: Body, kind: &'static str) -> Response<Body> {
    let mut response = Response::new(body);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

fn with_status(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Either::Left(Full::default()));
    *response.status_mut() = status;
    response
}

fn add(count: &AtomicU64) {
    count.fetch_add(1, Ordering::Relaxed);
}

impl Counts {
    fn read(&self) -> Bytes {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let served = Served {
            plain: read(&self.plain),
            streams: read(&self.streams),
            embeddings: read(&self.embeddings),
        };
        // Three numbers always become JSON.
        serde_json::to_vec(&served).unwrap_or_default().into()
    }
}
