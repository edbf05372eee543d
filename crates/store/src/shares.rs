//! How gateways share requests per minute where each counts in its own memory.

use sqlx::PgExecutor;
use time::OffsetDateTime;
use uuid::Uuid;

/// Who shares, as of one look.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Membership {
    /// Rises with every change.
    pub epoch: i64,
    /// The gateways that share, in the order of their ids.
    pub members: Vec<Uuid>,
    /// Those that did before.
    pub previous: Vec<Uuid>,
    /// The shares among `members` count; else everybody goes by the smaller of his two.
    pub settled: bool,
}

/// Says that `gateway` goes by the shares of epoch `enforced`, and asks what it is to go by next. `None` for a gateway
/// that has not signed in yet. One that has not asked for 30 s has no share any more.
pub async fn agree(
    db: impl PgExecutor<'_>,
    gateway: Uuid,
    enforced: i64,
) -> sqlx::Result<Option<Membership>> {
    sqlx::query_as!(
        Membership,
        r#"SELECT epoch AS "epoch!", members AS "members!", previous AS "previous!", settled AS "settled!"
           FROM share_rates($1, $2)"#,
        gateway,
        enforced,
    )
    .fetch_optional(db)
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
