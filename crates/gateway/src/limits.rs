//! Limits, enforced: reservations out of leases, and leases out of the database.
//!
//! A request's worst case is reserved in memory, of every limit that applies or of none. Where a lease has no room the
//! database is asked, once for all who wait; what it refuses is remembered for a moment, so that an exhausted key costs
//! no database. Unused leases go back. Nothing here ever takes a missing answer for a yes.

mod lease;
mod purse;
pub mod rates;

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use domain::decision::{Admission, Denial, LimitRoom, Step};
use domain::limit::Measure;
use domain::refusal::{LimitKind, LimitReached, Refusal};
use domain::{KeyId, LimitId};
use store::leases::{self, GiveBack, Grant, Wish};
use store::usage::Charge;
use store::{PgListener, PgPool, StoreError, limits};
use time::OffsetDateTime;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use uuid::Uuid;

use self::purse::{Need, Purse};
use self::rates::Rates;
use crate::policy::Policy;
use crate::spool::record::Reserved;

/// A database that does not answer within this time has not granted anything, and no request asks for longer.
const ASK_TIME: Duration = Duration::from_millis(1_500);
/// Readers of figures at once.
const FIGURES: usize = 2;
const RETURN_EVERY: Duration = Duration::from_secs(1);

/// One limit as it applies to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// The limit.
    pub id: LimitId,
    /// What a refusal calls it.
    pub kind: LimitKind,
    /// What it counts.
    pub measure: Measure,
    /// How much: nano-dollars or tokens.
    pub amount: i64,
    /// Nothing is left of it until its window ends, as the database has it.
    pub used_up: bool,
    /// When that is; `None` is never, or not known.
    pub ends_at: Option<OffsetDateTime>,
}

impl Terms {
    /// Whether the database is known to have nothing left of it.
    pub fn is_used_up(&self, now: OffsetDateTime) -> bool {
        self.used_up && self.ends_at.is_none_or(|end| now < end)
    }

    /// What a request that would take of a used-up limit is told.
    pub fn refusal(&self, now: OffsetDateTime) -> Refusal {
        let resets_in = self.ends_at.and_then(|end| (end - now).try_into().ok());
        Refusal::LimitReached(LimitReached {
            kind: self.kind,
            limit: self.amount,
            resets_in,
            reserved: false,
        })
    }
}

/// Everything this gateway holds.
#[derive(Debug)]
pub struct Limits {
    pool: PgPool,
    gateway: Uuid,
    purses: RwLock<HashMap<LimitId, Arc<Purse>>>,
    rates: Arc<Rates>,
    /// Turns to read figures.
    figures: Semaphore,
    fence: AtomicI64,
}

/// What one admitted request holds, until it is settled. Dropped without that, it gives everything back.
#[derive(Debug, Default)]
pub struct Reservation {
    parts: Vec<Part>,
}

#[derive(Debug)]
struct Part {
    purse: Arc<Purse>,
    measure: Measure,
    starts_at: OffsetDateTime,
    epoch: i64,
    amount: i64,
}

impl Reservation {
    /// Turns what was reserved into what was consumed: `charges` are those of this reservation. One may be larger than
    /// what was reserved for it: then the limit blocks until the database has counted it.
    pub fn settle(mut self, charges: &[Charge]) {
        for part in std::mem::take(&mut self.parts) {
            let is_of = |charge: &&Charge| {
                charge.limit == part.purse.limit()
                    && charge.starts_at == part.starts_at
                    && charge.epoch == part.epoch
            };
            let consumed = charges.iter().find(is_of).map_or(0, |charge| charge.amount.max(0));
            part.purse.settle(part.starts_at, part.epoch, part.amount, consumed);
        }
    }

    /// What is reserved of each limit, for the journal.
    pub fn reserved(&self) -> Vec<Reserved> {
        let reserved = |part: &Part| Reserved {
            limit: part.purse.limit(),
            measure: part.measure.into(),
            // To the microsecond, as the database keeps it.
            starts_at: i64::try_from(part.starts_at.unix_timestamp_nanos()).unwrap_or(i64::MAX),
            epoch: part.epoch,
            amount: part.amount,
        };
        self.parts.iter().map(reserved).collect()
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        for part in &self.parts {
            part.purse.settle(part.starts_at, part.epoch, part.amount, 0);
        }
    }
}

impl Limits {
    /// The limits of the gateway called `gateway`, whose leases are in this database.
    pub fn new(pool: PgPool, gateway: Uuid, rates: Rates) -> Self {
        let rates = Arc::new(rates);
        Self {
            pool,
            gateway,
            purses: RwLock::default(),
            rates,
            figures: Semaphore::new(FIGURES),
            fence: AtomicI64::new(0),
        }
    }

    /// Requests per minute.
    pub fn rates(&self) -> &Arc<Rates> {
        &self.rates
    }

