//! The operator's own routes, as gateways serve them.

use sqlx::PgExecutor;
use uuid::Uuid;

/// A route of an enabled permission.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OwnRoute {
    /// The permission that guards it.
    pub permission: String,
    /// `GET`, `POST`, `PUT`, `PATCH` or `DELETE`.
    pub method: String,
    /// Its path template: `/v1/characters/{id}`.
    pub path: String,
    /// Where its requests go.
    pub upstream: Uuid,
    /// The path template below that upstream's base URL.
    pub upstream_path: String,
    /// Nano-dollars for a call.
    pub price: i64,
}

/// Every route of an enabled permission, by path and method.
pub async fn list(db: impl PgExecutor<'_>) -> sqlx::Result<Vec<OwnRoute>> {
    sqlx::query_as!(
        OwnRoute,
        "SELECT r.permission, r.method, r.path, r.upstream_id AS upstream, r.upstream_path, r.price
         FROM own_routes r JOIN own_permissions p ON p.name = r.permission
         WHERE p.enabled ORDER BY r.path, r.method"
    )
    .fetch_all(db)
    .await
}
