//! The model providers.

use sqlx::PgExecutor;
use uuid::Uuid;

/// A provider as the operator has set it up. Its key is not here: only the name it goes by in the gateway's
/// environment is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Upstream {
    /// Its id.
    pub id: Uuid,
    /// What the operator calls it.
    pub name: String,
    /// OpenAI-compatible base URL.
    pub base_url: String,
    /// The variable that holds its key.
    pub secret_name: String,
    /// How long it may take to begin an answer, in seconds.
    pub answer_seconds: u32,
}

/// Every enabled provider, by name.
pub async fn list(db: impl PgExecutor<'_>) -> sqlx::Result<Vec<Upstream>> {
    let rows = sqlx::query!(
        "SELECT id, name, base_url, secret_name, answer_seconds FROM upstreams WHERE enabled ORDER BY name"
    )
    .fetch_all(db)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| Upstream {
            id: row.id,
            name: row.name,
            base_url: row.base_url,
            secret_name: row.secret_name,
            // The table's CHECK keeps it above zero.
            answer_seconds: u32::try_from(row.answer_seconds).unwrap_or(1),
        })
        .collect())
}