    /// Reserves what `decide` asks for, of all `terms` or of none. `worst` is the request's worst case in each measure,
    /// `now` the database's time. `decide` is the decision; it is asked again whenever a lease has grown.
    pub async fn reserve(
        &self,
        terms: &[Terms],
        worst: impl Fn(Measure) -> i64,
        now: OffsetDateTime,
        decide: impl Fn(&[LimitRoom]) -> Result<Admission, Denial>,
    ) -> Result<(Admission, Reservation), Refusal> {
        let mut needs: Vec<Need> = terms
            .iter()
            .map(|terms| Need { purse: self.purse(terms.id), terms: *terms, amount: worst(terms.measure) })
            .collect();
        // One order for all, so that two requests never wait for each other.
        needs.sort_by_key(|need| need.terms.id);
        let deadline = Instant::now() + ASK_TIME;
        loop {
            let denial = match purse::try_reserve(&needs, now, &decide) {
                Ok((admission, parts)) => return Ok((admission, Reservation { parts })),
                Err(denial) => denial,
            };
            let growing = needs.iter().find(|need| need.purse.may_grow(need, now));
            match growing.filter(|_| denial.step == Step::Reservation) {
                // What comes may be taken by others who are as entitled to it; then there is more to ask for.
                Some(need) if Instant::now() < deadline => self.ask(need, now, deadline).await?,
                Some(_) => return Err(Refusal::Overloaded),
                None => return Err(denial.refusal),
            }
        }
    }

    /// Asks the database for more of one limit, unless somebody else just did.
    async fn ask(&self, need: &Need, now: OffsetDateTime, deadline: Instant) -> Result<(), Refusal> {
        let _waiting = need.purse.wait_for(need.amount);
        let Ok(_turn) = timeout_at(deadline, need.purse.turn()).await else {
            return Err(Refusal::Overloaded);
        };
        // Whoever had the turn before may have brought enough for both.
        let Some(wish) = need.purse.wish(need, now) else { return Ok(()) };
        // The client may leave meanwhile, and the answer with it.
        let doubt = need.purse.doubt();
        match timeout_at(deadline, leases::take(&self.pool, self.gateway, wish)).await {
            Ok(Ok(grant)) => {
                doubt.dispel();
                received(need, wish, grant)
            }
            Ok(Err(error)) => Err(unavailable(&error)),
            Err(_) => Err(unavailable(&StoreError::PoolTimedOut)),
        }
    }

    /// The database has booked these charges: they are no longer held here.
    pub fn booked(&self, charges: &[Charge]) {
        for charge in charges {
            if let Some(purse) = self.find(charge.limit) {
                purse.booked(charge.starts_at, charge.epoch, charge.amount);
            }
        }
    }

    /// Gives back what no request has needed lately, and all of windows that are over. Once a second.
    pub async fn give_back_idle(&self, now: OffsetDateTime) -> Result<(), StoreError> {
        let mut result = Ok(());
        for purse in self.all() {
            // One limit whose row somebody holds must not keep the others waiting.
            if purse.is_in_doubt() {
                result = result.and(self.make_sure(&purse).await);
            }
            if purse.has_idle(now) {
                result = result.and(self.give_back(&purse, |purse| purse.take_idle(now)).await);
            }
        }
        result
    }

    /// Gives back what is free of a limit of which another gateway has found nothing left, until dropped.
    pub async fn follow_recalls(self: Arc<Self>) {
        loop {
            if let Err(error) = self.listen_for_recalls().await {
                tracing::debug!(%error, "not listening for recalled leases; idle ones go back all the same");
            }
            sleep(RETURN_EVERY).await;
        }
    }

    async fn listen_for_recalls(&self) -> Result<(), StoreError> {
        let mut listener = PgListener::connect_with(&self.pool).await?;
        listener.listen(leases::RECALLS).await?;
        loop {
            let Some(recall) = listener.try_recv().await? else { continue };
            let Ok(limit) = recall.payload().parse() else { continue };
            if let Some(purse) = self.find(limit) {
                self.give_back(&purse, Purse::take_recalled).await?;
            }
        }
    }

    /// Takes something out of a purse and gives it back. What the database did not hear is found again later.
    async fn give_back(&self, purse: &Purse, take: impl FnOnce(&Purse) -> Returns) -> Result<(), StoreError> {
        let _turn = purse.turn().await;
        let doubt = purse.doubt();
        let giving = async {
            for back in take(purse) {
                leases::give_back(&self.pool, self.gateway, back).await?;
            }
            Ok(())
        };
        timeout(ASK_TIME, giving).await.unwrap_or(Err(StoreError::PoolTimedOut))?;
        doubt.dispel();
        Ok(())
    }

    /// The fence up to which it has looked at its leases.
    pub fn fence(&self) -> i64 {
        self.fence.load(Ordering::Acquire)
    }

