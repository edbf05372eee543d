//! Leases taken: for a request that waits, and for those to come before they have to.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use domain::refusal::Refusal;
use store::StoreError;
use store::leases::{self, Grant, Wish};
use time::OffsetDateTime;
use tokio::sync::{MutexGuard, Notify};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::purse::{Doubt, Need, Purse};
use super::{ASK_TIME, Arc, Limits, unavailable};
use crate::policy::Policy;

/// How long purses that run short wait for each other, so that one statement serves them all. A purse is short when half
/// of what it keeps is left, which is a second of its key's spend.
const GATHER: Duration = Duration::from_millis(20);
/// Limits of one statement.
const MOST: usize = 200;

/// Purses that will soon have to ask.
#[derive(Debug, Default)]
pub(super) struct Shortage {
    purses: Mutex<Vec<Arc<Purse>>>,
    told: Notify,
}

impl Shortage {
    /// Takes note of purses; each of them says only once that it is short.
    pub(super) fn tell(&self, short: Vec<Arc<Purse>>) {
        if short.is_empty() {
            return;
        }
        self.purses.lock().unwrap_or_else(PoisonError::into_inner).extend(short);
        self.told.notify_one();
    }

    fn take(&self) -> Vec<Arc<Purse>> {
        std::mem::take(&mut self.purses.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// What is asked of the database, and for whom.
struct Asked<'a> {
    purse: &'a Purse,
    wish: Wish,
    /// The client may leave meanwhile, and the answer with it.
    doubt: Doubt<'a>,
    _turn: MutexGuard<'a, ()>,
}

impl Limits {
    /// Asks the database for more of what a request needs, unless somebody else just did: of all its limits at once.
    /// `needs` are in the order of their limits.
    pub(super) async fn ask(
        &self,
        needs: &[Need],
        now: OffsetDateTime,
        deadline: Instant,
    ) -> Result<(), Refusal> {
        let growing: Vec<&Need> = needs.iter().filter(|need| need.purse.may_grow(need, now)).collect();
        let _waiting: Vec<_> = growing.iter().map(|need| need.purse.wait_for(need.amount)).collect();
        let mut asked = Vec::with_capacity(growing.len());
        let mut amounts = Vec::with_capacity(growing.len());
        for need in growing {
            let Ok(turn) = timeout_at(deadline, need.purse.turn()).await else {
                return Err(Refusal::Overloaded);
            };
            // Whoever had the turn before may have brought enough for both.
            if let Some(wish) = need.purse.wish(need, now) {
                asked.push(Asked { purse: &need.purse, wish, doubt: need.purse.doubt(), _turn: turn });
                amounts.push(need.terms.amount);
            }
        }
        if asked.is_empty() {
            return Ok(());
        }
        let wishes: Vec<Wish> = asked.iter().map(|asked| asked.wish).collect();
        let grants = match timeout_at(deadline, leases::take(&self.pool, self.gateway, &wishes)).await {
            Ok(Ok(grants)) => grants,
            Ok(Err(error)) => return Err(unavailable(&error)),
            Err(_) => return Err(unavailable(&StoreError::PoolTimedOut)),
        };
        let mut result = Ok(());
        for ((asked, grant), amount) in asked.into_iter().zip(grants).zip(amounts) {
            asked.doubt.dispel();
            result = result.and(received(asked.purse, asked.wish, grant, amount));
        }
        result
    }

    /// Fills up what runs short before a request has to wait for it, until dropped.
    pub async fn fill_up(self: Arc<Self>, policy: Arc<Policy>) {
        loop {
            self.shortage.told.notified().await;
            sleep(GATHER).await;
            let mut short = self.shortage.take();
            short.sort_by_key(|purse| purse.limit());
            short.dedup_by_key(|purse| purse.limit());
            for purses in short.chunks(MOST) {
                if let Err(error) = self.fill(purses, policy.now()).await {
                    tracing::debug!(%error, "leases could not be filled up; requests ask for themselves");
                    break;
                }
            }
        }
    }

    /// `purses` are in the order of their limits.
    async fn fill(&self, purses: &[Arc<Purse>], now: OffsetDateTime) -> Result<(), StoreError> {
        let asked: Vec<Asked<'_>> = purses
            .iter()
            .filter_map(|purse| {
                let wish = purse.refill(now)?;
                // Somebody is asking for it already.
                let turn = purse.try_turn()?;
                Some(Asked { purse, wish, doubt: purse.doubt(), _turn: turn })
            })
            .collect();
        if asked.is_empty() {
            return Ok(());
        }
        let wishes: Vec<Wish> = asked.iter().map(|asked| asked.wish).collect();
        let taking = timeout(ASK_TIME, leases::take(&self.pool, self.gateway, &wishes));
        let grants = taking.await.unwrap_or(Err(StoreError::PoolTimedOut))?;
        for (asked, grant) in asked.into_iter().zip(grants) {
            asked.doubt.dispel();
            // A limit that is gone is for the request to find out that needs it.
            if let Some(grant) = grant {
                asked.purse.receive(asked.wish, grant);
            }
        }
        Ok(())
    }
}

fn received(purse: &Purse, wish: Wish, grant: Option<Grant>, amount: i64) -> Result<(), Refusal> {
    match grant {
        // There is enough, but it was too late to grant it: that says nothing about the limit.
        Some(grant) if grant.granted == 0 && wish.needed <= grant.left() => Err(Refusal::Overloaded),
        Some(grant) => {
            purse.receive(wish, grant);
            Ok(())
        }
        // The policy will say so in a moment; until then nothing is admitted under a limit that is gone.
        None => {
            purse.close(wish.needed, amount);
            Ok(())
        }
    }
}
