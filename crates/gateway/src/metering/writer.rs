//! Writes settled requests to the ledger: in batches, again and again until the database has taken them.

use std::time::{Duration, Instant};

use store::usage::{self, UsageRecord};
use store::{PgPool, StoreError};
use tokio::sync::mpsc::Receiver;
use tokio::time::{sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Rows of one transaction.
const BATCH: usize = 500;
/// How long a record may wait for company.
const LINGER: Duration = Duration::from_millis(100);
const WRITE_TIME: Duration = Duration::from_secs(10);
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(2);
const DAY: Duration = Duration::from_hours(24);

/// Empties a journal's queue into the ledger.
#[derive(Debug)]
pub struct Writer {
    pool: PgPool,
    records: Receiver<UsageRecord>,
    /// Set when no request will be opened any more.
    closing: CancellationToken,
    /// Whose leases the charges draw on.
    gateway: Uuid,
    partitions_made: Option<Instant>,
}

impl Writer {
    /// A writer for `records`, which ends once `closing` is set, every request is settled and all is written.
    pub fn new(
        pool: PgPool,
        records: Receiver<UsageRecord>,
        closing: CancellationToken,
        gateway: Uuid,
    ) -> Self {
        Self { pool, records, closing, gateway, partitions_made: None }
    }

    /// Runs until everything is written.
    pub async fn run(mut self) {
        let mut batch = Vec::with_capacity(BATCH);
        while self.collect(&mut batch).await {
            self.write(&batch).await;
            batch.clear();
        }
    }

    /// Waits for records and takes those that come within the time they may wait; false when there will be no more.
    async fn collect(&mut self, batch: &mut Vec<UsageRecord>) -> bool {
        if self.take(batch).await == 0 {
            return false;
        }
        let end = tokio::time::Instant::now() + LINGER;
        while batch.len() < BATCH {
            tokio::select! {
                taken = self.take(batch) => if taken == 0 { break },
                () = sleep_until(end) => break,
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
fn is_about_the_data(error: &StoreError) -> bool {
    let Some(error) = error.as_database_error() else { return false };
    error.code().is_some_and(|code| code.starts_with("22") || code.starts_with("23"))
}
