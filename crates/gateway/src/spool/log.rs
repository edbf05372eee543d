//! The log: frames go to the kernel together, and segments stay until all that is in them is in the ledger.
//!
//! Whoever appends takes a short lock and adds his frame to what is waiting. If nobody writes at that moment he writes
//! everything there is, his own and everybody else's; otherwise he waits for his turn or for somebody to have done it.
//! Where much is going on he first lets others append theirs. So a request costs a lock and a part of a `write`, and no
//! other thread is woken for it.
//!
//! A request pins the segments its frames are in until the ledger has it. A segment without pins is deleted, oldest
//! first. One that only long requests hold back is freed by writing their openings again, at the end.

mod output;
mod state;
mod upkeep;

use std::collections::{HashMap, VecDeque};
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use domain::RequestId;
use tokio::sync::Notify;

use self::output::{Chunk, Output};
use self::state::{Segment, State};

/// With so many requests that are not in the ledger yet a writer lets the others who are ready append first: one `write` for all of them.
/// With fewer there is hardly anybody to wait for.
const BUSY: usize = 16;
/// Of the bound, in hundredths: from here on it is said, no work is taken, work is taken again, nothing is said.
const WARN: u64 = 80;
const STOP: u64 = 95;
const RESUME: u64 = 90;
const CALM: u64 = 75;

/// Flags of [`Log::gate`].
const REPLAYING: u8 = 1;
const FAILING: u8 = 2;
const FULL: u8 = 4;

/// Whether the spool can answer for a new request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Intake {
    /// It can.
    Open,
    /// What an earlier run has left is still on its way to the ledger.
    Replaying,
    /// It cannot be written.
    Failing,
    /// There is no room left.
    Full,
}

impl Intake {
    /// In a line, for whoever asks whether the gateway is ready.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Open => "the spool is ready\n",
            Self::Replaying => "records of an earlier run are still on their way to the database\n",
            Self::Failing => "the spool cannot be written\n",
            Self::Full => "the spool is full\n",
        }
    }
}

/// The spool cannot answer for this request, so it must not be forwarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotWritten;

/// A log in a folder.
#[derive(Debug)]
pub(super) struct Log {
    folder: PathBuf,
    state: Mutex<State>,
    /// Why no work is taken; 0 when it is. Read without the lock.
    gate: AtomicU8,
    /// There is something to sync or to delete.
    pub(super) work: Notify,
}

/// Segments to read back, because memory had no room for what is in them.
#[derive(Debug)]
pub(super) struct ReadBack {
    /// Oldest first.
    pub(super) segments: Vec<u64>,
    pins: Vec<(u64, u64)>,
}

/// Resolves when a frame is with the kernel, or cannot be brought there.
#[derive(Debug)]
#[must_use = "nothing is known before this has resolved"]
pub struct Written<'a> {
    log: &'a Log,
    step: Step,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Done(Result<(), NotWritten>),
    /// As [`Step::Waiting`], but others who are ready may append first.
    Yielding(u64, Option<RequestId>),
    /// The frame's number, and the request it opens, if it opens one.
    Waiting(u64, Option<RequestId>),
}

impl Log {
    /// A log that begins with segment `first`, beside `inherited` bytes of older ones.
    pub(super) fn new(folder: PathBuf, first: u64, inherited: u64, max_bytes: u64) -> Self {
        let state = State {
            segments: VecDeque::from([Segment::new(first)]),
            live: HashMap::new(),
            queue: Vec::new(),
            spare: None,
            output: Some(Output::new(folder.clone())),
            appended: 0,
            dealt_with: 0,
            waiting: Vec::new(),
            is_failing: false,
            is_full: false,
            is_warned: false,
            is_dirty: false,
            spilled: 0,
            inherited,
            bound: max_bytes,
            max_bytes,
        };
        Self { folder, state: Mutex::new(state), gate: AtomicU8::new(REPLAYING), work: Notify::new() }
    }

