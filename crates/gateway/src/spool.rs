//! The spool: what the gateway owes the ledger, on its own disk, so that nothing is forgotten when it dies.
//!
//! A request's opening is with the kernel before the request is forwarded, and its end before the last byte of the
//! answer leaves. Both outlast the process at once; syncing runs a tenth of a second behind, so a power cut costs the
//! record of that time. Segments go when the ledger has all that is in them; the next start replays those there are.
//!
//! | module | owns |
//! |---|---|
//! | [`folder`] | the folder, its lock, the gateway's id |
//! | [`frame`] | frames, and reading past damage |
//! | [`record`] | the payloads, by version |
//! | `log` | appending, writing together, pins, room, failure |
//! | [`replay`] | reading back |

pub mod folder;
pub mod frame;
mod log;
pub mod record;
pub mod replay;

use std::collections::HashSet;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use domain::RequestId;
use tokio::task::spawn_blocking;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use self::folder::{Folder, FolderError, segment_path};
pub use self::log::{Intake, NotWritten, Written};
use self::log::{Log, ReadBack};
use self::record::{Ended, Opened};
use self::replay::Replay;

/// How far syncing runs behind writing.
const SYNC_BEHIND: Duration = Duration::from_millis(100);
/// Between two rounds while something is wrong or there is something to delete.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// What waits in a spool.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Backlog {
    /// Requests that are not known to be in the ledger, running ones included.
    pub waiting: u64,
    /// Bytes of its files.
    pub bytes: u64,
    /// The one that began first of those that are over.
    pub oldest: Option<RequestId>,
}

/// A gateway's spool.
#[derive(Debug)]
pub struct Spool {
    folder: Folder,
    log: Log,
    /// Requests that had no place in memory and are not read back yet.
    spilled: Mutex<HashSet<RequestId>>,
}

impl Spool {
    /// Opens the spool in a folder, which is made where it is missing and must be no other gateway's, and says what an
    /// earlier run has left there. Nothing is taken before that is [replayed](Self::replayed).
    pub fn open(folder: &Path, max_bytes: u64) -> Result<(Self, Replay), FolderError> {
        let folder = Folder::open(folder)?;
        let left = folder.segments()?;
        let next = left.last().map_or(1, |(number, _)| number + 1);
        let inherited = left.iter().map(|(_, bytes)| bytes).sum();
        let replay = Replay::new(folder.path(), left.into_iter().map(|(number, _)| number).collect());
        let log = Log::new(folder.path().to_owned(), next, inherited, max_bytes);
        Ok((Self { folder, log, spilled: Mutex::default() }, replay))
    }

    /// The gateway's id, the same at every start with this folder.
    pub fn gateway_id(&self) -> Uuid {
        self.folder.id()
    }

    /// Whether new requests can be taken.
    pub fn intake(&self) -> Intake {
        self.log.intake()
    }

    /// Writes down a request that is about to be forwarded.
    pub async fn write_opening(&self, opened: &Opened<'_>) -> Result<(), NotWritten> {
        match opened.frame() {
            Ok(frame) => self.log.open(opened.request, frame).await,
            Err(error) => {
                tracing::error!(request_id = %opened.request, %error, "a request cannot be written down");
                Err(NotWritten)
            }
        }
    }

    /// Writes down that a request is over. Whether there is something to wait for before the client may learn it: see
    /// [`Self::flushed`]. `is_awaited` says that somebody will.
    pub fn write_end(&self, opened: &Opened<'_>, ended: &Ended, is_awaited: bool) -> bool {
        match opened.settled_frame(ended) {
            Ok(frame) => !self.log.settle(opened.request, &frame, is_awaited).is_done(),
            Err(error) => {
                tracing::error!(request_id = %opened.request, %error, "the end of a request cannot be written down");
                false
            }
        }
    }

    /// Resolves when all that was written down before is with the kernel, or cannot be brought there.
    pub fn flushed(&self) -> Written<'_> {
        self.log.flushed()
    }

    /// The ledger has these requests.
    pub fn acknowledge(&self, requests: impl Iterator<Item = RequestId>) {
        self.log.acknowledge(requests);
    }

    /// This request is over and has no place in memory: it will be [read back](Self::read_back).
    pub fn spill(&self, request: RequestId) {
        self.lock_spilled().insert(request);
        self.log.spill(request);
    }

    /// Whether a request that is read back had no place in memory; asked once. The segments hold others as well.
    pub fn take_spilled(&self, request: RequestId) -> bool {
        self.lock_spilled().remove(&request)
    }

    fn lock_spilled(&self) -> MutexGuard<'_, HashSet<RequestId>> {
        self.spilled.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What had no place in memory, if there is such a thing and it can be read.
    pub fn read_back(&self) -> Option<(Replay, Reading)> {
        let reading = self.log.begin_read_back()?;
        let replay = Replay::settled_only(self.folder.path(), reading.segments.clone());
        Some((replay, Reading(reading)))
    }

    /// The ledger has what was read back.
    pub fn have_read_back(&self, reading: Reading) {
        self.log.end_read_back(reading.0);
    }

    /// The ledger has what an earlier run has left: it goes, and new requests are taken.
    pub fn replayed(&self, replay: &Replay) {
        for number in replay.segments().iter().filter(|_| replay.is_understood()) {
            let path = segment_path(self.folder.path(), *number);
            if let Err(error) = std::fs::remove_file(&path) {
                tracing::warn!(path = %path.display(), %error, "a replayed segment cannot be deleted");
            }
        }
        self.log.replayed();
    }

    /// Requests that are not known to be in the ledger.
    pub fn unsettled(&self) -> u64 {
        self.log.unsettled()
    }

    /// How much of a backlog there is. Looks at all of it.
    pub fn backlog(&self) -> Backlog {
        self.log.backlog()
    }

    /// Syncs, deletes and recovers until `closing` is set.
    pub async fn tend(self: Arc<Self>, closing: CancellationToken) {
        let mut is_due = true;
        let rounds = async {
            loop {
                tokio::select! {
                    () = self.log.work.notified() => {}
                    () = sleep(LOOK_AGAIN), if is_due => {}
                }
                sleep(SYNC_BEHIND).await;
                let this = self.clone();
                is_due = spawn_blocking(move || this.log.tend()).await.unwrap_or(true);
            }
        };
        closing.run_until_cancelled(rounds).await;
    }

    /// The end of an orderly stop.
    pub async fn close(self: Arc<Self>) {
        let this = self.clone();
        if spawn_blocking(move || this.log.close()).await.is_err() {
            tracing::error!("the spool was not closed in order; the next start puts that right");
        }
    }
}

/// Proof that something is being read back.
#[derive(Debug)]
pub struct Reading(ReadBack);
