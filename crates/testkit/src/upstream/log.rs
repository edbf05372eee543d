//! What the upstream received, and how each exchange ended.

use std::sync::Mutex;

use bytes::Bytes;
use hyper::http::request::Parts;
use hyper::{HeaderMap, Method};
use tokio::sync::watch;

use super::lock;

/// How an exchange ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The answer is still being given.
    Pending,
    /// The whole answer was handed to the socket.
    Finished,
    /// The script ended it early on purpose.
    CutByScript,
    /// The client went away before the answer was complete.
    Abandoned,
}

/// One request as the upstream saw it.
#[derive(Clone, Debug)]
pub struct Received {
    /// The request's method.
    pub method: Method,
    /// Path and query as sent.
    pub path: String,
    /// Headers as sent.
    pub headers: HeaderMap,
    /// The whole body, byte by byte.
    pub body: Bytes,
    ending: watch::Receiver<Ending>,
}

impl Received {
    /// The body as JSON.
    ///
    /// # Errors
    /// The body is not JSON.
    pub fn json(&self) -> serde_json::Result<serde_json::Value> {
        serde_json::from_slice(&self.body)
    }

    /// A header's value, where it is present once or more and text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// Waits until the exchange is over and says how it ended.
    pub async fn ended(&self) -> Ending {
        let mut ending = self.ending.clone();
        match ending.wait_for(|ending| *ending != Ending::Pending).await {
            Ok(ending) => *ending,
            Err(_) => Ending::Abandoned,
        }
    }
}

/// The requests received so far.
#[derive(Debug, Default)]
pub(super) struct Log {
    received: Mutex<Vec<Received>>,
    count: watch::Sender<usize>,
}

impl Log {
    /// Notes a request; the exchange is abandoned unless the answer says otherwise.
    pub(super) fn add(&self, parts: &Parts, body: Bytes) -> Exchange {
        let (sender, ending) = watch::channel(Ending::Pending);
        let path = parts.uri.path_and_query().map_or_else(|| "*".to_owned(), ToString::to_string);
        let received =
            Received { method: parts.method.clone(), path, headers: parts.headers.clone(), body, ending };
        let mut all = lock(&self.received);
        all.push(received);
        self.count.send_replace(all.len());
        Exchange { ending: sender }
    }

    pub(super) fn all(&self) -> Vec<Received> {
        lock(&self.received).clone()
    }

    pub(super) fn clear(&self) {
        let mut all = lock(&self.received);
        all.clear();
        self.count.send_replace(0);
    }

    pub(super) async fn nth(&self, count: usize) -> Received {
        let mut counts = self.count.subscribe();
        loop {
            if let Some(received) =
                count.checked_sub(1).and_then(|index| lock(&self.received).get(index).cloned())
            {
                return received;
            }
            if counts.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }
}

/// The upstream's end of one exchange. Dropped without a word, it was abandoned by the client.
#[derive(Debug)]
pub(super) struct Exchange {
    ending: watch::Sender<Ending>,
}

impl Exchange {
    pub(super) fn end(self, how: Ending) {
        self.ending.send_replace(how);
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.ending.send_if_modified(|ending| {
            let abandoned = *ending == Ending::Pending;
            if abandoned {
                *ending = Ending::Abandoned;
            }
            abandoned
        });
    }
}
