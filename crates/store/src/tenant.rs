//! The only way to an account's rows: a transaction that has named its account.

use domain::AccountId;
use sqlx::{PgConnection, PgExecutor, PgPool, Postgres, Transaction};

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
        Self::bind(pool.begin().await?, account).await
    }

    /// Binds a transaction that has begun without an account, as signing in does.
    pub(crate) async fn bind(
        mut tx: Transaction<'static, Postgres>,
        account: AccountId,
    ) -> sqlx::Result<Self> {
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

/// Why row-level security does not hold a role to one account.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Unbound {
    /// No policy binds a superuser.
    #[error("is a superuser")]
    Superuser,
    /// No policy binds it either.
    #[error("has BYPASSRLS")]
    Bypass,
    /// It could switch the policies off.
    #[error("owns the tables of accounts, or is a member of the role that does")]
    Owner,
    /// The gateway's role is one.
    #[error("is meant to see every account")]
    EveryAccount,
}

/// Whether the role of this connection could see more than the account its transaction has named, and why.
pub async fn find_unbound(db: impl PgExecutor<'_>) -> sqlx::Result<Option<Unbound>> {
    let role = sqlx::query!(
        r#"SELECT rolsuper AS "superuser!", rolbypassrls AS "bypass!",
                  EXISTS (SELECT FROM pg_class WHERE relrowsecurity AND pg_has_role(relowner, 'MEMBER')) AS "owner!",
                  EXISTS (SELECT FROM pg_policy, unnest(polroles) AS grantee
                          WHERE pg_get_expr(polqual, polrelid) = 'true'
                            AND (grantee = 0 OR pg_has_role(grantee, 'MEMBER'))) AS "every_account!"
           FROM pg_roles WHERE rolname = current_user"#
    )
    .fetch_one(db)
    .await?;
    let reasons = [
        (role.superuser, Unbound::Superuser),
        (role.bypass, Unbound::Bypass),
        (role.owner, Unbound::Owner),
        (role.every_account, Unbound::EveryAccount),
    ];
    Ok(reasons.into_iter().find(|(holds, _)| *holds).map(|(_, reason)| reason))
}

#[cfg(test)]
mod tests {
    use domain::limit::{Measure, Period};

    use super::*;
    use crate::accounts::tests::account;
    use crate::audit::{self, Action, Actor, Event};
    use crate::connect::as_role;
    use crate::leases::{self, Wish};
    use crate::limits::{self, Subject, Terms};
    use crate::{keys, usage};

    #[sqlx::test(migrator = "crate::MIGRATOR")]
    #[expect(clippy::disallowed_methods, reason = "one statement for many tables")]
    async fn the_console_sees_rows_of_the_account_it_has_named_and_no_others(pool: PgPool) {
        let (acme, other) = (account(&pool, "acme").await, account(&pool, "other").await);
        let console = as_role(&pool, "latchkey_console").await.unwrap();
        let gateway = as_role(&pool, "latchkey_gateway").await.unwrap();
        let (key, _) = keys::tests::make_key(&console, acme, "one", 1).await.unwrap();
        let mut settling = gateway.acquire().await.unwrap();
        usage::settle(&mut settling, uuid::Uuid::nil(), &[usage::tests::record(acme, key)]).await.unwrap();
        let mut tx = TenantTx::begin(&console, acme.id).await.unwrap();
        let terms = Terms { measure: Measure::Cost, amount: 1_000, period: Period::Never };
        let limit = limits::put(&mut tx, Subject::Key(key), terms).await.unwrap();
        let actor = Actor {
            user: acme.owner,
            email: "acme@example.com",
            client: "203.0.113.9".parse().unwrap(),
            user_agent: "",
        };
        let event = Event {
            action: Action::AccountOpened,
            target: None,
            target_name: "",
            detail: serde_json::json!({}),
        };
        audit::insert(&mut tx, actor, event).await.unwrap();
        tx.commit().await.unwrap();
        leases::take(&gateway, crate::new_id(), &[Wish { limit, needed: 1, wished: 1 }]).await.unwrap()[0]
            .unwrap();

        for table in [
            "accounts",
            "members",
            "groups",
            "api_keys",
            "key_secrets",
            "key_stats",
            "usage_records",
            "audit_events",
            "limits",
            "limit_windows",
            "leases",
        ] {
            let column = if table == "accounts" { "id" } else { "account_id" };
            let sql = format!("SELECT count(*) FROM {table} WHERE {column} = $1");
            let count = || sqlx::query_scalar::<_, i64>(sqlx::AssertSqlSafe(sql.clone())).bind(acme.id.0);
            assert_eq!(count().fetch_one(&console).await.unwrap(), 0, "{table}, without an account");
            let mut tx = TenantTx::begin(&console, other.id).await.unwrap();
            let seen = count().fetch_one(tx.connection()).await.unwrap();
            assert_eq!(seen, 0, "{table}, as another account");
            let mut tx = TenantTx::begin(&console, acme.id).await.unwrap();
            assert_eq!(count().fetch_one(tx.connection()).await.unwrap(), 1, "{table}, as its own account");
        }
    }

    #[sqlx::test(migrator = "crate::MIGRATOR")]
    async fn only_the_console_s_role_is_bound(pool: PgPool) {
        let console = as_role(&pool, "latchkey_console").await.unwrap();
        assert_eq!(find_unbound(&console).await.unwrap(), None);
        let gateway = as_role(&pool, "latchkey_gateway").await.unwrap();
        assert_eq!(find_unbound(&gateway).await.unwrap(), Some(Unbound::EveryAccount));
        assert_eq!(find_unbound(&pool).await.unwrap(), Some(Unbound::Superuser), "who runs the tests");

        // Roles belong to the whole cluster, so these are taken back with the transaction.
        let mut tx = pool.begin().await.unwrap();
        for (make, unbound) in [
            ("CREATE ROLE latchkey_probe; SET LOCAL ROLE latchkey_probe", None),
            (
                "RESET ROLE; GRANT latchkey_console TO latchkey_probe; SET LOCAL ROLE latchkey_probe",
                None,
            ),
            (
                "RESET ROLE; CREATE ROLE latchkey_probe_owner; ALTER TABLE api_keys OWNER TO latchkey_probe_owner;
                 GRANT latchkey_probe_owner TO latchkey_probe; SET LOCAL ROLE latchkey_probe",
                Some(Unbound::Owner),
            ),
            (
                "RESET ROLE; ALTER ROLE latchkey_probe BYPASSRLS; SET LOCAL ROLE latchkey_probe",
                Some(Unbound::Bypass),
            ),
        ] {
            sqlx::raw_sql(make).execute(&mut *tx).await.unwrap();
            assert_eq!(find_unbound(&mut *tx).await.unwrap(), unbound, "{make}");
        }
    }

    #[sqlx::test(migrator = "crate::MIGRATOR")]
    async fn a_pooled_connection_forgets_the_account(pool: PgPool) {
        let (acme, other) = (account(&pool, "acme").await, account(&pool, "other").await);
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
        let (acme, other) = (account(&pool, "acme").await, account(&pool, "other").await);
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
