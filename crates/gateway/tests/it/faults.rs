//! What happens to the database and to notifications, and what that costs: the rows of docs/failures.md.

use std::time::{Duration, Instant};

use domain::key::KeyStatus;
use serde_json::{Value, json};
use store::PgPool;
use store::limits::Subject;

use crate::harness::cable::Cable;
use crate::harness::{TestGateway, eventually, make_key, report};

fn prompt() -> Value {
    json!({ "model": "gpt-4o-mini", "messages": [{ "role": "user", "content": "hi" }] })
}

/// The status of a chat, and how long it took to come.
async fn ask(gateway: &TestGateway, secret: &str) -> (u16, Duration) {
    let begin = Instant::now();
    let response =
        gateway.post("/v1/chat/completions").bearer_auth(secret).json(&prompt()).send().await.unwrap();
    let status = response.status().as_u16();
    response.bytes().await.unwrap();
    (status, begin.elapsed())
}

async fn through_a_cable(pool: &PgPool, staleness: Duration) -> (TestGateway, Cable) {
    let cable = Cable::to(pool, true).await;
    let gateway_pool = cable.pool(pool);
    let gateway =
        TestGateway::start_on(pool.clone(), gateway_pool, |limits| limits.staleness = staleness).await;
    gateway.until_ready().await;
    (gateway, cable)
}

/// Every request the upstream has served is in the ledger, once, and no other.
async fn nothing_is_lost(gateway: &TestGateway) {
    let served = gateway.upstream.received().len();
    eventually("the ledger has what the upstream has served", || async {
        let rows = gateway.ledger_now().await;
        let served_rows = rows.iter().filter(|row| row["route"] == "/v1/chat/completions").count();
        assert!(served_rows <= served, "{served_rows} rows for {served} requests");
        (served_rows == served).then_some(())
    })
    .await;
    let stats = gateway.json("SELECT to_jsonb(sum(requests)) FROM key_stats").await;
    assert_eq!(stats, gateway.ledger_now().await.len());
}

/// Asks until the gateway refuses with a 503. Until then it serves, from what it holds; it says nothing else.
async fn until_unavailable(gateway: &TestGateway, secret: &str) {
    eventually("the gateway refuses with a 503", || async {
        let (status, took) = ask(gateway, secret).await;
        assert!(matches!(status, 200 | 429 | 503), "{status}");
        // Another one may have taken what the leases hold; waiting for the database is bounded.
        assert!(took < Duration::from_secs(5), "a refusal took {took:?}");
        (status == 503).then_some(())
    })
    .await;
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_database_that_hangs_holds_nobody_up_and_loses_nothing(pool: PgPool) {
    let (gateway, cable) = through_a_cable(&pool, Duration::from_secs(4)).await;
    let limited = make_key(&gateway.console, gateway.account, "limited").await;
    gateway.set_limit(Subject::Key(limited.id), 1_000_000_000).await;
    assert_eq!(ask(&gateway, &limited.secret).await.0, 200);
    cable.swallow();
    // From memory, and from the lease it has.
    for secret in [&gateway.key.secret, &limited.secret] {
        let (status, took) = ask(&gateway, secret).await;
        assert!(status == 200 && took < Duration::from_secs(2), "{status} after {took:?}");
    }
    until_unavailable(&gateway, &gateway.key.secret).await;
    assert_eq!(ask(&gateway, &limited.secret).await.0, 503);
    let served = gateway.upstream.received().len();
    cable.plug_in();
    eventually("the gateway serves again", || async {
        (ask(&gateway, &limited.secret).await.0 == 200).then_some(())
    })
    .await;
    assert!(gateway.upstream.received().len() > served);
    nothing_is_lost(&gateway).await;
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_database_that_only_reads_is_as_one_that_is_away(pool: PgPool) {
    let (gateway, _cable) = through_a_cable(&pool, Duration::from_secs(2)).await;
    assert_eq!(ask(&gateway, &gateway.key.secret).await.0, 200);
    gateway.ledger(1).await;
    let kill = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                WHERE datname = current_database() AND application_name = 'gateway through a cable'";
    gateway
        .execute(
            "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET default_transaction_read_only = on',
                                        current_database()); END $$",
        )
        .await;
    gateway.execute(kill).await;
    until_unavailable(&gateway, &gateway.key.secret).await;
    gateway
        .execute(
            "BEGIN READ WRITE;
             DO $$ BEGIN EXECUTE format('ALTER DATABASE %I RESET default_transaction_read_only',
                                        current_database()); END $$;
             COMMIT",
        )
        .await;
    gateway.execute(kill).await;
    eventually("the gateway serves again", || async {
        (ask(&gateway, &gateway.key.secret).await.0 == 200).then_some(())
    })
    .await;
    nothing_is_lost(&gateway).await;
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn connections_killed_in_the_middle_of_things_book_nothing_twice(pool: PgPool) {
    let (gateway, _cable) = through_a_cable(&pool, Duration::from_secs(30)).await;
    let limited = make_key(&gateway.console, gateway.account, "limited").await;
    gateway.set_limit(Subject::Key(limited.id), 1_000_000_000).await;
    let kill = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                WHERE datname = current_database() AND application_name = 'gateway through a cable'
                  AND state <> 'idle'";
    let mut served = 0;
    for n in 0..120 {
        let secret = if n % 2 == 0 { &limited.secret } else { &gateway.key.secret };
        let (status, _) = ask(&gateway, secret).await;
        assert!(matches!(status, 200 | 503), "{status}");
        served += u32::from(status == 200);
        gateway.execute(kill).await;
    }
    assert!(served > 0);
    nothing_is_lost(&gateway).await;
    let windows = "SELECT to_jsonb(w.spent = (SELECT sum(u.cost_nano) FROM usage_records u JOIN limits l
                       ON l.key_id = u.key_id WHERE l.id = w.limit_id)) FROM limit_windows w";
    eventually("the limit's figure is the ledger's", || async {
        (gateway.json(windows).await == true).then_some(())
    })
    .await;
}

