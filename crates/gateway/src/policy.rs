//! What this gateway enforces: every digest that can matter, in memory, and how fresh that is.
//!
//! Reading costs a lock that nobody holds for long and no database. A miss in a complete and fresh set is an answer;
//! a set that is missing or too old gives none.

mod asking;
mod clock;
mod digests;
mod feed;
mod set;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};
use std::time::{Duration, Instant};

use domain::LimitId;
use domain::decision::{self, Billing, Credential, Demand, Facts, SecretState, Step};
use domain::refusal::Refusal;
use domain::secret::Digest;
use store::PgPool;
use store::models::Model;
use time::OffsetDateTime;
use tokio::sync::watch;
use tokio::time::timeout;

use self::asking::Asking;
pub use self::clock::Clock;
pub use self::feed::{Feed, Name, Vitals};
pub use self::set::Known;
#[cfg(test)]
pub(crate) use self::set::known_for_tests;
use self::set::{Account, Asked, Group, Set};
use crate::limits::Terms;
use crate::router::own::OwnRoutes;

/// Between two attempts to look up the key of a running stream.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// The policy in force.
#[derive(Debug)]
pub struct Policy {
    set: RwLock<Set>,
    clock: Clock,
    started: Instant,
    /// Milliseconds after `started` until which the set may be used; 0 before it was loaded.
    usable_until: AtomicU64,
    staleness: Duration,
    changed: watch::Sender<()>,
    /// Secrets it may hold.
    most: usize,
    asking: Option<Asking>,
}

/// What is known about a secret at one moment.
#[derive(Clone, Debug)]
pub struct Standing {
    /// The secret and its key.
    pub known: Arc<Known>,
    secret: SecretState,
    account: Arc<Account>,
    group: Arc<Group>,
    /// The key's own.
    limits: Box<[Terms]>,
}

impl Standing {
    /// The facts of a request that presents this secret.
    pub fn facts<'a>(
        &'a self,
        client: std::net::IpAddr,
        now: OffsetDateTime,
        demand: Demand<'a>,
    ) -> Facts<'a> {
        let mut account = self.account.policy;
        if account.billing == Billing::Active && self.account.limits.iter().any(|limit| limit.is_used_up(now))
        {
            account.billing = Billing::BalanceUsedUp;
        }
        Facts {
            transport: decision::Transport::Accepted,
            credential: Credential::Known(&self.known.policy, self.secret),
            account,
            group: &self.group.policy,
            client,
            now,
            demand,
            rate: None,
            limits: &[],
        }
    }

    /// What is decided about the key alone.
    pub fn key(&self) -> &decision::KeyPolicy {
        &self.known.policy
    }

    /// Whether the key and its group have a permission.
    pub fn may(&self, permission: &str) -> bool {
        self.key().permissions.allows(permission) && self.group.policy.permissions.allows(permission)
    }

    /// Whether this key may use a model.
    pub fn may_use(&self, model: &str) -> bool {
        decision::may_use_model(&self.known.policy, &self.group.policy, model)
    }

    /// The key's own limits.
    pub fn own_limits(&self) -> &[Terms] {
        &self.limits
    }

    /// Every limit that applies: the key's, its group's, its account's.
    pub fn limits(&self) -> impl Iterator<Item = &Terms> {
        self.limits.iter().chain(&self.group.limits).chain(&self.account.limits)
    }
}

impl Policy {
    /// An empty policy, which answers nothing until a [`Feed`] has filled it.
    pub fn new(staleness: Duration) -> Self {
        Self {
            set: RwLock::default(),
            clock: Clock::default(),
            started: Instant::now(),
            usable_until: AtomicU64::new(0),
            staleness,
            changed: watch::Sender::new(()),
            most: usize::MAX,
            asking: None,
        }
    }

    /// Holds at most so many secrets and looks others up in this database, at most so many a second.
    #[must_use]
    pub fn holding(self, most: usize, pool: PgPool, look_ups: u32) -> Self {
        Self { most, asking: Some(Asking::new(pool, look_ups)), ..self }
    }

    /// The database's time.
    pub fn now(&self) -> OffsetDateTime {
        self.clock.now()
    }

    /// The clock behind [`Policy::now`].
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Whether the set is loaded and fresh.
    pub fn is_fresh(&self) -> bool {
        self.elapsed(Instant::now()) < self.usable_until.load(Ordering::Acquire)
    }

