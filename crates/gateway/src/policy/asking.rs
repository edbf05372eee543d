//! Looking secrets up one by one, where the set does not hold all of them: few at once, and so many a second.
//!
//! A look-up that cannot be made is a 503. Nothing here knows whom a request comes from, so nobody's wrong keys stand in
//! the way of a right one that is held.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use domain::refusal::Refusal;
use domain::secret::Digest;
use store::policy::{self, Changes};
use store::{PgPool, StoreError};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::set::Asked;
use super::{Policy, Standing};

/// Look-ups at once: the other connections are for what brings in money.
const AT_ONCE: usize = 3;
const TURN_TIME: Duration = Duration::from_millis(500);
const ASK_TIME: Duration = Duration::from_millis(1_500);
/// A look-up is repeated where the policy has changed meanwhile.
const ATTEMPTS: usize = 5;

/// What it takes to look secrets up.
#[derive(Debug)]
pub(super) struct Asking {
    pool: PgPool,
    turns: Semaphore,
    budget: Mutex<Budget>,
}

impl Asking {
    /// So many look-ups a second.
    pub(super) fn new(pool: PgPool, per_second: u32) -> Self {
        let budget = Mutex::new(Budget::new(per_second, Instant::now()));
        Self { pool, turns: Semaphore::new(AT_ONCE), budget }
    }

    fn has_budget(&self) -> bool {
        self.budget.lock().unwrap_or_else(PoisonError::into_inner).take(Instant::now())
    }

    async fn read(&self, digest: Digest) -> Result<Asked, StoreError> {
        let mut db = self.pool.acquire().await?;
        let version = policy::version(&mut *db).await?;
        let row = policy::find_secret(&mut *db, &digest).await?;
        let limits = match &row {
            Some(row) => {
                let changes = Changes { keys: vec![row.key_id], ..Changes::default() };
                policy::find_limits(&mut *db, &changes).await?
            }
            None => Vec::new(),
        };
        Ok(Asked { version, digest, row, limits })
    }
}

impl Policy {
    /// What is known about a secret, if need be after a look at the database; `None` is a certain "nothing".
    pub async fn find_or_ask(&self, digest: &Digest) -> Result<Option<Standing>, Refusal> {
        match self.find(digest) {
            Err(Refusal::Overloaded) => Box::pin(self.ask(digest)).await,
            found => found,
        }
    }

    async fn ask(&self, digest: &Digest) -> Result<Option<Standing>, Refusal> {
        let asking = self.asking.as_ref().ok_or(Refusal::Overloaded)?;
        let Ok(Ok(_turn)) = timeout(TURN_TIME, asking.turns.acquire()).await else {
            return Err(Refusal::Overloaded);
        };
        for _ in 0..ATTEMPTS {
            // Whoever had the turn before may have asked for the same.
            match self.find(digest) {
                Err(Refusal::Overloaded) => {}
                found => return found,
            }
            if !asking.has_budget() {
                return Err(Refusal::Overloaded);
            }
            match timeout(ASK_TIME, asking.read(*digest)).await {
                Ok(Ok(asked)) => self.take_in(asked),
                Ok(Err(error)) => {
                    tracing::debug!(%error, "a secret could not be looked up");
                    return Err(Refusal::PolicyUnavailable);
                }
                Err(_) => return Err(Refusal::PolicyUnavailable),
            }
        }
        Err(Refusal::Overloaded)
    }
}

/// A bucket that holds a second's worth of look-ups, and is full at first.
#[derive(Debug)]
struct Budget {
    per_second: u32,
    left: f64,
    at: Instant,
}

impl Budget {
    fn new(per_second: u32, now: Instant) -> Self {
        Self { per_second, left: f64::from(per_second), at: now }
    }

    fn take(&mut self, now: Instant) -> bool {
        let most = f64::from(self.per_second);
        let since = now.saturating_duration_since(self.at).as_secs_f64();
        self.at = now;
        self.left = (self.left + since * most).min(most);
        let has = self.left >= 1.0;
        if has {
            self.left -= 1.0;
        }
        has
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_is_full_at_first_and_fills_with_time() {
        let begin = Instant::now();
        let mut budget = Budget::new(2, begin);
        assert_eq!([(); 3].map(|()| budget.take(begin)), [true, true, false]);
        let later = begin + Duration::from_millis(600);
        assert_eq!([(); 2].map(|()| budget.take(later)), [true, false]);
        let much_later = begin + Duration::from_mins(10);
        assert_eq!([(); 3].map(|()| budget.take(much_later)), [true, true, false]);
    }
}
