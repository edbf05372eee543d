//! The operator's own permissions as they are set up, each with the routes it guards.

use domain::own_route::Method;
use sqlx::PgExecutor;
use uuid::Uuid;

use super::OperatorTx;

/// A permission as it is set up, enabled or archived.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Permission {
    /// What rules call it. It never changes.
    pub name: String,
    /// Everything else.
    pub setup: Setup,
    /// The version of the row; an edit names the one it was based on.
    pub row_version: i64,
}

/// What of a permission can be changed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Setup {
    /// What it lets a key do.
    pub allows: String,
    /// Its routes, by path and method.
    pub routes: Vec<Route>,
    /// Whether its routes are served.
    pub enabled: bool,
}

impl Setup {
    /// With its routes in the one order in which two can be compared; the database's depends on its locale.
    #[must_use]
    pub fn in_order(mut self) -> Self {
        self.routes.sort_by(|one, other| {
            (&one.path, one.method.as_str()).cmp(&(&other.path, other.method.as_str()))
        });
        self
    }
}

/// One route.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Route {
    /// Its method.
    pub method: Method,
    /// Its path template: `/v1/characters/{id}`.
    pub path: String,
    /// Where its requests go.
    pub upstream: Uuid,
    /// The path template below that upstream's base URL.
    pub upstream_path: String,
    /// Nano-dollars for a call.
    pub price: i64,
}

