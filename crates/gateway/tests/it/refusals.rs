//! Every refusal's exact status, headers and body.

use domain::key::KeyStatus;
use reqwest::{Method, Response};
use serde_json::{Value, json};
use store::PgPool;
use store::accounts::BillingMode;

use crate::harness::{TestGateway, make_key, open_account, some_secret};

/// What is asserted of every refusal; the body is given back without its request id.
async fn refusal(response: Response, status: u16) -> Value {
    assert_eq!(response.status(), status, "{response:?}");
    let header = |name: &str| response.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
    let id = header("x-request-id").expect("no x-request-id");
    assert_eq!(uuid::Uuid::parse_str(&id).unwrap().get_version_num(), 7);
    assert_eq!(header("content-type").unwrap(), "application/json");
    assert_eq!(header("cache-control").unwrap(), "no-store");
    assert_eq!(header("x-content-type-options").unwrap(), "nosniff");
    assert_eq!(header("www-authenticate"), (status == 401).then(|| "Bearer".to_owned()));
    let mut body: Value = response.json().await.unwrap();
    let error = body["error"].as_object_mut().unwrap();
    assert_eq!(error.remove("request_id").unwrap(), Value::String(id));
    assert_eq!(error.keys().map(String::as_str).collect::<Vec<_>>(), ["code", "message", "param", "type"]);
    body["error"].take()
}

