//! Scripted answers: what to send, in which pieces, and when.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Frame;
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::{HeaderMap, Response, StatusCode};
use tokio::sync::Semaphore;

use super::log::{Ending, Exchange};

/// The body type of every answer.
pub(super) type Body = UnsyncBoxBody<Bytes, io::Error>;

/// A closed door in an answer: each [`Gate::open`] lets one [`Step::Wait`] pass.
#[derive(Clone, Debug)]
pub struct Gate(Arc<Semaphore>);

impl Default for Gate {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(0)))
    }
}

impl Gate {
    /// A closed gate.
    pub fn closed() -> Self {
        Self::default()
    }

    /// Lets one waiting step pass, now or when it arrives.
    pub fn open(&self) {
        self.0.add_permits(1);
    }

    async fn pass(&self) {
        if let Ok(permit) = self.0.acquire().await {
            permit.forget();
        }
    }
}

/// One step of an answer.
#[derive(Clone, Debug)]
pub enum Step {
    /// Sends bytes as one write.
    Send(Bytes),
    /// Waits until the gate is opened once.
    Wait(Gate),
    /// Waits for some time.
    Pause(Duration),
    /// Never goes on.
    Hang,
    /// Closes the connection in the middle of the answer.
    Die,
}

impl Step {
    /// Sends `text` as it is.
    pub fn send(text: impl Into<Bytes>) -> Self {
        Self::Send(text.into())
    }

    /// Sends one SSE event with a name.
    pub fn named(name: &str, data: &str) -> Self {
        Self::Send(Bytes::from(format!("event: {name}\ndata: {data}\n\n")))
    }

    /// Sends one SSE event: `data: {data}` and an empty line.
    pub fn event(data: &str) -> Self {
        Self::Send(Bytes::from(format!("data: {data}\n\n")))
    }
}

/// One answer of the upstream.
#[derive(Clone, Debug)]
pub struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    before: Vec<Step>,
    body: Content,
}

#[derive(Clone, Debug)]
enum Content {
    Whole(Bytes),
    Steps(Vec<Step>),
}

impl Answer {
    /// A status and a JSON body.
    pub fn json(status: u16, body: &serde_json::Value) -> Self {
        Self::whole(status, "application/json", body.to_string())
    }

    /// A status, a content type and any body, sent with its length.
    pub fn whole(status: u16, content_type: &'static str, body: impl Into<Bytes>) -> Self {
        Self {
            status: StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
            headers: HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(content_type))]),
            before: Vec::new(),
            body: Content::Whole(body.into()),
        }
    }

    /// A 200 with server-sent events, step by step.
    pub fn events(steps: impl IntoIterator<Item = Step>) -> Self {
        Self {
            body: Content::Steps(steps.into_iter().collect()),
            ..Self::whole(200, "text/event-stream", "")
        }
    }

    /// Takes the request and never answers.
    pub fn hang() -> Self {
        Self::whole(200, "application/json", "{}").after([Step::Hang])
    }

    /// Takes the request and closes the connection without a word.
    pub fn die() -> Self {
        Self::whole(200, "application/json", "{}").after([Step::Die])
    }

    /// Goes through `steps` (waits, a hang, a death) before the status line is sent.
    #[must_use]
    pub fn after(mut self, steps: impl IntoIterator<Item = Step>) -> Self {
        self.before.extend(steps);
        self
    }

    /// Sends the body in steps instead of whole.
    #[must_use]
    pub fn in_steps(mut self, steps: impl IntoIterator<Item = Step>) -> Self {
        self.body = Content::Steps(steps.into_iter().collect());
        self
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: &'static str, value: &'static str) -> Self {
        self.headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        self
    }

    /// Plays the answer. An error closes the connection.
    pub(super) async fn respond(self, exchange: Exchange) -> Result<Response<Body>, io::Error> {
        let mut playing = Playing { steps: self.before.into(), exchange };
        while let Some(step) = playing.steps.pop_front() {
            if play(step).await?.is_some() {
                return Err(io::Error::other("bytes cannot be sent before the status line"));
            }
        }
        let body = match self.body {
            Content::Whole(bytes) => {
                playing.exchange.end(Ending::Finished);
                Full::new(bytes).map_err(|never| match never {}).boxed_unsync()
            }
            Content::Steps(steps) => stepwise(Playing { steps: steps.into(), ..playing }),
        };
        let mut response = Response::new(body);
        *response.status_mut() = self.status;
        *response.headers_mut() = self.headers;
        Ok(response)
    }
}

/// An answer under way. Dropped before its last step, it was abandoned.
struct Playing {
    steps: VecDeque<Step>,
    exchange: Exchange,
}

fn stepwise(playing: Playing) -> Body {
    let frames = stream::unfold(Some(playing), |playing| async {
        let mut playing = playing?;
        loop {
            let Some(step) = playing.steps.pop_front() else {
                playing.exchange.end(Ending::Finished);
                return None;
            };
            match play(step).await {
                Ok(None) => {}
                Ok(Some(bytes)) => return Some((Ok(Frame::data(bytes)), Some(playing))),
                Err(error) => {
                    playing.exchange.end(Ending::CutByScript);
                    return Some((Err(error), None));
                }
            }
        }
    });
    StreamBody::new(frames).boxed_unsync()
}

/// Does one step; gives the bytes to send, if any.
async fn play(step: Step) -> Result<Option<Bytes>, io::Error> {
    match step {
        Step::Send(bytes) => return Ok(Some(bytes)),
        Step::Wait(gate) => gate.pass().await,
        Step::Pause(time) => tokio::time::sleep(time).await,
        Step::Hang => std::future::pending().await,
        Step::Die => {
            // The connection writes what it holds while it has to wait; then it dies.
            tokio::task::yield_now().await;
            return Err(io::Error::new(io::ErrorKind::ConnectionAborted, "the script ends here"));
        }
    }
    Ok(None)
}
