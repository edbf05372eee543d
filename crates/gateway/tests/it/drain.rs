//! An orderly stop: running requests are answered, idle connections end, nobody new comes in.

use std::time::Duration;

use serde_json::json;
use store::PgPool;
use testkit::upstream::{Answer, Gate, Step};
use tokio::net::TcpStream;

use crate::harness::bare::Bare;
use crate::harness::raw::Raw;
use crate::harness::{TestGateway, eventually};

async fn until_nobody_listens(address: std::net::SocketAddr) {
    eventually("the gateway has stopped listening", || async {
        TcpStream::connect(address).await.is_err().then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_stopping_gateway_is_not_ready_and_lets_idle_connections_go() {
    let bare = Bare::start(|_| {}).await;
    let address = bare.address();
    let mut silent = Raw::connect(address).await;
    let mut idle = Raw::connect(address).await;
    idle.send("GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").await;
    idle.read_until("ok\n").await;
    let mut late = Raw::connect(address).await;
    late.send("GET /readyz HTTP/1.1\r\nhost: x\r\n").await;
    // A whole exchange later that has arrived, too.
    bare.exchange("GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
    let Bare { gateway, upstream: _upstream } = bare;
    let stopping = tokio::spawn(gateway.stop());
    until_nobody_listens(address).await;
    for connection in [&mut silent, &mut idle] {
        assert_eq!(connection.read_to_end().await, "");
    }
    assert!(!stopping.is_finished(), "a request is still on its way");
    late.send("\r\n").await;
    let answer = late.read_to_end().await;
    assert!(answer.starts_with("HTTP/1.1 503 ") && answer.ends_with("stopping\n"), "{answer}");
    stopping.await.unwrap();
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn running_requests_are_answered_and_booked(pool: PgPool) {
    let mut gateway = TestGateway::start(pool).await;
    let address = gateway.address();
    let gate = Gate::closed();
    let answer = json!({ "choices": [], "usage": { "prompt_tokens": 3, "completion_tokens": 4 } });
    gateway.upstream.enqueue(Answer::json(200, &answer).after([Step::Wait(gate.clone())]));
    let asked = gateway.chat(&json!({ "model": "gpt-4o-mini", "messages": [] }));
    let asking = tokio::spawn(async move { asked.send().await.unwrap() });
    gateway.upstream.nth_received(1).await;
    let opening = async {
        until_nobody_listens(address).await;
        gate.open();
    };
    tokio::join!(gateway.stop(), opening);
    let response = asking.await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.json::<serde_json::Value>().await.unwrap(), answer);
    assert_eq!(gateway.ledger_now().await[0]["output_tokens"], 4);
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_request_that_does_not_end_is_cut_off_within_the_bound_and_booked(pool: PgPool) {
    let mut gateway = TestGateway::start_with(pool, |limits| limits.drain = Duration::from_secs(2)).await;
    let events = [Step::event("{\"choices\":[{\"index\":0,\"delta\":{\"content\":\"hello\"}}]}"), Step::Hang];
    gateway.upstream.enqueue(Answer::events(events));
    let asked = json!({ "model": "gpt-4o-mini", "messages": [], "stream": true });
    let mut response = gateway.chat(&asked).send().await.unwrap();
    assert!(response.chunk().await.unwrap().is_some());
    gateway.stop().await;
    let rows = gateway.ledger_now().await;
    assert_eq!((rows.len(), &rows[0]["interrupted"]), (1, &json!(true)));
    assert!(rows[0]["output_tokens"].as_i64().unwrap() > 0);
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn an_answer_its_client_is_still_taking_is_not_cut(pool: PgPool) {
    let mut gateway = TestGateway::start(pool).await;
    let address = gateway.address();
    // More than the sockets hold, so that some of it is still with the gateway when it is told to stop.
    let answer = json!({ "choices": [], "x": "y".repeat(16 * 1024 * 1024) });
    gateway.upstream.enqueue(Answer::json(200, &answer));
    let body = json!({ "model": "gpt-4o-mini", "messages": [] }).to_string();
    let mut raw = Raw::connect_narrowly(address).await;
    let (secret, length) = (&gateway.key.secret, body.len());
    raw.send(&format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {secret}\r\n\
         content-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
    ))
    .await;
    raw.read_until("HTTP/1.1 200 ").await;
    let reading = async {
        until_nobody_listens(address).await;
        raw.read_to_end().await
    };
    let ((), rest) = tokio::join!(gateway.stop(), reading);
    assert!(rest.ends_with("yyy\"}"), "cut after {} bytes", rest.len());
}