    /// Whether new requests are taken.
    pub(super) fn intake(&self) -> Intake {
        match self.gate.load(Ordering::Acquire) {
            0 => Intake::Open,
            flags if flags & FAILING != 0 => Intake::Failing,
            flags if flags & FULL != 0 => Intake::Full,
            _ => Intake::Replaying,
        }
    }

    /// What an earlier run has left is in the ledger and gone from the folder.
    pub(super) fn replayed(&self) {
        let mut state = self.lock();
        state.inherited = 0;
        self.gate.fetch_and(!REPLAYING, Ordering::AcqRel);
    }

    /// Appends the opening of a request.
    pub(super) fn open(&self, request: RequestId, frame: Vec<u8>) -> Written<'_> {
        let mut state = self.lock();
        if state.is_failing || !self.has_room_for(&mut state, frame.len()) {
            return Written { log: self, step: Step::Done(Err(NotWritten)) };
        }
        let segment = self.append(&mut state, &frame);
        state.note_opening(request);
        let live = state.live.entry(request).or_default();
        live.open = Some(segment);
        live.frame = frame;
        self.written(state, Some(request), true)
    }

    /// Appends the end of a request. It is a fact whatever the disk says: where it cannot be written it waits in
    /// memory, and the opening stays where it is. Where nobody will wait for it, it is not left to others.
    pub(super) fn settle(&self, request: RequestId, frame: &[u8], is_awaited: bool) -> Written<'_> {
        let mut state = self.lock();
        let segment = self.append(&mut state, frame);
        let live = state.live.entry(request).or_default();
        live.settle = Some(segment);
        live.frame = Vec::new();
        self.written(state, None, is_awaited)
    }

    /// Resolves when all that was appended before has been dealt with.
    pub(super) fn flushed(&self) -> Written<'_> {
        let state = self.lock();
        if state.is_dealt_with(state.appended) {
            return Written { log: self, step: Step::Done(Ok(())) };
        }
        self.written(state, None, true)
    }

    /// The ledger has these requests.
    pub(super) fn acknowledge(&self, requests: impl Iterator<Item = RequestId>) {
        let mut state = self.lock();
        for request in requests {
            if let Some(live) = state.live.remove(&request) {
                live.segments().for_each(|segment| state.unpin(segment, 1));
            }
        }
        if state.segments.len() > 1 && state.segments[0].pins == 0 {
            self.work.notify_one();
        }
    }

    /// Memory has no room for this settled request: it must be read back from its segment.
    pub(super) fn spill(&self, request: RequestId) {
        let mut state = self.lock();
        let Some(live) = state.live.remove(&request) else { return };
        for number in live.segments() {
            state.spilled += 1;
            if let Some(segment) = state.segment(number) {
                segment.spilled += 1;
            }
        }
    }

    /// What must be read back, if anything must and all of it has been written. No frame is added to it any more.
    pub(super) fn begin_read_back(&self) -> Option<ReadBack> {
        let mut state = self.lock();
        if state.spilled == 0 || !state.queue.is_empty() || state.output.is_none() {
            return None;
        }
        let segments: Vec<_> = state.segments.iter().map(|segment| segment.number).collect();
        state.roll();
        let holding = state.segments.iter_mut().filter(|segment| segment.spilled > 0);
        let pins: Vec<_> =
            holding.map(|segment| (segment.number, std::mem::take(&mut segment.spilled))).collect();
        state.spilled = 0;
        let first = pins.first().map_or(0, |(number, _)| *number);
        Some(ReadBack { segments: segments.into_iter().filter(|number| *number >= first).collect(), pins })
    }

    /// The ledger has what was read back.
    pub(super) fn end_read_back(&self, read: ReadBack) {
        let mut state = self.lock();
        for (segment, pins) in read.pins {
            state.unpin(segment, pins);
        }
        self.work.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic while the lock was held cannot have left more than a counter behind.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn has_room_for(&self, state: &mut State, bytes: usize) -> bool {
        let wanted = state.total() + as_u64(bytes);
        if !state.is_full && is_above(wanted, STOP, state.bound) {
            state.is_full = true;
            self.gate.fetch_or(FULL, Ordering::AcqRel);
            self.work.notify_one();
            tracing::error!(
                folder = %self.folder.display(), bytes = state.total(), bound = state.bound,
                "the spool is full: requests are refused until the database has taken what is in it or room is made"
            );
        }
        !state.is_full
    }

    /// Adds a frame to what is to be written, pins its segment and says which it is.
    fn append(&self, state: &mut State, frame: &[u8]) -> u64 {
        let segment = state.append(frame);
        if !std::mem::replace(&mut state.is_dirty, true) {
            self.work.notify_one();
        }
        segment
    }

    /// Writes what there is, or says what to wait for.
    fn written<'a>(
        &'a self,
        state: MutexGuard<'a, State>,
        opens: Option<RequestId>,
        may_yield: bool,
    ) -> Written<'a> {
        let number = state.appended;
        let step = if state.output.is_none() || (state.is_failing && opens.is_none()) {
            Step::Waiting(number, opens)
        } else if may_yield && state.live.len() >= BUSY {
            Step::Yielding(number, opens)
        } else {
            Step::Done(self.write_out(state).or_else(|failed| self.look_closer(failed, opens)))
        };
        Written { log: self, step }
    }

    /// Writes all that waits and wakes whoever waited for it.
    fn write_out(&self, mut state: MutexGuard<'_, State>) -> Result<(), NotWritten> {
        let Some(mut output) = state.output.take() else { return Err(NotWritten) };
        let mut chunks = std::mem::take(&mut state.queue);
        let number = state.appended;
        drop(state);
        let result = output.write(&chunks);
        let mut state = self.lock();
        state.output = Some(output);
        state.dealt_with = number;
        let result = match result {
            Ok(()) => {
                state.spare = chunks.pop().map(Chunk::emptied);
                Ok(())
            }
            Err(failure) => {
                chunks.drain(..failure.written);
                self.fail(&mut state, &failure.error.to_string());
                state.take_back(chunks);
                Err(NotWritten)
            }
        };
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        waiting.into_iter().for_each(Waker::wake);
        result
    }

    /// Of what failed a part may have been written: an opening that is on the disk must not be taken for void.
    fn look_closer(&self, failed: NotWritten, opens: Option<RequestId>) -> Result<(), NotWritten> {
        let is_written = opens.is_some_and(|request| self.lock().has_opening(request));
        if is_written { Ok(()) } else { Err(failed) }
    }

    /// Says once that something does not work, and takes no more work until [`upkeep`] finds that it does.
    fn fail(&self, state: &mut State, error: &str) {
        if std::mem::replace(&mut state.is_failing, true) {
            return;
        }
        self.gate.fetch_or(FAILING, Ordering::AcqRel);
        self.work.notify_one();
        tracing::error!(
            folder = %self.folder.display(), %error,
            "the spool cannot be written: requests are refused until it can"
        );
    }
}

impl Future for Written<'_> {
    type Output = Result<(), NotWritten>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let (number, opens) = match self.step {
            Step::Done(result) => return Poll::Ready(result),
            Step::Yielding(number, opens) => {
                // A task that wakes itself runs again after those that are ready already.
                self.step = Step::Waiting(number, opens);
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            Step::Waiting(number, opens) => (number, opens),
        };
        let mut state = self.log.lock();
        if state.is_dealt_with(number) || (state.is_failing && opens.is_none()) {
            let is_lost = opens.is_some_and(|request| !state.has_opening(request));
            return Poll::Ready(if is_lost { Err(NotWritten) } else { Ok(()) });
        }
        if state.output.is_none() {
            state.waiting.push(context.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(self.log.write_out(state).or_else(|failed| self.log.look_closer(failed, opens)))
    }
}

impl Written<'_> {
    /// Whether there is nothing to wait for.
    pub(super) fn is_done(&self) -> bool {
        matches!(self.step, Step::Done(_))
    }
}

/// Whether `bytes` are more than `hundredths` of `bound`.
fn is_above(bytes: u64, hundredths: u64, bound: u64) -> bool {
    u128::from(bytes) * 100 > u128::from(hundredths) * u128::from(bound)
}

fn as_u64(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
