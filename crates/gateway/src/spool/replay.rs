//! What an earlier run has left, read back: every request that is over, and then those nobody saw end.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use domain::RequestId;
use store::usage::UsageRecord;

use super::folder::segment_path;
use super::frame::{Frames, Item};
use super::record::{Record, Unreadable};

/// Reads segments, one after the other. What cannot be read is said and passed over.
#[derive(Debug)]
pub struct Replay {
    folder: PathBuf,
    /// Oldest first.
    segments: Vec<u64>,
    next: usize,
    /// Openings whose end has not been met, as the rows they become.
    open: HashMap<RequestId, UsageRecord>,
    tells_interrupted: bool,
    /// A record of another version was met, so these segments must not be deleted.
    has_foreign: bool,
}

impl Replay {
    /// Of all that an earlier run has left.
    pub(super) fn new(folder: &Path, segments: Vec<u64>) -> Self {
        Self {
            folder: folder.to_owned(),
            segments,
            next: 0,
            open: HashMap::new(),
            tells_interrupted: true,
            has_foreign: false,
        }
    }

    /// Of what is over only, while others are still running.
    pub(super) fn settled_only(folder: &Path, segments: Vec<u64>) -> Self {
        Self { tells_interrupted: false, ..Self::new(folder, segments) }
    }

    /// The next rows: those of one segment; at the end the interrupted ones. `None` when there are no more.
    pub fn next_rows(&mut self) -> io::Result<Option<Vec<UsageRecord>>> {
        if let Some(number) = self.segments.get(self.next) {
            let bytes = fs::read(segment_path(&self.folder, *number))?;
            let rows = self.read(*number, &bytes);
            self.next += 1;
            return Ok(Some(rows));
        }
        let interrupted = std::mem::take(&mut self.open);
        if interrupted.is_empty() {
            return Ok(None);
        }
        tracing::warn!(
            requests = interrupted.len(),
            "an earlier run ended in the middle of requests; they are booked as interrupted"
        );
        Ok(Some(interrupted.into_values().collect()))
    }

    /// Whether all that was there has been understood, so that it can go once the ledger has it.
    pub(super) fn is_understood(&self) -> bool {
        !self.has_foreign
    }

    /// The segments it reads.
    pub(super) fn segments(&self) -> &[u64] {
        &self.segments
    }

    fn read(&mut self, segment: u64, bytes: &[u8]) -> Vec<UsageRecord> {
        let mut rows = Vec::new();
        for item in Frames::new(bytes) {
            let frame = match item {
                Item::Frame(frame) => frame,
                Item::Damage { at, length, is_tail: true } => {
                    tracing::warn!(
                        segment,
                        at,
                        bytes = length,
                        "the spool ends in half a record, as after a crash; it is left out"
                    );
                    continue;
                }
                Item::Damage { at, length, is_tail: false } => {
                    tracing::error!(
                        segment,
                        at,
                        bytes = length,
                        "the spool is damaged here; what was in these bytes is lost"
                    );
                    continue;
                }
            };
            match Record::read(&frame) {
                Ok(Some(Record::Open(opened))) if self.tells_interrupted => {
                    self.open.insert(opened.request, opened.interrupted());
                }
                Ok(Some(Record::Settle(opened, ended))) => {
                    self.open.remove(&opened.request);
                    rows.push(opened.record(&ended));
                }
                Ok(_) => {}
                Err(error) => self.report(segment, &error),
            }
        }
        rows
    }

    fn report(&mut self, segment: u64, error: &Unreadable) {
        tracing::error!(segment, %error, "a record of the spool cannot be read; its segment is kept");
        self.has_foreign = true;
    }
}
