use domain::limit::{Measure, Period};
use sqlx::{Executor, PgPool};
use time::macros::datetime;

use super::*;
use crate::accounts::tests::{TestAccount, account};
use crate::connect::as_role;
use crate::limits::{self, Subject, Terms};
use crate::usage::{self, tests::record};
use crate::{housekeeping, keys};

fn now() -> OffsetDateTime {
    std::time::SystemTime::now().into()
}

fn refusal(key: KeyId) -> NewRefusal {
    NewRefusal {
        id: RequestId(crate::new_id()),
        key_id: key,
        public_id: "public".into(),
        at: now(),
        code: "ip_not_allowed",
        rule: "address",
        limit: None,
        current: None,
        client: "203.0.113.9".parse().unwrap(),
        model: Some("gpt-4o-mini".into()),
    }
}

struct Setting {
    owner: PgPool,
    console: PgPool,
    gateway: PgPool,
    acme: TestAccount,
    key: KeyId,
}

async fn setting(owner: PgPool) -> Setting {
    let acme = account(&owner, "acme").await;
    let console = as_role(&owner, "latchkey_console").await.unwrap();
    let gateway = as_role(&owner, "latchkey_gateway").await.unwrap();
    let (key, _) = keys::tests::make_key(&console, acme, "one", 1).await.unwrap();
    Setting { owner, console, gateway, acme, key }
}

async fn listed(of: &Setting, account: TestAccount) -> Vec<Refused> {
    let mut tx = TenantTx::begin(&of.console, account.id).await.unwrap();
    list(&mut tx, of.key, None, 2_000).await.unwrap()
}

#[sqlx::test(migrator = "crate::MIGRATOR")]
async fn a_refusal_is_its_own_accounts_to_see(pool: PgPool) {
    let s = setting(pool).await;
    let other = account(&s.owner, "other").await;
    let new = refusal(s.key);
    assert_eq!(keep(&s.gateway, std::slice::from_ref(&new)).await.unwrap(), 1);
    count(&s.gateway, &[Count { key_id: s.key, at: new.at, code: new.code, refused: 3 }]).await.unwrap();

    let seen = listed(&s, s.acme).await;
    assert_eq!(seen.len(), 1);
    assert_eq!((seen[0].id, seen[0].code.as_str(), seen[0].rule.as_str()), (new.id, new.code, new.rule));
    assert_eq!((seen[0].model.as_deref(), seen[0].limit), (Some("gpt-4o-mini"), None));
    assert_eq!(seen[0].client.addr(), new.client);
    assert!(listed(&s, other).await.is_empty());

    for (of, is_there) in [(s.acme, true), (other, false)] {
        let mut tx = TenantTx::begin(&s.console, of.id).await.unwrap();
        let counts = list_counts(&mut tx, s.key, new.at).await.unwrap();
        assert_eq!(counts.iter().map(|c| c.refused).sum::<i64>(), if is_there { 3 } else { 0 });
        let explained = explain(&mut tx, new.id).await.unwrap();
        assert_eq!(
            explained.map(|e| matches!(e, Explained::Refused(r) if r == seen[0])),
            is_there.then_some(true)
        );
        // Neither by leaving the account out: the policy of the table binds the role.
        let all =
            sqlx::query_scalar!("SELECT count(*) FROM refusals").fetch_one(tx.connection()).await.unwrap();
        let counted =
            sqlx::query_scalar!("SELECT count(*) FROM refusal_counts").fetch_one(tx.connection()).await;
        assert_eq!((all, counted.unwrap()), (Some(i64::from(is_there)), Some(i64::from(is_there))));
    }
}

#[sqlx::test(migrator = "crate::MIGRATOR")]
async fn a_request_is_explained_by_its_ledger_row_to_its_own_account(pool: PgPool) {
    let s = setting(pool).await;
    let other = account(&s.owner, "other").await;
    usage::ensure_partitions(&s.gateway).await.unwrap();
    let settled = record(s.acme, s.key);
    let mut connection = s.gateway.acquire().await.unwrap();
    usage::settle(&mut connection, uuid::Uuid::nil(), std::slice::from_ref(&settled)).await.unwrap();
    let mut tx = TenantTx::begin(&s.console, s.acme.id).await.unwrap();
    let Some(Explained::Served(served)) = explain(&mut tx, settled.id).await.unwrap() else {
        panic!("no explanation");
    };
    assert_eq!((served.id, served.cost, served.usage), (settled.id, settled.cost, settled.usage));
    assert_eq!((served.model, served.status), (settled.model, 200));
    assert_eq!(explain(&mut tx, RequestId(crate::new_id())).await.unwrap(), None);
    let mut tx = TenantTx::begin(&s.console, other.id).await.unwrap();
    assert_eq!(explain(&mut tx, settled.id).await.unwrap(), None);
}

