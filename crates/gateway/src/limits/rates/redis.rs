//! The Redis that counts requests per minute for all gateways.
//!
//! Its name is the server's run and a token in its data. A connection belongs to one run, and the script looks for the
//! token before it counts: what has been restarted, emptied or replaced has another name, and is not asked. Nothing
//! here ever takes a missing answer for a yes, and no request waits longer than the answer may take.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use ::redis::aio::MultiplexedConnection;
use ::redis::{AsyncConnectionConfig, Client, InfoDict, RedisError, Script};
use domain::KeyId;
use domain::decision::RateRoom;
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

use crate::config;

/// All keys in one slot, should it be a cluster's node.
const TOKEN: &str = "latchkey:{rpm}:token";
const PROBE: &str = "latchkey:{rpm}:probe";
const CHECK_EVERY: Duration = Duration::from_secs(1);
const CHECK_AGAIN: Duration = Duration::from_millis(100);
const CHECK_TIME: Duration = Duration::from_secs(1);
/// Without an answer for this long it is lost; all gateways then go over to their shares.
const LOST_AFTER: Duration = Duration::from_secs(2);
/// After a loss it has to answer for this long before it counts again.
const STEADY: Duration = Duration::from_secs(10);

/// Why a Redis cannot count.
#[derive(Debug, thiserror::Error)]
enum Unfit {
    #[error(transparent)]
    Redis(#[from] RedisError),
    #[error("it is a replica, which loses what it is told")]
    Replica,
    #[error("it would evict counts when its memory is full: set maxmemory-policy to noeviction")]
    Evicts,
    #[error("it does not answer in time")]
    Slow,
    #[error("it was emptied a moment ago")]
    Emptied,
    #[error("it does not tell its run_id, so that nobody could know when it forgets")]
    Nameless,
}

/// What to do with a key's window.
#[derive(Clone, Copy, Debug)]
pub(super) enum Wish {
    /// Count one request, if the limit has room for it.
    Take,
    /// Only tell.
    Look,
    /// Give back what was taken in this second.
    Back(i64),
}

/// What it has said.
#[derive(Clone, Copy, Debug)]
pub(super) struct Answer {
    /// It has counted the request.
    pub(super) done: bool,
    /// The room there was before it.
    pub(super) before: RateRoom,
    /// The room there is after it.
    pub(super) after: RateRoom,
    /// The second of the server's time in which it counts.
    pub(super) second: i64,
}

/// The way to Redis.
pub(super) struct Link {
    client: Client,
    script: Script,
    answer_time: Duration,
    open: RwLock<Option<Open>>,
    seen: Mutex<Seen>,
    /// Told when there is reason to look before the next second.
    trouble: Notify,
    unanswered: AtomicU64,
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The client's own text has the password.
        f.debug_struct("Link").finish_non_exhaustive()
    }
}

#[derive(Clone)]
struct Open {
    connection: MultiplexedConnection,
    token: Arc<str>,
    name: Arc<str>,
}

#[derive(Debug)]
struct Seen {
    name: Option<Arc<str>>,
    /// When it last answered; before that, when this gateway began to look.
    good_at: Instant,
    /// Since when it has answered without a loss.
    good_since: Option<Instant>,
    was_lost: bool,
}

/// What the other gateways are told of it.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Report {
    /// Nothing yet.
    Wait,
    Lost,
    Seen(Arc<str>),
}

impl Seen {
    fn report(&self, now: Instant) -> Report {
        let is_lost = now.duration_since(self.good_at) >= LOST_AFTER;
        let is_steady =
            self.good_since.is_some_and(|since| !self.was_lost || now.duration_since(since) >= STEADY);
        match &self.name {
            None if !is_lost => Report::Wait,
            Some(name) if !is_lost && is_steady => Report::Seen(name.clone()),
            _ => Report::Lost,
        }
    }