/// Why a permission was not saved.
#[derive(Debug, thiserror::Error)]
pub enum SavePermissionError {
    /// Another permission is called so.
    #[error("the name is taken")]
    NameTaken,
    /// Another permission has a route of this method whose path matches the same requests.
    #[error("{method} {path} is a route of {permission}")]
    RouteTaken {
        /// The method.
        method: String,
        /// Its path there.
        path: String,
        /// Whose it is.
        permission: String,
    },
    /// A provider is not there any more.
    #[error("a provider does not exist")]
    NoSuchUpstream,
    /// There is no such permission, or it was changed since the version the edit was based on.
    #[error("the permission was changed meanwhile")]
    Stale,
    /// The database failed.
    #[error(transparent)]
    Store(#[from] sqlx::Error),
}

/// Every own permission, by name.
pub async fn list(db: impl PgExecutor<'_>) -> sqlx::Result<Vec<Permission>> {
    read(db, None).await
}

/// One own permission.
pub async fn find(db: impl PgExecutor<'_>, name: &str) -> sqlx::Result<Option<Permission>> {
    Ok(read(db, Some(name)).await?.pop())
}

/// One statement, so that a permission and its routes are of one moment.
async fn read(db: impl PgExecutor<'_>, only: Option<&str>) -> sqlx::Result<Vec<Permission>> {
    let rows = sqlx::query!(
        r#"SELECT p.name, p.allows, p.enabled, p.row_version, r.method AS "method?", r.path AS "path?",
                  r.upstream_id AS "upstream?", r.upstream_path AS "upstream_path?", r.price AS "price?"
           FROM own_permissions p LEFT JOIN own_routes r ON r.permission = p.name
           WHERE $1::text IS NULL OR p.name = $1 ORDER BY p.name, r.path, r.method"#,
        only,
    )
    .fetch_all(db)
    .await?;
    let mut permissions: Vec<Permission> = Vec::new();
    for row in rows {
        if permissions.last().is_none_or(|last| last.name != row.name) {
            let setup = Setup { allows: row.allows, routes: Vec::new(), enabled: row.enabled };
            permissions.push(Permission { name: row.name, setup, row_version: row.row_version });
        }
        // The table's CHECK knows the same methods.
        let method = row.method.as_deref().and_then(Method::parse);
        if let (Some(last), Some(method), Some(path), Some(upstream), Some(upstream_path), Some(price)) =
            (permissions.last_mut(), method, row.path, row.upstream, row.upstream_path, row.price)
        {
            last.setup.routes.push(Route { method, path, upstream, upstream_path, price });
        }
    }
    let in_order = |found: Permission| Permission { setup: found.setup.in_order(), ..found };
    Ok(permissions.into_iter().map(in_order).collect())
}

/// Adds a permission.
pub async fn insert(tx: &mut OperatorTx, name: &str, setup: &Setup) -> Result<(), SavePermissionError> {
    let added = sqlx::query!(
        "INSERT INTO own_permissions (name, allows, enabled) VALUES ($1, $2, $3) ON CONFLICT (name) DO NOTHING",
        name,
        setup.allows,
        setup.enabled,
    )
    .execute(tx.connection())
    .await?;
    if added.rows_affected() == 0 {
        return Err(SavePermissionError::NameTaken);
    }
    set_routes(tx, name, &setup.routes).await
}

/// Changes a permission that is still at version `seen`.
pub async fn update(
    tx: &mut OperatorTx,
    name: &str,
    setup: &Setup,
    seen: i64,
) -> Result<(), SavePermissionError> {
    let changed = sqlx::query!(
        "UPDATE own_permissions SET allows = $2, enabled = $3 WHERE name = $1 AND row_version = $4",
        name,
        setup.allows,
        setup.enabled,
        seen,
    )
    .execute(tx.connection())
    .await?;
    if changed.rows_affected() == 0 {
        return Err(SavePermissionError::Stale);
    }
    set_routes(tx, name, &setup.routes).await
}

async fn set_routes(tx: &mut OperatorTx, name: &str, routes: &[Route]) -> Result<(), SavePermissionError> {
    let methods: Vec<String> = routes.iter().map(|route| route.method.as_str().to_owned()).collect();
    let paths: Vec<String> = routes.iter().map(|route| route.path.clone()).collect();
    // Only one operator writes at a time, so nobody takes one in between; the table's key holds all the same.
    let taken = sqlx::query!(
        "SELECT r.method, r.path, r.permission
         FROM unnest($2::text[], $3::text[]) AS wanted (method, path)
         JOIN own_routes r ON r.method = wanted.method
              AND r.shape = regexp_replace(wanted.path, '\\{[^}]*\\}', '{}', 'g')
         WHERE r.permission <> $1 LIMIT 1",
        name,
        &methods,
        &paths,
    )
    .fetch_optional(tx.connection())
    .await?;
    if let Some(row) = taken {
        let (method, path, permission) = (row.method, row.path, row.permission);
        return Err(SavePermissionError::RouteTaken { method, path, permission });
    }
    sqlx::query!(
        "DELETE FROM own_routes WHERE permission = $1
         AND (method, path) NOT IN (SELECT * FROM unnest($2::text[], $3::text[]))",
        name,
        &methods,
        &paths,
    )
    .execute(tx.connection())
    .await?;
    let upstreams: Vec<Uuid> = routes.iter().map(|route| route.upstream).collect();
    let upstream_paths: Vec<String> = routes.iter().map(|route| route.upstream_path.clone()).collect();
    let prices: Vec<i64> = routes.iter().map(|route| route.price).collect();
    sqlx::query!(
        "INSERT INTO own_routes AS route (permission, method, path, upstream_id, upstream_path, price)
         SELECT $1, * FROM unnest($2::text[], $3::text[], $4::uuid[], $5::text[], $6::bigint[])
         ON CONFLICT (method, shape) DO UPDATE
             SET upstream_id = excluded.upstream_id, upstream_path = excluded.upstream_path, price = excluded.price
             WHERE (route.upstream_id, route.upstream_path, route.price)
                   <> (excluded.upstream_id, excluded.upstream_path, excluded.price)",
        name,
        &methods,
        &paths,
        &upstreams,
        &upstream_paths,
        &prices,
    )
    .execute(tx.connection())
    .await
    .map(|_| ())
    .map_err(|error| match &error {
        sqlx::Error::Database(db) if db.constraint() == Some("own_routes_upstream_id_fkey") => {
            SavePermissionError::NoSuchUpstream
        }
        _ => error.into(),
    })
}
