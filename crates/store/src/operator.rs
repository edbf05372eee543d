//! What the operator changes, and the only way to change it: a transaction that an operator's session has opened.

pub mod events;
pub mod fleet;
pub mod models;
pub mod permissions;
#[cfg(test)]
mod tests;
pub mod upstreams;

use std::net::IpAddr;

use domain::email::EmailAddress;
use ipnet::IpNet;
use sqlx::{PgConnection, PgPool, Postgres, Transaction};

use crate::sessions::IDLE;

/// Who asks, and who may.
#[derive(Clone, Copy, Debug)]
pub struct Credentials<'a> {
    /// SHA-256 of the session's cookie.
    pub token_hash: &'a [u8; 32],
    /// The addresses of this service's operators.
    pub operators: &'a [EmailAddress],
    /// The client's address.
    pub client: IpAddr,
    /// The browser, at most 300 characters.
    pub user_agent: &'a str,
}

/// A transaction in which the operator's tables may be changed. The database writes an event for each row that is.
///
/// Only one is open at a time. Dropped without [`OperatorTx::commit`], it changes nothing.
#[derive(Debug)]
pub struct OperatorTx {
    tx: Transaction<'static, Postgres>,
}

impl OperatorTx {
    /// Begins one; `None` where the session is over, or its person no operator: the database looks itself.
    pub async fn begin(pool: &PgPool, credentials: Credentials<'_>) -> sqlx::Result<Option<Self>> {
        let mut tx = pool.begin().await?;
        let operators: Vec<String> =
            credentials.operators.iter().map(|address| address.as_str().to_owned()).collect();
        let opened = sqlx::query_scalar!(
            r#"SELECT open_operator_tx($1, make_interval(secs => $2), $3, $4, $5) AS "opened!""#,
            credentials.token_hash,
            IDLE.as_seconds_f64(),
            &operators,
            IpNet::from(credentials.client.to_canonical()) as IpNet,
            credentials.user_agent,
        )
        .fetch_one(&mut *tx)
        .await?;
        Ok(opened.then_some(Self { tx }))
    }

    /// Makes everything done in it lasting.
    pub async fn commit(self) -> sqlx::Result<()> {
        self.tx.commit().await
    }

    pub(crate) fn connection(&mut self) -> &mut PgConnection {
        &mut self.tx
    }
}