    fn found(&mut self, name: Arc<str>, now: Instant) {
        if now.duration_since(self.good_at) >= LOST_AFTER {
            self.was_lost = true;
            self.good_since = None;
        }
        self.name = Some(name);
        self.good_at = now;
        self.good_since.get_or_insert(now);
    }
}

impl Link {
    /// Does not connect yet.
    pub(super) fn new(redis: config::Redis) -> Self {
        let config::Redis { client, answer_time } = redis;
        let seen = Seen { name: None, good_at: Instant::now(), good_since: None, was_lost: false };
        Self {
            client,
            script: Script::new(include_str!("count.lua")),
            answer_time,
            open: RwLock::default(),
            seen: Mutex::new(seen),
            trouble: Notify::new(),
            unanswered: AtomicU64::new(0),
        }
    }

    /// The name of the Redis this gateway sees, or `None` if it has not answered for a while. At start it waits until
    /// one of the two is known.
    pub(super) async fn sees(&self) -> Option<Arc<str>> {
        loop {
            let report = self.seen.lock().unwrap_or_else(PoisonError::into_inner).report(Instant::now());
            match report {
                Report::Seen(name) => return Some(name),
                Report::Lost => return None,
                Report::Wait => sleep(Duration::from_millis(10)).await,
            }
        }
    }

