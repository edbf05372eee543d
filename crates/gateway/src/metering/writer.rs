//! Writes settled requests to the ledger: in batches, again and again until the database has taken them.
//!
//! They come from memory. What an earlier run has left in the spool goes first; what had no place in memory is read
//! back from it when there is time. The spool keeps everything until it is told that the ledger has it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use store::usage::{self, UsageRecord};
use store::{PgPool, StoreError};
use tokio::sync::mpsc::Receiver;
use tokio::task::spawn_blocking;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::limits::Limits;
use crate::spool::Spool;
use crate::spool::replay::Replay;

/// Rows of one transaction.
const BATCH: usize = 1_000;
/// How long a record may wait for company.
const LINGER: Duration = Duration::from_millis(100);
const WRITE_TIME: Duration = Duration::from_secs(10);
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(2);
/// Between two attempts to read a segment.
const READ_WAIT: Duration = Duration::from_secs(5);
const DAY: Duration = Duration::from_hours(24);

/// Why the spool is read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Reading {
    /// An earlier run has left it; nothing of it is held here.
    EarlierRun,
    /// Memory had no room for it.
    Back,
}

/// Empties a journal's queue into the ledger.
#[derive(Debug)]
pub struct Writer {
    pool: PgPool,
    records: Receiver<UsageRecord>,
    spool: Arc<Spool>,
    leases: Arc<Limits>,
    /// Set when no request will be opened any more.
    closing: CancellationToken,
    /// Whose leases the charges draw on.
    gateway: Uuid,
    partitions_made: Option<Instant>,
}

impl Writer {
    /// A writer for `records`, which are in `spool` too. It ends once `closing` is set and all is written.
    pub fn new(
        pool: PgPool,
        records: Receiver<UsageRecord>,
        spool: Arc<Spool>,
        leases: Arc<Limits>,
        closing: CancellationToken,
    ) -> Self {
        let gateway = spool.gateway_id();
        Self { pool, records, spool, leases, closing, gateway, partitions_made: None }
    }

    /// Replays what an earlier run has left, then runs until everything is written.
    pub async fn run(mut self, left: Replay) {
        self.replay(left).await;
        let mut batch = Vec::with_capacity(BATCH);
        while self.collect(&mut batch).await {
            self.write(&batch).await;
            self.book(&batch);
            self.spool.acknowledge(batch.iter().map(|record| record.id));
            batch.clear();
            self.read_back().await;
        }
    }

    /// The ledger has these: their leases are drawn by as much.
    fn book(&self, batch: &[UsageRecord]) {
        for record in batch {
            self.leases.booked(&record.charges);
        }
    }

    /// The same for what is read back: the segments hold records too that come from memory as well.
    fn book_spilled(&self, batch: &[UsageRecord]) {
        for record in batch.iter().filter(|record| self.spool.take_spilled(record.id)) {
            self.leases.booked(&record.charges);
        }
    }

    /// New requests are taken when this is done. Everything an earlier run has used is booked by then, so what its
    /// leases still hold is nobody's and goes back.
    async fn replay(&mut self, left: Replay) {
        let (replay, records) = self.write_all(left, Reading::EarlierRun).await;
        if records > 0 {
            tracing::info!(records, "what an earlier run had left in the spool is in the ledger");
        }
        while let Err(error) = self.leases.take_over().await {
            tracing::warn!(%error, "what an earlier run held could not be taken over; it is tried again");
            sleep(LONGEST_WAIT).await;
        }
        let spool = self.spool.clone();
        if spawn_blocking(move || spool.replayed(&replay)).await.is_err() {
            tracing::error!(
                "the replayed part of the spool was not put away; requests are refused until a restart"
            );
        }
    }

    /// What had no place in memory, once memory has some again.
    async fn read_back(&mut self) {
        if self.records.len() > self.records.max_capacity() / 2 {
            return;
        }
        let Some((replay, reading)) = self.spool.read_back() else { return };
        let (_, records) = self.write_all(replay, Reading::Back).await;
        self.spool.have_read_back(reading);
        tracing::info!(
            records,
            "what had no place in memory was read back from the spool and is in the ledger"
        );
    }

