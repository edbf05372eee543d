//! Streams: frames unchanged, unheld and in order; usage read, injected and removed; ends of every kind.

use bytes::Bytes;
use domain::key::KeyStatus;
use futures_util::{Stream, StreamExt};
use reqwest::Response;
use serde_json::{Value, json};
use store::PgPool;
use testkit::upstream::{Answer, Ending, Gate, Step};

use crate::harness::TestGateway;

const USAGE: &str = r#"{"choices":[],"usage":{"prompt_tokens":11,"completion_tokens":7,"total_tokens":18}}"#;

fn prompt() -> Value {
    json!({ "model": "gpt-4o-mini", "stream": true, "messages": [{ "role": "user", "content": "hi" }] })
}

fn word(text: &str) -> String {
    json!({ "choices": [{ "index": 0, "delta": { "content": text }, "finish_reason": null }] }).to_string()
}

/// The bytes of a stream as they come.
struct Frames<S> {
    chunks: S,
    rest: String,
}

fn frames(response: Response) -> Frames<impl Stream<Item = reqwest::Result<Bytes>> + Unpin> {
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["content-type"], "text/event-stream; charset=utf-8");
    Frames { chunks: response.bytes_stream(), rest: String::new() }
}

impl<S: Stream<Item = reqwest::Result<Bytes>> + Unpin> Frames<S> {
    /// The next frame; `None` at the end of the stream.
    async fn next(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.rest.find("\n\n") {
                let after = self.rest.split_off(end + 2);
                return Some(std::mem::replace(&mut self.rest, after));
            }
            let chunk = tokio::time::timeout(std::time::Duration::from_secs(20), self.chunks.next());
            let Some(chunk) = chunk.await.expect("no frame comes") else {
                assert_eq!(self.rest, "", "half a frame at the end");
                return None;
            };
            self.rest.push_str(std::str::from_utf8(&chunk.unwrap()).unwrap());
        }
    }

    async fn error_event(&mut self) -> Value {
        let frame = self.next().await.unwrap();
        let data = frame.strip_prefix("data: ").unwrap().trim_end();
        serde_json::from_str::<Value>(data).unwrap()["error"].take()
    }
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn an_ordinary_stream_passes_and_is_booked(pool: PgPool) {
    let gateway = TestGateway::start(pool).await;
    let response = gateway.chat(&prompt()).send().await.unwrap();
    let mut frames = frames(response);
    let (mut text, mut last) = (String::new(), String::new());
    while let Some(frame) = frames.next().await {
        assert!(!frame.contains("prompt_tokens"), "the injected usage frame is visible: {frame}");
        if let Ok(chunk) = serde_json::from_str::<Value>(frame.trim_start_matches("data: ").trim_end()) {
            text.push_str(chunk["choices"][0]["delta"]["content"].as_str().unwrap_or_default());
        }
        last = frame;
    }
    assert_eq!(last, "data: [DONE]\n\n");
    assert!(text.starts_with("Hello! Your API key works."), "{text}");
    let sent = gateway.upstream.nth_received(1).await.json().unwrap();
    assert_eq!(sent["stream_options"], json!({ "include_usage": true }));
    let row = gateway.ledger(1).await.remove(0);
    assert_eq!(
        (&row["streamed"], &row["estimated"], &row["status"]),
        (&json!(true), &json!(false), &json!(200))
    );
    assert!(row["output_tokens"].as_i64().unwrap() > 10 && row["cost_nano"].as_i64().unwrap() > 0);
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn usage_the_client_asked_for_stays(pool: PgPool) {
    let gateway = TestGateway::start(pool).await;
    let steps = [Step::event(&word("a")), Step::event(USAGE), Step::event("[DONE]")];
    gateway.upstream.enqueue(Answer::events(steps));
    let mut body = prompt();
    body["stream_options"] = json!({ "include_usage": true, "other": [1] });
    let mut frames = frames(gateway.chat(&body).send().await.unwrap());
    assert_eq!(frames.next().await.unwrap(), format!("data: {}\n\n", word("a")));
    assert_eq!(frames.next().await.unwrap(), format!("data: {USAGE}\n\n"));
    assert_eq!(frames.next().await.unwrap(), "data: [DONE]\n\n");
    assert_eq!(frames.next().await, None);
    assert_eq!(gateway.upstream.nth_received(1).await.json().unwrap(), body);
    let row = gateway.ledger(1).await.remove(0);
    assert_eq!((&row["input_tokens"], &row["output_tokens"]), (&json!(11), &json!(7)));
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_frame_arrives_before_the_next_is_sent(pool: PgPool) {
    let gateway = TestGateway::start(pool).await;
    let gate = Gate::closed();
    let mut steps = Vec::new();
    for n in 0..5 {
        steps.extend([Step::event(&word(&n.to_string())), Step::Wait(gate.clone())]);
    }
    steps.extend([Step::event(USAGE), Step::event("[DONE]")]);
    gateway.upstream.enqueue(Answer::events(steps));
    let mut frames = frames(gateway.chat(&prompt()).send().await.unwrap());
    for n in 0..5 {
        // Only now does the upstream learn that it may go on.
        assert_eq!(frames.next().await.unwrap(), format!("data: {}\n\n", word(&n.to_string())));
        gate.open();
    }
    assert_eq!(frames.next().await.unwrap(), "data: [DONE]\n\n");
    assert_eq!(frames.next().await, None);
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn frames_pass_unchanged_however_they_are_cut(pool: PgPool) {
    let gateway = TestGateway::start(pool).await;
    let kept = [
        ": a comment\n\n".to_owned(),
        format!("event: chunk\r\nid: 1\r\ndata: {}\r\n\r\n", word("a")),
        "data: {\"choices\":\ndata: []}\n\n".to_owned(),
        format!("data:{}\n\n", word("wörld 🌍")),
        "data: [DONE]\n\n".to_owned(),
    ];
    let injected = format!("data: {USAGE}\r\n\r\n");
    let stream = [&kept[0], &kept[1], &kept[2], &injected, &kept[3], &kept[4]].map(String::as_str).concat();
    for size in [1, 2, 3, 7, 64, 1024] {
        let pieces = stream.as_bytes().chunks(size).map(|piece| Step::send(Bytes::copy_from_slice(piece)));
        gateway.upstream.enqueue(Answer::events(pieces));
        let response = gateway.chat(&prompt()).send().await.unwrap();
        assert_eq!(response.text().await.unwrap(), kept.concat(), "in pieces of {size}");
    }
    for row in gateway.ledger(6).await {
        assert_eq!((&row["output_tokens"], &row["estimated"]), (&json!(7), &json!(false)));
    }
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_client_that_leaves_ends_the_upstreams_work_and_is_charged(pool: PgPool) {
    let gateway = TestGateway::start(pool).await;
    let steps = [Step::event(&word("four")), Step::event(&word("more")), Step::Hang];
    gateway.upstream.enqueue(Answer::events(steps));
    let mut frames = frames(gateway.chat(&prompt()).send().await.unwrap());
    frames.next().await.unwrap();
    frames.next().await.unwrap();
    let received = gateway.upstream.nth_received(1).await;
    let left = std::time::Instant::now();
    drop(frames);
    assert_eq!(received.ended().await, Ending::Abandoned);
    assert!(left.elapsed() < std::time::Duration::from_secs(1), "{:?}", left.elapsed());
    let row = gateway.ledger(1).await.remove(0);
    assert_eq!(
        (&row["status"], &row["interrupted"], &row["estimated"]),
        (&json!(499), &json!(true), &json!(true))
    );
    assert_eq!(row["output_tokens"], 4, "eight bytes of text in two events");
    assert!(row["input_tokens"].as_i64().unwrap() > 0 && row["cost_nano"].as_i64().unwrap() > 0);
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_client_that_leaves_before_the_answer_ends_the_upstreams_work_too(pool: PgPool) {
    let gateway = TestGateway::start(pool).await;
    gateway.upstream.enqueue(Answer::hang());
    let asking = tokio::spawn(gateway.chat(&prompt()).send());
    let received = gateway.upstream.nth_received(1).await;
    asking.abort();
    assert_eq!(received.ended().await, Ending::Abandoned);
    let row = gateway.ledger(1).await.remove(0);
    assert_eq!(
        (&row["status"], &row["interrupted"], &row["output_tokens"]),
        (&json!(499), &json!(true), &json!(0))
    );
    assert!(row["input_tokens"].as_i64().unwrap() > 0);
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn an_upstream_that_dies_leaves_an_error_event_and_what_was_emitted(pool: PgPool) {
    let gateway = TestGateway::start(pool).await;
    let whole = Step::event(&word("word"));
    gateway.upstream.enqueue(Answer::events([whole.clone(), Step::send("data: {\"half"), Step::Die]));
    let mut frames = frames(gateway.chat(&prompt()).send().await.unwrap());
    assert!(frames.next().await.unwrap().contains("word"));
    let error = frames.error_event().await;
    assert_eq!((&error["type"], &error["code"]), (&json!("upstream_error"), &json!("upstream_failed")));
    assert_eq!(frames.next().await, None);
    let row = gateway.ledger(1).await.remove(0);
    assert_eq!(
        (&row["status"], &row["interrupted"], &row["estimated"]),
        (&json!(502), &json!(true), &json!(true))
    );
    assert_eq!(row["output_tokens"], 2);
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_silent_stream_is_ended(pool: PgPool) {
    let limit = std::time::Duration::from_millis(200);
    let gateway = TestGateway::start_with(pool, |limits| limits.stream_idle = limit).await;
    gateway.upstream.enqueue(Answer::events([Step::event(&word("a")), Step::Hang]));
    let mut frames = frames(gateway.chat(&prompt()).send().await.unwrap());
    frames.next().await.unwrap();
    assert_eq!(frames.error_event().await["code"], "upstream_timeout");
    assert_eq!(frames.next().await, None);
    assert_eq!(gateway.upstream.nth_received(1).await.ended().await, Ending::Abandoned);
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_revoked_keys_stream_ends_with_an_error_event(pool: PgPool) {
    let gateway = TestGateway::start(pool).await;
    for (status, code) in [(KeyStatus::Disabled, "key_disabled"), (KeyStatus::Revoked, "invalid_api_key")] {
        gateway.set_status(gateway.key.id, KeyStatus::Enabled).await;
        let response = crate::harness::eventually("the key is enabled", || async {
            gateway.upstream.clear_received();
            gateway.upstream.enqueue(Answer::events([Step::event(&word("a")), Step::Hang]));
            let response = gateway.chat(&prompt()).send().await.unwrap();
            (response.status() == 200).then_some(response)
        })
        .await;
        let mut frames = frames(response);
        frames.next().await.unwrap();
        let received = gateway.upstream.received().pop().unwrap();
        gateway.set_status(gateway.key.id, status).await;
        let changed = std::time::Instant::now();
        assert_eq!(frames.error_event().await["code"], code);
        assert_eq!(frames.next().await, None);
        assert!(changed.elapsed() < std::time::Duration::from_secs(1), "{:?}", changed.elapsed());
        assert_eq!(received.ended().await, Ending::Abandoned);
    }
    let rows = gateway.ledger(2).await;
    assert!(rows.iter().all(|row| row["interrupted"] == true && row["status"] == 401), "{rows:#?}");
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_stream_without_usage_is_counted_here(pool: PgPool) {
    let gateway = TestGateway::start(pool).await;
    let nonsense = r#"{"choices":[],"usage":{"prompt_tokens":-5,"completion_tokens":99999999999}}"#;
    for extra in [None, Some(nonsense)] {
        let steps = [Step::event(&word("twelve bytes")), Step::event("[DONE]")];
        gateway.upstream.enqueue(Answer::events(extra.map(Step::event).into_iter().chain(steps)));
        let text = gateway.chat(&prompt()).send().await.unwrap().text().await.unwrap();
        assert!(!text.contains("-5"), "{text}");
    }
    for row in gateway.ledger(2).await {
        assert_eq!((&row["estimated"], &row["output_tokens"]), (&json!(true), &json!(6)));
        assert_eq!((&row["interrupted"], &row["status"]), (&json!(false), &json!(200)));
    }
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_stop_lets_a_stream_finish(pool: PgPool) {
    let mut gateway = TestGateway::start(pool).await;
    let gate = Gate::closed();
    let steps =
        [Step::event(&word("a")), Step::Wait(gate.clone()), Step::event(USAGE), Step::event("[DONE]")];
    gateway.upstream.enqueue(Answer::events(steps));
    let mut frames = frames(gateway.chat(&prompt()).send().await.unwrap());
    frames.next().await.unwrap();
    let address = gateway.address();
    let finish = async {
        crate::harness::eventually("no new connections", || async {
            tokio::net::TcpStream::connect(address).await.is_err().then_some(())
        })
        .await;
        gate.open();
        assert_eq!(frames.next().await.unwrap(), "data: [DONE]\n\n");
        assert_eq!(frames.next().await, None);
    };
    tokio::join!(gateway.stop(), finish);
    let rows = gateway.ledger_now().await;
    assert_eq!((rows.len(), &rows[0]["output_tokens"]), (1, &json!(7)));
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_stop_cuts_what_does_not_end_and_books_it(pool: PgPool) {
    let limit = std::time::Duration::from_millis(600);
    let mut gateway = TestGateway::start_with(pool, |limits| limits.drain = limit).await;
    gateway.upstream.enqueue(Answer::events([Step::event(&word("word")), Step::Hang]));
    let mut frames = frames(gateway.chat(&prompt()).send().await.unwrap());
    frames.next().await.unwrap();
    gateway.stop().await;
    // A busy database may not have taken it in so short a time; then the spool has it.
    let gateway_pool = store::connect::as_role(&gateway.owner, "latchkey_gateway").await.unwrap();
    gateway.start_again(gateway_pool).await;
    let rows = gateway.ledger(1).await;
    assert_eq!((&rows[0]["output_tokens"], &rows[0]["interrupted"]), (&json!(2), &json!(true)));
}
