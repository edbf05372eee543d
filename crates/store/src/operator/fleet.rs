//! The gateways, what they report of themselves and what they hold.

use sqlx::PgExecutor;
use time::OffsetDateTime;
use uuid::Uuid;

use super::OperatorTx;

/// A gateway that the database knows.
#[derive(Clone, Debug)]
pub struct Gateway {
    /// Its id.
    pub id: Uuid,
    /// What the operator calls it.
    pub name: String,
    /// Where it listens; empty is unknown.
    pub address: String,
    /// The version it enforces.
    pub policy_version: i64,
    /// When it was started.
    pub started_at: OffsetDateTime,
    /// When it was last heard.
    pub heard_at: OffsetDateTime,
    /// How long ago that is, in seconds.
    pub unheard_seconds: i64,
    /// When it stopped in order, if it did.
    pub stopped_at: Option<OffsetDateTime>,
    /// Requests of its spool that the ledger does not have.
    pub spool_waiting: Option<i64>,
    /// The spool's files, in bytes.
    pub spool_bytes: Option<i64>,
    /// When the oldest request began that is over and waits there.
    pub spool_oldest: Option<OffsetDateTime>,
    /// Providers it asks last, since they failed.
    pub upstreams_resting: Vec<Uuid>,
    /// Providers it cannot use as they are set up.
    pub upstreams_unusable: Vec<Uuid>,
    /// The database's time.
    pub now: OffsetDateTime,
}

/// Every gateway of the last 30 days, by name.
pub async fn list(db: impl PgExecutor<'_>) -> sqlx::Result<Vec<Gateway>> {
    sqlx::query_as!(
        Gateway,
        r#"SELECT id, name, address, policy_version, started_at, heard_at, stopped_at, spool_waiting, spool_bytes,
                  spool_oldest, upstreams_resting, upstreams_unusable, clock_timestamp() AS "now!",
                  greatest(floor(extract(epoch FROM clock_timestamp() - heard_at)), 0)::bigint AS "unheard_seconds!"
           FROM gateways ORDER BY name, id"#
    )
    .fetch_all(db)
    .await
}

/// What a gateway holds of the limits of one measure.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Held {
    /// The gateway.
    pub gateway: Uuid,
    /// `cost` or `tokens`.
    pub measure: String,
    /// How many leases that is.
    pub leases: i64,
    /// Nano-dollars or tokens.
    pub amount: i64,
}

/// What each gateway holds, of all accounts.
pub async fn list_held(tx: &mut OperatorTx) -> sqlx::Result<Vec<Held>> {
    sqlx::query_as!(
        Held,
        r#"SELECT gateway_id AS "gateway!", measure AS "measure!", leases AS "leases!", amount AS "amount!"
           FROM list_held_leases() ORDER BY gateway_id, measure"#
    )
    .fetch_all(tx.connection())
    .await
}

/// What became of a release.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Released {
    /// So many limits have got something back.
    Limits(i64),
    /// The gateway was heard a moment ago: what it holds, it uses.
    Heard,
}

/// The most limits that one release takes: its transaction keeps their windows locked.
pub const RELEASED_AT_ONCE: i64 = 200;

/// Releases what a silent gateway holds, of whichever account: of [`RELEASED_AT_ONCE`] limits at most, so after as many
/// there may be more.
pub async fn release(tx: &mut OperatorTx, gateway: Uuid) -> sqlx::Result<Released> {
    let released =
        sqlx::query_scalar!("SELECT release_gateway($1)", gateway).fetch_one(tx.connection()).await?;
    Ok(released.map_or(Released::Heard, Released::Limits))
}