    /// Writes all that a replay reads; gives back the replay and the number of its records.
    async fn write_all(&mut self, mut replay: Replay, reading: Reading) -> (Replay, usize) {
        let mut records = 0;
        loop {
            let read = move || {
                let rows = replay.next_rows();
                (replay, rows)
            };
            let rows = match spawn_blocking(read).await {
                Ok((back, rows)) => {
                    replay = back;
                    rows
                }
                // Only a panic ends it so, and then there is nothing left to go on with.
                Err(error) => std::panic::resume_unwind(error.into_panic()),
            };
            match rows {
                Ok(Some(rows)) => {
                    for batch in rows.chunks(BATCH) {
                        self.write(batch).await;
                        if reading == Reading::Back {
                            self.book_spilled(batch);
                        }
                    }
                    records += rows.len();
                }
                Ok(None) => return (replay, records),
                Err(error) => {
                    tracing::error!(%error, "a segment of the spool cannot be read; it is tried again");
                    sleep(READ_WAIT).await;
                }
            }
        }
    }

    /// Waits for records and takes those that come within the time they may wait; false when there will be no more.
    async fn collect(&mut self, batch: &mut Vec<UsageRecord>) -> bool {
        if self.take(batch).await == 0 {
            return false;
        }
        // Whoever settles a request meanwhile wakes nobody: that would be a task switch for each of them.
        let is_first = batch.len() < BATCH && !self.closing.is_cancelled();
        if is_first {
            self.closing.run_until_cancelled(sleep(LINGER)).await;
        }
        while batch.len() < BATCH {
            match self.records.try_recv() {
                Ok(record) => batch.push(record),
                Err(_) => break,
            }
        }
        true
    }

    async fn take(&mut self, batch: &mut Vec<UsageRecord>) -> usize {
        let room = BATCH - batch.len();
        if !self.records.is_closed() {
            tokio::select! {
                biased;
                taken = self.records.recv_many(batch, room) => return taken,
                () = self.closing.cancelled() => self.records.close(),
            }
        }
        self.records.recv_many(batch, room).await
    }

    /// Writes a batch; returns when it is in the ledger.
    async fn write(&mut self, batch: &[UsageRecord]) {
        let mut wait = FIRST_WAIT;
        let mut has_failed = false;
        loop {
            match self.try_write(batch).await {
                Ok(()) => {
                    if has_failed {
                        tracing::info!(records = batch.len(), "usage is written again");
                    }
                    return;
                }
                Err(error) if is_about_the_data(&error) => return self.write_singly(batch).await,
                Err(error) => {
                    if !std::mem::replace(&mut has_failed, true) {
                        tracing::warn!(%error, records = batch.len(), "usage cannot be written; it is kept and tried again");
                    }
                    sleep(wait).await;
                    wait = (wait * 2).min(LONGEST_WAIT);
                }
            }
        }
    }

    /// One record the database refuses must not hold up all others. Writing is safe to repeat, so those that pass
    /// are written and the one that does not is put where an operator finds it.
    async fn write_singly(&mut self, batch: &[UsageRecord]) {
        for record in batch {
            let mut wait = FIRST_WAIT;
            while let Err(error) = self.try_write(std::slice::from_ref(record)).await {
                if is_about_the_data(&error) {
                    tracing::error!(%error, ?record, "the ledger refuses a record; book it by hand");
                    break;
                }
                sleep(wait).await;
                wait = (wait * 2).min(LONGEST_WAIT);
            }
        }
    }

    async fn try_write(&mut self, batch: &[UsageRecord]) -> Result<(), StoreError> {
        let work = async {
            if self.partitions_made.is_none_or(|when| when.elapsed() > DAY) {
                usage::ensure_partitions(&self.pool).await?;
                self.partitions_made = Some(Instant::now());
            }
            let mut connection = self.pool.acquire().await?;
            usage::settle(&mut connection, self.gateway, batch).await.map(|_| ())
        };
        timeout(WRITE_TIME, work).await.unwrap_or(Err(StoreError::PoolTimedOut))
    }
}

/// Whether the database will never take these rows (data exceptions and broken constraints), however long one waits.
pub(super) fn is_about_the_data(error: &StoreError) -> bool {
    let Some(error) = error.as_database_error() else { return false };
    error.code().is_some_and(|code| code.starts_with("22") || code.starts_with("23"))
}
