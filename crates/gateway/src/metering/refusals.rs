//! Refusals of known keys on their way to the database, so that "why did my request fail" has an answer.
//!
//! They are no money: a refused request takes a lock that nobody holds for long and waits for nothing, and what finds
//! no room is dropped and counted. Of each key and day the first thousand are kept; beyond that they are only counted.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use domain::refusal::{LimitKind, LimitReached, Refusal};
use domain::{KeyId, RequestId};
use store::refusals::{self, Count, MOST_A_DAY, NewRefusal};
use store::{PgPool, StoreError};
use time::OffsetDateTime;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::writer::is_about_the_data;
use crate::metrics::Metrics;
use crate::policy::Known;

/// Rows that may wait: a second of a flood is more, and of no more use.
const MOST_WAITING: usize = 4_096;
/// Counts that may wait: one each of a key, an hour and a code.
const MOST_COUNTS: usize = 16_384;
/// Rows of one statement.
const BATCH: usize = 1_000;
const EVERY: Duration = Duration::from_secs(1);
const WRITE_TIME: Duration = Duration::from_secs(5);
/// No model's name is longer.
const LONGEST_MODEL: usize = 200;

/// What was refused and is not written down yet.
#[derive(Debug)]
pub struct Refusals {
    waiting: Mutex<Waiting>,
    metrics: Arc<Metrics>,
    room: usize,
}

/// A refused request.
#[derive(Clone, Copy, Debug)]
pub struct Refused<'a> {
    /// The request.
    pub id: RequestId,
    /// Its key.
    pub known: &'a Known,
    /// What its client is told.
    pub refusal: &'a Refusal,
    /// From where.
    pub client: IpAddr,
    /// When, by the database's clock.
    pub at: OffsetDateTime,
    /// The model it asked for, as far as it was read.
    pub model: Option<&'a str>,
}

#[derive(Debug, Default)]
struct Waiting {
    rows: Vec<NewRefusal>,
    counts: HashMap<(KeyId, &'static str, i64), i64>,
    /// Rows taken of each key on `day`, so that a flood costs no memory and no statement.
    taken: HashMap<KeyId, i32>,
    day: i64,
}

impl Refusals {
    /// Nothing refused yet.
    pub fn new(metrics: Arc<Metrics>) -> Self {
        Self::with_room(metrics, MOST_WAITING)
    }

    fn with_room(metrics: Arc<Metrics>, room: usize) -> Self {
        Self { waiting: Mutex::default(), metrics, room }
    }

    /// Takes a refusal to be written down. Waits for nothing and cannot fail. What an upstream failed was admitted: the
    /// ledger has it.
    pub fn note(&self, refused: Refused<'_>) {
        let Refused { id, known, refusal, client, at, model } = refused;
        if matches!(refusal, Refusal::UpstreamFailed | Refusal::UpstreamTimeout) {
            return;
        }
        let (key, code, hour) = (known.key, refusal.code(), at.unix_timestamp().div_euclid(3_600));
        let mut waiting = self.lock();
        if waiting.counts.len() < MOST_COUNTS || waiting.counts.contains_key(&(key, code, hour)) {
            *waiting.counts.entry((key, code, hour)).or_default() += 1;
        } else {
            self.metrics.refusal_dropped();
        }
        if !waiting.has_budget(key, hour.div_euclid(24)) {
            return;
        }
        if waiting.rows.len() >= self.room {
            self.metrics.refusal_dropped();
            return;
        }
        *waiting.taken.entry(key).or_default() += 1;
        let (limit, current) = figures(refusal);
        let public_id = known.public_id.clone();
        let model = model.or(model_of(refusal)).filter(|model| is_name(model)).map(Into::into);
        let rule = refusal.rule();
        waiting.rows.push(NewRefusal {
            id,
            key_id: key,
            public_id,
            at,
            code,
            rule,
            limit,
            current,
            client,
            model,
        });
    }

    /// Writes what comes, until `closing` is set and what there was then is written, or cannot be.
    pub async fn run(self: Arc<Self>, pool: PgPool, closing: CancellationToken) {
        let mut batch = Batch::default();
        let mut is_failing = false;
        while closing.run_until_cancelled(sleep(EVERY)).await.is_some() {
            self.write(&pool, &mut batch, &mut is_failing).await;
        }
        self.write(&pool, &mut batch, &mut is_failing).await;
        if !batch.is_empty() {
            self.write(&pool, &mut batch, &mut is_failing).await;
        }
    }

    /// Writes what waits. What the database does not take now stays in `batch` for the next time.
    async fn write(&self, pool: &PgPool, batch: &mut Batch, is_failing: &mut bool) {
        if batch.is_empty() {
            *batch = self.take();
        }
        match timeout(WRITE_TIME, batch.write(pool)).await.unwrap_or(Err(StoreError::PoolTimedOut)) {
            Ok(()) => *is_failing = false,
            Err(error) if is_about_the_data(&error) => {
                tracing::error!(%error, "the database refuses a batch of refusals; it is dropped");
                batch.rows.iter().for_each(|_| self.metrics.refusal_dropped());
                *batch = Batch::default();
            }
            Err(error) => {
                if !std::mem::replace(is_failing, true) {
                    tracing::warn!(%error, "refusals cannot be written; they wait, and some may be dropped");
                }
            }
        }
    }

