//! Gateways and the policy version each enforces: what a receipt is made of.

use sqlx::PgExecutor;
use time::OffsetDateTime;
use uuid::Uuid;

/// The channel on which a gateway says that it enforces a new version. A hint, never the truth.
pub const CHANNEL: &str = "latchkey_enforced";

/// Writes down which version a gateway enforces, and that it lives; announces it on [`CHANNEL`].
pub async fn acknowledge(
    db: impl PgExecutor<'_>,
    gateway: Uuid,
    name: &str,
    version: i64,
) -> sqlx::Result<()> {
    sqlx::query!(
        r#"WITH written AS (
               INSERT INTO gateways (id, name, policy_version) VALUES ($1, $2, $3)
               ON CONFLICT (id) DO UPDATE SET policy_version = excluded.policy_version, name = excluded.name,
                   heard_at = now(), stopped_at = NULL
               RETURNING policy_version
           )
           SELECT pg_notify('latchkey_enforced', policy_version::text) AS "notified: ()" FROM written"#,
        gateway,
        name,
        version,
    )
    .fetch_one(db)
    .await
    .map(|_| ())
}

/// What a gateway says of itself with each beat.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Report {
    /// Where it listens.
    pub address: String,
    /// When it was started.
    pub started_at: Option<OffsetDateTime>,
    /// Requests of its spool that the ledger does not have.
    pub spool_waiting: i64,
    /// The spool's files, in bytes.
    pub spool_bytes: i64,
    /// When the oldest request began that is over and waits there.
    pub spool_oldest: Option<OffsetDateTime>,
    /// Providers it asks last, since they failed.
    pub upstreams_resting: Vec<Uuid>,
    /// Providers it cannot use as they are set up.
    pub upstreams_unusable: Vec<Uuid>,
}

/// Writes down that a gateway lives and still enforces `version`, without announcing it, and what it reports.
pub async fn beat(db: impl PgExecutor<'_>, gateway: Uuid, version: i64, report: &Report) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE gateways SET heard_at = now(), policy_version = $2, address = $3,
                started_at = coalesce($4, started_at), spool_waiting = $5, spool_bytes = $6, spool_oldest = $7,
                upstreams_resting = $8, upstreams_unusable = $9
         WHERE id = $1",
        gateway,
        version,
        report.address,
        report.started_at,
        report.spool_waiting,
        report.spool_bytes,
        report.spool_oldest,
        &report.upstreams_resting,
        &report.upstreams_unusable,
    )
    .execute(db)
    .await
    .map(|_| ())
}

/// How often an owner has released leases of a gateway: when it rises, some of those it believes to hold are gone. 0 for
/// a gateway that has not signed in.
pub async fn find_fence(db: impl PgExecutor<'_>, gateway: Uuid) -> sqlx::Result<i64> {
    let fence =
        sqlx::query_scalar!("SELECT fence FROM gateways WHERE id = $1", gateway).fetch_optional(db).await?;
    Ok(fence.unwrap_or(0))
}

/// Writes down an orderly stop: nobody waits for this gateway any more.
pub async fn stop(db: impl PgExecutor<'_>, gateway: Uuid) -> sqlx::Result<()> {
    sqlx::query!("UPDATE gateways SET stopped_at = now() WHERE id = $1", gateway)
        .execute(db)
        .await
        .map(|_| ())
}

/// A gateway that may be serving requests.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LiveGateway {
    /// What the operator calls it.
    pub name: String,
    /// The version it enforces.
    pub policy_version: i64,
    /// When it was last heard.
    pub heard_at: OffsetDateTime,
    /// How long ago that is, in seconds.
    pub unheard_seconds: i64,
}

/// Gateways heard within the last `seconds` and not stopped. One that is silent for 30 s refuses by itself.
pub async fn list_live(db: impl PgExecutor<'_>, seconds: i32) -> sqlx::Result<Vec<LiveGateway>> {
    sqlx::query_as!(
        LiveGateway,
        r#"SELECT name, policy_version, heard_at,
                  floor(extract(epoch FROM clock_timestamp() - heard_at))::bigint AS "unheard_seconds!"
           FROM gateways
           WHERE stopped_at IS NULL AND heard_at > clock_timestamp() - make_interval(secs => $1)
           ORDER BY name"#,
        f64::from(seconds),
    )
    .fetch_all(db)
    .await
}
