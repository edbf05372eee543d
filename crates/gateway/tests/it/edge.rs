//! Connections: their limits, and answers that arrive whatever the client is doing.

use std::time::Duration;

use serde_json::{Value, json};
use store::PgPool;

use crate::harness::TestGateway;
use crate::harness::raw::Raw;

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_body_of_20_mib_gets_an_answer_an_ordinary_client_can_read(pool: PgPool) {
    let gateway = TestGateway::start(pool).await;
    let body =
        json!({ "model": "gpt-4o-mini", "messages": [], "x": "y".repeat(20 * 1024 * 1024) }).to_string();
    for secret in [gateway.key.secret.as_str(), "sk-lk-wrong"] {
        let request = gateway.post("/v1/chat/completions").bearer_auth(secret);
        let request = request.header("content-type", "application/json").body(body.clone());
        let response = request.send().await.unwrap();
        let is_good = secret == gateway.key.secret;
        assert_eq!(response.status(), if is_good { 413 } else { 401 });
        let error = response.json::<Value>().await.unwrap()["error"].take();
        assert_eq!(error["code"], if is_good { "body_too_large" } else { "invalid_api_key" });
        if is_good {
            assert!(error["message"].as_str().unwrap().contains("10 MiB"), "{error}");
        }
    }
    // The same without a length to see it by.
    let chunks =
        futures_util::stream::iter((0..200).map(|_| Ok::<_, std::io::Error>("y".repeat(100 * 1024))));
    let request = gateway.post("/v1/chat/completions").bearer_auth(&gateway.key.secret);
    let request = request.header("content-type", "application/json").body(reqwest::Body::wrap_stream(chunks));
    assert_eq!(request.send().await.unwrap().status(), 413);
    assert!(gateway.upstream.received().is_empty());
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_client_that_asks_first_is_told_before_it_sends(pool: PgPool) {
    let gateway = TestGateway::start(pool).await;
    let mut raw = Raw::connect(gateway.address()).await;
    raw.send(&format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\n\
         content-length: 20971520\r\nexpect: 100-continue\r\n\r\n",
        gateway.key.secret
    ))
    .await;
    let answer = raw.read_to_end().await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    assert!(answer.contains("body_too_large"), "{answer}");
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_connection_serves_many_requests(pool: PgPool) {
    let gateway = TestGateway::start(pool).await;
    let mut raw = Raw::connect(gateway.address()).await;
    for _ in 0..3 {
        raw.send(&format!(
            "GET /v1/models HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\n\r\n",
            gateway.key.secret
        ))
        .await;
        assert!(raw.read_until("]}").await.starts_with("HTTP/1.1 200 "));
        raw.send("POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n\r\nhello").await;
        assert!(raw.read_until("}}").await.starts_with("HTTP/1.1 401 "));
    }
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn slow_heads_and_idle_connections_end(pool: PgPool) {
    let gateway = TestGateway::start_with(pool, |limits| {
        limits.head = Duration::from_millis(200);
        limits.keep_alive = Duration::from_millis(400);
    })
    .await;
    let mut silent = Raw::connect(gateway.address()).await;
    assert_eq!(silent.read_to_end().await, "");
    let mut slow = Raw::connect(gateway.address()).await;
    slow.send("GET /healthz HTTP/1.1\r\nhost:").await;
    let answer = slow.read_to_end().await;
    assert!(answer.starts_with("HTTP/1.1 408 ") && answer.contains("\"request_timeout\""), "{answer}");
    let mut idle = Raw::connect(gateway.address()).await;
    idle.send("GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert!(idle.read_to_end().await.ends_with("ok\n"));
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn heads_are_bounded(pool: PgPool) {
    let gateway = TestGateway::start(pool).await;
    let long = format!("GET /healthz HTTP/1.1\r\nhost: x\r\nx-long: {}\r\n\r\n", "y".repeat(33 * 1024));
    let many = format!("GET /healthz HTTP/1.1\r\nhost: x\r\n{}\r\n", "x: y\r\n".repeat(101));
    for head in [long, many] {
        let mut raw = Raw::connect(gateway.address()).await;
        raw.send(&head).await;
        let answer = raw.read_to_end().await;
        assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
    }
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_connection_too_many_is_told_so(pool: PgPool) {
    let gateway = TestGateway::start_with(pool, |limits| limits.connections = 2).await;
    // The harness's own client holds one of the two.
    let mut one = Raw::connect(gateway.address()).await;
    one.send("GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").await;
    one.read_until("ok\n").await;
    let mut another = Raw::connect(gateway.address()).await;
    let answer = another.read_to_end().await;
    assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains("\"overloaded\""), "{answer}");
    drop(one);
    crate::harness::eventually("the place is free again", || async {
        let mut raw = Raw::connect(gateway.address()).await;
        raw.send("GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
        raw.read_to_end().await.starts_with("HTTP/1.1 200 ").then_some(())
    })
    .await;
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn probes_need_no_key_and_tell_nothing(pool: PgPool) {
    let gateway = TestGateway::start(pool).await;
    for (path, text) in [("/healthz", "ok\n"), ("/readyz", "ready\n")] {
        let response = gateway.client.get(gateway.url(path)).send().await.unwrap();
        assert_eq!(response.status(), 200);
        assert!(response.headers().contains_key("x-request-id"));
        assert_eq!(response.text().await.unwrap(), text);
    }
    assert!(gateway.ledger_now().await.is_empty());
}
