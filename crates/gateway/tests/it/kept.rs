//! What is kept of refusals, so that they can be explained.

use serde_json::{Value, json};
use store::refusals::{self, Explained, Refused};
use store::{PgPool, TenantTx};

use crate::harness::cable::Cable;
use crate::harness::{TestGateway, eventually, some_secret};

async fn kept(gateway: &TestGateway, count: usize) -> Vec<Refused> {
    eventually(&format!("{count} refusals are kept"), || async {
        let mut tx = TenantTx::begin(&gateway.console, gateway.account.id).await.unwrap();
        let mut rows = refusals::list(&mut tx, gateway.key.id, None, 2_000).await.unwrap();
        assert!(rows.len() <= count, "too many: {rows:#?}");
        rows.reverse();
        (rows.len() == count).then_some(rows)
    })
    .await
}

async fn counted(gateway: &TestGateway) -> Value {
    gateway.json("SELECT coalesce(jsonb_object_agg(code, refused), '{}') FROM refusal_counts").await
}

fn chat(model: &str) -> Value {
    json!({ "model": model, "messages": [{ "role": "user", "content": "a poem about the canary" }] })
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn each_refusal_is_kept_with_its_rule_its_figures_and_its_model(pool: PgPool) {
    let gateway = TestGateway::start(pool).await;
    let ask = async |model: &str, status: u16| {
        let response = gateway.chat(&chat(model)).send().await.unwrap();
        assert_eq!(response.status(), status, "{model}");
        response.headers()["x-request-id"].to_str().unwrap().to_owned()
    };
    let mut ids = vec![ask("no-such-model", 404).await, ask("a poem in place of a name", 404).await];
    gateway.execute("UPDATE api_keys SET models = '{alias}'").await;
    gateway.until_enforced().await;
    ids.push(ask("gpt-4o-mini", 403).await);
    gateway.execute("UPDATE api_keys SET models = NULL, permissions = '{}'").await;
    gateway.until_enforced().await;
    ids.push(ask("gpt-4o-mini", 403).await);
    gateway.execute("UPDATE api_keys SET permissions = NULL, requests_per_minute = 1").await;
    gateway.until_enforced().await;
    let served = ask("gpt-4o-mini", 200).await;
    ids.push(ask("gpt-4o-mini", 429).await);
    gateway.execute("UPDATE api_keys SET requests_per_minute = NULL, addresses = '{203.0.113.0/24}'").await;
    gateway.until_enforced().await;
    ids.push(ask("gpt-4o-mini", 403).await);
    gateway.execute("UPDATE api_keys SET addresses = NULL, expires_at = now() - interval '1 s'").await;
    gateway.until_enforced().await;
    ids.push(ask("gpt-4o-mini", 401).await);
    gateway.execute("UPDATE api_keys SET expires_at = NULL, fit = 'strict'").await;
    gateway.set_limit(store::limits::Subject::Key(gateway.key.id), 10).await;
    ids.push(ask("gpt-4o-mini", 429).await);

    let rows = kept(&gateway, ids.len()).await;
    let said: Vec<_> = rows.iter().map(|r| (r.code.as_str(), r.rule.as_str(), r.limit, r.current)).collect();
    assert_eq!(
        said,
        [
            ("model_not_found", "model", None, None),
            ("model_not_found", "model", None, None),
            ("model_not_allowed", "model", None, None),
            ("insufficient_permissions", "permission", None, None),
            ("rate_limit_exceeded", "requests_per_minute", Some(1), Some(1)),
            ("ip_not_allowed", "address", None, None),
            ("key_expired", "expiry", None, None),
            ("cost_limit_exceeded", "cost", Some(10), Some(0)),
        ]
    );
    let mini = Some("gpt-4o-mini");
    let models: Vec<_> = rows.iter().map(|r| r.model.as_deref()).collect();
    // Permission, address and expiry are decided before the body is read.
    assert_eq!(models, [Some("no-such-model"), None, mini, None, mini, None, None, mini]);
    for (row, id) in rows.iter().zip(&ids) {
        assert_eq!((&row.id.to_string(), row.public_id.as_str()), (id, gateway.key.public_id.as_str()));
        assert!(row.client.addr().is_loopback());
    }
    eventually("both are counted", || async {
        (counted(&gateway).await["model_not_found"] == 2).then_some(())
    })
    .await;

    gateway.ledger(1).await;
    let mut tx = TenantTx::begin(&gateway.console, gateway.account.id).await.unwrap();
    let explained = refusals::explain(&mut tx, rows[0].id).await.unwrap();
    assert_eq!(explained, Some(Explained::Refused(rows[0].clone())));
    let served = domain::RequestId(served.parse().unwrap());
    let explained = refusals::explain(&mut tx, served).await.unwrap();
    assert!(matches!(explained, Some(Explained::Served(s)) if s.status == 200), "no explanation");
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn the_thousand_and_first_of_a_day_is_only_counted(pool: PgPool) {
    let gateway = TestGateway::start(pool).await;
    gateway.execute("UPDATE api_keys SET permissions = '{}'").await;
    gateway.until_enforced().await;
    for _ in 0..1_005 {
        let response = gateway.chat(&chat("gpt-4o-mini")).send().await.unwrap();
        assert_eq!(response.status(), 403);
    }
    eventually("all are counted", || async {
        (counted(&gateway).await["insufficient_permissions"] == 1_005).then_some(())
    })
    .await;
    kept(&gateway, 1_000).await;
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn without_a_known_key_nothing_is_kept(pool: PgPool) {
    let mut gateway = TestGateway::start(pool).await;
    for secret in [some_secret().expose(), "sk-lk-nonsense"] {
        let response = gateway.post("/v1/models").bearer_auth(secret).send().await.unwrap();
        assert_eq!(response.status(), 401);
    }
    assert_eq!(gateway.post("/v1/models").send().await.unwrap().status(), 401);
    // A stop writes whatever there is.
    gateway.stop().await;
    kept(&gateway, 0).await;
    assert_eq!(counted(&gateway).await, json!({}));
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn refusals_wait_for_the_database_and_hold_up_nothing(pool: PgPool) {
    let cable = Cable::to(&pool, true).await;
    let gateway_pool = cable.pool(&pool);
    let gateway = TestGateway::start_on(pool, gateway_pool, |_| {}).await;
    gateway.until_ready().await;
    cable.pull();
    for _ in 0..50 {
        assert_eq!(gateway.chat(&chat("no-such-model")).send().await.unwrap().status(), 404);
        assert_eq!(gateway.chat(&chat("gpt-4o-mini")).send().await.unwrap().status(), 200);
    }
    cable.plug_in();
    gateway.ledger(50).await;
    kept(&gateway, 50).await;
}