#[sqlx::test(migrator = "crate::MIGRATOR")]
async fn a_day_keeps_a_thousand_of_a_key_and_a_repeated_batch_adds_nothing(pool: PgPool) {
    let s = setting(pool).await;
    let (second, _) = keys::tests::make_key(&s.console, s.acme, "two", 2).await.unwrap();
    let batch: Vec<NewRefusal> = (0..600).map(|_| refusal(s.key)).collect();
    assert_eq!(keep(&s.gateway, &batch).await.unwrap(), 600);
    assert_eq!(keep(&s.gateway, &batch).await.unwrap(), 0);
    let more: Vec<NewRefusal> = (0..600).map(|_| refusal(s.key)).chain([refusal(second)]).collect();
    assert_eq!(keep(&s.gateway, &more).await.unwrap(), 401);
    assert_eq!(keep(&s.gateway, &more[500..]).await.unwrap(), 0);
    assert_eq!(listed(&s, s.acme).await.len(), 1_000);
    // Pages follow each other.
    let mut tx = TenantTx::begin(&s.console, s.acme.id).await.unwrap();
    let first = list(&mut tx, s.key, None, 600).await.unwrap();
    let rest = list(&mut tx, s.key, first.last().map(|r| r.id), 600).await.unwrap();
    assert_eq!((first.len(), rest.len()), (600, 400));
    assert!(rest[0].id.0 < first[599].id.0);
}

#[sqlx::test(migrator = "crate::MIGRATOR")]
async fn whose_a_key_is_and_what_its_limit_stands_at_the_database_says(pool: PgPool) {
    let s = setting(pool).await;
    let mut tx = TenantTx::begin(&s.console, s.acme.id).await.unwrap();
    for (subject, amount) in [(Subject::Key(s.key), 700), (Subject::Account, 9_000)] {
        limits::put(&mut tx, subject, Terms { measure: Measure::Cost, amount, period: Period::Never })
            .await
            .unwrap();
    }
    tx.commit().await.unwrap();
    let limit = |code, rule| NewRefusal { code, rule, ..refusal(s.key) };
    let stranger = refusal(KeyId(crate::new_id()));
    let rate =
        NewRefusal { rule: "requests_per_minute", limit: Some(60), current: Some(60), ..refusal(s.key) };
    let rows = [
        limit("cost_limit_exceeded", "cost"),
        limit("insufficient_balance", "balance"),
        rate,
        stranger.clone(),
    ];
    assert_eq!(keep(&s.gateway, &rows).await.unwrap(), 3);
    count(&s.gateway, &[Count { key_id: stranger.key_id, at: stranger.at, code: "x", refused: 1 }])
        .await
        .unwrap();
    let mut seen = listed(&s, s.acme).await;
    seen.reverse();
    let figures: Vec<_> = seen.iter().map(|r| (r.limit, r.current)).collect();
    assert_eq!(figures, [(Some(60), Some(60)), (Some(700), Some(0)), (Some(9_000), Some(0))]);
}

#[sqlx::test(migrator = "crate::MIGRATOR")]
async fn roles_reach_the_tables_in_their_own_ways_only(pool: PgPool) {
    let s = setting(pool).await;
    for sql in ["SELECT FROM refusals", "DELETE FROM refusal_counts", "INSERT INTO refusals DEFAULT VALUES"] {
        let refused = s.gateway.execute(sql).await.unwrap_err();
        assert!(refused.to_string().contains("permission denied"), "{sql}: {refused}");
    }
    let refused = keep(&s.console, &[refusal(s.key)]).await.unwrap_err();
    assert!(refused.to_string().contains("permission denied"), "{refused}");
}

#[sqlx::test(migrator = "crate::MIGRATOR")]
async fn everything_goes_after_seven_days(pool: PgPool) {
    let s = setting(pool).await;
    let at = |days: i64| {
        let at = now() - time::Duration::days(days);
        let seconds = u64::try_from(at.unix_timestamp()).unwrap();
        let stamp = uuid::Timestamp::from_unix(uuid::NoContext, seconds, 0);
        NewRefusal { id: RequestId(uuid::Uuid::new_v7(stamp)), at, ..refusal(s.key) }
    };
    let [old, young] = [at(8), at(6)];
    keep(&s.gateway, &[old.clone(), young.clone()]).await.unwrap();
    let counted = |of: &NewRefusal| Count { key_id: s.key, at: of.at, code: "x", refused: 1 };
    count(&s.gateway, &[counted(&old), counted(&young)]).await.unwrap();
    while housekeeping::tidy_up(&s.console).await.unwrap() > 0 {}
    assert_eq!(listed(&s, s.acme).await.iter().map(|r| r.id).collect::<Vec<_>>(), [young.id]);
    let mut tx = TenantTx::begin(&s.console, s.acme.id).await.unwrap();
    let counts = list_counts(&mut tx, s.key, datetime!(2020-01-01 00:00 UTC)).await.unwrap();
    assert_eq!(counts, [Counted { code: "x".to_owned(), refused: 1 }]);
}
