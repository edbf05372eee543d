//! Connections: pools, waiting for a database that is not up yet, acting as one of the programs' roles.

use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{Connection, Executor, PgConnection, PgPool};

/// A connection that was used this lately is believed to live.
const TRUSTED_FOR: Duration = Duration::from_secs(2);

/// A pool that opens connections when they are needed; nothing is checked yet.
///
/// Waiting for a connection is bounded by 2 s and a statement by `statement_timeout`, so that a database that hangs
/// cannot pile up work.
pub fn lazy_pool(url: &str, connections: u32, statement_timeout: Duration) -> sqlx::Result<PgPool> {
    let options: PgConnectOptions = url.parse()?;
    let options = options.application_name("latchkey").options([
        ("statement_timeout", statement_timeout.as_millis().to_string()),
        // A program that is cut off in the middle must not hold what others wait for until TCP gives up on it.
        ("idle_in_transaction_session_timeout", "10000".to_owned()),
        ("tcp_keepalives_idle", "10".to_owned()),
        ("tcp_keepalives_interval", "5".to_owned()),
        ("tcp_keepalives_count", "3".to_owned()),
    ]);
    Ok(PgPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(Duration::from_secs(2))
        // Asking each time whether a connection still lives doubles the way of every short statement.
        .test_before_acquire(false)
        .before_acquire(|connection, is| {
            Box::pin(async move {
                // One that does not live is no error: another takes its place.
                Ok(is.idle_for <= TRUSTED_FOR || connection.ping().await.is_ok())
            })
        })
        .connect_lazy_with(options))
}

/// Where a pool connects to, without user or password: for the line that says what a program waits for.
pub fn address(pool: &PgPool) -> String {
    let options = pool.connect_options();
    match options.get_socket() {
        Some(socket) => socket.display().to_string(),
        None => format!("{}:{}", options.get_host(), options.get_port()),
    }
}

/// Why the database cannot be used yet.
#[derive(Debug, thiserror::Error)]
pub enum NotReady {
    /// It does not answer.
    #[error("cannot connect: {0}")]
    Unreachable(sqlx::Error),
    /// It answers, but `latchkey migrate` has not run, or not in this version.
    #[error("the schema is at migration {found} and this program needs {needed}: run `latchkey migrate`")]
    Schema {
        /// The last applied migration; 0 is none.
        found: i64,
        /// The last one this program knows.
        needed: i64,
    },
}

/// One attempt to reach the database and to see that its schema is at least as new as this program.
pub async fn check(pool: &PgPool) -> Result<(), NotReady> {
    // A fresh connection: the pool would hide the reason behind its own time-out.
    let mut connection =
        PgConnection::connect_with(&pool.connect_options()).await.map_err(NotReady::Unreachable)?;
    let found: i64 = sqlx::query_scalar!(r#"SELECT latchkey_schema_version() AS "version!""#)
        .fetch_one(&mut connection)
        .await
        .or_else(|error| match error {
            // 42883: no such function, so nothing has been migrated.
            sqlx::Error::Database(db) if db.code().as_deref() == Some("42883") => Ok(0),
            other => Err(NotReady::Unreachable(other)),
        })?;
    let _ = connection.close().await;
    let needed = crate::MIGRATOR.iter().map(|migration| migration.version).max().unwrap_or(0);
    if found < needed { Err(NotReady::Schema { found, needed }) } else { Ok(()) }
}

/// Applies the migrations over a connection of the schema's owner.
pub async fn migrate(url: &str) -> Result<(), MigrateError> {
    let mut connection = PgConnection::connect(url).await?;
    crate::MIGRATOR.run(&mut connection).await?;
    connection.close().await?;
    Ok(())
}

/// Why the migrations were not applied.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    /// The database does not answer, or refuses the user.
    #[error("cannot connect: {0}")]
    Connect(#[from] sqlx::Error),
    /// A migration failed; it was rolled back.
    #[error(transparent)]
    Migrate(#[from] sqlx::migrate::MigrateError),
}

/// The same database through `role`, for tests and for the owner: needs no password of that role.
pub async fn as_role(pool: &PgPool, role: &'static str) -> sqlx::Result<PgPool> {
    PgPoolOptions::new()
        .max_connections(5)
        .after_connect(move |connection, _| {
            Box::pin(async move {
                let statement = match role {
                    "latchkey_gateway" => "SET ROLE latchkey_gateway",
                    _ => "SET ROLE latchkey_console",
                };
                connection.execute(statement).await.map(|_| ())
            })
        })
        .connect_with(pool.connect_options().as_ref().clone())
        .await
}