    /// An owner has released leases of this gateway: whatever the database does not know any more is not used.
    pub async fn heed_fence(&self, fence: i64) -> Result<(), StoreError> {
        let held = leases::list_held(&self.pool, self.gateway).await?;
        let held: HashSet<_> = held.iter().map(|held| (held.limit, held.starts_at, held.epoch)).collect();
        let keep = |purse: &Arc<Purse>| {
            purse.keep_only(|starts_at, epoch| held.contains(&(purse.limit(), starts_at, epoch)))
        };
        let lost: usize = self.all().iter().map(keep).sum();
        self.fence.store(fence, Ordering::Release);
        if lost > 0 {
            tracing::warn!(lost, "leases of this gateway were released while it was not heard");
        }
        Ok(())
    }

    /// Finds out what is held in the database where an answer did not come, and adopts what was not known of.
    async fn make_sure(&self, purse: &Purse) -> Result<(), StoreError> {
        let _turn = purse.turn().await;
        let booked = purse.booked_so_far();
        let asking = leases::list_held_of(&self.pool, self.gateway, purse.limit());
        let held = timeout(ASK_TIME, asking).await.unwrap_or(Err(StoreError::PoolTimedOut))?;
        purse.adopt(&held, &booked);
        Ok(())
    }

    /// Runs until dropped.
    pub async fn return_idle(self: Arc<Self>, policy: Arc<Policy>) {
        loop {
            sleep(RETURN_EVERY).await;
            if let Err(error) = self.give_back_idle(policy.now()).await {
                tracing::debug!(%error, "idle leases could not be given back");
            }
        }
    }

    /// What a limit has left for one request, here and in the database as far as that was asked; `i64::MAX` where it
    /// has not refused anything lately.
    pub fn left(&self, limit: LimitId, now: OffsetDateTime) -> i64 {
        self.find(limit).map_or(i64::MAX, |purse| purse.left(now))
    }

    /// A key's own limits, as the database has them.
    pub async fn standings(&self, key: KeyId) -> Result<Vec<limits::Standing>, Refusal> {
        let asking = async {
            // So many at once: whoever asks for figures must not take the connections that leases need.
            let _turn = self.figures.acquire().await;
            limits::list_of_key(&self.pool, key).await
        };
        match timeout(ASK_TIME, asking).await {
            Ok(Ok(standings)) => Ok(standings),
            Ok(Err(error)) => Err(unavailable(&error)),
            Err(_) => Err(unavailable(&StoreError::PoolTimedOut)),
        }
    }

    /// Gives back everything that is not in use: at an orderly stop.
    pub async fn give_back_unused(&self) -> Result<(), StoreError> {
        for purse in self.all() {
            self.give_back(&purse, Purse::take_unused).await?;
        }
        Ok(())
    }

    /// Takes over from an earlier run, before any request is taken: gives back what is held in this gateway's name, and
    /// counts the requests of the last minute.
    pub async fn take_over(&self) -> Result<(), StoreError> {
        self.give_back_all().await?;
        self.rates.recover().await
    }

    /// Gives back everything that is held in this gateway's name.
    pub async fn give_back_all(&self) -> Result<(), StoreError> {
        for lease in leases::list_held(&self.pool, self.gateway).await? {
            leases::give_back(&self.pool, self.gateway, lease).await?;
        }
        Ok(())
    }

    fn all(&self) -> Vec<Arc<Purse>> {
        self.purses.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    fn find(&self, limit: LimitId) -> Option<Arc<Purse>> {
        self.purses.read().unwrap_or_else(PoisonError::into_inner).get(&limit).cloned()
    }

    fn purse(&self, limit: LimitId) -> Arc<Purse> {
        if let Some(purse) = self.find(limit) {
            return purse;
        }
        let mut purses = self.purses.write().unwrap_or_else(PoisonError::into_inner);
        purses.entry(limit).or_insert_with(|| Arc::new(Purse::new(limit))).clone()
    }
}

fn received(need: &Need, wish: Wish, grant: Option<Grant>) -> Result<(), Refusal> {
    match grant {
        // There is enough, but it was too late to grant it: that says nothing about the limit.
        Some(grant) if grant.granted == 0 && wish.needed <= grant.left() => Err(Refusal::Overloaded),
        Some(grant) => {
            need.purse.receive(wish, grant);
            Ok(())
        }
        // The policy will say so in a moment; until then nothing is admitted under a limit that is gone.
        None => {
            need.purse.close(wish.needed, need.terms.amount);
            Ok(())
        }
    }
}

fn unavailable(error: &StoreError) -> Refusal {
    tracing::warn!(%error, "what a limit has left cannot be known; requests that need it are refused");
    Refusal::PolicyUnavailable
}

/// What goes back of a lease.
type Returns = Vec<GiveBack>;