fn code(error: &Value) -> (&str, &str) {
    (error["type"].as_str().unwrap(), error["code"].as_str().unwrap())
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn whatever_is_wrong_with_a_key_is_told_in_the_same_words(pool: PgPool) {
    let gateway = TestGateway::start(pool).await;
    let revoked = make_key(&gateway.console, gateway.account, "revoked").await;
    gateway.set_status(revoked.id, KeyStatus::Revoked).await;
    gateway.until_enforced().await;
    let good = &gateway.key.secret;
    let typo = format!("{}{}", &good[..good.len() - 1], if good.ends_with('A') { 'B' } else { 'A' });
    let unknown = some_secret().expose().to_owned();
    let mut bodies = Vec::new();
    for authorization in [
        None,
        Some("Bearer".to_owned()),
        Some("Bearer sk-proj-abcdef".to_owned()),
        Some(format!("Basic {good}")),
        Some(format!("Bearer {typo}")),
        Some(format!("Bearer {unknown}")),
        Some(format!("Bearer {}", revoked.secret)),
    ] {
        for path in ["/v1/chat/completions", "/v1/models", "/nowhere"] {
            let request = gateway.post(path).body("{}");
            let request = match &authorization {
                Some(value) => request.header("authorization", value),
                None => request,
            };
            bodies.push(refusal(request.send().await.unwrap(), 401).await);
        }
    }
    bodies.dedup();
    assert_eq!(bodies.len(), 1, "{bodies:#?}");
    assert_eq!(code(&bodies[0]), ("authentication_error", "invalid_api_key"));
    let message = bodies[0]["message"].as_str().unwrap();
    assert!(message.starts_with("Invalid API key provided") && message.contains("sk-lk-"), "{message}");
    assert!(gateway.upstream.received().is_empty());
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_disabled_or_expired_key_says_so(pool: PgPool) {
    let gateway = TestGateway::start(pool).await;
    let disabled = make_key(&gateway.console, gateway.account, "disabled").await;
    gateway.set_status(disabled.id, KeyStatus::Disabled).await;
    let ask = |secret: String| gateway.client.get(gateway.url("/v1/models")).bearer_auth(secret).send();
    gateway.execute("UPDATE api_keys SET expires_at = now() WHERE name = 'first'").await;
    gateway.until_enforced().await;
    for (secret, word) in [(&disabled.secret, "key_disabled"), (&gateway.key.secret, "key_expired")] {
        let error = refusal(ask(secret.clone()).await.unwrap(), 401).await;
        assert_eq!(code(&error), ("authentication_error", word));
    }
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn one_credential_in_one_place(pool: PgPool) {
    let gateway = TestGateway::start(pool).await;
    let secret = &gateway.key.secret;
    let get = |path: String| gateway.client.get(gateway.url(&path));
    let two = get("/v1/models".to_owned()).bearer_auth(secret).header("x-api-key", secret);
    assert_eq!(
        code(&refusal(two.send().await.unwrap(), 400).await),
        ("invalid_request_error", "invalid_request")
    );
    let in_query = get(format!("/v1/models?api_key={secret}"));
    assert_eq!(refusal(in_query.send().await.unwrap(), 401).await["code"], "invalid_api_key");
    let other_header = get("/v1/models".to_owned()).header("x-api-key", secret);
    assert_eq!(refusal(other_header.send().await.unwrap(), 401).await["code"], "invalid_api_key");
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn paths_and_methods_are_told_only_to_a_good_key(pool: PgPool) {
    let gateway = TestGateway::start(pool).await;
    let ask = |method: Method, path: &str| {
        gateway.client.request(method, gateway.url(path)).bearer_auth(&gateway.key.secret).send()
    };
    for path in ["/", "/v1", "/v1/models/", "/v1//models", "/v2/chat/completions", "/v1/models/../models;x"] {
        let error = refusal(ask(Method::GET, path).await.unwrap(), 404).await;
        assert_eq!(code(&error), ("invalid_request_error", "path_not_found"), "{path}");
    }
    for (method, path, allow) in [
        (Method::GET, "/v1/chat/completions", "POST"),
        (Method::DELETE, "/v1/embeddings", "POST"),
        (Method::POST, "/v1/models", "GET"),
        (Method::OPTIONS, "/v1/models", "GET"),
    ] {
        let response = ask(method, path).await.unwrap();
        assert_eq!(response.headers()["allow"], allow, "{path}");
        let error = refusal(response, 405).await;
        assert_eq!(code(&error), ("invalid_request_error", "method_not_allowed"), "{path}");
    }
    assert!(gateway.upstream.received().is_empty());
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn bodies_are_checked_before_anything_is_sent_on(pool: PgPool) {
    let gateway = TestGateway::start(pool).await;
    let deep = format!("{{\"model\":\"gpt-4o-mini\",\"a\":{}{}}}", "[".repeat(64), "]".repeat(64));
    for (body, param) in [
        (b"".as_slice(), None),
        (b"not json", None),
        (b"{\"model\":\"gpt-4o-mini\"} {}", None),
        (b"{\"model\":\"gpt-4o-mini\",\"x\":\"\xff\"}", None),
        (b"[]", None),
        (deep.as_bytes(), None),
        (b"{\"messages\":[]}", Some("model")),
        (b"{\"model\":null}", Some("model")),
        (b"{\"model\":\"gpt-4o-mini\",\"model\":\"alias\"}", Some("model")),
        (b"{\"model\":\"gpt-4o-mini\",\"mod\\u0065l\":\"alias\"}", Some("model")),
        (b"{\"model\":\"gpt-4o-mini\",\"models\":[\"alias\"]}", Some("models")),
        (b"{\"model\":\"gpt-4o-mini\",\"api_base\":\"http://localhost\"}", Some("api_base")),
        (b"{\"model\":\"gpt-4o-mini\",\"stream\":1}", Some("stream")),
    ] {
        let request = gateway.post("/v1/chat/completions").bearer_auth(&gateway.key.secret);
        let request = request.header("content-type", "application/json").body(body.to_vec());
        let error = refusal(request.send().await.unwrap(), 400).await;
        let shown = String::from_utf8_lossy(body);
        assert_eq!(code(&error), ("invalid_request_error", "invalid_request"), "{shown}");
        assert_eq!(error["param"].as_str(), param, "{shown}");
    }
    assert!(gateway.upstream.received().is_empty());
    assert!(gateway.ledger_now().await.is_empty());
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn only_json_is_taken(pool: PgPool) {
    let gateway = TestGateway::start(pool).await;
    let body = json!({ "model": "gpt-4o-mini", "messages": [] }).to_string();
    for headers in [
        vec![],
        vec![("content-type", "text/plain")],
        vec![("content-type", "application/x-www-form-urlencoded")],
        vec![("content-type", "application/json"), ("content-encoding", "gzip")],
    ] {
        let request =
            gateway.post("/v1/chat/completions").bearer_auth(&gateway.key.secret).body(body.clone());
        let request = headers.into_iter().fold(request, |request, (name, value)| request.header(name, value));
        let error = refusal(request.send().await.unwrap(), 415).await;
        assert_eq!(code(&error), ("invalid_request_error", "unsupported_media_type"));
    }
    let request = gateway.post("/v1/chat/completions").bearer_auth(&gateway.key.secret).body(body);
    let taken = request.header("content-type", "Application/JSON; charset=utf-8").send().await.unwrap();
    assert_eq!(taken.status(), 200);
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn an_unknown_model_is_not_found(pool: PgPool) {
    let gateway = TestGateway::start(pool).await;
    for model in ["gpt-9", "GPT-4O-MINI", "gpt-4o-mini ", "gpt-4o"] {
        let response = gateway.chat(&json!({ "model": model, "messages": [] })).send().await.unwrap();
        let error = refusal(response, 404).await;
        assert_eq!(code(&error), ("invalid_request_error", "model_not_found"), "{model}");
        assert_eq!(error["param"], "model");
        assert!(error["message"].as_str().unwrap().contains(model));
    }
    assert!(gateway.upstream.received().is_empty());
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn an_account_that_cannot_pay_is_refused(pool: PgPool) {
    let gateway = TestGateway::start(pool).await;
    let unpaid = open_account(&gateway.owner, "unpaid", BillingMode::None).await;
    let key = make_key(&gateway.console, unpaid, "key").await;
    let ask = || gateway.client.get(gateway.url("/v1/models")).bearer_auth(&key.secret).send();
    gateway.until_enforced().await;
    let response = ask().await.unwrap();
    assert_eq!(response.headers()["x-should-retry"], "false");
    assert_eq!(code(&refusal(response, 402).await), ("billing_error", "billing_inactive"));
    gateway.execute("UPDATE accounts SET suspended_at = now() WHERE slug = 'unpaid'").await;
    gateway.until_enforced().await;
    assert_eq!(code(&refusal(ask().await.unwrap(), 403).await), ("permission_error", "account_inactive"));
}
