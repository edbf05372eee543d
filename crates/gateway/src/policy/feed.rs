//! Keeps the policy current: everything at first, then what changed since the version in force.
//!
//! A notification only says "look now". The truth is the version in the database, looked at once a poll; a lost or
//! late notification costs at most that. Each look also tells the database what is enforced here.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use domain::secret::Digest;
use futures_util::TryStreamExt;
use store::gateways::Report;
use store::policy::{self, Changes};
use store::{PgConnection, PgListener, PgPool, StoreError, connect, gateways, models, own_routes, upstreams};
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};
use uuid::Uuid;

use super::Policy;
use super::set::{Filter, Set, Update};
use crate::limits::Limits;
use crate::spool::Spool;
use crate::upstream::Upstreams;

/// One look at the database.
const LOOK_TIME: Duration = Duration::from_secs(5);
/// A full load: a million keys take a few seconds.
const LOAD_TIME: Duration = Duration::from_mins(2);
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(1);
/// How often a program that waits says so again.
const REMIND: Duration = Duration::from_secs(10);

/// What the database knows a gateway by.
#[derive(Clone, Debug)]
pub struct Name {
    /// Its id.
    pub id: Uuid,
    /// What the operator calls it.
    pub name: String,
}

/// What a gateway reports of itself with its heartbeat, besides what it enforces.
#[derive(Clone, Debug)]
pub struct Vitals {
    /// Where it listens.
    pub address: SocketAddr,
    /// When it was started.
    pub started: SystemTime,
    /// What it owes the ledger.
    pub spool: Arc<Spool>,
}

impl Vitals {
    fn report(&self, upstreams: &Upstreams) -> Report {
        let backlog = self.spool.backlog();
        let count = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        // A request's id begins with the time of its beginning.
        let began = backlog.oldest.and_then(|request| request.0.get_timestamp());
        let began = began.map(|at| UNIX_EPOCH + Duration::new(at.to_unix().0, at.to_unix().1));
        Report {
            address: self.address.to_string(),
            started_at: Some(self.started.into()),
            spool_waiting: count(backlog.waiting),
            spool_bytes: count(backlog.bytes),
            spool_oldest: began.map(Into::into),
            upstreams_resting: bounded(upstreams.resting()),
            upstreams_unusable: bounded(upstreams.unusable()),
        }
    }
}

/// As many as the table takes: a heartbeat must not fail for telling too much.
fn bounded(mut names: Vec<Uuid>) -> Vec<Uuid> {
    const MOST: usize = 1_000;
    names.truncate(MOST);
    names
}

/// Fills a [`Policy`] from the database until it is dropped.
#[derive(Clone, Debug)]
pub struct Feed {
    policy: Arc<Policy>,
    upstreams: Arc<Upstreams>,
    leases: Arc<Limits>,
    pool: PgPool,
    /// This gateway, for the console's receipts: the same after a restart, so that nobody waits for its ghost.
    id: Uuid,
    name: String,
    vitals: Vitals,
    interval: Duration,
    look_now: Arc<Notify>,
}

impl Feed {
    /// A feed for `gateway`, which looks at least once every `interval`.
    pub fn new(
        policy: Arc<Policy>,
        upstreams: Arc<Upstreams>,
        leases: Arc<Limits>,
        pool: PgPool,
        gateway: Name,
        vitals: Vitals,
        interval: Duration,
    ) -> Self {
        let Name { id, name } = gateway;
        Self { policy, upstreams, leases, pool, id, name, vitals, interval, look_now: Arc::default() }
    }

    /// What the database calls this gateway.
    pub fn id(&self) -> Uuid {
        self.id
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
        let mut health = Health { is_loaded: false, failures: 0 };
        loop {
            let error = self.look_repeatedly(&mut health).await;
            if health.failures == 0 {
                let database = connect::address(&self.pool);
                tracing::warn!(%database, %error, "the policy cannot be read; requests are served until it is too old");
            }
            sleep((FIRST_WAIT * 2_u32.pow(health.failures.min(4))).min(LONGEST_WAIT)).await;
            health.failures += 1;
        }
    }

