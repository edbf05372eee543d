//! Keeps the policy current: everything at first, then what changed since the version in force.
//!
//! A notification only says "look now". The truth is the version in the database, looked at once a poll; a lost or
//! late notification costs at most that. Each look also tells the database what is enforced here.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::TryStreamExt;
use store::policy::{self, Changes, Pulse};
use store::{PgListener, PgPool, StoreError, connect, gateways, models};
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};
use uuid::Uuid;

use super::Policy;
use super::set::{Set, Update};

/// One look at the database.
const LOOK_TIME: Duration = Duration::from_secs(5);
/// A full load: a million keys take a few seconds.
const LOAD_TIME: Duration = Duration::from_mins(2);
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(1);
/// How often a program that waits says so again.
const REMIND: Duration = Duration::from_secs(10);

/// Fills a [`Policy`] from the database until it is dropped.
#[derive(Clone, Debug)]
pub struct Feed {
    policy: Arc<Policy>,
    pool: PgPool,
    /// This process, for the console's receipts.
    id: Uuid,
    name: String,
    interval: Duration,
    look_now: Arc<Notify>,
}

impl Feed {
    /// A feed for the gateway called `name`, which looks at least once every `interval`.
    pub fn new(policy: Arc<Policy>, pool: PgPool, name: String, interval: Duration) -> Self {
        Self { policy, pool, id: store::new_id(), name, interval, look_now: Arc::default() }
    }

    /// Runs until dropped: the poll and, beside it, the listener.
    pub async fn run(self) {
        tokio::join!(self.keep_current(), self.listen());
    }

    /// Tells the database that this gateway has stopped, so that nobody waits for it.
    pub async fn sign_off(&self) {
        if !matches!(timeout(LOOK_TIME, gateways::stop(&self.pool, self.id)).await, Ok(Ok(()))) {
            tracing::warn!("the database could not be told that this gateway stops");
        }
    }

    async fn keep_current(&self) {
        self.wait_for_database().await;
        let mut wait = FIRST_WAIT;
        let mut is_loaded = false;
        let mut is_well = true;
        loop {
            match self.look(&mut is_loaded).await {
                Ok(()) => {
                    if !std::mem::replace(&mut is_well, true) {
                        tracing::info!("the policy is current again");
                    }
                    wait = FIRST_WAIT;
                    // Whichever comes first: the next poll or a hint that there is something to see.
                    let _ = timeout(self.interval, self.look_now.notified()).await;
                }
                Err(error) => {
                    if std::mem::replace(&mut is_well, false) {
                        let database = connect::address(&self.pool);
                        tracing::warn!(%database, %error, "the policy cannot be read; requests are served until it is too old");
                    }
                    sleep(wait).await;
                    wait = (wait * 2).min(LONGEST_WAIT);
                }
            }
        }
    }

    /// Says what the start waits for, now and then again, until the database is there.
    async fn wait_for_database(&self) {
        let mut wait = FIRST_WAIT;
        let mut said: Option<(Instant, String)> = None;
        loop {
            let reason = match timeout(LOOK_TIME, connect::check(&self.pool)).await {
                Ok(Ok(())) => break,
                Ok(Err(reason)) => reason.to_string(),
                Err(_) => "no answer".to_owned(),
            };
            let is_news = said.as_ref().is_none_or(|(when, what)| when.elapsed() > REMIND || *what != reason);
            if is_news {
                let database = connect::address(&self.pool);
                tracing::warn!(%database, %reason, "waiting for PostgreSQL");
                said = Some((Instant::now(), reason));
            }
            sleep(wait).await;
            wait = (wait * 2).min(LONGEST_WAIT);
        }
        if said.is_some() {
            tracing::info!("PostgreSQL is there");
        }
    }

