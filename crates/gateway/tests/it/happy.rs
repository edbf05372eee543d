//! Requests that are served, and what is booked for them.

use std::collections::HashSet;

use reqwest::Response;
use serde_json::{Value, json};
use store::PgPool;

use crate::harness::{PRICE, TestGateway, UPSTREAM_KEY};

fn hello(model: &str) -> Value {
    json!({ "model": model, "messages": [{ "role": "user", "content": "Hello there" }] })
}

fn cost(input: i64, output: i64) -> i64 {
    (input * PRICE.input + output * PRICE.output + 999_999) / 1_000_000
}

async fn json_of(response: Response) -> Value {
    assert_eq!(response.status(), 200);
    response.json().await.unwrap()
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_chat_is_answered_and_booked(pool: PgPool) {
    let gateway = TestGateway::start(pool).await;
    let response = gateway.chat(&hello("gpt-4o-mini")).send().await.unwrap();
    let id = response.headers()["x-request-id"].to_str().unwrap().to_owned();
    let answer = json_of(response).await;
    assert!(answer["choices"][0]["message"]["content"].as_str().unwrap().starts_with("Hello!"));
    let usage = &answer["usage"];
    let (input, output) =
        (usage["prompt_tokens"].as_i64().unwrap(), usage["completion_tokens"].as_i64().unwrap());

    let rows = gateway.ledger(1).await;
    let row = &rows[0];
    assert_eq!(row["id"], id);
    assert_eq!(row["key_id"], gateway.key.id.to_string());
    assert_eq!(row["account_id"], gateway.account.id.to_string());
    assert_eq!(row["group_id"], gateway.account.group.to_string());
    assert_eq!(row["created_by"], gateway.account.owner.to_string());
    assert_eq!(row["public_id"], gateway.key.public_id);
    assert_eq!((&row["model"], &row["route"]), (&json!("gpt-4o-mini"), &json!("/v1/chat/completions")));
    assert_eq!((&row["status"], &row["client"]), (&json!(200), &json!("127.0.0.1")));
    assert_eq!((&row["input_tokens"], &row["output_tokens"]), (&json!(input), &json!(output)));
    assert_eq!(row["cost_nano"], cost(input, output));
    assert_eq!((&row["estimated"], &row["interrupted"]), (&json!(false), &json!(false)));
    assert_eq!(row["streamed"], false);
    assert!(row["first_byte_us"].as_i64().unwrap() <= row["duration_us"].as_i64().unwrap());

    let stats = gateway.stats().await;
    assert_eq!((&stats["requests"], &stats["cost_nano"]), (&json!(1), &row["cost_nano"]));
    assert_eq!((&stats["input_tokens"], &stats["output_tokens"]), (&json!(input), &json!(output)));
    assert!(!stats["last_used_at"].is_null());
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn nothing_of_the_caller_reaches_the_upstream_but_the_request(pool: PgPool) {
    let gateway = TestGateway::start(pool).await;
    let body = "{ \"messages\" : [ ], \"model\" :\"gpt-4o-mini\",\"temperature\":1.50 }";
    let request = gateway.post("/v1/chat/completions").bearer_auth(&gateway.key.secret);
    let request = request
        .header("content-type", "application/json")
        .header("cookie", "session=1")
        .header("x-forwarded-for", "203.0.113.7")
        .header("x-forwarded-host", "evil.example")
        .header("forwarded", "for=203.0.113.7")
        .header("openai-organization", "org-other")
        .header("x-base-url", "http://169.254.169.254/")
        .header("accept-encoding", "gzip")
        .header("x-custom", "1")
        .header("connection", "x-custom, keep-alive")
        .header("user-agent", "test/1")
        .body(body);
    let response = request.send().await.unwrap();
    assert!(response.headers().get("set-cookie").is_none());
    assert_eq!(response.status(), 200);
    let received = gateway.upstream.nth_received(1).await;
    assert_eq!(received.body, body);
    assert_eq!(received.path, "/v1/chat/completions");
    let names: HashSet<&str> = received.headers.keys().map(http::HeaderName::as_str).collect();
    let expected = ["authorization", "content-type", "content-length", "host", "user-agent", "accept"];
    assert_eq!(names, HashSet::from(expected));
    assert_eq!(received.header("authorization").unwrap(), format!("Bearer {UPSTREAM_KEY}"));
    assert_eq!(received.header("host").unwrap(), gateway.upstream.address().to_string());
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn an_alias_is_replaced_in_place(pool: PgPool) {
    let gateway = TestGateway::start(pool).await;
    let body = "{\"messages\":[],\n \"model\" : \"al\\u0069as\" , \"note\":\"alias\"}";
    let request = gateway.post("/v1/chat/completions").bearer_auth(&gateway.key.secret);
    let response = request.header("content-type", "application/json").body(body).send().await.unwrap();
    assert_eq!(response.status(), 200);
    let received = gateway.upstream.nth_received(1).await;
    assert_eq!(received.body, body.replace("\"al\\u0069as\"", "\"gpt-4o\""));
    assert_eq!(gateway.ledger(1).await[0]["model"], "alias");
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn embeddings_are_answered_and_booked(pool: PgPool) {
    let gateway = TestGateway::start(pool).await;
    let body = json!({ "model": "text-embedding-3-small", "input": ["one", "two"] });
    let request = gateway.post("/v1/embeddings").bearer_auth(&gateway.key.secret).json(&body);
    let answer = json_of(request.send().await.unwrap()).await;
    assert_eq!(answer["data"].as_array().unwrap().len(), 2);
    let rows = gateway.ledger(1).await;
    assert_eq!(rows[0]["route"], "/v1/embeddings");
    assert_eq!(rows[0]["input_tokens"], answer["usage"]["prompt_tokens"]);
    assert_eq!((&rows[0]["output_tokens"], &rows[0]["estimated"]), (&json!(0), &json!(false)));
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn the_list_of_models_is_our_own(pool: PgPool) {
    let gateway = TestGateway::start(pool).await;
    let list = || gateway.client.get(gateway.url("/v1/models")).bearer_auth(&gateway.key.secret).send();
    let answer = json_of(list().await.unwrap()).await;
    assert_eq!(answer["object"], "list");
    let ids = |answer: &Value| -> Vec<String> {
        let models = answer["data"].as_array().unwrap().iter();
        models.map(|model| model["id"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(ids(&answer), ["alias", "gpt-4o-mini", "text-embedding-3-small"]);
    let entry = answer["data"][0].as_object().unwrap();
    assert_eq!(entry.keys().map(String::as_str).collect::<Vec<_>>(), ["created", "id", "object", "owned_by"]);
    gateway.execute("UPDATE models SET enabled = false WHERE id = 'alias'").await;
    crate::harness::eventually("the model is gone", || async {
        let answer = json_of(list().await.unwrap()).await;
        (ids(&answer) == ["gpt-4o-mini", "text-embedding-3-small"]).then_some(())
    })
    .await;
    assert!(gateway.upstream.received().is_empty());
    let row = crate::harness::eventually("the call is booked", || async {
        gateway.ledger_now().await.into_iter().next()
    })
    .await;
    assert_eq!((&row["route"], &row["cost_nano"]), (&json!("/v1/models"), &json!(0)));
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_stop_writes_every_record(pool: PgPool) {
    let mut gateway = TestGateway::start(pool).await;
    for _ in 0..20 {
        json_of(gateway.chat(&hello("gpt-4o-mini")).send().await.unwrap()).await;
    }
    gateway.stop().await;
    assert_eq!(gateway.ledger_now().await.len(), 20);
    assert_eq!(gateway.stats().await["requests"], 20);
    let stopped = gateway.json("SELECT to_jsonb(stopped_at IS NOT NULL) FROM gateways").await;
    assert_eq!(stopped, true);
}