    /// The version in force; 0 before it is loaded.
    pub fn version(&self) -> i64 {
        self.read().version
    }

    /// How long ago the set was last known to be in force; zero before it was loaded.
    pub fn age(&self) -> Duration {
        let usable_until = self.usable_until.load(Ordering::Acquire);
        if usable_until == 0 {
            return Duration::ZERO;
        }
        let now = Duration::from_millis(self.elapsed(Instant::now()));
        (now + self.staleness).saturating_sub(Duration::from_millis(usable_until))
    }

    /// Whether it holds every secret there is.
    pub fn is_complete(&self) -> bool {
        self.read().is_complete()
    }

    /// What is known about a secret; `None` is a certain "nothing". `Overloaded` where the database would have to be
    /// asked: [`Policy::find_or_ask`] does that.
    pub fn find(&self, digest: &Digest) -> Result<Option<Standing>, Refusal> {
        if !self.is_fresh() {
            return Err(Refusal::PolicyUnavailable);
        }
        let set = self.read();
        match set.find(digest)? {
            None if set.must_ask(digest) => Err(Refusal::Overloaded),
            found => Ok(found),
        }
    }

    /// Whether any key has a limit of requests per minute.
    pub fn limits_rates(&self) -> bool {
        self.read().limits_rates()
    }

    /// A model on offer, by its name or another one.
    pub fn model(&self, name: &str) -> Option<Arc<Model>> {
        self.read().model(name).cloned()
    }

    /// Every model on offer, by name.
    pub fn models(&self) -> Vec<Arc<Model>> {
        self.read().models.values().cloned().collect()
    }

    /// The operator's own routes.
    pub fn own_routes(&self) -> Arc<OwnRoutes> {
        self.read().own_routes.clone()
    }

    /// Waits until a secret that was admitted would be refused for what it is (revoked, replaced or disabled) or
    /// because one of `limits`, which it draws on, is used up.
    pub async fn until_refused(
        self: Arc<Self>,
        digest: Digest,
        client: std::net::IpAddr,
        limits: Vec<LimitId>,
    ) -> Refusal {
        let mut changes = self.changed.subscribe();
        loop {
            match self.find_or_ask(&digest).await {
                Ok(standing) => {
                    if let Some(refusal) = self.refusal_of(standing, client, &limits) {
                        return refusal;
                    }
                    if changes.changed().await.is_err() {
                        return std::future::pending().await;
                    }
                }
                // A stale set says nothing about a stream that was admitted while it was fresh; nor does a look-up that
                // could not be made, which is made again.
                Err(_) => {
                    let _ = timeout(LOOK_AGAIN, changes.changed()).await;
                }
            }
        }
    }

    fn refusal_of(
        &self,
        standing: Option<Standing>,
        client: std::net::IpAddr,
        limits: &[LimitId],
    ) -> Option<Refusal> {
        let Some(standing) = standing else { return Some(Refusal::InvalidApiKey) };
        let demand = Demand { permission: "", model: decision::Model::None };
        let now = self.now();
        let facts = standing.facts(client, now, demand);
        if let Err(denial) = decision::screen(&facts, &[Step::Known, Step::Status]) {
            return Some(denial.refusal);
        }
        // What runs has its worst case set aside, so this is a limit that was lowered, or spent beyond by a lie.
        let mut drawn_on = standing.limits().filter(|terms| limits.contains(&terms.id));
        drawn_on.find(|terms| terms.is_used_up(now)).map(|terms| terms.refusal(now))
    }

    fn read(&self) -> RwLockReadGuard<'_, Set> {
        // A panic while the lock was held cannot have left the maps half changed in a way that matters here.
        self.set.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut Set)) {
        {
            let mut set = self.set.write().unwrap_or_else(PoisonError::into_inner);
            change(&mut set);
            set.bound(self.most);
        }
        self.changed.send_replace(());
    }

    /// Takes in what was looked up, if it is not too old. Nothing has changed by that, so nobody is told.
    fn take_in(&self, asked: Asked) {
        self.set.write().unwrap_or_else(PoisonError::into_inner).take_in(asked);
    }

    /// The set was known to be in force at `moment`.
    fn confirm(&self, moment: Instant) {
        self.usable_until.fetch_max(self.elapsed(moment + self.staleness), Ordering::AcqRel);
    }

    fn elapsed(&self, moment: Instant) -> u64 {
        let since = moment.saturating_duration_since(self.started);
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }
}
