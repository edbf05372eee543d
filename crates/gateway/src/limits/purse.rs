//! One limit's leases: the present window's, and those of windows that are over but not settled.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use domain::LimitId;
use domain::decision::{Admission, Denial, LimitRoom};
use domain::limit::{LEASE_REQUESTS, lease_size};
use store::leases::{GiveBack, Grant, Wish};
use time::OffsetDateTime;
use tokio::time::Instant;

use super::lease::Lease;
use super::spend::Spend;
use super::{Part, Terms};

/// How long a refusal of the database stands before it is asked again. Others settle and give back all the time.
const DRY_FOR: Duration = Duration::from_millis(250);
/// Between two times that a purse says it runs short.
const SHORT_EVERY: Duration = Duration::from_millis(100);
/// An answer that did not come may still be true by then: it was granted or taken back all the same.
const DOUBT_FOR: Duration = Duration::from_secs(4);

/// What one request needs of one limit.
#[derive(Debug)]
pub(super) struct Need {
    pub(super) purse: Arc<Purse>,
    pub(super) terms: Terms,
    pub(super) amount: i64,
}

#[derive(Debug)]
pub(super) struct Purse {
    limit: LimitId,
    /// What nobody has used for this long goes back.
    idle_after: Duration,
    state: Mutex<State>,
    /// Held by whoever asks the database.
    asking: tokio::sync::Mutex<()>,
}

#[derive(Debug)]
struct State {
    leases: Vec<Lease>,
    /// The database had no room for `needed`, as of `when`, with the limit at `amount`.
    dry: Option<Dry>,
    spend: Spend,
    used_at: Instant,
    /// What the last request reserved.
    last_need: i64,
    /// What all who wait for more need together.
    waiting: i64,
    /// When an answer of the database last did not come: what it holds may be more than what is known here.
    in_doubt: Option<Instant>,
    recalled_at: Option<Instant>,
    /// When it last said that it runs short.
    short_at: Option<Instant>,
}

#[derive(Clone, Copy, Debug)]
struct Dry {
    needed: i64,
    /// What the window had left, elsewhere's leases not counted.
    left: i64,
    amount: i64,
    when: Instant,
}

impl State {
    /// The lease of the present window; those before it stay for their settles.
    fn present(&mut self, now: OffsetDateTime) -> Option<&mut Lease> {
        self.leases.iter_mut().rev().find(|lease| !lease.is_over(now))
    }

    /// How much must be leased for `amount` to be free.
    fn missing(&mut self, amount: i64, now: OffsetDateTime) -> i64 {
        self.present(now).map_or(amount, |lease| lease.missing(amount))
    }

    fn room(&mut self, need: &Need, now: OffsetDateTime) -> LimitRoom {
        let is_used_up = need.terms.is_used_up(now);
        let lease = self.present(now);
        let ends_at = lease.as_ref().map_or(need.terms.ends_at, |lease| lease.ends_at);
        let resets_in = ends_at.and_then(|end| (end - now).try_into().ok());
        LimitRoom {
            kind: need.terms.kind,
            limit: need.terms.amount,
            // What is leased of a limit that the database knows to be used up is nobody's to spend.
            free: lease.as_ref().filter(|_| !is_used_up).map_or(0, |lease| lease.free()),
            reserved: lease.as_ref().filter(|_| !is_used_up).map_or(0, |lease| lease.reserved()),
            needed: need.amount,
            resets_in,
        }
    }

    /// How much of what is free stays, for the requests to come: two seconds of spend, some requests like the last one,
    /// and what was in use at once lately beside what is now. Whoever needs it more asks for it.
    fn keep(&mut self, at: Instant, now: OffsetDateTime) -> i64 {
        let in_use = self.present(now).map_or(0, |lease| lease.used());
        let returning = self.spend.peak(at).saturating_sub(in_use).max(0);
        let likely = self.last_need.saturating_mul(LEASE_REQUESTS);
        returning.max(likely).max(self.spend.per_second(at).saturating_mul(2))
    }

