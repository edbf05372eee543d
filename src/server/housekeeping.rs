//! Once at start and then every hour, the database deletes what only grows; every half minute it brings into the list of
//! keys what has moved by itself. Which rows those are is its own to say.

use std::time::Duration;

use store::{PgPool, StoreError, housekeeping};
use tokio::time::sleep;

use super::secrets::random;

const EVERY: Duration = Duration::from_hours(1);
/// Consoles that start together do not come together.
const FIRST_WITHIN: Duration = Duration::from_secs(5);
const SPREAD: Duration = Duration::from_mins(5);
/// As far as the order and the filters of the list of keys may be behind.
const REFRESH_EVERY: Duration = Duration::from_secs(30);

/// Runs until dropped. The database is there.
pub async fn run(pool: &PgPool) {
    sleep(some_of(FIRST_WITHIN)).await;
    tokio::join!(keep_tidy(pool), keep_list(pool));
}

async fn keep_list(pool: &PgPool) {
    loop {
        match refresh_list(pool).await {
            Ok(0) => {}
            Ok(rows) => tracing::debug!(rows, "brought the list of keys up to date"),
            Err(error) => {
                tracing::warn!(%error, "the list of keys could not be brought up to date; soon again");
            }
        }
        sleep(REFRESH_EVERY).await;
    }
}

async fn refresh_list(pool: &PgPool) -> Result<i64, StoreError> {
    let mut rows = 0;
    loop {
        match housekeeping::refresh_key_list(pool).await? {
            0 => return Ok(rows),
            moved => rows += moved,
        }
    }
}

async fn keep_tidy(pool: &PgPool) {
    loop {
        match tidy_up(pool).await {
            Ok(0) => {}
            Ok(rows) => tracing::info!(rows, "deleted old codes, policy changes or gateways"),
            Err(error) => tracing::warn!(%error, "old rows could not be deleted; in an hour again"),
        }
        sleep(EVERY + some_of(SPREAD)).await;
    }
}

async fn tidy_up(pool: &PgPool) -> Result<i64, StoreError> {
    let mut rows = 0;
    loop {
        match housekeeping::tidy_up(pool).await? {
            0 => return Ok(rows),
            gone => rows += gone,
        }
    }
}

/// A random part of `most`.
fn some_of(most: Duration) -> Duration {
    let part = random().map_or(0, u16::from_be_bytes);
    most * u32::from(part) / u32::from(u16::MAX)
}
