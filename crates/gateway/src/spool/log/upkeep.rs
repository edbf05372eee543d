//! What the log needs beside being written: syncing, deleting, keeping within its bound, and getting well again.
//!
//! All of it may wait for the disk, so it runs on a thread that may.

use std::fs;
use std::io;
use std::sync::atomic::Ordering;
use std::time::Duration;

use domain::RequestId;

use super::super::Backlog;
use super::super::folder::{room, segment_path, sync_folder};
use super::super::frame::{Kind, TooLarge, frame};
use super::{CALM, FAILING, FULL, Log, RESUME, State, WARN, as_u64, is_above};

/// An idle log of this size begins anew, so that a restart has less to read.
const WORTH_BEGINNING_ANEW: u64 = 256 * 1024;
/// Above this share of the bound, in hundredths, segments are ended early so that they can be deleted early.
const TIGHT: u64 = 50;
const BETWEEN_TRIES: Duration = Duration::from_millis(1);

impl Log {
    /// One round of all there is to do. Returns whether another one is due soon, work or not.
    pub(in crate::spool) fn tend(&self) -> bool {
        self.look_at_room();
        let is_well = self.write_rest() && self.carry_over() && self.sync();
        if is_well {
            self.remove_done();
        }
        self.judge(is_well)
    }

    /// The end of an orderly stop: what is not in the ledger is on the disk, what is in the ledger is gone.
    pub(in crate::spool) fn close(&self) {
        self.tend();
        let mut state = self.lock();
        let is_done = state.queue.is_empty() && state.segments.iter().all(|segment| segment.pins == 0);
        if is_done {
            state.roll();
        }
        drop(state);
        if is_done {
            self.remove_done();
        }
    }

    /// Requests that are not known to be in the ledger, whether they are over or not.
    pub(in crate::spool) fn unsettled(&self) -> u64 {
        let state = self.lock();
        as_u64(state.live.len()) + state.spilled / 2
    }

    /// How much of a backlog there is. A look at all of it, so for once a second at most.
    pub(in crate::spool) fn backlog(&self) -> Backlog {
        let state = self.lock();
        let over = state.live.iter().filter(|(_, live)| live.settle.is_some());
        Backlog {
            waiting: as_u64(state.live.len()) + state.spilled / 2,
            bytes: state.total(),
            oldest: over.map(|(request, _)| *request).min(),
        }
    }

    /// The bound is what the operator allows, or what the file system can hold where that is less.
    fn look_at_room(&self) {
        match room(&self.folder) {
            Ok(room) => {
                let mut state = self.lock();
                state.bound = state.max_bytes.min(state.total().saturating_add(room));
            }
            Err(error) => tracing::warn!(%error, "how much room the spool has left cannot be found out"),
        }
    }

    /// Writes what nobody waits for. Where writing has failed, this is the attempt that finds out that it works
    /// again. Whether it does.
    fn write_rest(&self) -> bool {
        let mut state = self.lock();
        if state.is_failing && state.queue.is_empty() {
            let probe = frame(Kind::Probe, 0, Ok::<_, TooLarge>).unwrap_or_default();
            let number = state.append(&probe);
            state.unpin(number, 1);
        }
        drop(state);
        loop {
            let state = self.lock();
            let is_mine = state.output.is_some();
            if is_mine && state.queue.is_empty() {
                return true;
            }
            if !is_mine {
                drop(state);
                std::thread::sleep(BETWEEN_TRIES);
            } else if self.write_out(state).is_err() {
                return false;
            }
        }
    }

    /// Where only openings of running requests hold back the oldest segment, they are written again at the end.
    fn carry_over(&self) -> bool {
        let mut state = self.lock();
        let is_tight = is_above(state.total(), TIGHT, state.bound);
        if is_tight {
            state.roll();
        }
        if state.segments.len() < if is_tight { 2 } else { 4 } {
            return true;
        }
        let (oldest, pins) = (state.segments[0].number, state.segments[0].pins);
        let running = state.running_since(oldest);
        if running.is_empty() || as_u64(running.len()) != pins {
            return true;
        }
        let mut moved = Vec::with_capacity(running.len());
        for (request, frame) in running {
            moved.push((request, self.append(&mut state, &frame)));
        }
        drop(state);
        let is_written = self.write_rest();
        let mut state = self.lock();
        for (request, to) in moved {
            let live = state.live.get_mut(&request).filter(|live| live.open == Some(oldest));
            match live {
                Some(live) if is_written => {
                    live.open = Some(to);
                    state.unpin(oldest, 1);
                }
                // It is over meanwhile, or nothing has been moved: the copy holds nothing.
                _ => state.unpin(to, 1),
            }
        }
        is_written
    }