    /// Whether less than half of what it should keep is free, and nobody was told of it lately.
    fn runs_short(&mut self, at: Instant, now: OffsetDateTime) -> bool {
        let was_told = self.short_at.is_some_and(|told| at.saturating_duration_since(told) < SHORT_EVERY);
        let free = self.present(now).map_or(0, |lease| lease.free());
        let is_short = !was_told && free < self.keep(at, now) / 2;
        if is_short {
            self.short_at = Some(at);
        }
        is_short
    }

    /// How much must be leased for a request, where something must and the database might have it.
    fn growth(&mut self, need: &Need, now: OffsetDateTime) -> Option<i64> {
        let missing = self.missing(need.amount, now);
        let is_dry = self.dry.is_some_and(|dry| {
            dry.when.elapsed() < DRY_FOR && dry.amount == need.terms.amount && missing >= dry.needed
        });
        (missing > 0 && !is_dry && !need.terms.is_used_up(now)).then_some(missing)
    }

    fn find(&mut self, starts_at: OffsetDateTime, epoch: i64) -> Option<&mut Lease> {
        self.leases.iter_mut().find(|lease| lease.is_of(starts_at, epoch))
    }
}

/// What was taken for a request, and the purses that will soon have to ask for more.
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) admission: Admission,
    pub(super) parts: Vec<Part>,
    pub(super) short: Vec<Arc<Purse>>,
}

/// Decides under the locks of all purses and, where that admits, takes what is needed before they are released. `needs`
/// are in the order of their limits.
pub(super) fn try_reserve(
    needs: &[Need],
    now: OffsetDateTime,
    decide: impl Fn(&[LimitRoom]) -> Result<Admission, Denial>,
) -> Result<Taken, Denial> {
    let mut states: Vec<MutexGuard<'_, State>> = needs.iter().map(|need| need.purse.lock()).collect();
    let rooms: Vec<LimitRoom> =
        states.iter_mut().zip(needs).map(|(state, need)| state.room(need, now)).collect();
    let admission = decide(&rooms)?;
    let at = Instant::now();
    let mut parts = Vec::with_capacity(needs.len());
    let mut short = Vec::new();
    for (state, need) in states.iter_mut().zip(needs) {
        state.used_at = at;
        state.last_need = need.amount;
        // Without a lease only what costs nothing was admitted, and that is charged to no window.
        let Some(lease) = state.present(now) else { continue };
        lease.use_(need.amount);
        let (starts_at, epoch, in_use) = (lease.starts_at, lease.epoch, lease.used());
        state.spend.in_use(at, in_use);
        let (purse, measure, amount) = (need.purse.clone(), need.terms.measure, need.amount);
        if state.runs_short(at, now) {
            short.push(purse.clone());
        }
        parts.push(Part { purse, measure, starts_at, epoch, amount });
    }
    Ok(Taken { admission, parts, short })
}

/// Somebody who waits for more to be leased.
pub(super) struct Waiting<'a> {
    purse: &'a Purse,
    amount: i64,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut state = self.purse.lock();
        state.waiting = state.waiting.saturating_sub(self.amount);
    }
}

/// Something was asked of the database. Dropped before it is dispelled, the answer did not come.
pub(super) struct Doubt<'a> {
    purse: &'a Purse,
    is_dispelled: bool,
}

impl Doubt<'_> {
    pub(super) fn dispel(mut self) {
        self.is_dispelled = true;
    }
}

impl Drop for Doubt<'_> {
    fn drop(&mut self) {
        if !self.is_dispelled {
            self.purse.lock().in_doubt = Some(Instant::now());
        }
    }
}

impl Purse {
    /// An empty one, which gives back what nobody has used for `idle_after`.
    pub(super) fn new(limit: LimitId, idle_after: Duration) -> Self {
        let now = Instant::now();
        let state = State {
            leases: Vec::new(),
            dry: None,
            spend: Spend::new(now),
            used_at: now,
            last_need: 0,
            waiting: 0,
            in_doubt: None,
            recalled_at: None,
            short_at: None,
        };
        Self { limit, idle_after, state: Mutex::new(state), asking: tokio::sync::Mutex::default() }
    }

    pub(super) fn limit(&self) -> LimitId {
        self.limit
    }

