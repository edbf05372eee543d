//! Providers as the operator sets them up.

use sqlx::PgExecutor;
use uuid::Uuid;

use super::OperatorTx;

/// A provider as it is set up, in use or not.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Upstream {
    /// Its id.
    pub id: Uuid,
    /// Everything else.
    pub setup: Setup,
    /// The version of the row; an edit names the one it was based on.
    pub row_version: i64,
    /// The models that go there, by name.
    pub models: Vec<String>,
    /// The operator's own routes that go there and are served: `GET /v1/characters/{id}`.
    pub routes: Vec<String>,
}

/// What of a provider can be changed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Setup {
    /// What the operator calls it.
    pub name: String,
    /// OpenAI-compatible base URL.
    pub base_url: String,
    /// The variable that holds its key. Never the key.
    pub secret_name: String,
    /// How long it may take to begin an answer, in seconds.
    pub answer_seconds: u32,
    /// Whether gateways use it.
    pub enabled: bool,
}

/// Why a provider was not saved.
#[derive(Debug, thiserror::Error)]
pub enum SaveUpstreamError {
    /// Another one is called so.
    #[error("the name is taken")]
    NameTaken,
    /// There is no such provider, or it was changed since the version the edit was based on.
    #[error("the upstream was changed meanwhile")]
    Stale,
    /// The database failed.
    #[error(transparent)]
    Store(sqlx::Error),
}

impl From<sqlx::Error> for SaveUpstreamError {
    fn from(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::Database(db) if db.constraint() == Some("upstreams_name_key") => Self::NameTaken,
            _ => Self::Store(error),
        }
    }
}

/// Every provider, by name.
pub async fn list(db: impl PgExecutor<'_>) -> sqlx::Result<Vec<Upstream>> {
    read(db, None).await
}

/// One provider.
pub async fn find(db: impl PgExecutor<'_>, id: Uuid) -> sqlx::Result<Option<Upstream>> {
    Ok(read(db, Some(id)).await?.pop())
}

async fn read(db: impl PgExecutor<'_>, only: Option<Uuid>) -> sqlx::Result<Vec<Upstream>> {
    let rows = sqlx::query!(
        r#"SELECT u.id, u.name, u.base_url, u.secret_name, u.answer_seconds, u.enabled, u.row_version,
                  ARRAY(SELECT model_id FROM model_upstreams WHERE upstream_id = u.id ORDER BY model_id) AS "models!",
                  ARRAY(SELECT r.method || ' ' || r.path FROM own_routes r
                        JOIN own_permissions p ON p.name = r.permission AND p.enabled
                        WHERE r.upstream_id = u.id ORDER BY r.path, r.method) AS "routes!"
           FROM upstreams u WHERE $1::uuid IS NULL OR u.id = $1 ORDER BY u.name"#,
        only,
    )
    .fetch_all(db)
    .await?;
    let upstream = rows.into_iter().map(|row| Upstream {
        id: row.id,
        row_version: row.row_version,
        models: row.models,
        routes: row.routes,
        setup: Setup {
            name: row.name,
            base_url: row.base_url,
            secret_name: row.secret_name,
            // The table's CHECK keeps it above zero.
            answer_seconds: u32::try_from(row.answer_seconds).unwrap_or(1),
            enabled: row.enabled,
        },
    });
    Ok(upstream.collect())
}

/// Adds a provider.
pub async fn insert(tx: &mut OperatorTx, id: Uuid, setup: &Setup) -> Result<(), SaveUpstreamError> {
    sqlx::query!(
        "INSERT INTO upstreams (id, name, base_url, secret_name, answer_seconds, enabled)
         VALUES ($1, $2, $3, $4, $5, $6)",
        id,
        setup.name,
        setup.base_url,
        setup.secret_name,
        i32::try_from(setup.answer_seconds).unwrap_or(i32::MAX),
        setup.enabled,
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Changes a provider that is still at version `seen`.
pub async fn update(
    tx: &mut OperatorTx,
    id: Uuid,
    setup: &Setup,
    seen: i64,
) -> Result<(), SaveUpstreamError> {
    let changed = sqlx::query!(
        "UPDATE upstreams SET name = $2, base_url = $3, secret_name = $4, answer_seconds = $5, enabled = $6
         WHERE id = $1 AND row_version = $7",
        id,
        setup.name,
        setup.base_url,
        setup.secret_name,
        i32::try_from(setup.answer_seconds).unwrap_or(i32::MAX),
        setup.enabled,
        seen,
    )
    .execute(tx.connection())
    .await?;
    if changed.rows_affected() == 0 { Err(SaveUpstreamError::Stale) } else { Ok(()) }
}
