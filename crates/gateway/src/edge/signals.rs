//! What can happen to a connection beside its requests.

use std::pin::Pin;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::time::{Instant, sleep_until};

use super::Stop;

/// A reason to look up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Signal {
    /// The connection ends at once.
    StopNow,
    /// It ends with its present request.
    StopGently,
    /// It is time to see whether it takes too long.
    Look,
}

/// The signals of one connection. A connection is polled several times for each request, and each poll would poll all
/// of these, with their locks; as a set, only those that have woken it are.
pub(super) struct Signals<'a>(FuturesUnordered<Pin<Box<dyn Future<Output = Signal> + Send + 'a>>>);

impl<'a> Signals<'a> {
    pub(super) fn new(stop: &'a Stop, next_look: Instant) -> Self {
        let mut signals = Self(FuturesUnordered::new());
        signals.add(async {
            stop.now.cancelled().await;
            Signal::StopNow
        });
        signals.add(async {
            stop.gently.cancelled().await;
            Signal::StopGently
        });
        signals.look_at(next_look);
        signals
    }

    /// Signals a look then.
    pub(super) fn look_at(&mut self, then: Instant) {
        self.add(async move {
            sleep_until(then).await;
            Signal::Look
        });
    }

    pub(super) async fn next(&mut self) -> Signal {
        match self.0.next().await {
            Some(signal) => signal,
            // The first of them is there until it has ended the connection.
            None => std::future::pending().await,
        }
    }

    fn add(&mut self, signal: impl Future<Output = Signal> + Send + 'a) {
        self.0.push(Box::pin(signal));
    }
}