    /// Counts `amount` as waited for, until that is dropped: whoever asks for one asks for all.
    pub(super) fn wait_for(&self, amount: i64) -> Waiting<'_> {
        let mut state = self.lock();
        state.waiting = state.waiting.saturating_add(amount);
        Waiting { purse: self, amount }
    }

    /// To be dispelled by the answer of the database.
    pub(super) fn doubt(&self) -> Doubt<'_> {
        Doubt { purse: self, is_dispelled: false }
    }

    /// Whether the database may hold more for this gateway than is known here, and it is time to look: what was asked
    /// has been done by now, or never will be.
    pub(super) fn is_in_doubt(&self) -> bool {
        self.lock().in_doubt.is_some_and(|since| since.elapsed() >= DOUBT_FOR)
    }

    /// How much was ever booked of each lease.
    pub(super) fn booked_so_far(&self) -> Vec<(OffsetDateTime, i64, i64)> {
        self.lock().leases.iter().map(|lease| (lease.starts_at, lease.epoch, lease.booked_so_far())).collect()
    }

    /// Takes over what is held in the database, under the turn. What is known here follows it with a delay and so is
    /// never less, unless an answer did not come. `booked` is what was booked before the database was asked: what came
    /// since has left the lease, whether the answer knew of it or not.
    pub(super) fn adopt(&self, held: &[GiveBack], booked: &[(OffsetDateTime, i64, i64)]) {
        let mut state = self.lock();
        for held in held {
            let before =
                booked.iter().find(|(start, epoch, _)| (*start, *epoch) == (held.starts_at, held.epoch));
            match (state.find(held.starts_at, held.epoch), before) {
                (Some(lease), Some((_, _, before))) => {
                    let since = lease.booked_so_far() - before;
                    lease.adopt(held.amount - since);
                }
                (Some(_), None) => {}
                (None, _) => state.leases.push(Lease::found(held)),
            }
        }
        state.in_doubt = None;
    }

    /// Leases that are not `held` any more serve no request from now on; what runs under them is settled all the same.
    /// Gives how many those are.
    pub(super) fn keep_only(&self, held: impl Fn(OffsetDateTime, i64) -> bool) -> usize {
        let mut state = self.lock();
        let lost =
            state.leases.iter_mut().filter(|lease| !lease.is_empty() && !held(lease.starts_at, lease.epoch));
        let lost = lost.map(Lease::lose).count();
        if lost > 0 {
            // One of them may have been granted behind the look that did not find it.
            state.in_doubt = Some(Instant::now());
        }
        lost
    }

    /// The turn to ask the database.
    pub(super) async fn turn(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.asking.lock().await
    }

    /// The turn to ask the database, if nobody has it.
    pub(super) fn try_turn(&self) -> Option<tokio::sync::MutexGuard<'_, ()>> {
        self.asking.try_lock().ok()
    }

    /// Whether this limit has no room for a request, but the database might.
    pub(super) fn may_grow(&self, need: &Need, now: OffsetDateTime) -> bool {
        self.lock().growth(need, now).is_some()
    }

    /// What a request can have at most, as far as is known.
    pub(super) fn left(&self, now: OffsetDateTime) -> i64 {
        let mut state = self.lock();
        let dry = state.dry.filter(|dry| dry.when.elapsed() < DRY_FOR);
        let Some(dry) = dry else { return i64::MAX };
        // What is used beyond the lease comes off what is left elsewhere.
        dry.left.saturating_sub(state.missing(0, now)).max(0)
    }

    /// Takes out everything that is not in use, unless that was just done for another.
    pub(super) fn take_recalled(&self) -> Vec<GiveBack> {
        let mut state = self.lock();
        if state.recalled_at.is_some_and(|when| when.elapsed() < DRY_FOR) {
            return Vec::new();
        }
        state.recalled_at = Some(Instant::now());
        drop(state);
        self.take_unused()
    }

    /// Takes out everything that is not in use.
    pub(super) fn take_unused(&self) -> Vec<GiveBack> {
        let limit = self.limit;
        self.lock().leases.iter_mut().filter_map(|lease| lease.take_back(limit, 0)).collect()
    }

    /// What to ask for; `None` where nothing is missing any more.
    pub(super) fn wish(&self, need: &Need, now: OffsetDateTime) -> Option<Wish> {
        let mut state = self.lock();
        let needed = state.growth(need, now)?;
        // The part of what is left that a lease may take is the database's to say: it knows.
        let waiting = state.waiting;
        let all = state.missing(waiting, now);
        let wished = lease_size(needed, state.spend.per_second(Instant::now()), i64::MAX).max(all);
        Some(Wish { limit: self.limit, needed, wished })
    }

    /// What to ask for ahead of the requests to come. It needs nothing, so it is granted what can be spared, and the
    /// database does not wait for it either.
    pub(super) fn refill(&self, now: OffsetDateTime) -> Option<Wish> {
        let mut state = self.lock();
        let keep = state.keep(Instant::now(), now);
        // A new window is the first request's to open.
        let wished = keep - state.present(now)?.free();
        (wished > 0).then_some(Wish { limit: self.limit, needed: 0, wished })
    }

    pub(super) fn receive(&self, wish: Wish, grant: Grant) {
        let mut state = self.lock();
        // That nothing could be spared for later says nothing about what the database has refused.
        if wish.needed > 0 || grant.granted > 0 {
            state.dry = (grant.granted == 0).then(|| Dry {
                needed: wish.needed,
                left: grant.left(),
                amount: grant.amount,
                when: Instant::now(),
            });
        }
        match state.find(grant.starts_at, grant.epoch) {
            Some(lease) => lease.grow(grant),
            // A new window, or an owner has released what was held: what is still in flight is charged all the same.
            None => state.leases.push(Lease::new(grant)),
        }
    }

    /// The limit is gone: nothing is left of it, and asking again at once is no use.
    pub(super) fn close(&self, needed: i64, amount: i64) {
        let mut state = self.lock();
        state.leases.clear();
        state.dry = Some(Dry { needed, left: 0, amount, when: Instant::now() });
    }

    pub(super) fn settle(&self, starts_at: OffsetDateTime, epoch: i64, reserved: i64, consumed: i64) {
        let mut state = self.lock();
        state.spend.add(Instant::now(), consumed);
        if let Some(lease) = state.find(starts_at, epoch) {
            lease.settle(reserved, consumed);
        }
    }

    pub(super) fn booked(&self, starts_at: OffsetDateTime, epoch: i64, amount: i64) {
        if let Some(lease) = self.lock().find(starts_at, epoch) {
            lease.booked(amount);
        }
    }

    /// Whether there is something to take out, or to forget.
    pub(super) fn has_idle(&self, at: Instant, now: OffsetDateTime) -> bool {
        let mut state = self.lock();
        let keep = self.keep(&mut state, at, now);
        let is_idle = |lease: &Lease| {
            let keep = if lease.is_over(now) { 0 } else { keep };
            // Twice as much, so that what comes and goes with each request is not sent to and fro.
            lease.free() > keep.saturating_mul(2) || lease.is_over(now) && lease.is_unused()
        };
        state.leases.iter().any(is_idle)
    }

    /// Takes out what nobody has used lately and what is left of windows that are over.
    pub(super) fn take_idle(&self, at: Instant, now: OffsetDateTime) -> Vec<GiveBack> {
        let mut state = self.lock();
        let keep = self.keep(&mut state, at, now);
        let limit = self.limit;
        let back = |lease: &mut Lease| lease.take_back(limit, if lease.is_over(now) { 0 } else { keep });
        let returns = state.leases.iter_mut().filter_map(back).collect();
        state.leases.retain(|lease| !(lease.is_over(now) && lease.is_unused()));
        returns
    }

    /// How much of what is free does not go back: nothing of what nobody uses any more.
    fn keep(&self, state: &mut State, at: Instant, now: OffsetDateTime) -> i64 {
        let is_idle = at.saturating_duration_since(state.used_at) >= self.idle_after;
        if is_idle { 0 } else { state.keep(at, now) }
    }

    /// The database has not looked at what was taken out. Whether it is all here again: a lease whose window is over has
    /// been forgotten.
    pub(super) fn put_back(&self, back: &GiveBack) -> bool {
        self.lock().find(back.starts_at, back.epoch).is_some_and(|lease| lease.put_back(back.amount))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic while it was held leaves figures that are at worst too careful.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
