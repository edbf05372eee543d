//! The ledger: settled requests in, and the counters that move with them.

use std::collections::HashSet;
use std::net::IpAddr;

use domain::money::{NanoUsd, Price};
use domain::usage::{TokenUsage, Units};
use domain::{AccountId, GroupId, KeyId, LimitId, RequestId, UserId};
use ipnet::IpNet;
use sqlx::{Connection, PgConnection};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::leases;

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
    if records.is_empty() {
        return Ok(0);
    }
    let mut tx = connection.begin().await?;
    lock_counters(&mut tx, records).await?;
    let new: HashSet<Uuid> = write(&mut tx, records).await?.into_iter().collect();
    let charges: Vec<Charge> =
        records.iter().filter(|r| new.contains(&r.id.0)).flat_map(|r| r.charges.iter().copied()).collect();
    leases::draw(&mut tx, gateway, &charges).await?;
    tx.commit().await?;
    Ok(new.len())
}

/// Locks the counters in one order, so that two gateways that settle the same keys cannot lock each other out.
async fn lock_counters(connection: &mut PgConnection, records: &[UsageRecord]) -> sqlx::Result<()> {
    let keys: Vec<Uuid> = records.iter().map(|record| record.key_id.0).collect();
    sqlx::query!("SELECT key_id FROM key_stats WHERE key_id = ANY($1) ORDER BY key_id FOR UPDATE", &keys)
        .fetch_all(connection)
        .await
        .map(|_| ())
}

/// The ids of the rows that were new.
async fn write(connection: &mut PgConnection, records: &[UsageRecord]) -> sqlx::Result<Vec<Uuid>> {
    fn column<T>(records: &[UsageRecord], value: impl Fn(&UsageRecord) -> T) -> Vec<T> {
        records.iter().map(value).collect()
    }
    // The API bounds counts to u32 and status to u16; the columns are integer and smallint.
    let count = |count: u32| i32::try_from(count).unwrap_or(i32::MAX);
    sqlx::query_scalar!(
        r#"WITH new AS (
               INSERT INTO usage_records (id, account_id, key_id, public_id, group_id, environment, created_by, model,
                   route, status, streamed, input_tokens, cached_input_tokens, output_tokens, cost_nano, input_price,
                   cached_input_price, output_price, estimated, interrupted, client, started_at, first_byte_us,
                   duration_us, images, audio_ms, price_per_image, price_per_second, price_per_call)
               SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::text[], $5::uuid[], $6::text[],
                   $7::uuid[], $8::text[], $9::text[], $10::smallint[], $11::bool[], $12::int[], $13::int[],
                   $14::int[], $15::bigint[], $16::bigint[], $17::bigint[], $18::bigint[], $19::bool[], $20::bool[],
                   $21::inet[], $22::timestamptz[], $23::bigint[], $24::bigint[],
                   $25::int[], $26::int[], $27::bigint[], $28::bigint[], $29::bigint[])
               ON CONFLICT (id) DO NOTHING
               RETURNING id, key_id, input_tokens, cached_input_tokens, output_tokens, cost_nano, client, started_at
           ), sums AS (
               SELECT key_id, count(*) AS requests, sum(input_tokens) AS input_tokens,
                      sum(cached_input_tokens) AS cached_input_tokens, sum(output_tokens) AS output_tokens,
                      sum(cost_nano)::bigint AS cost_nano, max(started_at) AS last_used_at,
                      (array_agg(client ORDER BY started_at DESC))[1] AS last_address
               FROM new GROUP BY key_id
           ), moved AS (
               UPDATE key_stats s
               SET requests = s.requests + sums.requests,
                   input_tokens = s.input_tokens + sums.input_tokens,
                   cached_input_tokens = s.cached_input_tokens + sums.cached_input_tokens,
                   output_tokens = s.output_tokens + sums.output_tokens,
                   cost_nano = s.cost_nano + sums.cost_nano,
                   last_address = CASE WHEN s.last_used_at > sums.last_used_at THEN s.last_address
                                       ELSE sums.last_address END,
                   last_used_at = greatest(s.last_used_at, sums.last_used_at)
               FROM sums WHERE s.key_id = sums.key_id
           )
           SELECT id AS "id!" FROM new"#,
        &column(records, |r| r.id.0),
        &column(records, |r| r.account_id.0),
        &column(records, |r| r.key_id.0),
        &column(records, |r| r.public_id.clone()),
        &column(records, |r| r.group_id.0),
        &column(records, |r| r.environment.clone()) as &[Option<String>],
        &column(records, |r| r.created_by.0),
        &column(records, |r| r.model.clone()),
        &column(records, |r| r.route.clone()),
        &column(records, |r| i16::try_from(r.status).unwrap_or(i16::MAX)),
        &column(records, |r| r.streamed),
        &column(records, |r| count(r.usage.input)),
        &column(records, |r| count(r.usage.cached_input)),
        &column(records, |r| count(r.usage.output)),
        &column(records, |r| r.cost.0),
        &column(records, |r| r.price.input),
        &column(records, |r| r.price.cached_input),
        &column(records, |r| r.price.output),
        &column(records, |r| r.estimated),
        &column(records, |r| r.interrupted),
        &column(records, |r| IpNet::from(r.client.to_canonical())) as &[IpNet],
        &column(records, |r| r.started_at),
        &column(records, |r| r.first_byte_us) as &[Option<i64>],
        &column(records, |r| r.duration_us),
        &column(records, |r| r.units.images.map(count)) as &[Option<i32>],
        &column(records, |r| r.units.audio_ms.map(count)) as &[Option<i32>],
        &column(records, |r| r.price_per_image) as &[Option<i64>],
        &column(records, |r| r.price_per_second) as &[Option<i64>],
        &column(records, |r| r.price_per_call) as &[Option<i64>],
    )
    .fetch_all(connection)
    .await
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

    #[sqlx::test(migrator = "crate::MIGRATOR")]
    async fn the_gateway_cannot_change_what_is_booked(pool: PgPool) {
        let gateway = as_role(&pool, "latchkey_gateway").await.unwrap();
        let refused =
            sqlx::query!("UPDATE usage_records SET cost_nano = 0").execute(&gateway).await.unwrap_err();
        assert!(refused.to_string().contains("permission denied"), "{refused}");
    }
}