/// How long a revoked key is served once `fault` is in place, in several rounds.
async fn revocations(gateway: &TestGateway, what: &str, rounds: u32) {
    let mut slowest = Duration::ZERO;
    for n in 0..rounds {
        let key = make_key(&gateway.console, gateway.account, &format!("{what} {n}")).await;
        eventually("the key is known", || async { (ask(gateway, &key.secret).await.0 == 200).then_some(()) })
            .await;
        let mut tx = store::TenantTx::begin(&gateway.console, gateway.account.id).await.unwrap();
        store::keys::set_status(&mut tx, key.id, KeyStatus::Revoked).await.unwrap();
        tx.commit().await.unwrap();
        let revoked = Instant::now();
        eventually("the key is refused", || async {
            let (status, _) = ask(gateway, &key.secret).await;
            (status == 401).then_some(())
        })
        .await;
        slowest = slowest.max(revoked.elapsed());
    }
    report(&format!(
        "revocation with {what}: {rounds} keys, refused after {slowest:.1?} at most (bound: 5 s)"
    ));
    assert!(slowest < Duration::from_secs(5), "{slowest:?}");
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn without_notifications_a_revoked_key_is_refused_within_five_seconds(pool: PgPool) {
    let (gateway, cable) = through_a_cable(&pool, Duration::from_secs(30)).await;
    cable.cut_notifications();
    revocations(&gateway, "NOTIFY cut", 5).await;
    cable.plug_in();
    cable.swallow_notifications();
    revocations(&gateway, "a half-open LISTEN", 5).await;
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn without_the_database_a_revoked_key_is_refused_within_thirty_seconds(pool: PgPool) {
    let (gateway, cable) = through_a_cable(&pool, Duration::from_secs(30)).await;
    cable.pull();
    gateway.set_status(gateway.key.id, KeyStatus::Revoked).await;
    let revoked = Instant::now();
    let mut served = 0_u32;
    let refused = loop {
        match ask(&gateway, &gateway.key.secret).await.0 {
            200 => served += 1,
            status => break status,
        }
        assert!(revoked.elapsed() < Duration::from_secs(40), "a revoked key is still served");
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    let after = revoked.elapsed();
    report(&format!(
        "revocation with Postgres away: refused with a {refused} after {after:.1?} (bound: 30 s), {served} requests \
         served until then"
    ));
    assert_eq!(refused, 503);
    assert!(after < Duration::from_secs(31), "{after:?}");
    cable.plug_in();
    eventually("the key is known to be revoked", || async {
        let (status, _) = ask(&gateway, &gateway.key.secret).await;
        assert_ne!(status, 200);
        (status == 401).then_some(())
    })
    .await;
    nothing_is_lost(&gateway).await;
}
