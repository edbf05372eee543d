//! Asking the database what to go by, and doing so.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use domain::KeyId;
use store::StoreError;
use store::shares::{self, Membership};
use tokio::time::{sleep, timeout};

use super::Rates;

const ASK_EVERY: Duration = Duration::from_secs(1);
/// While others wait for this gateway to go by what it was told, or it waits for what they tell.
const ASK_SOON: Duration = Duration::from_millis(200);
/// Until it is known for the first time.
const ASK_FIRST: Duration = Duration::from_millis(50);
const ASK_TIME: Duration = Duration::from_secs(5);

/// How far this gateway has got.
#[derive(Debug, Default)]
struct Progress {
    /// The epoch whose rule it goes by, and has told all that belongs to it.
    enforced: i64,
    /// What it had admitted when a Redis was lost, of which epoch, until that is told.
    counts: Option<(i64, Vec<(KeyId, u32)>)>,
}

impl Rates {
    /// Keeps the way to Redis open, where there is one, until dropped.
    pub async fn keep_link(self: Arc<Self>) {
        if let Some(link) = &self.link {
            link.clone().keep().await;
        }
    }

    /// Asks what to go by once a second, until dropped.
    pub async fn follow(self: Arc<Self>) {
        let mut progress = Progress::default();
        loop {
            if let Err(error) = self.ask(&mut progress).await {
                tracing::debug!(%error, "what requests per minute are counted by is not known anew");
            }
            self.windows.forget_idle(|| self.second());
            sleep(self.pause(&progress)).await;
        }
    }

    async fn ask(&self, progress: &mut Progress) -> Result<(), StoreError> {
        let sees = match &self.link {
            Some(link) => link.sees().await,
            None => None,
        };
        let moment = Instant::now();
        let asking = shares::agree(&self.pool, self.gateway, progress.enforced, sees.as_deref());
        let answer = timeout(ASK_TIME, asking).await.unwrap_or(Err(StoreError::PoolTimedOut))?;
        // Not signed in yet: that takes a moment.
        let Some(membership) = answer else { return Ok(()) };
        self.go_by(membership.clone(), moment);
        timeout(ASK_TIME, self.catch_up(&membership, progress)).await.unwrap_or(Err(StoreError::PoolTimedOut))
    }

    fn go_by(&self, membership: Membership, asked: Instant) {
        let mut agreement = self.agreement.write().unwrap_or_else(PoisonError::into_inner);
        let old = agreement.membership();
        let (epoch, gateways) = (membership.epoch, membership.members.len());
        if old.members != membership.members {
            tracing::info!(epoch, gateways, "the gateways that share rate limits have changed");
        }
        if old.redis.is_some() && membership.redis.is_none() {
            self.fallbacks.fetch_add(1, Ordering::Relaxed);
            tracing::warn!(
                epoch,
                gateways,
                "not every gateway sees the Redis that counted requests per minute; each goes by its share again"
            );
        }
        if membership.settled && membership.redis.is_some() && !(old.settled && old.redis.is_some()) {
            tracing::info!(epoch, gateways, "requests per minute are counted in Redis");
        }
        agreement.go_by(membership, asked);
    }

    /// Does what an epoch asks for beside going by its rule. Nothing is admitted under the rule before any more.
    async fn catch_up(&self, membership: &Membership, progress: &mut Progress) -> Result<(), StoreError> {
        let epoch = membership.epoch;
        if membership.wants_counts() {
            if !self.is_recovered.load(Ordering::Acquire) {
                return Ok(());
            }
            if progress.counts.as_ref().is_none_or(|(of, _)| *of != epoch) {
                // Until the rest is known nothing is counted, so nothing falls between.
                progress.counts = Some((epoch, self.windows.begin_anew(self.second())));
            }
            if let Some((_, counts)) = &progress.counts
                && progress.enforced != epoch
            {
                shares::tell(&self.pool, self.gateway, epoch, counts).await?;
            }
        } else if self.agreement.read().unwrap_or_else(PoisonError::into_inner).lacks_told() {
            let counts = shares::list_told(&self.pool, epoch).await?;
            let mut agreement = self.agreement.write().unwrap_or_else(PoisonError::into_inner);
            agreement.learn_told(epoch, counts);
        }
        progress.enforced = epoch;
        Ok(())
    }

    fn pause(&self, progress: &Progress) -> Duration {
        if !self.is_known() {
            return ASK_FIRST;
        }
        let agreement = self.agreement.read().unwrap_or_else(PoisonError::into_inner);
        let Membership { epoch, settled, redis, previous_redis, told, .. } = agreement.membership();
        let waits_for_rest = !settled && redis.is_none() && previous_redis.is_some() && !told;
        if *epoch != progress.enforced || waits_for_rest { ASK_SOON } else { ASK_EVERY }
    }
}
