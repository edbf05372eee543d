//! How gateways keep to requests per minute together: each to his share, or all by one Redis.

use sqlx::PgExecutor;
use time::OffsetDateTime;
use uuid::Uuid;

/// Who counts, and how, as of one look.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Membership {
    /// Rises with every change of the rule.
    pub epoch: i64,
    /// The gateways that share, in the order of their ids.
    pub members: Vec<Uuid>,
    /// Those that did before.
    pub previous: Vec<Uuid>,
    /// The Redis that counts; `None` where each goes by his share.
    pub redis: Option<String>,
    /// The one that did before.
    pub previous_redis: Option<String>,
    /// The new rule counts; else everybody keeps to the old one and the new one.
    pub settled: bool,
    /// After a Redis was lost: what everybody had admitted by it is known ([`list_told`]).
    pub told: bool,
    /// Another gateway has a share that counts, and was heard within 5 s.
    pub others_serve: bool,
}

impl Membership {
    /// Whether a Redis has just been lost, and this gateway is to say what it has admitted.
    pub fn wants_counts(&self) -> bool {
        !self.settled && !self.told && self.redis.is_none() && self.previous_redis.is_some()
    }
}

/// Says that `gateway` goes by the rule of epoch `enforced` and sees the Redis `sees`, and asks what it is to go by next.
/// `None` for a gateway that has not signed in yet. One that has not asked for 30 s may admit nothing any more.
pub async fn agree(
    db: impl PgExecutor<'_>,
    gateway: Uuid,
    enforced: i64,
    sees: Option<&str>,
) -> sqlx::Result<Option<Membership>> {
    sqlx::query_as!(
        Membership,
        r#"SELECT epoch AS "epoch!", members AS "members!", previous AS "previous!", redis, previous_redis,
                  settled AS "settled!", told AS "told!", others_serve AS "others_serve!"
           FROM share_rates($1, $2, $3)"#,
        gateway,
        enforced,
        sees,
    )
    .fetch_optional(db)
    .await
}

/// How much of one key's limit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Count {
    /// The key.
    pub key: domain::KeyId,
    /// Requests.
    pub admitted: i64,
}

/// Writes down what `gateway` had admitted within the last minute when it began to go by `epoch`. Once said it stays:
/// saying it again, after a restart, adds only keys that were not named.
pub async fn tell(
    db: impl PgExecutor<'_>,
    gateway: Uuid,
    epoch: i64,
    counts: &[(domain::KeyId, u32)],
) -> sqlx::Result<()> {
    let keys: Vec<Uuid> = counts.iter().map(|(key, _)| key.0).collect();
    let admitted: Vec<i32> =
        counts.iter().map(|(_, count)| i32::try_from(*count).unwrap_or(i32::MAX)).collect();
    sqlx::query!(
        "WITH older AS (DELETE FROM rate_counts WHERE epoch < $1)
         INSERT INTO rate_counts (epoch, gateway, key_id, admitted)
         SELECT $1, $2, * FROM unnest($3::uuid[], $4::integer[])
         ON CONFLICT DO NOTHING",
        epoch,
        gateway,
        &keys,
        &admitted,
    )
    .execute(db)
    .await
    .map(|_| ())
}

/// What all gateways together had admitted when they began to go by `epoch`.
pub async fn list_told(db: impl PgExecutor<'_>, epoch: i64) -> sqlx::Result<Vec<Count>> {
    sqlx::query_as!(
        Count,
        r#"SELECT key_id AS "key: domain::KeyId", sum(admitted)::bigint AS "admitted!"
           FROM rate_counts WHERE epoch = $1 GROUP BY key_id"#,
        epoch,
    )
    .fetch_all(db)
    .await
}

/// Requests of one key that were admitted in one second.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Admitted {
    /// The key.
    pub key: domain::KeyId,
    /// When, in seconds since 1970.
    pub second: i64,
    /// How many.
    pub count: i64,
}

/// What the ledger knows of the keys with a limit of requests per minute, from `since` on and oldest first: what a
/// gateway counts anew with after a restart.
pub async fn list_admitted(db: impl PgExecutor<'_>, since: OffsetDateTime) -> sqlx::Result<Vec<Admitted>> {
    sqlx::query_as!(
        Admitted,
        r#"SELECT u.key_id AS "key: domain::KeyId", floor(extract(epoch FROM u.started_at))::bigint AS "second!",
                  count(*) AS "count!"
           FROM usage_records u JOIN api_keys k ON k.id = u.key_id
           -- An id is as old as its request's head; the body may have taken its five minutes.
           WHERE u.id >= uuid_floor($1::timestamptz - interval '6 min') AND u.started_at >= $1::timestamptz
                 AND k.requests_per_minute IS NOT NULL
           GROUP BY 1, 2 ORDER BY 2"#,
        since,
    )
    .fetch_all(db)
    .await
}

#[cfg(test)]
mod tests;
