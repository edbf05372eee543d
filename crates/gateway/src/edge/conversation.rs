//! Where a connection stands between its requests, and how long it may stand there.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::Instant;

use crate::answer::AnswerBody;
use crate::config::Limits;

/// A connection's state, shared by its socket, its service and its timer.
#[derive(Clone, Debug)]
pub(super) struct Conversation {
    state: Arc<Mutex<State>>,
    limits: Limits,
}

#[derive(Debug)]
struct State {
    phase: Phase,
    since: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Connected, nothing received.
    New,
    /// Between two requests.
    Idle,
    /// Some of a request's head has come.
    Head,
    /// A request is being served or its answer sent.
    Exchange,
}

/// What a look at a conversation says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Look again then.
    GoOn(Instant),
    /// Its time is up.
    TooSlow,
}

impl Conversation {
    pub(super) fn new(limits: Limits) -> Self {
        Self { state: Arc::new(Mutex::new(State { phase: Phase::New, since: Instant::now() })), limits }
    }

    /// When to look for the first time.
    pub(super) fn next_look(&self) -> Instant {
        Instant::now() + super::look_interval(&self.limits)
    }

    /// Something was read from the socket.
    pub(super) fn heard(&self) {
        let mut state = self.lock();
        if matches!(state.phase, Phase::New | Phase::Idle) {
            *state = State { phase: Phase::Head, since: Instant::now() };
        }
    }

    /// A request's head is complete.
    pub(super) fn begin(&self) -> Exchange {
        self.enter(Phase::Exchange);
        Exchange(self.clone())
    }

    /// Whether the connection may go on at `now`. A phase begins between two looks, so one is never later than the
    /// shortest limit allows.
    pub(super) fn look(&self, now: Instant) -> Verdict {
        let state = self.lock();
        let limit = match state.phase {
            Phase::New | Phase::Head => self.limits.head,
            Phase::Idle => self.limits.keep_alive,
            Phase::Exchange => self.limits.exchange,
        };
        let end = state.since + limit;
        if end <= now {
            Verdict::TooSlow
        } else {
            Verdict::GoOn(end.min(now + super::look_interval(&self.limits)))
        }
    }

    fn enter(&self, phase: Phase) {
        *self.lock() = State { phase, since: Instant::now() };
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request being served; when it is dropped, the connection is idle again.
#[derive(Debug)]
pub(super) struct Exchange(Conversation);

impl Exchange {
    /// Ties the exchange to its answer's body, which the connection drops when it has been sent.
    pub(super) fn until_sent(self, body: AnswerBody) -> Sending {
        Sending { body, _exchange: self }
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.0.enter(Phase::Idle);
    }
}

/// A body being sent.
#[derive(Debug)]
pub(super) struct Sending {
    body: AnswerBody,
    _exchange: Exchange,
}

impl Body for Sending {
    type Data = Bytes;
    type Error = <AnswerBody as Body>::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    #[test]
    fn each_phase_has_its_own_limit() {
        let conversation = Conversation::new(Limits::default());
        let start = Instant::now();
        assert_eq!(conversation.look(start + seconds(11)), Verdict::TooSlow);
        conversation.heard();
        assert!(matches!(conversation.look(start + seconds(5)), Verdict::GoOn(_)));
        assert_eq!(conversation.look(start + seconds(11)), Verdict::TooSlow);
        let exchange = conversation.begin();
        conversation.heard();
        assert!(matches!(conversation.look(start + seconds(800)), Verdict::GoOn(_)));
        assert_eq!(conversation.look(start + seconds(901)), Verdict::TooSlow);
        drop(exchange);
        assert!(matches!(conversation.look(start + seconds(70)), Verdict::GoOn(_)));
        assert_eq!(conversation.look(start + seconds(76)), Verdict::TooSlow);
    }

    #[test]
    fn a_dribbling_head_does_not_gain_time() {
        let conversation = Conversation::new(Limits::default());
        let start = Instant::now();
        conversation.heard();
        let Verdict::GoOn(next) = conversation.look(start + seconds(9)) else { panic!("too early") };
        conversation.heard();
        assert!(next <= start + seconds(11));
        assert_eq!(conversation.look(start + seconds(11)), Verdict::TooSlow);
    }
}