    fn take(&self) -> Batch {
        let mut waiting = self.lock();
        let (rows, counts) = (std::mem::take(&mut waiting.rows), std::mem::take(&mut waiting.counts));
        drop(waiting);
        let at = |hour: i64| OffsetDateTime::from_unix_timestamp(hour * 3_600);
        let count =
            |((key_id, code, hour), refused)| Some(Count { key_id, at: at(hour).ok()?, code, refused });
        Batch { rows, counts: counts.into_iter().filter_map(count).collect() }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // A panic while it was held leaves at worst a count too many.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    fn has_budget(&mut self, key: KeyId, day: i64) -> bool {
        if std::mem::replace(&mut self.day, day) != day {
            self.taken.clear();
        }
        self.taken.get(&key).is_none_or(|taken| *taken < MOST_A_DAY)
    }
}

/// What is on its way to the database.
#[derive(Debug, Default)]
struct Batch {
    rows: Vec<NewRefusal>,
    counts: Vec<Count>,
}

impl Batch {
    fn is_empty(&self) -> bool {
        self.rows.is_empty() && self.counts.is_empty()
    }

    /// Writes it part by part; what is written is out of it.
    async fn write(&mut self, pool: &PgPool) -> Result<(), StoreError> {
        while !self.rows.is_empty() {
            let most = self.rows.len().min(BATCH);
            refusals::keep(pool, &self.rows[..most]).await?;
            self.rows.drain(..most);
        }
        if !self.counts.is_empty() {
            refusals::count(pool, &self.counts).await?;
            self.counts.clear();
        }
        Ok(())
    }
}

/// A limit's value and what of it is used, where the gateway knows them better than the database.
fn figures(refusal: &Refusal) -> (Option<i64>, Option<i64>) {
    match refusal {
        Refusal::RateLimitExceeded { limit, .. } => (Some(i64::from(*limit)), Some(i64::from(*limit))),
        Refusal::LimitReached(LimitReached { kind: LimitKind::Balance, .. }) => (None, None),
        Refusal::LimitReached(reached) => (Some(reached.limit), None),
        _ => (None, None),
    }
}

fn model_of(refusal: &Refusal) -> Option<&str> {
    match refusal {
        Refusal::ModelNotAllowed { model } | Refusal::ModelNotFound { model } => Some(model),
        _ => None,
    }
}

/// Whether a text can be a model's name. A prompt or a key that came in the place of one is nothing to keep.
fn is_name(model: &str) -> bool {
    let is_of_a_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:/@+".contains(&byte);
    model.len() <= LONGEST_MODEL && model.bytes().all(is_of_a_name) && !model.starts_with("sk-")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::known_for_tests;

    fn note(refusals: &Refusals, known: &Known, refusal: &Refusal, model: Option<&str>) {
        let client = "203.0.113.9".parse().unwrap();
        let at = OffsetDateTime::UNIX_EPOCH;
        refusals.note(Refused { id: RequestId(store::new_id()), known, refusal, client, at, model });
    }

    #[test]
    fn what_finds_no_room_is_dropped_and_still_counted() {
        let metrics = Arc::new(Metrics::new(false));
        let refusals = Refusals::with_room(metrics.clone(), 2);
        let known = known_for_tests();
        for _ in 0..5 {
            note(&refusals, &known, &Refusal::IpNotAllowed, None);
        }
        note(&refusals, &known, &Refusal::UpstreamFailed, None);
        let batch = refusals.take();
        assert_eq!(batch.rows.len(), 2);
        assert_eq!(
            batch.counts.iter().map(|c| (c.code, c.refused)).collect::<Vec<_>>(),
            [("ip_not_allowed", 5)]
        );
        assert_eq!(metrics.refusals_dropped(), 3);
        assert!(refusals.take().is_empty());
    }

    #[test]
    fn a_key_has_a_thousand_a_day() {
        let refusals = Refusals::with_room(Arc::new(Metrics::new(false)), 5_000);
        let known = known_for_tests();
        for _ in 0..1_500 {
            note(&refusals, &known, &Refusal::KeyDisabled, None);
        }
        assert_eq!(refusals.take().rows.len(), 1_000);
        note(&refusals, &known, &Refusal::KeyDisabled, None);
        let batch = refusals.take();
        assert_eq!((batch.rows.len(), batch.counts[0].refused), (0, 1));
    }

    #[test]
    fn only_what_can_be_a_models_name_is_kept() {
        let refusals = Refusals::new(Arc::new(Metrics::new(false)));
        let known = known_for_tests();
        let long = "m".repeat(201);
        for text in
            ["org/model-1.5:free@eu", "Write a poem", "a\0b", "sk-lk-abc", "sk-proj-1", "naïve", &long]
        {
            note(&refusals, &known, &Refusal::KeyExpired, Some(text));
        }
        let found = Refusal::ModelNotFound { model: "gpt-9".to_owned() };
        note(&refusals, &known, &found, None);
        let kept: Vec<_> = refusals.take().rows.into_iter().filter_map(|row| row.model).collect();
        assert_eq!(kept, ["org/model-1.5:free@eu".into(), "gpt-9".into()] as [Box<str>; 2]);
    }
}
