//! Deleting what only grows: old sign-in codes, policy changes and refusals, gateways that are gone, windows of limits
//! that are long over. Besides, bringing the list of keys up to date.
//!
//! What is old is the database's to say, by its own clock; see the migration.

use sqlx::PgExecutor;

/// Rows of each kind that one statement deletes, so that none takes long.
const BITE: i32 = 10_000;

/// Deletes some of what is of no use any more and returns how much; 0 when nothing is left, or while another console
/// is at it.
pub async fn tidy_up(db: impl PgExecutor<'_>) -> sqlx::Result<i64> {
    sqlx::query_scalar!(r#"SELECT tidy_up($1) + tidy_up_refusals($1) + tidy_up_windows($1) AS "gone!""#, BITE)
        .fetch_one(db)
        .await
}

/// Brings what moves by itself into the list of keys, and returns how many rows moved; 0 when it has caught up, or while
/// another console is at it. See the migration for why the ledger does not do this itself.
pub async fn refresh_key_list(db: impl PgExecutor<'_>) -> sqlx::Result<i64> {
    sqlx::query_scalar!(r#"SELECT refresh_key_facets($1) AS "moved!""#, BITE).fetch_one(db).await
}

#[cfg(test)]
mod tests {
    use domain::key::KeyStatus;
    use domain::limit::{Measure, Period};
    use sqlx::{Executor, PgPool};
    use uuid::Uuid;

    use super::*;
    use crate::accounts::tests::account;
    use crate::connect::as_role;
    use crate::limits::{self, Subject, Terms};
    use crate::{TenantTx, gateways, keys, leases, policy};

    #[sqlx::test(migrator = "crate::MIGRATOR")]
    async fn codes_go_after_a_day(pool: PgPool) {
        let console = as_role(&pool, "latchkey_console").await.unwrap();
        for (n, hours) in [(1, 25), (2, 23)] {
            sqlx::query!(
                "INSERT INTO login_codes (id, email, browser_hash, salt, digest, network, wide_network, created_at,
                                          expires_at)
                 VALUES ($1, 'ada@example.com', sha256(''), substr(sha256(''), 1, 16), sha256(''), '203.0.113.9',
                         '203.0.113.0/24', now() - make_interval(hours => $2), now())",
                Uuid::from_u128(n),
                hours,
            )
            .execute(&pool)
            .await
            .unwrap();
        }
        assert_eq!(tidy_up(&console).await.unwrap(), 1);
        assert_eq!(tidy_up(&console).await.unwrap(), 0);
        let left = sqlx::query_scalar!("SELECT id FROM login_codes").fetch_all(&pool).await.unwrap();
        assert_eq!(left, [Uuid::from_u128(2)]);
        let refused = sqlx::query!("DELETE FROM login_codes").execute(&console).await.unwrap_err();
        assert!(refused.to_string().contains("permission denied"), "{refused}");
    }

    /// Makes every change but the newest `kept` a day and a half old.
    async fn age_changes(pool: &PgPool, kept: i64) {
        sqlx::query!(
            "UPDATE policy_changes SET at = now() - interval '36 hours'
             WHERE version <= (SELECT version FROM policy_version) - $1",
            kept
        )
        .execute(pool)
        .await
        .unwrap();
    }

    #[sqlx::test(migrator = "crate::MIGRATOR")]
    async fn the_log_of_changes_keeps_a_day_and_whoever_is_behind_sees_the_gap(pool: PgPool) {
        let acme = account(&pool, "acme").await;
        let console = as_role(&pool, "latchkey_console").await.unwrap();
        let (key, _) = keys::tests::make_key(&console, acme, "one", 1).await.unwrap();
        for to in [KeyStatus::Disabled, KeyStatus::Enabled, KeyStatus::Disabled, KeyStatus::Enabled] {
            let mut tx = TenantTx::begin(&console, acme.id).await.unwrap();
            keys::set_status(&mut tx, key, to).await.unwrap();
            tx.commit().await.unwrap();
        }
        let now = policy::version(&pool).await.unwrap();
        age_changes(&pool, 2).await;
        assert!(tidy_up(&console).await.unwrap() > 0);
        let since = async |version| policy::list_changes(&pool, version).await.unwrap();
        assert!(since(0).await.incomplete && since(now - 3).await.incomplete);
        let last = since(now - 2).await;
        assert_eq!((last.incomplete, last.version, last.keys), (false, now, vec![key]));
        assert!(!since(now).await.incomplete);
        // However old, the newest stays.
        age_changes(&pool, 0).await;
        tidy_up(&console).await.unwrap();
        assert!(!since(now - 1).await.incomplete && since(now - 2).await.incomplete);
    }

    #[sqlx::test(migrator = "crate::MIGRATOR")]
    async fn a_gateway_heard_today_keeps_the_changes_it_still_needs(pool: PgPool) {
        let acme = account(&pool, "acme").await;
        let console = as_role(&pool, "latchkey_console").await.unwrap();
        keys::tests::make_key(&console, acme, "one", 1).await.unwrap();
        let now = policy::version(&pool).await.unwrap();
        gateways::acknowledge(&pool, Uuid::from_u128(1), "behind", now - 2).await.unwrap();
        gateways::acknowledge(&pool, Uuid::from_u128(2), "gone", 0).await.unwrap();
        gateways::stop(&pool, Uuid::from_u128(2)).await.unwrap();
        age_changes(&pool, 0).await;
        assert!(tidy_up(&console).await.unwrap() > 0);
        assert!(!policy::list_changes(&pool, now - 2).await.unwrap().incomplete);
        assert!(policy::list_changes(&pool, now - 3).await.unwrap().incomplete);
    }

    #[sqlx::test(migrator = "crate::MIGRATOR")]
    async fn a_gateway_long_unheard_goes_unless_it_holds_a_lease(pool: PgPool) {
        let acme = account(&pool, "acme").await;
        let console = as_role(&pool, "latchkey_console").await.unwrap();
        let (key, _) = keys::tests::make_key(&console, acme, "one", 1).await.unwrap();
        let mut tx = TenantTx::begin(&console, acme.id).await.unwrap();
        let terms = Terms { measure: Measure::Cost, amount: 1_000, period: Period::Never };
        let limit = limits::put(&mut tx, Subject::Key(key), terms).await.unwrap();
        tx.commit().await.unwrap();
        let [gone, holds, lives] = [1, 2, 3].map(Uuid::from_u128);
        for gateway in [gone, holds, lives] {
            gateways::acknowledge(&pool, gateway, "some", 1).await.unwrap();
        }
        let wish = leases::Wish { limit, needed: 10, wished: 10 };
        leases::take(&pool, holds, &[wish]).await.unwrap()[0].unwrap();
        sqlx::query!("UPDATE gateways SET heard_at = now() - interval '31 days' WHERE id <> $1", lives)
            .execute(&pool)
            .await
            .unwrap();
        assert_eq!(tidy_up(&console).await.unwrap(), 1);
        let left = sqlx::query_scalar!("SELECT id FROM gateways ORDER BY id").fetch_all(&pool).await.unwrap();
        assert_eq!(left, [holds, lives]);
    }

    #[sqlx::test(migrator = "crate::MIGRATOR")]
    async fn one_console_at_a_time_tidies_up(pool: PgPool) {
        let console = as_role(&pool, "latchkey_console").await.unwrap();
        gateways::acknowledge(&pool, Uuid::from_u128(1), "gone", 1).await.unwrap();
        pool.execute("UPDATE gateways SET heard_at = now() - interval '31 days'").await.unwrap();
        let mut first = console.begin().await.unwrap();
        assert_eq!(tidy_up(&mut *first).await.unwrap(), 1);
        assert_eq!(tidy_up(&console).await.unwrap(), 0, "the first is still at it");
        drop(first);
        assert_eq!(tidy_up(&console).await.unwrap(), 1);
    }

    #[sqlx::test(migrator = "crate::MIGRATOR")]
    async fn windows_go_a_quarter_after_their_end_and_their_empty_leases_after_a_day(pool: PgPool) {
        let acme = account(&pool, "acme").await;
        let console = as_role(&pool, "latchkey_console").await.unwrap();
        let gateway = as_role(&pool, "latchkey_gateway").await.unwrap();
        let (key, _) = keys::tests::make_key(&console, acme, "one", 1).await.unwrap();
        let mut tx = TenantTx::begin(&console, acme.id).await.unwrap();
        let terms = Terms { measure: Measure::Cost, amount: 1_000, period: Period::Daily };
        let limit = limits::put(&mut tx, Subject::Key(key), terms).await.unwrap();
        tx.commit().await.unwrap();
        let wish = leases::Wish { limit, needed: 1, wished: 1 };
        leases::take(&gateway, Uuid::nil(), &[wish]).await.unwrap()[0].unwrap();
        let age = async |days: i32| {
            sqlx::query!("UPDATE limit_windows SET ends_at = now() - make_interval(days => $1)", days)
                .execute(&pool)
                .await
                .unwrap();
        };
        let left = async || {
            sqlx::query!(
                r#"SELECT (SELECT count(*) FROM limit_windows) AS "windows!", (SELECT count(*) FROM leases) AS "leases!""#
            )
            .fetch_one(&pool)
            .await
            .map(|row| (row.windows, row.leases))
            .unwrap()
        };
        age(100).await;
        tidy_up(&console).await.unwrap();
        assert_eq!(left().await, (1, 1), "a lease that holds something stays, and its window with it");
        let held = leases::list_held(&gateway, Uuid::nil()).await.unwrap();
        leases::give_back(&gateway, Uuid::nil(), &held, leases::Patience::SomeTime).await.unwrap();
        age(2).await;
        tidy_up(&console).await.unwrap();
        assert_eq!(left().await, (1, 0));
        age(91).await;
        assert_eq!(tidy_up(&console).await.unwrap(), 1);
        assert_eq!(left().await, (0, 0));
    }
}