    /// One look: brings the set up to the database's version and says so.
    async fn look(&self, is_loaded: &mut bool) -> Result<(), LookError> {
        let moment = Instant::now();
        let pulse = within(LOOK_TIME, policy::pulse(&self.pool)).await?;
        self.policy.clock.set(pulse.now);
        let before = self.policy.read().version;
        if !*is_loaded {
            within(LOAD_TIME, self.load()).await?;
            *is_loaded = true;
        } else if pulse.version != before {
            within(LOAD_TIME, self.catch_up(before, pulse)).await?;
        } else {
            within(LOOK_TIME, gateways::beat(&self.pool, self.id, before)).await?;
            self.policy.confirm(moment);
            return Ok(());
        }
        // It is in force from here on, so it counts from here on, even before anybody is told.
        self.policy.confirm(moment);
        let version = self.policy.read().version;
        within(LOOK_TIME, gateways::acknowledge(&self.pool, self.id, &self.name, version)).await
    }

    /// Replaces the whole set. Rows are read after the version, so they may be newer, never older; what made them
    /// newer comes with the next look. Accounts and groups are read last, so that no key lacks its own.
    async fn load(&self) -> Result<(), StoreError> {
        let started = Instant::now();
        let mut connection = self.pool.acquire().await?;
        let mut set = Set::default();
        let version = policy::version(&mut *connection).await?;
        {
            let mut secrets = std::pin::pin!(policy::stream_secrets(&mut connection));
            while let Some(row) = secrets.try_next().await? {
                set.insert(row);
            }
        }
        set.apply(Update {
            version,
            accounts: policy::list_accounts(&mut *connection, None).await?,
            groups: policy::list_groups(&mut *connection, None).await?,
            models: Some(models::list(&mut *connection).await?),
            ..Update::default()
        });
        let secrets = set.len();
        self.policy.change(|old| *old = set);
        let took_ms = started.elapsed().as_millis();
        tracing::info!(version, secrets, took_ms, "the policy is loaded");
        Ok(())
    }

    /// Reads what changed since `before`, or everything where the log does not reach back that far.
    async fn catch_up(&self, before: i64, pulse: Pulse) -> Result<(), StoreError> {
        let changes = policy::list_changes(&self.pool, before).await?;
        if changes.incomplete || pulse.version < before {
            return self.load().await;
        }
        let update = self.read_update(changes).await?;
        tracing::debug!(version = update.version, keys = update.keys.len(), "the policy has changed");
        self.policy.change(|set| set.apply(update));
        Ok(())
    }

    /// Rows may be newer than the changes that named them; what made them newer comes with the next look.
    async fn read_update(&self, changes: Changes) -> Result<Update, StoreError> {
        let mut update = Update { version: changes.version, ..Update::default() };
        if !changes.keys.is_empty() {
            update.secrets = policy::find_secrets(&self.pool, &changes.keys).await?;
            update.keys = changes.keys;
        }
        if !changes.accounts.is_empty() {
            update.accounts = policy::list_accounts(&self.pool, Some(&changes.accounts)).await?;
        }
        if !changes.groups.is_empty() {
            update.groups = policy::list_groups(&self.pool, Some(&changes.groups)).await?;
        }
        if changes.models {
            update.models = Some(models::list(&self.pool).await?);
        }
        Ok(update)
    }

    /// Turns notifications into looks. Whatever happens to its connection, the poll goes on.
    async fn listen(&self) {
        loop {
            if let Err(error) = self.listen_once().await {
                tracing::debug!(%error, "not listening; the poll goes on");
            }
            sleep(LONGEST_WAIT).await;
        }
    }

    async fn listen_once(&self) -> Result<(), StoreError> {
        let mut listener = PgListener::connect_with(&self.pool).await?;
        listener.listen(policy::CHANNEL).await?;
        loop {
            // At first, and after a break, something may have been missed.
            self.look_now.notify_one();
            if listener.try_recv().await?.is_none() {
                tracing::debug!("the listening connection was lost and is made anew");
            }
        }
    }
}

/// Why a look failed.
#[derive(Debug, thiserror::Error)]
enum LookError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("no answer within {0:?}")]
    Silence(Duration),
}

async fn within<T>(
    time: Duration,
    work: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, LookError> {
    match timeout(time, work).await {
        Ok(done) => Ok(done?),
        Err(_) => Err(LookError::Silence(time)),
    }
}
