//! All of Latchkey's SQL. One module per aggregate; the only crate that knows sqlx.
//!
//! A tenant's rows are reached through a [`TenantTx`] only. What has no tenant yet (signing in, sessions, the list
//! of a user's accounts) takes any executor and goes through the database's own short list of functions. What belongs to
//! no tenant at all (models, prices, providers) is changed through an [`operator::OperatorTx`].
#![warn(missing_docs, unreachable_pub)]

pub mod accounts;
pub mod audit;
pub mod connect;
pub mod gateways;
pub mod housekeeping;
pub mod keys;
pub mod leases;
pub mod limits;
pub mod models;
pub mod operator;
pub mod own_routes;
pub mod policy;
pub mod refusals;
pub mod saved_views;
pub mod sessions;
pub mod shares;
pub mod sign_in;
pub mod tenant;
pub mod upstreams;
pub mod usage;

pub use sqlx::postgres::{PgConnectOptions, PgListener};
pub use sqlx::{PgConnection, PgPool};
pub use tenant::TenantTx;

/// A database fault. Never shown to a client: whoever meets one logs it and answers 503 or 500.
pub type StoreError = sqlx::Error;

/// Every migration, in order.
pub static MIGRATOR: sqlx::migrate::Migrator = sqlx::migrate!("../../migrations");

/// A new time-ordered id.
pub fn new_id() -> uuid::Uuid {
    uuid::Uuid::now_v7()
}
