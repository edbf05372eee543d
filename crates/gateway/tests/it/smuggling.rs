//! Requests made to be read in two ways, with a good key: the upstream sees each request once or not at all.

use std::time::Duration;

use serde_json::json;
use store::PgPool;
use testkit::upstream::{Answer as Scripted, Ending, Step};

use crate::harness::bare::Answer;
use crate::harness::raw::Raw;
use crate::harness::{TestGateway, eventually};

fn body() -> String {
    json!({ "model": "gpt-4o-mini", "messages": [{ "role": "user", "content": "hi" }] }).to_string()
}

fn head(gateway: &TestGateway, lines: &str) -> String {
    format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\n\
         {lines}\r\n",
        gateway.key.secret
    )
}

fn chunked(body: &str) -> String {
    format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len())
}

async fn exchange(gateway: &TestGateway, text: &str) -> String {
    let mut raw = Raw::connect(gateway.address()).await;
    raw.send(text).await;
    raw.read_to_end().await
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn what_could_be_read_in_two_ways_never_reaches_the_upstream(pool: PgPool) {
    let gateway = TestGateway::start(pool).await;
    let (body, whole) = (body(), chunked(&body()));
    let (length, whole_length) = (body.len(), whole.len());
    let inner = head(&gateway, &format!("content-length: {length}\r\n")) + &body;
    let te = "transfer-encoding: chunked\r\n";
    let attacks = [
        // CL.TE, TE.CL, and both lengths.
        head(&gateway, &format!("content-length: {whole_length}\r\n{te}")) + &whole,
        head(&gateway, &format!("{te}content-length: {length}\r\n")) + &whole,
        head(&gateway, &format!("content-length: {length}\r\ncontent-length: {length}\r\n")) + &body,
        head(&gateway, &format!("content-length: {length}\r\ncontent-length: 0\r\n")) + &body,
        head(&gateway, &format!("content-length: {length}, {length}\r\n")) + &body,
        head(&gateway, &format!("{te}transfer-encoding: identity\r\n")) + &whole,
        head(&gateway, "transfer-encoding: gzip, chunked\r\n") + &whole,
        head(&gateway, te).replace("HTTP/1.1", "HTTP/1.0") + &whole,
        (head(&gateway, &format!("content-length: {length}\r\n")) + &body).replace("\r\n", "\n"),
        head(&gateway, &format!("content-length: {length}\r\nx: a\r\n b\r\n")) + &body,
        head(&gateway, &format!("content-length: {length}\r\n")).replace("POST /", "POST http://x/") + &body,
        // Chunks that make no sense.
        head(&gateway, te) + &format!("{length:x}\n{body}\r\n0\r\n\r\n"),
        head(&gateway, te) + &format!("0x{length:x}\r\n{body}\r\n0\r\n\r\n"),
        head(&gateway, te) + &format!("-{length:x}\r\n{body}\r\n0\r\n\r\n"),
        head(&gateway, te) + &format!("{:x}\r\n{body}\r\n0\r\n\r\n", length - 1),
        head(&gateway, te) + &format!("1{length:016x}\r\n{body}\r\n0\r\n\r\n"),
        head(&gateway, te) + &format!("{length:x};a\nb\r\n{body}\r\n0\r\n\r\n"),
    ];
    for attack in &attacks {
        let answer = exchange(&gateway, &format!("{attack}{inner}")).await;
        let shown = attack.replace(&gateway.key.secret, "…");
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{shown:?}: {answer}");
        Answer::only(&answer).assert_last_refusal(400, "invalid_request");
        assert!(gateway.upstream.received().is_empty(), "{shown:?} reached the upstream");
    }
    // Whoever sends such a thing behind a good request is not trusted with that one either.
    let answer = exchange(&gateway, &format!("{inner}{}", attacks[0])).await;
    Answer::only(&answer).assert_last_refusal(400, "invalid_request");
    // Two good ones are two, and everybody else is served as ever.
    let last = inner.replace("content-type", "connection: close\r\ncontent-type");
    let answers = exchange(&gateway, &format!("{inner}{last}")).await;
    assert_eq!(answers.matches("HTTP/1.1 200 ").count(), 2, "{answers}");
    gateway.chat(&serde_json::from_str(&body).unwrap()).send().await.unwrap().error_for_status().unwrap();
    assert_eq!(gateway.upstream.received().len(), 3);
    assert_eq!(gateway.ledger(3).await.len(), 3);
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn what_is_merely_unusual_goes_upstream_in_one_plain_form(pool: PgPool) {
    let gateway = TestGateway::start(pool).await;
    let (body, length) = (body(), body().len());
    let close = "connection: close\r\n";
    let (first, rest) = body.split_at(7);
    let usual = [
        head(&gateway, &format!("content-length: {length}\r\n{close}")) + &body,
        head(&gateway, &format!("transfer-encoding: Chunked\r\n{close}")) + &chunked(&body),
        head(&gateway, &format!("transfer-encoding: chunked\r\n{close}"))
            + &format!("7;ext=\"a\"\r\n{first}\r\n{:X}\r\n{rest}\r\n0\r\nx-trailer: y\r\n\r\n", rest.len()),
        head(
            &gateway,
            &format!("content-length: {length}\r\nupgrade: websocket\r\nconnection: upgrade, close\r\n"),
        ) + &body,
        head(
            &gateway,
            &format!(
                "content-length: {length}\r\nupgrade: h2c\r\nhttp2-settings: x\r\nconnection: Upgrade, HTTP2-Settings, close\r\n"
            ),
        ) + &body,
        head(&gateway, &format!("content-length: {length}\r\nexpect: 100-continue\r\n{close}")) + &body,
    ];
    for (count, request) in usual.iter().enumerate() {
        let answer = exchange(&gateway, request).await;
        assert!(answer.contains("HTTP/1.1 200 ") && !answer.contains("HTTP/1.1 101"), "{answer}");
        let received = gateway.upstream.nth_received(count + 1).await;
        assert_eq!(received.body, body.as_bytes());
        assert_eq!(received.header("content-length"), Some(length.to_string().as_str()));
        for name in ["transfer-encoding", "upgrade", "http2-settings", "expect", "connection", "x-trailer"] {
            assert_eq!(received.header(name), None, "{name}");
        }
    }
    assert_eq!(gateway.ledger(usual.len()).await.len(), usual.len());
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_body_that_does_not_come_is_given_up(pool: PgPool) {
    let gateway = TestGateway::start_with(pool, |limits| limits.body_idle = Duration::from_millis(150)).await;
    let lengths = ["content-length: 1000\r\n", "transfer-encoding: chunked\r\n"];
    for (length, begun) in lengths.into_iter().zip(["", "10\r\nhalf"]) {
        let answer = exchange(&gateway, &(head(&gateway, length) + begun)).await;
        Answer::only(&answer).assert_last_refusal(408, "request_timeout");
    }
    assert!(gateway.upstream.received().is_empty());
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_reader_that_does_not_read_holds_its_upstream_back(pool: PgPool) {
    const EVENTS: usize = 800;
    let gateway = TestGateway::start(pool).await;
    let event = format!("{{\"choices\":[],\"x\":\"{}\"}}", "y".repeat(32 * 1024));
    let events = (0..EVENTS).map(|_| Step::event(&event));
    gateway.upstream.enqueue(Scripted::events(events.chain([Step::event("[DONE]")])));
    let mut asked: serde_json::Value = serde_json::from_str(&body()).unwrap();
    asked["stream"] = true.into();
    let asked = asked.to_string();
    let mut raw = Raw::connect_narrowly(gateway.address()).await;
    let close = format!("content-length: {}\r\nconnection: close\r\n", asked.len());
    raw.send(&(head(&gateway, &close) + &asked)).await;
    raw.read_until("HTTP/1.1 200 ").await;
    let received = gateway.upstream.nth_received(1).await;
    // 26 MB do not fit into the sockets and the bounded buffers between here and there.
    let ended = tokio::time::timeout(Duration::from_millis(500), received.ended()).await;
    assert!(ended.is_err(), "the gateway swallowed it all");
    let rest = raw.read_to_end().await;
    assert!(rest.len() > EVENTS * event.len() && rest.contains("[DONE]"), "{}", rest.len());
    assert_eq!(received.ended().await, Ending::Finished);
    eventually("the request is booked", || async { (gateway.ledger_now().await.len() == 1).then_some(()) })
        .await;
}
