//! The policy feed with everything that can happen to it.

use std::time::Duration;

use domain::key::KeyStatus;
use serde_json::{Value, json};
use store::PgPool;

use crate::harness::cable::Cable;
use crate::harness::{TestGateway, eventually, logs, make_key, some_secret};

async fn code_of(gateway: &TestGateway, secret: &str) -> (u16, Value) {
    let request = gateway.client.get(gateway.url("/v1/models")).bearer_auth(secret);
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    (status, response.json::<Value>().await.unwrap()["error"]["code"].take())
}

async fn until_code(gateway: &TestGateway, secret: &str, status: u16) {
    eventually(&format!("the key gets a {status}"), || async {
        (code_of(gateway, secret).await.0 == status).then_some(())
    })
    .await;
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_new_key_works_and_the_version_is_acknowledged(pool: PgPool) {
    let gateway = TestGateway::start(pool).await;
    let key = make_key(&gateway.console, gateway.account, "second").await;
    gateway.until_enforced().await;
    assert_eq!(code_of(&gateway, &key.secret).await.0, 200);
    assert_eq!(gateway.json("SELECT to_jsonb(name) FROM gateways").await, "gw-test");
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_lost_notification_is_made_up_for_by_the_poll(pool: PgPool) {
    let gateway = TestGateway::start(pool).await;
    // The triggers, and with them the notification, are left out; the version rises all the same.
    gateway
        .execute(
            "BEGIN; SET LOCAL session_replication_role = replica;
             UPDATE api_keys SET status = 'disabled';
             UPDATE policy_version SET version = version + 1;
             INSERT INTO policy_changes (version, kind, id)
             SELECT v.version, 'key', k.id FROM policy_version v, api_keys k;
             COMMIT",
        )
        .await;
    let changed = std::time::Instant::now();
    until_code(&gateway, &gateway.key.secret, 401).await;
    assert_eq!(code_of(&gateway, &gateway.key.secret).await.1, "key_disabled");
    assert!(changed.elapsed() < Duration::from_secs(5), "{:?}", changed.elapsed());
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_log_of_changes_that_was_cut_is_made_up_for_by_a_full_load(pool: PgPool) {
    let gateway = TestGateway::start(pool).await;
    gateway
        .execute("BEGIN; UPDATE api_keys SET status = 'disabled'; DELETE FROM policy_changes; COMMIT")
        .await;
    until_code(&gateway, &gateway.key.secret, 401).await;
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn killed_database_connections_are_made_anew(pool: PgPool) {
    let gateway = TestGateway::start(pool).await;
    for status in [KeyStatus::Disabled, KeyStatus::Enabled, KeyStatus::Disabled] {
        gateway
            .execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                 WHERE datname = current_database() AND pid <> pg_backend_pid()
                   AND query ILIKE '%latchkey_policy%'",
            )
            .await;
        gateway.set_status(gateway.key.id, status).await;
        until_code(&gateway, &gateway.key.secret, if status == KeyStatus::Enabled { 200 } else { 401 }).await;
    }
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn without_the_database_there_is_no_policy_and_no_401(pool: PgPool) {
    let cable = Cable::to(&pool, false).await;
    let gateway_pool = cable.pool(&pool);
    let gateway = TestGateway::start_on(pool, gateway_pool, |_| {}).await;
    let port = cable.address.port().to_string();
    eventually("the log says what the start waits for", || async {
        let log = logs::so_far();
        let line = log.lines().find(|line| line.contains("waiting for PostgreSQL") && line.contains(&port));
        line.map(|line| assert!(line.contains("127.0.0.1") && line.contains("reason"), "{line}"))
    })
    .await;
    let health = gateway.client.get(gateway.url("/healthz")).send().await.unwrap();
    assert_eq!(health.status(), 200);
    let ready = gateway.client.get(gateway.url("/readyz")).send().await.unwrap();
    assert_eq!(ready.status(), 503);
    for secret in [gateway.key.secret.as_str(), some_secret().expose()] {
        assert_eq!(code_of(&gateway, secret).await, (503, json!("policy_unavailable")));
    }
    // A text that cannot be a key needs no policy.
    assert_eq!(code_of(&gateway, "sk-lk-nonsense").await, (401, json!("invalid_api_key")));
    cable.plug_in();
    gateway.until_ready().await;
    assert_eq!(code_of(&gateway, &gateway.key.secret).await.0, 200);
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_policy_that_has_become_too_old_is_not_used(pool: PgPool) {
    let cable = Cable::to(&pool, true).await;
    let gateway_pool = cable.pool(&pool);
    let gateway = TestGateway::start_on(pool, gateway_pool, |limits| {
        limits.staleness = Duration::from_millis(1_500);
        limits.poll = Duration::from_millis(200);
    })
    .await;
    gateway.until_ready().await;
    cable.pull();
    // It is served from memory at first.
    let body = json!({ "model": "gpt-4o-mini", "messages": [] });
    assert_eq!(gateway.chat(&body).send().await.unwrap().status(), 200);
    until_code(&gateway, &gateway.key.secret, 503).await;
    for secret in [gateway.key.secret.as_str(), some_secret().expose()] {
        assert_eq!(code_of(&gateway, secret).await, (503, json!("policy_unavailable")));
    }
    let ready = gateway.client.get(gateway.url("/readyz")).send().await.unwrap();
    assert_eq!(ready.status(), 503);
    // What happens meanwhile is known as soon as the database is back, and what was used meanwhile is booked.
    gateway.set_status(gateway.key.id, KeyStatus::Revoked).await;
    cable.plug_in();
    eventually("the gateway recovers", || async {
        let (status, code) = code_of(&gateway, &gateway.key.secret).await;
        assert_ne!(status, 200, "a revoked key was let through");
        (status == 401 && code == "invalid_api_key").then_some(())
    })
    .await;
    eventually("what was used meanwhile is booked", || async {
        let rows = gateway.ledger_now().await;
        rows.iter().any(|row| row["route"] == "/v1/chat/completions").then_some(())
    })
    .await;
}
