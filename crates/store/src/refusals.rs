//! What was refused to whom: kept for seven days, at most some a day of each key, and counted beyond.
//!
//! Gateways write in batches and through two functions only; a tenant reads its own. It is no ledger: nothing is
//! charged by it, and a row that could not be written is missing.

use std::net::IpAddr;

use domain::money::NanoUsd;
use domain::usage::TokenUsage;
use domain::{AccountId, KeyId, RequestId};
use ipnet::IpNet;
use sqlx::PgExecutor;
use time::OffsetDateTime;

use crate::TenantTx;

/// Rows kept of one key and UTC day, of all gateways together.
pub const MOST_A_DAY: i32 = 1_000;

/// One refused request with a known key, as a gateway writes it down.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NewRefusal {
    /// The request.
    pub id: RequestId,
    /// Whose.
    pub key_id: KeyId,
    /// Under which secret.
    pub public_id: Box<str>,
    /// When.
    pub at: OffsetDateTime,
    /// The stable code its client was told.
    pub code: &'static str,
    /// The rule or limit that said no.
    pub rule: &'static str,
    /// A limit's value, where the gateway knows better than the database.
    pub limit: Option<i64>,
    /// What of it was used, likewise.
    pub current: Option<i64>,
    /// From where.
    pub client: IpAddr,
    /// The model, as asked for; at most 200 characters.
    pub model: Option<Box<str>>,
}

/// So many refusals of a key, hour and code.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Count {
    /// The key.
    pub key_id: KeyId,
    /// A moment of the hour.
    pub at: OffsetDateTime,
    /// The code.
    pub code: &'static str,
    /// How many.
    pub refused: i64,
}

/// Writes a gateway's batch. Repeating it adds no row. Gives how many rows were kept: those of keys that are gone, and
/// those beyond [`MOST_A_DAY`], are not.
pub async fn keep(db: impl PgExecutor<'_>, rows: &[NewRefusal]) -> sqlx::Result<i64> {
    fn column<T>(rows: &[NewRefusal], value: impl Fn(&NewRefusal) -> T) -> Vec<T> {
        rows.iter().map(value).collect()
    }
    sqlx::query_scalar!(
        r#"SELECT keep_refusals($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) AS "kept!""#,
        &column(rows, |r| r.id.0),
        &column(rows, |r| r.key_id.0),
        &column(rows, |r| r.public_id.to_string()),
        &column(rows, |r| r.at),
        &column(rows, |r| r.code.to_owned()),
        &column(rows, |r| r.rule.to_owned()),
        &column(rows, |r| r.limit) as &[Option<i64>],
        &column(rows, |r| r.current) as &[Option<i64>],
        &column(rows, |r| IpNet::from(r.client.to_canonical())) as &[IpNet],
        &column(rows, |r| r.model.as_deref().map(str::to_owned)) as &[Option<String>],
        MOST_A_DAY,
    )
    .fetch_one(db)
    .await
}

/// Adds to the counts. A repeated call counts again.
pub async fn count(db: impl PgExecutor<'_>, counts: &[Count]) -> sqlx::Result<()> {
    let keys: Vec<_> = counts.iter().map(|count| count.key_id.0).collect();
    let hours: Vec<_> = counts.iter().map(|count| count.at).collect();
    let codes: Vec<_> = counts.iter().map(|count| count.code.to_owned()).collect();
    let numbers: Vec<_> = counts.iter().map(|count| count.refused).collect();
    sqlx::query!("SELECT count_refusals($1, $2, $3, $4)", &keys, &hours, &codes, &numbers)
        .execute(db)
        .await
        .map(|_| ())
}

/// A refused request, as its account sees it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refused {
    /// The request.
    pub id: RequestId,
    /// By which key.
    pub key_id: KeyId,
    /// Under which secret.
    pub public_id: String,
    /// When.
    pub at: OffsetDateTime,
    /// What its client was told.
    pub code: String,
    /// The rule or limit that said no.
    pub rule: String,
    /// A limit's value: nano-dollars, tokens or requests.
    pub limit: Option<i64>,
    /// What of it was used then, or seconds later.
    pub current: Option<i64>,
    /// From where.
    pub client: IpNet,
    /// The model asked for.
    pub model: Option<String>,
}

/// Refusals of the transaction's account: what else holds of them, then the arguments.
macro_rules! query_refused {
    ($condition:literal, $($argument:expr),*) => {
        sqlx::query_as!(
            Refused,
            r#"SELECT id AS "id: RequestId", key_id AS "key_id: KeyId", public_id, refused_at AS at, code, rule,
                      limit_value AS "limit", current_value AS current, client AS "client: IpNet", model
               FROM refusals WHERE account_id = $1 AND "#
                + $condition,
            $($argument),*
        )
    };
}

/// A page of a key's refusals, newest first: those before `before`, or the newest.
pub async fn list(
    tx: &mut TenantTx,
    key: KeyId,
    before: Option<RequestId>,
    most: i64,
) -> sqlx::Result<Vec<Refused>> {
    let account = tx.account();
    query_refused!(
        "key_id = $2 AND ($3::uuid IS NULL OR id < $3) ORDER BY id DESC LIMIT $4",
        account as AccountId,
        key as KeyId,
        before.map(|id| id.0),
        most
    )
    .fetch_all(tx.connection())
    .await
}

