//! The only way to an account's rows: a transaction that has named its account.

use domain::AccountId;
use sqlx::{PgConnection, PgPool, Postgres, Transaction};

/// A transaction bound to one account. Row-level security shows and accepts that account's rows only; the binding is
/// local to the transaction, so a pooled connection carries nothing over to its next user.
///
/// Dropped without [`TenantTx::commit`], it changes nothing.
#[derive(Debug)]
pub struct TenantTx {
    tx: Transaction<'static, Postgres>,
    account: AccountId,
}

impl TenantTx {
    /// Begins a transaction for `account`. The caller has made sure that the person may act there.
    pub async fn begin(pool: &PgPool, account: AccountId) -> sqlx::Result<Self> {
        let mut tx = pool.begin().await?;
        sqlx::query_scalar!("SELECT set_config('latchkey.account_id', $1, true)", account.to_string())
            .fetch_one(&mut *tx)
            .await?;
        Ok(Self { tx, account })
    }

    /// The account this transaction is bound to.
    pub fn account(&self) -> AccountId {
        self.account
    }

    /// Makes everything done in it lasting.
    pub async fn commit(self) -> sqlx::Result<()> {
        self.tx.commit().await
    }

    pub(crate) fn connection(&mut self) -> &mut PgConnection {
        &mut self.tx
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connect::as_role;

    #[sqlx::test(migrator = "crate::MIGRATOR")]
    #[expect(clippy::disallowed_methods, reason = "one statement for many tables")]
    async fn without_an_account_the_console_sees_no_row(pool: PgPool) {
        crate::accounts::tests::account(&pool, "acme").await;
        let console = as_role(&pool, "latchkey_console").await.unwrap();
        for table in [
            "accounts",
            "members",
            "groups",
            "api_keys",
            "key_secrets",
            "key_stats",
            "usage_records",
            "audit_events",
        ] {
            let sql = format!("SELECT count(*) FROM {table}");
            let rows: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).fetch_one(&console).await.unwrap();
            assert_eq!(rows, 0, "{table}");
        }
    }

    #[sqlx::test(migrator = "crate::MIGRATOR")]
    async fn a_pooled_connection_forgets_the_account(pool: PgPool) {
        let (acme, other) = (
            crate::accounts::tests::account(&pool, "acme").await,
            crate::accounts::tests::account(&pool, "other").await,
        );
        let console = as_role(&pool, "latchkey_console").await.unwrap();
        for round in 0..20 {
            let account = if round % 2 == 0 { acme } else { other };
            let mut tx = TenantTx::begin(&console, account.id).await.unwrap();
            let seen =
                sqlx::query_scalar!("SELECT id FROM accounts").fetch_all(tx.connection()).await.unwrap();
            assert_eq!(seen, [account.id.0]);
            tx.commit().await.unwrap();
            let left = sqlx::query_scalar!("SELECT id FROM accounts").fetch_all(&console).await.unwrap();
            assert!(left.is_empty());
        }
    }

    #[sqlx::test(migrator = "crate::MIGRATOR")]
    async fn the_console_role_cannot_write_into_another_account(pool: PgPool) {
        let (acme, other) = (
            crate::accounts::tests::account(&pool, "acme").await,
            crate::accounts::tests::account(&pool, "other").await,
        );
        let console = as_role(&pool, "latchkey_console").await.unwrap();
        let mut tx = TenantTx::begin(&console, acme.id).await.unwrap();
        let wrong = sqlx::query!(
            "INSERT INTO api_keys (id, account_id, group_id, name, created_by) VALUES ($1, $2, $3, 'x', $4)",
            crate::new_id(),
            other.id.0,
            other.group.0,
            other.owner.0,
        )
        .execute(tx.connection())
        .await;
        assert!(wrong.unwrap_err().to_string().contains("row-level security"));
    }
}
