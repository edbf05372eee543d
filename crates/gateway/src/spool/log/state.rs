//! What a log knows of its files: segments, the requests that are still in them, and what waits to be written.

use std::collections::{HashMap, VecDeque};
use std::task::Waker;

use domain::RequestId;

use super::as_u64;
use super::output::{Chunk, Output};

#[expect(clippy::struct_excessive_bools, reason = "independent facts about the files")]
#[derive(Debug)]
pub(super) struct State {
    /// Oldest first; the last one takes new frames.
    pub(super) segments: VecDeque<Segment>,
    pub(super) live: HashMap<RequestId, Live>,
    /// Appended and not yet written.
    pub(super) queue: Vec<Chunk>,
    /// An emptied chunk, for its memory.
    pub(super) spare: Option<Chunk>,
    /// Absent while somebody writes.
    pub(super) output: Option<Output>,
    /// How many frames were ever appended, and how many of them have been dealt with.
    pub(super) appended: u64,
    pub(super) dealt_with: u64,
    pub(super) waiting: Vec<Waker>,
    pub(super) is_failing: bool,
    pub(super) is_full: bool,
    pub(super) is_warned: bool,
    /// Written since the last sync.
    pub(super) is_dirty: bool,
    /// Pins of requests that are settled and no longer in memory.
    pub(super) spilled: u64,
    /// Bytes of segments an earlier run has left.
    pub(super) inherited: u64,
    /// The largest number of bytes all segments may have.
    pub(super) bound: u64,
    /// What an operator allows.
    pub(super) max_bytes: u64,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Segment {
    pub(super) number: u64,
    pub(super) bytes: u64,
    /// Frames in it that the ledger does not have.
    pub(super) pins: u64,
    /// Those of them that must be read back from it.
    pub(super) spilled: u64,
}

/// A request that is not in the ledger yet, and where its frames are.
#[derive(Debug, Default)]
pub(super) struct Live {
    pub(super) open: Option<u64>,
    pub(super) settle: Option<u64>,
    /// The opening's frame, as long as it may have to be written again.
    pub(super) frame: Vec<u8>,
}

impl State {
    pub(super) fn total(&self) -> u64 {
        self.inherited + self.segments.iter().map(|segment| segment.bytes).sum::<u64>()
    }

    /// Segments are small enough for the oldest to go while there is still room, and never many.
    pub(super) fn segment_limit(&self) -> u64 {
        const SMALLEST: u64 = 16 * 1024;
        const LARGEST: u64 = 16 * 1024 * 1024;
        (self.bound / 16).clamp(SMALLEST, LARGEST)
    }

    pub(super) fn is_dealt_with(&self, number: u64) -> bool {
        self.dealt_with >= number
    }

    pub(super) fn has_opening(&self, request: RequestId) -> bool {
        self.live.get(&request).is_some_and(|live| live.open.is_some())
    }

    pub(super) fn active(&self) -> u64 {
        self.segments.back().map_or(0, |segment| segment.number)
    }

    pub(super) fn segment(&mut self, number: u64) -> Option<&mut Segment> {
        let first = self.segments.front()?.number;
        self.segments.get_mut(usize::try_from(number.checked_sub(first)?).ok()?)
    }

    pub(super) fn unpin(&mut self, number: u64, pins: u64) {
        if let Some(segment) = self.segment(number) {
            segment.pins = segment.pins.saturating_sub(pins);
        }
    }

    /// Begins a new segment, unless the present one is empty.
    pub(super) fn roll(&mut self) {
        if self.segments.back().is_some_and(|segment| segment.bytes > 0) {
            self.segments.push_back(Segment::new(self.active() + 1));
        }
    }

    pub(super) fn append(&mut self, frame: &[u8]) -> u64 {
        let (limit, bytes) = (self.segment_limit(), as_u64(frame.len()));
        if self.segments.back().is_some_and(|segment| segment.bytes + bytes > limit) {
            self.roll();
        }
        let number = self.active();
        if let Some(segment) = self.segments.back_mut() {
            segment.bytes += bytes;
            segment.pins += 1;
        }
        match self.queue.last_mut() {
            Some(chunk) if chunk.is_for(number) => chunk.push(number, frame),
            _ => {
                let mut chunk = self.spare.take().unwrap_or_default();
                chunk.push(number, frame);
                self.queue.push(chunk);
            }
        }
        self.appended += 1;
        number
    }

    /// The frame just appended opens `request`.
    pub(super) fn note_opening(&mut self, request: RequestId) {
        if let Some(chunk) = self.queue.last_mut() {
            chunk.opens.push(request);
        }
    }

    /// Takes back what could not be written: facts wait for the next attempt; openings are void, and whoever waits
    /// for one is told so.
    pub(super) fn take_back(&mut self, chunks: Vec<Chunk>) {
        let mut kept = Vec::new();
        for mut chunk in chunks {
            for request in std::mem::take(&mut chunk.opens) {
                self.void(request);
            }
            let dropped = chunk.drop_openings();
            if let Some(segment) = self.segment(chunk.segment) {
                segment.bytes = segment.bytes.saturating_sub(as_u64(dropped));
            }
            if !chunk.bytes.is_empty() {
                kept.push(chunk);
            }
        }
        kept.append(&mut self.queue);
        self.queue = kept;
    }

    pub(super) fn void(&mut self, request: RequestId) {
        let Some(live) = self.live.get_mut(&request) else { return };
        let open = live.open.take();
        if live.settle.is_none() {
            self.live.remove(&request);
        }
        if let Some(segment) = open {
            self.unpin(segment, 1);
        }
    }
}

impl Segment {
    pub(super) const fn new(number: u64) -> Self {
        Self { number, bytes: 0, pins: 0, spilled: 0 }
    }
}

impl Live {
    pub(super) fn segments(&self) -> impl Iterator<Item = u64> + use<> {
        self.open.into_iter().chain(self.settle)
    }
}
