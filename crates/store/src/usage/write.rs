//! A batch of ledger rows in one transaction, with everything that moves with them.

use std::collections::{BTreeMap, HashSet};
use std::net::IpAddr;

use domain::KeyId;
use ipnet::IpNet;
use sqlx::{Connection, PgConnection};
use time::OffsetDateTime;
use uuid::Uuid;

use super::UsageRecord;
use crate::leases;

/// Whether the ledger may have some of a batch.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Repeats {
    /// No: the batch fails if it does.
    None,
    /// Yes: those rows are left alone and move nothing.
    Some,
}

/// Writes `records`, which are in the order of their ids; says how many were new.
pub(super) async fn settle(
    connection: &mut PgConnection,
    gateway: Uuid,
    records: &[&UsageRecord],
    repeats: Repeats,
) -> sqlx::Result<usize> {
    let mut tx = connection.begin().await?;
    let new = match repeats {
        Repeats::None => {
            insert(&mut tx, records).await?;
            records.to_vec()
        }
        Repeats::Some => {
            let new: HashSet<Uuid> = insert_new(&mut tx, records).await?.into_iter().collect();
            records.iter().copied().filter(|record| new.contains(&record.id.0)).collect()
        }
    };
    count(&mut tx, &new).await?;
    leases::draw(&mut tx, gateway, new.iter().flat_map(|record| record.charges.iter().copied())).await?;
    tx.commit().await?;
    Ok(new.len())
}

/// Inserts rows into the ledger: the macro, the rows, the statement's end.
macro_rules! query_insert {
    ($query:ident, $records:ident, $tail:literal) => {{
        fn column<T>(records: &[&UsageRecord], value: impl Fn(&UsageRecord) -> T) -> Vec<T> {
            records.iter().map(|record| value(record)).collect()
        }
        // The API bounds counts to u32 and status to u16; the columns are integer and smallint.
        let count = |count: u32| i32::try_from(count).unwrap_or(i32::MAX);
        let records = $records;
        sqlx::$query!(
            r#"INSERT INTO usage_records (id, account_id, key_id, public_id, group_id, environment, created_by, model,
                   route, status, streamed, input_tokens, cached_input_tokens, output_tokens, cost_nano, input_price,
                   cached_input_price, output_price, estimated, interrupted, client, started_at, first_byte_us,
                   duration_us, images, audio_ms, price_per_image, price_per_second, price_per_call)
               SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::text[], $5::uuid[], $6::text[],
                   $7::uuid[], $8::text[], $9::text[], $10::smallint[], $11::bool[], $12::int[], $13::int[],
                   $14::int[], $15::bigint[], $16::bigint[], $17::bigint[], $18::bigint[], $19::bool[], $20::bool[],
                   $21::inet[], $22::timestamptz[], $23::bigint[], $24::bigint[],
                   $25::int[], $26::int[], $27::bigint[], $28::bigint[], $29::bigint[]) "#
                + $tail,
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
    }};
}

/// Rows that the ledger does not have.
async fn insert(connection: &mut PgConnection, records: &[&UsageRecord]) -> sqlx::Result<()> {
    query_insert!(query, records, "").execute(connection).await.map(|_| ())
}

/// Those rows that the ledger does not have; gives their ids.
async fn insert_new(connection: &mut PgConnection, records: &[&UsageRecord]) -> sqlx::Result<Vec<Uuid>> {
    query_insert!(query_scalar, records, "ON CONFLICT (id) DO NOTHING RETURNING id")
        .fetch_all(connection)
        .await
}

/// What a batch adds to one key's counters.
#[derive(Default)]
struct Sums {
    requests: i64,
    input: i64,
    cached_input: i64,
    output: i64,
    cost: i64,
    /// The last use.
    last: Option<(OffsetDateTime, IpAddr)>,
}

impl Sums {
    fn add(&mut self, record: &UsageRecord) {
        self.requests += 1;
        self.input += i64::from(record.usage.input);
        self.cached_input += i64::from(record.usage.cached_input);
        self.output += i64::from(record.usage.output);
        self.cost = self.cost.saturating_add(record.cost.0);
        if self.last.is_none_or(|(at, _)| at < record.started_at) {
            self.last = Some((record.started_at, record.client));
        }
    }
}

/// Moves the counters of the keys of new rows.
async fn count(connection: &mut PgConnection, records: &[&UsageRecord]) -> sqlx::Result<()> {
    fn column<T>(keys: &BTreeMap<KeyId, Sums>, value: impl Fn(&Sums) -> T) -> Vec<T> {
        keys.values().map(value).collect()
    }
    let mut keys = BTreeMap::<KeyId, Sums>::new();
    for record in records {
        keys.entry(record.key_id).or_default().add(record);
    }
    if keys.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "SELECT FROM count_usage($1, $2, $3, $4, $5, $6, $7, $8)",
        &keys.keys().map(|key| key.0).collect::<Vec<_>>(),
        &column(&keys, |sums| sums.requests),
        &column(&keys, |sums| sums.input),
        &column(&keys, |sums| sums.cached_input),
        &column(&keys, |sums| sums.output),
        &column(&keys, |sums| sums.cost),
        &column(&keys, |sums| sums.last.map(|(at, _)| at)) as &[Option<OffsetDateTime>],
        &column(&keys, |sums| sums.last.map(|(_, client)| IpNet::from(client.to_canonical())))
            as &[Option<IpNet>],
    )
    .execute(connection)
    .await
    .map(|_| ())
}
