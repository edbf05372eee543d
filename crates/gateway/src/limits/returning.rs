//! Leases given back: what idles, what others miss, what is left at a stop; and what is held in doubt.

use std::collections::HashSet;
use std::sync::atomic::Ordering;
use std::time::Duration;

use store::leases::{self, GiveBack, Patience};
use store::{PgListener, StoreError};
use time::OffsetDateTime;
use tokio::sync::MutexGuard;
use tokio::time::{Instant, sleep, timeout};

use super::purse::Purse;
use super::{ASK_TIME, Arc, Limits};
use crate::policy::Policy;

const RETURN_EVERY: Duration = Duration::from_secs(1);
/// Limits of one statement.
const MOST: usize = 200;

impl Limits {
    /// Gives back what no request has needed lately, and all of windows that are over, until dropped. Once a second.
    pub async fn return_idle(self: Arc<Self>, policy: Arc<Policy>) {
        loop {
            sleep(RETURN_EVERY).await;
            if let Err(error) = self.give_back_idle(policy.now()).await {
                tracing::debug!(%error, "idle leases could not be given back");
            }
        }
    }

    /// One round of [`Limits::return_idle`].
    pub async fn give_back_idle(&self, now: OffsetDateTime) -> Result<(), StoreError> {
        let mut result = Ok(());
        let mut purses = self.all();
        for purse in purses.iter().filter(|purse| purse.is_in_doubt()) {
            result = result.and(self.make_sure(purse).await);
        }
        let at = Instant::now();
        purses.retain(|purse| purse.has_idle(at, now));
        purses.sort_by_key(|purse| purse.limit());
        for purses in purses.chunks(MOST) {
            // What somebody asks for just now is not idle.
            let turns: Vec<_> =
                purses.iter().filter_map(|purse| Some((&**purse, purse.try_turn()?))).collect();
            let giving = self.give_back(turns, |purse| purse.take_idle(at, now), Patience::None);
            result = result.and(giving.await);
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
                let turn = purse.turn().await;
                self.give_back(vec![(&purse, turn)], Purse::take_recalled, Patience::SomeTime).await?;
            }
        }
    }

    /// Takes something out of purses and gives it back, in one statement. What the database skipped is in its purse again
    /// at once; what it did not take, or not be heard to have taken, is found again later.
    async fn give_back(
        &self,
        purses: Vec<(&Purse, MutexGuard<'_, ()>)>,
        take: impl Fn(&Purse) -> Vec<GiveBack>,
        patience: Patience,
    ) -> Result<(), StoreError> {
        let mut returns = Vec::new();
        let mut doubts = Vec::new();
        for (purse, _) in &purses {
            let doubt = purse.doubt();
            let before = returns.len();
            returns.extend(take(purse));
            doubts.push((purse, doubt, before..returns.len()));
        }
        let giving = leases::give_back(&self.pool, self.gateway, &returns, patience);
        let given = timeout(ASK_TIME, giving).await.unwrap_or(Err(StoreError::PoolTimedOut))?;
        for (purse, doubt, places) in doubts {
            let mut is_certain = given.len() == returns.len();
            for (back, given) in places.filter_map(|place| Some((returns.get(place)?, given.get(place)?))) {
                is_certain &= match given {
                    Some(given) => *given == back.amount,
                    None => purse.put_back(back),
                };
            }
            if is_certain {
                doubt.dispel();
            }
        }
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

    /// Gives back everything that is not in use: at an orderly stop.
    pub async fn give_back_unused(&self) -> Result<(), StoreError> {
        let mut purses = self.all();
        purses.sort_by_key(|purse| purse.limit());
        let mut result = Ok(());
        for purses in purses.chunks(MOST) {
            let mut turns = Vec::with_capacity(purses.len());
            for purse in purses {
                turns.push((&**purse, purse.turn().await));
            }
            // Where some cannot go back, the others still can.
            result = result.and(self.give_back(turns, Purse::take_unused, Patience::SomeTime).await);
        }
        result
    }

    /// Takes over from an earlier run, before any request is taken: gives back what is held in this gateway's name, and
    /// counts the requests of the last minute.
    pub async fn take_over(&self) -> Result<(), StoreError> {
        self.give_back_all().await?;
        self.rates.recover().await
    }

    /// Gives back everything that is held in this gateway's name.
    pub async fn give_back_all(&self) -> Result<(), StoreError> {
        // First what nobody is at work on, then what is worth waiting for.
        let mut result = Ok(());
        for patience in [Patience::None, Patience::SomeTime] {
            for held in leases::list_held(&self.pool, self.gateway).await?.chunks(MOST) {
                let given = leases::give_back(&self.pool, self.gateway, held, patience).await;
                result = result.and(given.map(|_| ()));
            }
        }
        result
    }
}
