//! What the gateway answers by itself: models, and the key.

use domain::key::KeyStatus;
use reqwest::Response;
use serde_json::{Value, json};
use store::PgPool;
use store::accounts::BillingMode;

use crate::harness::{TestGateway, make_key, open_account};

async fn get(gateway: &TestGateway, path: &str) -> Response {
    gateway.client.get(gateway.url(path)).bearer_auth(&gateway.key.secret).send().await.unwrap()
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_model_is_found_by_its_whole_name(pool: PgPool) {
    let gateway = TestGateway::start(pool).await;
    gateway.offer(&["meta/llama-3:8b"]).await;
    for path in ["/v1/models/meta/llama-3:8b", "/v1/models/meta%2Fllama-3:8b", "/v1/models/meta%2fllama-3:8b"]
    {
        let response = get(&gateway, path).await;
        assert_eq!(response.status(), 200, "{path}");
        let model: Value = response.json().await.unwrap();
        assert_eq!((&model["id"], &model["object"]), (&json!("meta/llama-3:8b"), &json!("model")));
    }
    gateway.execute("UPDATE models SET enabled = false WHERE id = 'alias'").await;
    gateway.until_enforced().await;
    for (path, named) in
        [("alias", "alias"), ("nobody", "nobody"), ("meta%252Fllama-3:8b", "meta%252Fllama-3:8b")]
    {
        let response = get(&gateway, &format!("/v1/models/{path}")).await;
        assert_eq!(response.status(), 404);
        let error = response.json::<Value>().await.unwrap()["error"].take();
        assert_eq!((&error["code"], &error["param"]), (&json!("model_not_found"), &json!("model")), "{path}");
        assert!(error["message"].as_str().unwrap().contains(named), "{error}");
    }
    for path in ["/v1/models/meta//x", "/v1/models/a%2F..%2Fb"] {
        let error = get(&gateway, path).await.json::<Value>().await.unwrap()["error"].take();
        assert_eq!(error["code"], "path_not_found", "{path}");
    }
    let rows = gateway.ledger(6).await;
    assert!(rows.iter().all(|row| row["route"] == "/v1/models/{id}" && row["cost_nano"] == 0));
    assert_eq!(rows.iter().filter(|row| row["status"] == 404).count(), 3);
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_key_tells_what_it_is_even_when_it_may_do_nothing(pool: PgPool) {
    let gateway = TestGateway::start(pool).await;
    let about: Value = get(&gateway, "/v1/key").await.json().await.unwrap();
    assert_eq!(about["object"], "key");
    assert_eq!(about["id"], gateway.key.public_id);
    assert_eq!((&about["status"], &about["expires_at"]), (&json!("enabled"), &json!(null)));
    assert_eq!(about["group_id"], gateway.account.group.to_string());
    assert_eq!((&about["environment"], &about["addresses"]), (&json!(null), &json!(null)));
    let permissions = about["permissions"].as_array().unwrap();
    assert!(permissions.contains(&json!("chat:read")) && permissions.contains(&json!("audio:transcribe")));
    assert_eq!(about["models"], json!(["alias", "gpt-4o-mini", "text-embedding-3-small"]));
    assert_eq!(about["limits"], json!([]));
    assert!(!about.to_string().contains(&gateway.key.secret));

    gateway.execute("UPDATE api_keys SET expires_at = now() WHERE name = 'first'").await;
    let unpaid = open_account(&gateway.owner, "unpaid", BillingMode::None).await;
    let unpaid_key = make_key(&gateway.console, unpaid, "key").await;
    gateway.execute("UPDATE accounts SET suspended_at = now() WHERE slug = 'unpaid'").await;
    gateway.until_enforced().await;
    let about: Value = get(&gateway, "/v1/key").await.json().await.unwrap();
    assert_eq!(about["status"], "expired");
    assert!(about["expires_at"].as_str().unwrap().ends_with('Z'), "{about}");
    let ask = gateway.client.get(gateway.url("/v1/key")).bearer_auth(&unpaid_key.secret);
    let about: Value = ask.send().await.unwrap().json().await.unwrap();
    assert_eq!((&about["id"], &about["status"]), (&json!(unpaid_key.public_id), &json!("enabled")));
    let rows = gateway.ledger(3).await;
    assert!(rows.iter().all(|row| row["route"] == "/v1/key" && row["cost_nano"] == 0));
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_key_that_is_off_or_gone_learns_nothing(pool: PgPool) {
    let gateway = TestGateway::start(pool).await;
    for (status, code) in [(KeyStatus::Disabled, "key_disabled"), (KeyStatus::Revoked, "invalid_api_key")] {
        gateway.set_status(gateway.key.id, status).await;
        gateway.until_enforced().await;
        let response = get(&gateway, "/v1/key").await;
        assert_eq!(response.status(), 401);
        assert_eq!(response.json::<Value>().await.unwrap()["error"]["code"], code);
    }
    assert_eq!(gateway.client.get(gateway.url("/v1/key")).send().await.unwrap().status(), 401);
}