/// How often a key was refused with one code, kept or not.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Counted {
    /// The code.
    pub code: String,
    /// How often.
    pub refused: i64,
}

/// How often a key was refused since a moment, by code, to the hour; the most frequent first.
pub async fn list_counts(tx: &mut TenantTx, key: KeyId, since: OffsetDateTime) -> sqlx::Result<Vec<Counted>> {
    let account = tx.account();
    sqlx::query_as!(
        Counted,
        r#"SELECT code, sum(refused)::bigint AS "refused!" FROM refusal_counts
           WHERE account_id = $1 AND key_id = $2 AND hour > $3::timestamptz - interval '1 hour'
           GROUP BY code ORDER BY 2 DESC, code"#,
        account as AccountId,
        key as KeyId,
        since,
    )
    .fetch_all(tx.connection())
    .await
}

/// An admitted request, as its account sees it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Served {
    /// The request.
    pub id: RequestId,
    /// By which key.
    pub key_id: KeyId,
    /// Under which secret.
    pub public_id: String,
    /// When.
    pub at: OffsetDateTime,
    /// The model, whichever of its names the client used.
    pub model: String,
    /// The path template.
    pub route: String,
    /// The HTTP status the client got.
    pub status: i16,
    /// Answered as a stream of events.
    pub streamed: bool,
    /// What it consumed.
    pub usage: TokenUsage,
    /// What that cost.
    pub cost: NanoUsd,
    /// The upstream did not say; the gateway's own counts.
    pub estimated: bool,
    /// Ended before its time.
    pub interrupted: bool,
    /// From where.
    pub client: IpNet,
    /// Until the first byte of the answer, in microseconds.
    pub first_byte_us: Option<i64>,
    /// Until the last, in microseconds.
    pub duration_us: i64,
}

/// What became of a request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Explained {
    /// It was refused.
    Refused(Refused),
    /// It was admitted; how it ended is in its ledger row.
    Served(Served),
}

/// Admitted requests of the transaction's account: what else holds of them, then the arguments.
macro_rules! query_served {
    ($condition:literal, $($argument:expr),*) => {
        sqlx::query_as!(
            ServedRow,
            r#"SELECT id AS "id: RequestId", key_id AS "key_id: KeyId", public_id, started_at, model, route, status,
                      streamed, input_tokens, cached_input_tokens, output_tokens, cost_nano AS "cost: NanoUsd",
                      estimated, interrupted, client AS "client: IpNet", first_byte_us, duration_us
               FROM usage_records WHERE account_id = $1 AND "#
                + $condition,
            $($argument),*
        )
    };
}

/// What became of a request of the transaction's account. `None` where that has no such request: it may be another's,
/// had no known key, is not written down yet, or is too old.
pub async fn explain(tx: &mut TenantTx, id: RequestId) -> sqlx::Result<Option<Explained>> {
    let account = tx.account();
    let refused = query_refused!("id = $2", account as AccountId, id as RequestId)
        .fetch_optional(tx.connection())
        .await?;
    if let Some(refused) = refused {
        return Ok(Some(Explained::Refused(refused)));
    }
    let row = query_served!("id = $2", account as AccountId, id as RequestId);
    Ok(row.fetch_optional(tx.connection()).await?.map(|row| Explained::Served(row.into())))
}

/// A page of a key's admitted requests, newest first: those before `before`, or the newest.
pub async fn list_served(
    tx: &mut TenantTx,
    key: KeyId,
    before: Option<RequestId>,
    most: i64,
) -> sqlx::Result<Vec<Served>> {
    let account = tx.account();
    let rows = query_served!(
        "key_id = $2 AND ($3::uuid IS NULL OR id < $3) ORDER BY id DESC LIMIT $4",
        account as AccountId,
        key as KeyId,
        before.map(|id| id.0),
        most
    );
    Ok(rows.fetch_all(tx.connection()).await?.into_iter().map(Served::from).collect())
}

/// A row of [`query_served`].
struct ServedRow {
    id: RequestId,
    key_id: KeyId,
    public_id: String,
    started_at: OffsetDateTime,
    model: String,
    route: String,
    status: i16,
    streamed: bool,
    input_tokens: i32,
    cached_input_tokens: i32,
    output_tokens: i32,
    cost: NanoUsd,
    estimated: bool,
    interrupted: bool,
    client: IpNet,
    first_byte_us: Option<i64>,
    duration_us: i64,
}

impl From<ServedRow> for Served {
    fn from(row: ServedRow) -> Self {
        // The table's CHECKs keep counts from being negative.
        let tokens = |count: i32| u32::try_from(count).unwrap_or(0);
        Self {
            id: row.id,
            key_id: row.key_id,
            public_id: row.public_id,
            at: row.started_at,
            model: row.model,
            route: row.route,
            status: row.status,
            streamed: row.streamed,
            usage: TokenUsage {
                input: tokens(row.input_tokens),
                cached_input: tokens(row.cached_input_tokens),
                output: tokens(row.output_tokens),
            },
            cost: row.cost,
            estimated: row.estimated,
            interrupted: row.interrupted,
            client: row.client,
            first_byte_us: row.first_byte_us,
            duration_us: row.duration_us,
        }
    }
}

#[cfg(test)]
mod tests;