    /// Whether it answers.
    pub(super) fn is_up(&self) -> bool {
        self.open.read().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// Requests that were refused because it did not answer them.
    pub(super) fn unanswered(&self) -> u64 {
        self.unanswered.load(Ordering::Relaxed)
    }

    /// Asks the Redis called `name`. `None` if it does not answer in time, or another one does.
    pub(super) async fn ask(&self, name: &str, key: KeyId, limit: u32, wish: Wish) -> Option<Answer> {
        let answer = self.try_ask(name, key, limit, wish).await;
        if answer.is_none() {
            self.unanswered.fetch_add(1, Ordering::Relaxed);
        }
        answer
    }

    /// Gives back what was taken in a second of its time.
    pub(super) async fn give_back(&self, name: &str, key: KeyId, second: i64) {
        self.try_ask(name, key, u32::MAX, Wish::Back(second)).await;
    }

    async fn try_ask(&self, name: &str, key: KeyId, limit: u32, wish: Wish) -> Option<Answer> {
        let open = self.open().filter(|open| *open.name == *name)?;
        let cells = format!("latchkey:{{rpm}}:{}", key.0.as_simple());
        match timeout(self.answer_time, self.run(&open, &cells, limit, wish)).await {
            Ok(Ok(Some(answer))) => return Some(answer),
            Ok(Ok(None)) => {}
            Ok(Err(error)) => tracing::debug!(%error, "Redis has not counted a request"),
            Err(_) => tracing::debug!("Redis has not answered a request in time"),
        }
        // Others must not wait for what does not answer. It is looked at again at once.
        let mut now_open = self.open.write().unwrap_or_else(PoisonError::into_inner);
        now_open.take_if(|now| Arc::ptr_eq(&now.name, &open.name));
        self.trouble.notify_one();
        None
    }

    /// `None` if the data there is not what `open` found.
    async fn run(
        &self,
        open: &Open,
        cells: &str,
        limit: u32,
        wish: Wish,
    ) -> Result<Option<Answer>, RedisError> {
        let (what, second) = match wish {
            Wish::Take => ("take", 0),
            Wish::Look => ("look", 0),
            Wish::Back(second) => ("back", second),
        };
        let mut asking = self.script.key(TOKEN);
        asking.key(cells).arg(&*open.token).arg(limit).arg(what).arg(second);
        let told: Vec<i64> = asking.invoke_async(&mut open.connection.clone()).await?;
        let &[done, before, wait_before, after, wait_after, second] = told.as_slice() else {
            return Ok(None);
        };
        let room = |admitted: i64, wait: i64| RateRoom {
            limit,
            admitted: u32::try_from(admitted).unwrap_or(u32::MAX),
            next_slot_in: Duration::from_secs(u64::try_from(wait).unwrap_or(0)),
        };
        let (before, after) = (room(before, wait_before), room(after, wait_after));
        Ok(Some(Answer { done: done == 1, before, after, second }))
    }

    /// Looks at it once a second, and connects again when it was away, until dropped.
    pub(super) async fn keep(self: Arc<Self>) {
        let mut is_good = true;
        loop {
            let checked = timeout(CHECK_TIME, self.check()).await.unwrap_or(Err(Unfit::Slow));
            match &checked {
                Ok(open) => {
                    let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
                    seen.found(open.name.clone(), Instant::now());
                    if !is_good {
                        tracing::info!("Redis is back");
                    }
                }
                Err(unfit) if is_good => tracing::warn!(%unfit, "Redis cannot count requests per minute"),
                Err(_) => {}
            }
            is_good = checked.is_ok();
            *self.open.write().unwrap_or_else(PoisonError::into_inner) = checked.ok();
            if is_good {
                let _ = timeout(CHECK_EVERY, self.trouble.notified()).await;
            } else {
                sleep(CHECK_AGAIN).await;
            }
        }
    }

    /// Whether it can count, tried with all that counting takes; and what it is called.
    async fn check(&self) -> Result<Open, Unfit> {
        let mut connection = if let Some(open) = self.open() {
            open.connection
        } else {
            let config = AsyncConnectionConfig::new().set_response_timeout(None);
            self.client.get_multiplexed_async_connection_with_config(&config).await?
        };
        let info: InfoDict = ::redis::cmd("INFO").query_async(&mut connection).await?;
        if info.get::<String>("role").is_some_and(|role| role != "master") {
            return Err(Unfit::Replica);
        }
        let is_bounded = info.get::<u64>("maxmemory").is_some_and(|bytes| bytes > 0);
        if is_bounded && info.get::<String>("maxmemory_policy").is_none_or(|policy| policy != "noeviction") {
            return Err(Unfit::Evicts);
        }
        // New data gets a token nobody has seen.
        let (token,): (String,) = ::redis::pipe()
            .cmd("SET")
            .arg(TOKEN)
            .arg(store::new_id().simple().to_string())
            .arg("NX")
            .ignore()
            .get(TOKEN)
            .query_async(&mut connection)
            .await?;
        let name = format!("{}:{token}", info.get::<String>("run_id").ok_or(Unfit::Nameless)?);
        let open = Open { connection, token: token.into(), name: name.into() };
        let trying = self.run(&open, PROBE, u32::MAX, Wish::Take);
        match timeout(self.answer_time, trying).await {
            Ok(answer) => answer?.map(|_| open).ok_or(Unfit::Emptied),
            Err(_) => Err(Unfit::Slow),
        }
    }

    fn open(&self) -> Option<Open> {
        self.open.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_lost_after_a_while_and_must_be_steady_before_it_counts_again() {
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let seen = Seen { name: None, good_at: start, good_since: None, was_lost: false };
        assert_eq!(seen.report(after(1)), Report::Wait);
        assert_eq!(seen.report(after(2)), Report::Lost);
        let mut seen = Seen { name: None, good_at: start, good_since: None, was_lost: false };
        seen.found("one".into(), after(1));
        assert_eq!(seen.report(after(2)), Report::Seen("one".into()));
        assert_eq!(seen.report(after(3)), Report::Lost);
        seen.found("two".into(), after(4));
        assert_eq!(seen.report(after(4)), Report::Lost, "not steady yet");
        for second in 5..=14 {
            seen.found("two".into(), after(second));
        }
        assert_eq!(seen.report(after(14)), Report::Seen("two".into()));
        // Emptied: another name at once.
        seen.found("three".into(), after(15));
        assert_eq!(seen.report(after(15)), Report::Seen("three".into()));
    }
}
