//! The ledger: settled requests in, and the counters that move with them.

mod write;

use std::net::IpAddr;

use domain::money::{NanoUsd, Price};
use domain::usage::{TokenUsage, Units};
use domain::{AccountId, GroupId, KeyId, LimitId, RequestId, UserId};
use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use self::write::Repeats;

/// One admitted request, settled. Holds neither prompt nor answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UsageRecord {
    /// The request, and the row's key: settling it twice counts it once.
    pub id: RequestId,
    /// Whose.
    pub account_id: AccountId,
    /// By which key.
    pub key_id: KeyId,
    /// Under which secret.
    pub public_id: String,
    /// The key's group then.
    pub group_id: GroupId,
    /// The key's environment then.
    pub environment: Option<String>,
    /// Who made the key.
    pub created_by: UserId,
    /// The model, whichever of its names the client used.
    pub model: String,
    /// The path template.
    pub route: String,
    /// The HTTP status the client got.
    pub status: u16,
    /// Answered as a stream of events.
    pub streamed: bool,
    /// What it consumed.
    pub usage: TokenUsage,
    /// What was counted beside tokens.
    pub units: Units,
    /// What that cost.
    pub cost: NanoUsd,
    /// At which price of tokens.
    pub price: Price,
    /// At which price of a picture, in nano-dollars, where there is one.
    pub price_per_image: Option<i64>,
    /// At which price of a second of sound, in nano-dollars, where there is one.
    pub price_per_second: Option<i64>,
    /// The price of the call in nano-dollars, on a route of the operator's own.
    pub price_per_call: Option<i64>,
    /// The upstream did not say; the gateway's own counts.
    pub estimated: bool,
    /// Ended before its time.
    pub interrupted: bool,
    /// From where.
    pub client: IpAddr,
    /// When.
    pub started_at: OffsetDateTime,
    /// Until the first byte of the answer, in microseconds.
    pub first_byte_us: Option<i64>,
    /// Until the last, in microseconds.
    pub duration_us: i64,
    /// The limits it counts towards.
    pub charges: Vec<Charge>,
}

/// What a request takes of one limit's window.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Charge {
    /// The limit.
    pub limit: LimitId,
    /// The window the reservation was made in.
    pub starts_at: OffsetDateTime,
    /// The epoch of the lease it was taken from.
    pub epoch: i64,
    /// Nano-dollars or tokens; as consumed, whatever was reserved.
    pub amount: i64,
}

/// Writes a batch of `gateway` in one transaction: ledger rows, and the counters, limits and leases of the rows that
/// were really new. Safe to repeat. Returns how many were new.
pub async fn settle(
    connection: &mut PgConnection,
    gateway: Uuid,
    records: &[UsageRecord],
) -> sqlx::Result<usize> {
    // In the order of the ledger's key: who repeats a batch that is still being committed waits for it and cannot be
    // waited for.
    let mut records: Vec<&UsageRecord> = records.iter().collect();
    records.sort_unstable_by_key(|record| record.id.0);
    records.dedup_by_key(|record| record.id.0);
    if records.is_empty() {
        return Ok(0);
    }
    // Nearly all batches are new as a whole, and to look for what the ledger has costs as much as to write it.
    match write::settle(connection, gateway, &records, Repeats::None).await {
        Err(error) if is_repeated(&error) => {
            write::settle(connection, gateway, &records, Repeats::Some).await
        }
        settled => settled,
    }
}

/// Whether the ledger has one of the rows.
fn is_repeated(error: &sqlx::Error) -> bool {
    error.as_database_error().is_some_and(sqlx::error::DatabaseError::is_unique_violation)
}

/// Makes the ledger's partitions for last month to three months ahead. At start and once a day.
pub async fn ensure_partitions(db: impl sqlx::PgExecutor<'_>) -> sqlx::Result<()> {
    sqlx::query!("SELECT ensure_usage_partitions(3)").execute(db).await.map(|_| ())
}

#[cfg(test)]
pub(crate) mod tests {
    use sqlx::PgPool;

    use super::*;
    use crate::accounts::tests::{TestAccount, account};
    use crate::connect::as_role;
    use crate::{TenantTx, keys};

    pub(crate) fn record(account: TestAccount, key: KeyId) -> UsageRecord {
        UsageRecord {
            id: RequestId(crate::new_id()),
            account_id: account.id,
            key_id: key,
            public_id: "public".to_owned(),
            group_id: account.group,
            environment: None,
            created_by: account.owner,
            model: "gpt-4o-mini".to_owned(),
            route: "/v1/chat/completions".to_owned(),
            status: 200,
            streamed: false,
            usage: TokenUsage { input: 10, cached_input: 4, output: 5 },
            units: Units { images: Some(2), audio_ms: None },
            cost: NanoUsd(1_234),
            price: Price { input: 1, cached_input: 1, output: 1 },
            price_per_image: Some(40_000_000),
            price_per_second: None,
            price_per_call: None,
            estimated: false,
            interrupted: false,
            client: "203.0.113.9".parse().unwrap(),
            started_at: time::macros::datetime!(2026-11-21 12:00 UTC),
            first_byte_us: Some(5),
            duration_us: 9,
            charges: Vec::new(),
        }
    }

