//! Where a connection stands between its requests, and how long it may stand there.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::Instant;

use super::entrance::Slot;
use super::head::Fault;
use crate::answer::AnswerBody;
use crate::config::Limits;
use crate::telemetry::traces::Trace;

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
    /// What is wrong with something that has come. From then on nothing is served.
    fault: Option<Fault>,
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
    /// The answer's last byte is with the HTTP library; its client has still to take it.
    Tail,
}

/// What a look at a conversation says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Look again then.
    GoOn(Instant),
    /// Its time is up in the middle of a request's head, and its client is told so.
    SlowHead,
    /// Its time is up.
    Over,
}

impl Conversation {
    pub(super) fn new(limits: &Limits) -> Self {
        let state = State { phase: Phase::New, since: Instant::now(), fault: None };
        Self { state: Arc::new(Mutex::new(state)), limits: *limits }
    }

    /// When to look for the first time.
    pub(super) fn next_look(&self) -> Instant {
        Instant::now() + super::look_interval(&self.limits)
    }

    /// Something was read from the socket, and perhaps found to be wrong.
    pub(super) fn heard(&self, fault: Option<Fault>) {
        let mut state = self.lock();
        if matches!(state.phase, Phase::New | Phase::Idle) {
            state.phase = Phase::Head;
            state.since = Instant::now();
        }
        state.fault = state.fault.or(fault);
    }

    /// A request's head is complete.
    pub(super) fn begin(&self) -> Exchange {
        self.enter(Phase::Exchange);
        Exchange(self.clone())
    }

    /// What is wrong with something that has come.
    pub(super) fn fault(&self) -> Option<Fault> {
        self.lock().fault
    }

    /// Whether what is being written can be an answer of ours.
    pub(super) fn owes_answer(&self) -> bool {
        matches!(self.lock().phase, Phase::Exchange | Phase::Tail)
    }

    /// The HTTP library holds nothing back any more.
    pub(super) fn flushed(&self) {
        let mut state = self.lock();
        if state.phase == Phase::Tail {
            state.phase = Phase::Idle;
            state.since = Instant::now();
        }
    }

    /// Whether no request is there, not even a part of one.
    pub(super) fn is_silent(&self) -> bool {
        matches!(self.lock().phase, Phase::New | Phase::Idle)
    }

    /// Whether the connection may go on at `now`. A phase begins between two looks, so one is never later than the
    /// shortest limit allows.
    pub(super) fn look(&self, now: Instant) -> Verdict {
        let state = self.lock();
        let limit = match state.phase {
            Phase::New | Phase::Head => self.limits.head,
            Phase::Idle => self.limits.keep_alive,
            Phase::Exchange | Phase::Tail => self.limits.exchange,
        };
        let end = state.since + limit;
        match state.phase {
            _ if end > now => Verdict::GoOn(end.min(now + super::look_interval(&self.limits))),
            Phase::Head => Verdict::SlowHead,
            Phase::New | Phase::Idle | Phase::Exchange | Phase::Tail => Verdict::Over,
        }
    }

    fn enter(&self, phase: Phase) {
        let mut state = self.lock();
        state.phase = phase;
        state.since = Instant::now();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request being served; when it is dropped, the connection is idle as soon as everything is written.
#[derive(Debug)]
pub(super) struct Exchange(Conversation);

impl Exchange {
    /// Ties the exchange, its spans and the place it takes to its answer's body, which the connection drops when it has
    /// been sent.
    pub(super) fn until_sent(self, slot: Option<Slot>, trace: Trace, body: AnswerBody) -> Sending {
        Sending { body, _exchange: self, _slot: slot, _trace: trace }
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.0.enter(Phase::Tail);
    }
}

/// A body being sent.
#[derive(Debug)]
pub(super) struct Sending {
    body: AnswerBody,
    _exchange: Exchange,
    _slot: Option<Slot>,
    _trace: Trace,
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
        let conversation = Conversation::new(&Limits::default());
        let start = Instant::now();
        assert_eq!(conversation.look(start + seconds(11)), Verdict::Over);
        conversation.heard(None);
        assert!(matches!(conversation.look(start + seconds(5)), Verdict::GoOn(_)));
        assert_eq!(conversation.look(start + seconds(11)), Verdict::SlowHead);
        let exchange = conversation.begin();
        conversation.heard(None);
        assert!(matches!(conversation.look(start + seconds(800)), Verdict::GoOn(_)));
        assert_eq!(conversation.look(start + seconds(901)), Verdict::Over);
        drop(exchange);
        conversation.heard(None);
        assert!(
            matches!(conversation.look(start + seconds(800)), Verdict::GoOn(_)),
            "a slow reader is no idle client"
        );
        assert!(conversation.owes_answer() && !conversation.is_silent());
        conversation.flushed();
        assert!(!conversation.owes_answer() && conversation.is_silent());
        assert!(matches!(conversation.look(start + seconds(70)), Verdict::GoOn(_)));
        assert_eq!(conversation.look(start + seconds(76)), Verdict::Over);
    }

    #[test]
    fn a_dribbling_head_does_not_gain_time() {
        let conversation = Conversation::new(&Limits::default());
        let start = Instant::now();
        conversation.heard(None);
        let Verdict::GoOn(next) = conversation.look(start + seconds(9)) else { panic!("too early") };
        conversation.heard(None);
        assert!(next <= start + seconds(11));
        assert_eq!(conversation.look(start + seconds(11)), Verdict::SlowHead);
    }
}