    /// Looks over one connection until that fails. A connection of its own, because waiting for one of
    /// a busy pool would come between a change and its being in force.
    async fn look_repeatedly(&self, health: &mut Health) -> LookError {
        let mut connection = match within(LOOK_TIME, self.pool.acquire()).await {
            Ok(connection) => connection,
            Err(error) => return error,
        };
        let mut polled: Option<Instant> = None;
        loop {
            // A hint asks for the changes only; the poll must come all the same, hints or not.
            let is_hint = polled.is_some_and(|when| when.elapsed() < self.interval);
            let looked = if is_hint {
                self.follow_hint(&mut connection).await
            } else {
                polled = Some(Instant::now());
                self.look(&mut connection, health).await
            };
            if let Err(error) = looked {
                // An answer may still be on its way through it.
                connection.close_on_drop();
                return error;
            }
            if std::mem::take(&mut health.failures) > 0 {
                tracing::info!("the policy is current again");
            }
            let _ = timeout(self.interval, self.look_now.notified()).await;
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
    async fn look(&self, db: &mut PgConnection, health: &mut Health) -> Result<(), LookError> {
        let moment = Instant::now();
        if !health.is_loaded || !self.policy.is_fresh() {
            // Receipts must wait for this gateway before it serves: counted, and behind, from here on.
            self.tell(db).await?;
        }
        let pulse = within(LOOK_TIME, policy::pulse(&mut *db)).await?;
        // Before it is fresh again: while it was silent, an owner may have taken its leases away.
        let fence = within(LOOK_TIME, gateways::find_fence(&mut *db, self.id)).await?;
        if fence != self.leases.fence() {
            within(LOOK_TIME, self.leases.heed_fence(fence)).await?;
        }
        self.policy.clock.set(pulse.now);
        let before = self.policy.read().version;
        if health.is_loaded && pulse.version == before {
            let report = self.vitals.report(&self.upstreams);
            within(LOOK_TIME, gateways::beat(db, self.id, before, &report)).await?;
            self.policy.confirm(moment);
            return Ok(());
        }
        // A version that went back is another database, or an older copy of this one.
        if !health.is_loaded || pulse.version < before {
            within(LOAD_TIME, self.load(db)).await?;
            health.is_loaded = true;
        } else {
            within(LOAD_TIME, self.catch_up(db, before)).await?;
        }
        self.tell(db).await?;
        self.policy.confirm(moment);
        Ok(())
    }

    /// The shorter look after a notification.
    async fn follow_hint(&self, db: &mut PgConnection) -> Result<(), LookError> {
        let moment = Instant::now();
        let before = self.policy.read().version;
        within(LOAD_TIME, self.catch_up(db, before)).await?;
        if self.policy.read().version == before {
            return Ok(());
        }
        self.tell(db).await?;
        self.policy.confirm(moment);
        Ok(())
    }

    /// Writes down which version is in force. What has been applied is in force already; that it may be used longer is
    /// confirmed only afterwards, so that no gateway serves at a time when the console believes it silent.
    async fn tell(&self, db: &mut PgConnection) -> Result<(), LookError> {
        let version = self.policy.read().version;
        within(LOOK_TIME, gateways::acknowledge(db, self.id, &self.name, version)).await
    }

    /// Replaces the whole set. Rows are read after the version, so they may be newer, never older; what made them
    /// newer comes with the next look. Accounts and groups are read last, so that no key lacks its own.
    async fn load(&self, db: &mut PgConnection) -> Result<(), StoreError> {
        let started = Instant::now();
        let version = policy::version(&mut *db).await?;
        let secrets = usize::try_from(policy::count_secrets(&mut *db).await?).unwrap_or(usize::MAX);
        let is_complete = secrets <= self.policy.most;
        let mut set = if is_complete { Set::default() } else { self.load_filter(db, secrets).await? };
        if is_complete {
            let mut secrets = std::pin::pin!(policy::stream_secrets(db));
            while let Some(row) = secrets.try_next().await? {
                set.insert(row);
            }
        }
        self.upstreams.replace(&upstreams::list(&mut *db).await?);
        set.apply(Update {
            version,
            accounts: policy::list_accounts(&mut *db, None).await?,
            groups: policy::list_groups(&mut *db, None).await?,
            models: Some(models::list(&mut *db).await?),
            own_routes: Some(own_routes::list(&mut *db).await?),
            ..Update::default()
        });
        {
            let mut limits = std::pin::pin!(policy::stream_limits(db));
            while let Some(row) = limits.try_next().await? {
                set.insert_limit(row);
            }
        }
        let in_memory = set.len();
        self.policy.change(|old| *old = set);
        let took_ms = started.elapsed().as_millis();
        tracing::info!(version, secrets, in_memory, took_ms, "the policy is loaded");
        Ok(())
    }

    /// A set that knows of every secret and holds none yet, where there are more than may be held.
    async fn load_filter(&self, db: &mut PgConnection, secrets: usize) -> Result<Set, StoreError> {
        let most = self.policy.most;
        tracing::warn!(
            secrets,
            most,
            "more secrets than MAX_KEYS_IN_MEMORY: some are looked up when they are used"
        );
        let mut filter = Filter::for_keys(secrets);
        let mut digests = std::pin::pin!(policy::stream_digests(db));
        while let Some(digest) = digests.try_next().await? {
            if let Ok(digest) = digest.try_into() {
                filter.add(&Digest(digest));
            }
        }
        Ok(Set::partial(most, filter))
    }

    /// Reads what changed since `before`, or everything where the log does not reach back that far.
    async fn catch_up(&self, db: &mut PgConnection, before: i64) -> Result<(), StoreError> {
        let changes = policy::list_changes(&mut *db, before).await?;
        if changes.incomplete {
            return self.load(db).await;
        }
        if changes.version == before {
            return Ok(());
        }
        if changes.models {
            self.upstreams.replace(&upstreams::list(&mut *db).await?);
        }
        let update = read_update(db, changes).await?;
        tracing::debug!(version = update.version, keys = update.keys.len(), "the policy has changed");
        self.policy.change(|set| set.apply(update));
        Ok(())
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

/// How the feed is doing.
struct Health {
    is_loaded: bool,
    /// Connections that failed since the last good look.
    failures: u32,
}

/// Rows may be newer than the changes that named them; what made them newer comes with the next look.
async fn read_update(db: &mut PgConnection, changes: Changes) -> Result<Update, StoreError> {
    let limits = policy::find_limits(&mut *db, &changes).await?;
    let mut update = Update { version: changes.version, limits, ..Update::default() };
    if !changes.keys.is_empty() {
        update.secrets = policy::find_secrets(&mut *db, &changes.keys).await?;
        update.keys = changes.keys;
    }
    if !changes.accounts.is_empty() {
        update.accounts = policy::list_accounts(&mut *db, Some(&changes.accounts)).await?;
    }
    if !changes.groups.is_empty() {
        update.groups = policy::list_groups(&mut *db, Some(&changes.groups)).await?;
    }
    if changes.models {
        update.models = Some(models::list(&mut *db).await?);
        update.own_routes = Some(own_routes::list(&mut *db).await?);
    }
    Ok(update)
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