    #[sqlx::test(migrator = "crate::MIGRATOR")]
    async fn a_batch_settled_twice_counts_once(pool: PgPool) {
        let acme = account(&pool, "acme").await;
        let console = as_role(&pool, "latchkey_console").await.unwrap();
        let gateway = as_role(&pool, "latchkey_gateway").await.unwrap();
        let (key, _) = keys::tests::make_key(&console, acme, "one", 1).await.unwrap();
        ensure_partitions(&gateway).await.unwrap();
        let batch = [record(acme, key), record(acme, key), record(acme, key)];
        let mut connection = gateway.acquire().await.unwrap();
        assert_eq!(settle(&mut connection, Uuid::nil(), &batch).await.unwrap(), 3);
        assert_eq!(settle(&mut connection, Uuid::nil(), &batch[..2]).await.unwrap(), 0);
        let more = [record(acme, key), batch[0].clone()];
        assert_eq!(settle(&mut connection, Uuid::nil(), &more).await.unwrap(), 1);

        let mut tx = TenantTx::begin(&console, acme.id).await.unwrap();
        let shown = keys::find(&mut tx, key).await.unwrap().unwrap();
        assert_eq!((shown.requests, shown.cost), (4, NanoUsd(4 * 1_234)));
        assert_eq!(shown.last_used_at, Some(batch[0].started_at));
        // What was sent earlier and comes later is not the last use.
        let at = |hours, client: &str| UsageRecord {
            client: client.parse().unwrap(),
            started_at: batch[0].started_at + time::Duration::hours(hours),
            ..record(acme, key)
        };
        let [late, next] = [at(-1, "198.51.100.1"), at(1, "2001:db8::1")];
        let last_used = async || {
            sqlx::query!("SELECT last_used_at, host(last_address) AS address FROM key_stats")
                .fetch_one(&pool)
                .await
                .map(|row| (row.last_used_at, row.address.unwrap_or_default()))
                .unwrap()
        };
        assert_eq!(last_used().await, (Some(batch[0].started_at), "203.0.113.9".to_owned()));
        settle(&mut connection, Uuid::nil(), &[late]).await.unwrap();
        assert_eq!(last_used().await, (Some(batch[0].started_at), "203.0.113.9".to_owned()));
        settle(&mut connection, Uuid::nil(), std::slice::from_ref(&next)).await.unwrap();
        assert_eq!(last_used().await, (Some(next.started_at), "2001:db8::1".to_owned()));
        let ledger = sqlx::query!("SELECT count(*) AS n, sum(cost_nano)::bigint AS cost FROM usage_records")
            .fetch_one(&pool)
            .await
            .unwrap();
        assert_eq!((ledger.n, ledger.cost), (Some(6), Some(6 * 1_234)));
        let unit = sqlx::query!(
            "SELECT images, audio_ms, price_per_image, price_per_second FROM usage_records LIMIT 1"
        )
        .fetch_one(&pool)
        .await
        .unwrap();
        assert_eq!((unit.images, unit.audio_ms), (Some(2), None));
        assert_eq!((unit.price_per_image, unit.price_per_second), (Some(40_000_000), None));
    }

    /// The answer to a COMMIT was lost, and the batch is written again while the first try is still at it.
    #[sqlx::test(migrator = "crate::MIGRATOR")]
    async fn a_batch_settled_twice_at_once_counts_once(pool: PgPool) {
        let acme = account(&pool, "acme").await;
        let console = as_role(&pool, "latchkey_console").await.unwrap();
        let gateway = as_role(&pool, "latchkey_gateway").await.unwrap();
        let (key, _) = keys::tests::make_key(&console, acme, "one", 1).await.unwrap();
        ensure_partitions(&gateway).await.unwrap();
        let batch = [record(acme, key), record(acme, key)];
        let backwards = [batch[1].clone(), record(acme, key), batch[0].clone(), batch[1].clone()];
        let mut first = gateway.begin().await.unwrap();
        assert_eq!(settle(&mut first, Uuid::nil(), &batch).await.unwrap(), 2);
        let again = async {
            let mut connection = gateway.acquire().await.unwrap();
            settle(&mut connection, Uuid::nil(), &backwards).await.unwrap()
        };
        let commit = async {
            let is_waited_for = || {
                sqlx::query_scalar::<_, bool>(
                    "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND locktype = 'transactionid' AND pid IN
                         (SELECT pid FROM pg_stat_activity WHERE datname = current_database()))",
                )
                .fetch_one(&pool)
            };
            while !is_waited_for().await.unwrap() {}
            first.commit().await.unwrap();
        };
        let (new, ()) = futures_util::future::join(again, commit).await;
        assert_eq!(new, 1);
        let mut tx = TenantTx::begin(&console, acme.id).await.unwrap();
        let shown = keys::find(&mut tx, key).await.unwrap().unwrap();
        assert_eq!((shown.requests, shown.cost), (3, NanoUsd(3 * 1_234)));
    }

    #[sqlx::test(migrator = "crate::MIGRATOR")]
    async fn the_gateway_cannot_change_what_is_booked(pool: PgPool) {
        let gateway = as_role(&pool, "latchkey_gateway").await.unwrap();
        let refused =
            sqlx::query!("UPDATE usage_records SET cost_nano = 0").execute(&gateway).await.unwrap_err();
        assert!(refused.to_string().contains("permission denied"), "{refused}");
    }
}