    fn sync(&self) -> bool {
        let mut state = self.lock();
        // What was appended since is not in the files yet; whoever appended it may have left.
        state.is_dirty = !state.queue.is_empty();
        if state.is_dirty {
            self.work.notify_one();
        }
        let Some((files, are_new)) = state.output.as_mut().map(super::Output::take_touched) else {
            // Somebody is writing: the next round does it.
            state.is_dirty = true;
            self.work.notify_one();
            return !state.is_failing;
        };
        drop(state);
        let synced = files.iter().try_for_each(|(_, file)| sync_data(file));
        let synced = synced.and_then(|()| if are_new { sync_folder(&self.folder) } else { Ok(()) });
        let Err(error) = synced else { return true };
        let mut state = self.lock();
        // What a failed sync has dropped is not written by the next one, so new records go to a new file.
        state.roll();
        state.is_dirty = true;
        if let Some(output) = state.output.as_mut() {
            output.give_back(files);
        }
        self.fail(&mut state, &format!("it cannot be synced: {error}"));
        false
    }

    /// Deletes the oldest segments, as far as the ledger has everything in them.
    fn remove_done(&self) {
        let mut done = Vec::new();
        let mut state = self.lock();
        if let [only] = state.segments.make_contiguous()
            && only.pins == 0
            && only.bytes >= WORTH_BEGINNING_ANEW
        {
            state.roll();
        }
        while state.segments.len() > 1
            && state.segments[0].pins == 0
            && state.queue.first().is_none_or(|chunk| chunk.segment != state.segments[0].number)
        {
            done.extend(state.segments.pop_front());
        }
        drop(state);
        for segment in done {
            let path = segment_path(&self.folder, segment.number);
            match fs::remove_file(&path) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                // It would be replayed at the next start, which changes nothing.
                Err(error) => {
                    tracing::warn!(path = %path.display(), %error, "a segment that is done with cannot be deleted");
                }
            }
        }
    }

    /// Says where the log stands when that has changed; whether it needs to be looked at again soon.
    fn judge(&self, is_well: bool) -> bool {
        let mut state = self.lock();
        let (bytes, bound) = (state.total(), state.bound);
        if is_well && std::mem::take(&mut state.is_failing) {
            self.gate.fetch_and(!FAILING, Ordering::AcqRel);
            tracing::info!(folder = %self.folder.display(), "the spool can be written again: requests are taken");
        }
        if state.is_full && !is_above(bytes, RESUME, bound) {
            state.is_full = false;
            self.gate.fetch_and(!FULL, Ordering::AcqRel);
            tracing::info!(folder = %self.folder.display(), bytes, bound, "the spool has room again: requests are taken");
        }
        if !state.is_warned && is_above(bytes, WARN, bound) {
            state.is_warned = true;
            tracing::warn!(
                folder = %self.folder.display(), bytes, bound,
                "the spool is filling up: at 95 % of its bound requests are refused"
            );
        } else if state.is_warned && !is_above(bytes, CALM, bound) {
            state.is_warned = false;
        }
        state.is_failing || state.is_full || state.is_warned || state.segments.len() > 1
    }
}

/// Syncs a file, if it is one that can be.
fn sync_data(file: &fs::File) -> io::Result<()> {
    file.sync_data()
        .or_else(|error| if error.kind() == io::ErrorKind::InvalidInput { Ok(()) } else { Err(error) })
}

impl State {
    /// The openings in a segment whose requests are not over.
    fn running_since(&self, segment: u64) -> Vec<(RequestId, Vec<u8>)> {
        let running =
            self.live.iter().filter(|(_, live)| live.open == Some(segment) && live.settle.is_none());
        running.map(|(request, live)| (*request, live.frame.clone())).collect()
    }
}
