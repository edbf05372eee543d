//! Upstreams that fail, hang, lie or say no.

use std::time::Duration;

use reqwest::Response;
use serde_json::{Value, json};
use store::PgPool;
use testkit::upstream::{Answer, Step, Upstream};

use crate::harness::{TestGateway, UPSTREAM_KEY, logs};

fn prompt() -> Value {
    json!({ "model": "gpt-4o-mini", "messages": [{ "role": "user", "content": "hi" }] })
}

async fn error_of(response: Response, status: u16) -> Value {
    assert_eq!(response.status(), status);
    let id = response.headers()["x-request-id"].to_str().unwrap().to_owned();
    let mut body: Value = response.json().await.unwrap();
    assert_eq!(body["error"]["request_id"], id);
    body["error"].take()
}

async fn ask(gateway: &TestGateway, answer: Answer) -> Response {
    gateway.upstream.enqueue(answer);
    gateway.chat(&prompt()).send().await.unwrap()
}

/// The booked statuses; all of these cost nothing.
async fn booked(gateway: &TestGateway, count: usize) -> Vec<i64> {
    let rows = gateway.ledger(count).await;
    for row in &rows {
        assert_eq!((&row["cost_nano"], &row["output_tokens"]), (&json!(0), &json!(0)));
    }
    rows.iter().map(|row| row["status"].as_i64().unwrap()).collect()
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn an_upstream_that_cannot_be_reached_is_a_502(pool: PgPool) {
    let mut gateway = TestGateway::start(pool).await;
    let nobody = Upstream::start("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let gone = std::mem::replace(&mut gateway.upstream, nobody);
    let address = gone.address();
    drop(gone);
    crate::harness::eventually("the upstream is gone", || async {
        tokio::net::TcpStream::connect(address).await.is_err().then_some(())
    })
    .await;
    let error = error_of(gateway.chat(&prompt()).send().await.unwrap(), 502).await;
    assert_eq!((&error["type"], &error["code"]), (&json!("upstream_error"), &json!("upstream_failed")));
    assert_eq!(booked(&gateway, 1).await, [502]);
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn an_upstream_that_dies_is_a_502(pool: PgPool) {
    let gateway = TestGateway::start(pool).await;
    let cut = Answer::json(200, &json!({})).header("content-length", "100");
    let cut = cut.in_steps([Step::send("{\"half\":"), Step::Die]);
    for answer in [Answer::die(), cut] {
        let error = error_of(ask(&gateway, answer).await, 502).await;
        assert_eq!(error["code"], "upstream_failed");
    }
    assert_eq!(booked(&gateway, 2).await, [502, 502]);
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn an_upstream_that_hangs_is_a_504(pool: PgPool) {
    let limit = Duration::from_millis(200);
    let gateway = TestGateway::start_with(pool, |limits| limits.answer = limit).await;
    let stuck = Answer::json(200, &json!({})).in_steps([Step::send("{"), Step::Hang]);
    for answer in [Answer::hang(), stuck] {
        let error = error_of(ask(&gateway, answer).await, 504).await;
        assert_eq!((&error["type"], &error["code"]), (&json!("upstream_error"), &json!("upstream_timeout")));
    }
    assert_eq!(booked(&gateway, 2).await, [504, 504]);
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn the_upstreams_no_to_our_own_key_is_not_the_clients(pool: PgPool) {
    let gateway = TestGateway::start(pool).await;
    for status in [401, 402, 403] {
        let body = json!({ "error": { "message": format!("Incorrect API key: {UPSTREAM_KEY}") } });
        let response = ask(&gateway, Answer::json(status, &body)).await;
        assert!(response.headers().get("www-authenticate").is_none());
        let error = error_of(response, 502).await;
        assert_eq!(error["code"], "upstream_failed");
        assert!(!error.to_string().contains("Incorrect"), "{error}");
    }
    assert_eq!(booked(&gateway, 3).await, [502, 502, 502]);
    assert!(logs::so_far().contains("the upstream refuses this service's own key or account"));
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn other_errors_pass_as_they_are(pool: PgPool) {
    let gateway = TestGateway::start(pool).await;
    for status in [400, 404, 422, 429, 500, 503] {
        let body =
            json!({ "error": { "message": "as it is", "type": "x", "code": null, "param": "messages" } });
        let answer = Answer::json(status, &body)
            .header("retry-after", "7")
            .header("set-cookie", "a=b")
            .header("openai-organization", "our-org");
        let response = ask(&gateway, answer).await;
        assert_eq!(response.status(), status);
        assert_eq!(response.headers()["retry-after"], "7");
        assert!(response.headers().contains_key("x-request-id"));
        assert!(!response.headers().contains_key("set-cookie"));
        assert!(!response.headers().contains_key("openai-organization"));
        assert_eq!(response.json::<Value>().await.unwrap(), body);
    }
    assert_eq!(booked(&gateway, 6).await, [400, 404, 422, 429, 500, 503]);
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn an_error_that_is_no_json_or_tells_too_much_is_replaced(pool: PgPool) {
    let gateway = TestGateway::start(pool).await;
    let secret = json!({ "error": { "message": format!("key {UPSTREAM_KEY} has a problem") } });
    let huge = json!({ "error": { "message": "x".repeat(100_000) } });
    for answer in [
        Answer::whole(500, "text/html", "<h1>nginx</h1>"),
        Answer::whole(429, "text/plain", "slow down"),
        Answer::json(500, &secret),
        Answer::json(500, &huge),
    ] {
        let response = ask(&gateway, answer).await;
        let status = response.status().as_u16();
        let error = error_of(response, status).await;
        assert!(status == 500 || status == 429);
        assert_eq!(error["code"], "upstream_failed");
    }
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn redirects_are_not_followed(pool: PgPool) {
    let gateway = TestGateway::start(pool).await;
    let answer = Answer::whole(307, "text/plain", "").header("location", "http://169.254.169.254/latest");
    let response = ask(&gateway, answer).await;
    assert!(response.headers().get("location").is_none());
    assert_eq!(error_of(response, 502).await["code"], "upstream_failed");
    assert_eq!(gateway.upstream.received().len(), 1);
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn an_answer_that_is_no_answer_is_a_502(pool: PgPool) {
    let gateway = TestGateway::start(pool).await;
    for answer in [
        Answer::whole(200, "text/html", "<h1>Welcome to nginx!</h1>"),
        Answer::whole(200, "application/json", ""),
    ] {
        assert_eq!(error_of(ask(&gateway, answer).await, 502).await["code"], "upstream_failed");
    }
    assert_eq!(booked(&gateway, 2).await, [502, 502]);
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_lie_about_usage_is_not_believed(pool: PgPool) {
    let gateway = TestGateway::start(pool).await;
    let message = json!([{ "index": 0, "message": { "role": "assistant", "content": "twelve bytes" } }]);
    for usage in [
        json!(null),
        json!({ "prompt_tokens": -1, "completion_tokens": -1 }),
        json!({ "prompt_tokens": 1, "completion_tokens": 4_000_000_000_u64 }),
        json!({ "prompt_tokens": "many", "completion_tokens": 1 }),
        json!([]),
    ] {
        let body = json!({ "choices": message, "usage": usage });
        let response = ask(&gateway, Answer::json(200, &body)).await;
        assert_eq!(response.json::<Value>().await.unwrap(), body);
    }
    for row in gateway.ledger(5).await {
        assert_eq!((&row["estimated"], &row["output_tokens"]), (&json!(true), &json!(6)), "{row}");
        assert!(row["input_tokens"].as_i64().unwrap() > 10);
    }
}
