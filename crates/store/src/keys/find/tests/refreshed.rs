//! What moves by itself, brought into the list.

use domain::key::KeyState;
use domain::limit::{Measure, Period};

use super::*;
use crate::limits::{self, Subject, Terms};
use crate::{housekeeping, usage};

async fn limit(console: &PgPool, account: TestAccount, key: KeyId, period: Period) {
    let mut tx = TenantTx::begin(console, account.id).await.unwrap();
    let terms = Terms { measure: Measure::Tokens, amount: 1_000, period };
    limits::put(&mut tx, Subject::Key(key), terms).await.unwrap();
    tx.commit().await.unwrap();
}

async fn spend(pool: &PgPool, key: KeyId, spent: i64) {
    sqlx::query!(
        "INSERT INTO limit_windows (limit_id, account_id, starts_at, ends_at, amount, spent)
         SELECT l.id, l.account_id, w.starts_at, w.ends_at, l.amount, $2
         FROM limits l, LATERAL limit_window(l.period, l.period_since, 'UTC', now()) w WHERE l.key_id = $1
         ON CONFLICT (limit_id, starts_at) DO UPDATE SET spent = $2",
        key.0,
        spent,
    )
    .execute(pool)
    .await
    .unwrap();
}

#[sqlx::test(migrator = "crate::MIGRATOR")]
async fn use_and_spending_show_after_the_next_refresh(pool: PgPool) {
    let acme = account(&pool, "acme").await;
    let console = as_role(&pool, "latchkey_console").await.unwrap();
    let gateway = as_role(&pool, "latchkey_gateway").await.unwrap();
    let ids = make_keys(&console, acme, &["idle", "used", "near", "full"]).await;
    for key in [ids[2], ids[3]] {
        limit(&console, acme, key, Period::Daily).await;
    }
    assert_eq!(names(&console, acme, "limits=yes&sort=name").await, ["full", "near"], "at once");
    spend(&pool, ids[2], 801).await;
    spend(&pool, ids[3], 1_000).await;
    let mut settling = gateway.acquire().await.unwrap();
    for (n, key) in [(1_u128, ids[1]), (2, ids[2]), (3, ids[3])] {
        let id = domain::RequestId(Uuid::from_u128(crate::new_id().as_u128() ^ n));
        let record =
            usage::UsageRecord { id, started_at: now(&pool).await, ..usage::tests::record(acme, key) };
        usage::settle(&mut settling, Uuid::nil(), &[record]).await.unwrap();
    }
    assert!(names(&console, acme, "status=near-limit").await.is_empty(), "not yet");
    catch_up(&console).await;
    assert_eq!(names(&console, acme, "status=near-limit").await, ["near"]);
    assert_eq!(names(&console, acme, "status=exhausted").await, ["full"]);
    assert_eq!(names(&console, acme, "sort=share").await[..2], ["full", "near"]);
    assert_eq!(names(&console, acme, "sort=used").await[3], "idle");
    assert_eq!(names(&console, acme, "sort=status").await[..2], ["full", "near"]);
    // The window ends, nobody uses the key, and what was used of the next one is nothing.
    pool.execute(
        "UPDATE limit_windows SET starts_at = starts_at - interval '1 day', ends_at = now() - interval '1 second';
         UPDATE key_facets SET share_until = now(), next_change = now() WHERE share_used > 0",
    )
    .await
    .unwrap();
    assert!(names(&console, acme, "status=exhausted").await.is_empty(), "even before the refresh");
    catch_up(&console).await;
    let left =
        sqlx::query_scalar!("SELECT count(*) FROM key_facets WHERE share_used > 0").fetch_one(&pool).await;
    assert_eq!(left.unwrap(), Some(0));
}

async fn now(pool: &PgPool) -> time::OffsetDateTime {
    sqlx::query_scalar!(r#"SELECT clock_timestamp() AS "now!""#).fetch_one(pool).await.unwrap()
}

async fn catch_up(console: &PgPool) {
    while housekeeping::refresh_key_list(console).await.unwrap() > 0 {}
}

#[sqlx::test(migrator = "crate::MIGRATOR")]
async fn refusals_make_a_key_rejecting_and_rate_limited(pool: PgPool) {
    let acme = account(&pool, "acme").await;
    let console = as_role(&pool, "latchkey_console").await.unwrap();
    let ids = make_keys(&console, acme, &["calm", "rejecting", "limited"]).await;
    for (key, code, refused) in [(ids[1], "model_not_allowed", 5), (ids[2], "rate_limit_exceeded", 1)] {
        sqlx::query!(
            "INSERT INTO refusal_counts (account_id, key_id, hour, code, refused)
             VALUES ($1, $2, date_trunc('hour', now()), $3, $4)",
            acme.id.0,
            key.0,
            code,
            refused,
        )
        .execute(&pool)
        .await
        .unwrap();
    }
    pool.execute("UPDATE key_facets SET next_change = now()").await.unwrap();
    catch_up(&console).await;
    assert_eq!(names(&console, acme, "status=rejecting&sort=name").await, ["limited", "rejecting"]);
    assert_eq!(names(&console, acme, "status=rate-limited").await, ["limited"]);
    assert_eq!(names(&console, acme, "status=operational").await, ["calm"]);
}

#[sqlx::test(migrator = "crate::MIGRATOR")]
async fn a_key_whose_request_outlasted_the_look_back_gets_its_turn(pool: PgPool) {
    let acme = account(&pool, "acme").await;
    let console = as_role(&pool, "latchkey_console").await.unwrap();
    make_keys(&console, acme, &["a", "b"]).await;
    pool.execute("UPDATE key_stats SET last_used_at = now()").await.unwrap();
    catch_up(&console).await;
    let unused = sqlx::query_scalar!("SELECT count(*) FROM key_facets WHERE last_used_at = '-infinity'");
    assert_eq!(unused.fetch_one(&pool).await.unwrap(), Some(0));
}

#[sqlx::test(migrator = "crate::MIGRATOR")]
async fn the_database_and_the_domain_agree_on_states(pool: PgPool) {
    use domain::key::Signs;
    let at = now(&pool).await;
    let ends = [None, Some(-1), Some(0), Some(3_600), Some(86_400), Some(86_401)];
    for status in [KeyStatus::Enabled, KeyStatus::Disabled, KeyStatus::Revoked] {
        for end in ends {
            for share_used in [0, 800, 801, 999, 1_000] {
                for (share_refused, rate_limited) in [(0, false), (100, true), (101, false), (1_000, true)] {
                    let expires_at = end.map(|seconds| at + time::Duration::seconds(seconds));
                    let signs = Signs { expires_at, share_used, share_refused, rate_limited };
                    let state = sqlx::query_scalar!(
                        r#"SELECT key_state($1, $2, coalesce($3::timestamptz, 'infinity'), $4, 'infinity', $5,
                                            coalesce($6::timestamptz, '-infinity'), $7) AS "state!""#,
                        status != KeyStatus::Revoked,
                        status == KeyStatus::Enabled,
                        expires_at,
                        share_used,
                        share_refused,
                        rate_limited.then(|| at + time::Duration::MINUTE),
                        at,
                    )
                    .fetch_one(&pool)
                    .await
                    .unwrap();
                    assert_eq!(state, KeyState::of(status, signs, at) as i16, "{status:?} {signs:?}");
                }
            }
        }
    }
}
