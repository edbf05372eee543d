//! Clients that leave, and upstreams that die, at every event of a stream.

use futures_util::StreamExt;
use serde_json::{Value, json};
use store::PgPool;
use testkit::upstream::{Answer, Ending, Step};

use crate::harness::TestGateway;

/// Eight bytes of text in each event: four tokens, by the gateway's own count.
const EVENTS: usize = 5;
const TEXT: &str = "eight by";

fn prompt() -> Value {
    json!({ "model": "gpt-4o-mini", "stream": true, "messages": [{ "role": "user", "content": "hi" }] })
}

fn event() -> Step {
    Step::event(&json!({ "choices": [{ "index": 0, "delta": { "content": TEXT } }] }).to_string())
}

/// Rows of the ledger by their order: what each was charged for output, and whether it was cut short.
fn outputs(rows: &[Value]) -> Vec<(i64, bool)> {
    let output = |row: &Value| {
        assert!(row["input_tokens"].as_i64().unwrap() > 0 && row["cost_nano"].as_i64().unwrap() > 0, "{row}");
        (row["output_tokens"].as_i64().unwrap(), row["interrupted"].as_bool().unwrap())
    };
    rows.iter().map(output).collect()
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_client_that_leaves_after_any_event_ends_the_work_and_pays_what_was_emitted(pool: PgPool) {
    let gateway = TestGateway::start(pool).await;
    for taken in 0..=EVENTS {
        let steps = (0..taken).map(|_| event()).chain([Step::Hang]);
        // Without any event there is only the head of an answer.
        gateway.upstream.enqueue(Answer::events(steps));
        let asking = gateway.chat(&prompt()).send();
        let response = tokio::time::timeout(std::time::Duration::from_secs(20), asking).await;
        let mut chunks = response.expect("no head").unwrap().bytes_stream();
        let mut seen = String::new();
        while seen.matches(TEXT).count() < taken {
            seen.push_str(std::str::from_utf8(&chunks.next().await.unwrap().unwrap()).unwrap());
        }
        let received = gateway.upstream.nth_received(taken + 1).await;
        drop(chunks);
        assert_eq!(received.ended().await, Ending::Abandoned, "after {taken} events");
    }
    let charged = outputs(&gateway.ledger(EVENTS + 1).await);
    assert_eq!(charged, [(0, true), (4, true), (8, true), (12, true), (16, true), (20, true)]);
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn an_upstream_that_dies_after_any_event_leaves_an_error_and_a_charge(pool: PgPool) {
    let gateway = TestGateway::start(pool).await;
    for given in 1..=EVENTS {
        let steps = (0..given).map(|_| event()).chain([Step::Die]);
        gateway.upstream.enqueue(Answer::events(steps));
        let response = gateway.chat(&prompt()).send().await.unwrap();
        assert_eq!(response.status(), 200);
        let text = response.text().await.unwrap();
        assert_eq!(text.matches(TEXT).count(), given);
        assert!(text.contains("upstream_failed") && !text.contains("[DONE]"), "{text}");
    }
    let charged = outputs(&gateway.ledger(EVENTS).await);
    assert_eq!(charged, [(4, true), (8, true), (12, true), (16, true), (20, true)]);
}
