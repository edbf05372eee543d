//! Streams of every dialect: frames with their names unchanged and in order, cut at each chunk, charged for what was
//! emitted.

use bytes::Bytes;
use serde_json::{Value, json};
use store::PgPool;
use testkit::upstream::{Answer, Step};

use crate::harness::TestGateway;

struct Dialect {
    path: &'static str,
    request: Value,
    /// Name, data, bytes of text.
    events: Vec<(&'static str, String, i64)>,
    /// Input, cached, output at the end.
    usage: (i64, i64, i64),
    /// Input that is known after this many events.
    input_known_after: usize,
}

fn responses() -> Dialect {
    let delta = |text: &str| {
        json!({ "type": "response.output_text.delta", "delta": text, "item_id": "i", "logprobs": [] })
            .to_string()
    };
    let usage =
        json!({ "input_tokens": 11, "input_tokens_details": { "cached_tokens": 4 }, "output_tokens": 7 });
    // Larger than what is held of a frame, as a repeated answer with its instructions can be.
    let completed = json!({ "type": "response.completed", "response": {
        "id": "r", "instructions": "x".repeat(90_000), "output": [{ "text": "\"usage\":{}" }], "usage": usage,
        "metadata": {} } });
    Dialect {
        path: "/v1/responses",
        request: json!({ "model": "gpt-4o-mini", "input": "hi", "stream": true }),
        events: vec![
            (
                "response.created",
                json!({ "type": "response.created", "response": { "usage": null } }).to_string(),
                0,
            ),
            ("response.output_text.delta", delta("four"), 4),
            ("response.output_text.delta", delta("wörld"), 6),
            (
                "response.output_text.done",
                json!({ "type": "response.output_text.done", "text": "four" }).to_string(),
                0,
            ),
            ("response.completed", completed.to_string(), 0),
        ],
        usage: (11, 4, 7),
        input_known_after: 5,
    }
}

fn messages() -> Dialect {
    let start = json!({ "type": "message_start", "message": { "id": "m", "content": [], "usage": {
        "input_tokens": 3, "cache_read_input_tokens": 20, "cache_creation_input_tokens": 2, "output_tokens": 1 } } });
    let delta = |text: &str| {
        let delta = json!({ "type": "text_delta", "text": text });
        json!({ "type": "content_block_delta", "index": 0, "delta": delta }).to_string()
    };
    let end = json!({ "type": "message_delta", "delta": { "stop_reason": "end_turn" }, "usage": { "output_tokens": 9 } });
    Dialect {
        path: "/v1/messages",
        request: json!({ "model": "gpt-4o-mini", "max_tokens": 9, "messages": [], "stream": true }),
        events: vec![
            ("message_start", start.to_string(), 0),
            ("ping", json!({ "type": "ping" }).to_string(), 0),
            ("content_block_delta", delta("four"), 4),
            ("content_block_delta", delta("and more"), 8),
            ("message_delta", end.to_string(), 0),
            ("message_stop", json!({ "type": "message_stop" }).to_string(), 0),
        ],
        usage: (25, 20, 9),
        input_known_after: 1,
    }
}

fn frame((name, data, _): &(&'static str, String, i64)) -> String {
    format!("event: {name}\ndata: {data}\n\n")
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn named_events_pass_unchanged_however_they_are_cut(pool: PgPool) {
    let gateway = TestGateway::start(pool).await;
    let dialects = [responses(), messages()];
    for dialect in &dialects {
        let stream: String = dialect.events.iter().map(frame).collect();
        for size in [3, 7, 64, 1024, 1 << 20] {
            let pieces =
                stream.as_bytes().chunks(size).map(|piece| Step::send(Bytes::copy_from_slice(piece)));
            gateway.upstream.enqueue(Answer::events(pieces));
            let response = gateway.ask(dialect.path, &dialect.request).send().await.unwrap();
            assert_eq!(response.headers()["content-type"], "text/event-stream; charset=utf-8");
            assert!(response.text().await.unwrap() == stream, "{} in pieces of {size}", dialect.path);
        }
    }
    let received = gateway.upstream.received();
    for (received, dialect) in received.iter().zip(dialects.iter().flat_map(|dialect| [dialect; 5])) {
        assert_eq!(received.json().unwrap(), dialect.request, "nothing is asked for that the client did not");
    }
    let rows = gateway.ledger(10).await;
    for (row, dialect) in rows.iter().zip(dialects.iter().flat_map(|dialect| [dialect; 5])) {
        let (input, cached, output) = dialect.usage;
        let figures = (&row["input_tokens"], &row["cached_input_tokens"], &row["output_tokens"]);
        assert_eq!(figures, (&json!(input), &json!(cached), &json!(output)), "{row}");
        assert_eq!(
            (&row["estimated"], &row["streamed"], &row["status"]),
            (&json!(false), &json!(true), &json!(200))
        );
    }
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_stream_cut_at_any_event_ends_with_an_error_and_costs_what_was_emitted(pool: PgPool) {
    let gateway = TestGateway::start(pool).await;
    let mut booked = 0;
    for dialect in [responses(), messages()] {
        for cut in 0..dialect.events.len() {
            let whole = &dialect.events[..cut];
            let half = frame(&dialect.events[cut]);
            let steps = whole.iter().map(|event| Step::send(frame(event)));
            let half = Step::send(half.as_bytes()[..half.len().min(40) - 5].to_vec());
            gateway.upstream.enqueue(Answer::events(steps.chain([half, Step::Die])));
            let response = gateway.ask(dialect.path, &dialect.request).send().await.unwrap();
            let text = response.text().await.unwrap();
            let passed: String = whole.iter().map(frame).collect();
            let error = text.strip_prefix(passed.as_str()).unwrap_or_else(|| panic!("changed: {text}"));
            let data = error.strip_prefix("event: error\ndata: ").unwrap().strip_suffix("\n\n").unwrap();
            let data: Value = serde_json::from_str(data).unwrap();
            assert_eq!(data["type"], "error");
            let word = if dialect.path == "/v1/messages" { "api_error" } else { "upstream_error" };
            assert_eq!(data["error"]["type"], word);

            booked += 1;
            let row = gateway.ledger(booked).await.pop().unwrap();
            assert_eq!((&row["status"], &row["interrupted"]), (&json!(502), &json!(true)));
            let emitted: i64 = whole.iter().map(|(_, _, bytes)| bytes).sum();
            let output = row["output_tokens"].as_i64().unwrap();
            assert!(output * 2 >= emitted, "{} cut at {cut}: {row}", dialect.path);
            if cut >= dialect.input_known_after {
                assert_eq!(row["input_tokens"], dialect.usage.0, "{} cut at {cut}", dialect.path);
            }
        }
    }
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn the_demo_streams_of_every_dialect_are_booked_as_reported(pool: PgPool) {
    let gateway = TestGateway::start(pool).await;
    let completions = json!({ "model": "gpt-4o-mini", "prompt": "hi", "stream": true, "max_tokens": 5 });
    for (path, request) in [
        ("/v1/responses", responses().request),
        ("/v1/messages", messages().request),
        ("/v1/completions", completions),
    ] {
        let response = gateway.ask(path, &request).send().await.unwrap();
        assert_eq!(response.status(), 200, "{path}");
        let text = response.text().await.unwrap();
        // The older API tells only when asked to, and the client has not asked.
        assert!(!text.contains("prompt_tokens"), "{path}: {text}");
    }
    let sent = gateway.upstream.nth_received(3).await.json().unwrap();
    assert_eq!(sent["stream_options"], json!({ "include_usage": true }));
    for row in gateway.ledger(3).await {
        assert_eq!((&row["estimated"], &row["interrupted"]), (&json!(false), &json!(false)), "{row}");
        assert!(row["output_tokens"].as_i64().unwrap() >= 5, "{row}");
    }
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn streamed_pictures_are_too_large_to_be_held_and_still_booked(pool: PgPool) {
    let gateway = TestGateway::start(pool).await;
    gateway.offer(&["pictures"]).await;
    let picture = "A".repeat(300_000);
    let partial = json!({ "type": "image_generation.partial_image", "b64_json": picture }).to_string();
    let usage = json!({ "input_tokens": 8, "output_tokens": 272, "total_tokens": 280 });
    let completed =
        json!({ "type": "image_generation.completed", "b64_json": picture, "usage": usage }).to_string();
    let unreported = json!({ "type": "image_generation.completed", "b64_json": picture }).to_string();
    let request = json!({ "model": "pictures", "prompt": "a cat", "stream": true, "partial_images": 1 });
    for last in [&completed, &unreported] {
        let events = [
            Step::named("image_generation.partial_image", &partial),
            Step::named("image_generation.completed", last),
        ];
        gateway.upstream.enqueue(Answer::events(events));
        let response = gateway.ask("/v1/images/generations", &request).send().await.unwrap();
        let text = response.text().await.unwrap();
        assert!(text.ends_with(&format!("event: image_generation.completed\ndata: {last}\n\n")), "changed");
    }
    let rows = gateway.ledger(2).await;
    assert_eq!((&rows[0]["output_tokens"], &rows[0]["estimated"]), (&json!(272), &json!(false)));
    assert_eq!((&rows[1]["output_tokens"], &rows[1]["estimated"]), (&json!(4_160), &json!(true)));
}
