//! What is charged by the picture and by the second: bounded beforehand, counted afterwards, to the nano-dollar.

use serde_json::{Value, json};
use store::PgPool;
use store::limits::Subject;
use store::models;
use testkit::upstream::{Answer, Step};

use crate::harness::TestGateway;
use crate::media::{error_of, form, transcribe};

/// Nano-dollars for a picture: $0.04.
const PICTURE: i64 = 40_000_000;
/// Nano-dollars for a second of sound: $0.0001.
const SECOND: i64 = 100_000;
/// What the rule makes of a file of 750 bytes: a second at the slowest rate there is, and one that is begun.
const BOUND: i64 = 2 * SECOND;

/// A gateway with models that charge by units and not by tokens: `paint` by the picture, `listen` by the second.
async fn start(pool: PgPool) -> TestGateway {
    let gateway = TestGateway::start(pool).await;
    gateway.offer(&["paint", "listen"]).await;
    models::set_unit_prices(&gateway.owner, "paint", Some(PICTURE), None).await.unwrap();
    models::set_unit_prices(&gateway.owner, "listen", None, Some(SECOND)).await.unwrap();
    gateway
        .execute(
            "UPDATE models SET input_price = NULL, cached_input_price = NULL, output_price = NULL
             WHERE id IN ('paint', 'listen')",
        )
        .await;
    gateway.until_enforced().await;
    gateway
}

fn paint(n: u32) -> Value {
    json!({ "model": "paint", "prompt": "a door", "n": n })
}

/// An answer as models give it that report no usage.
fn pictures(count: usize) -> Answer {
    Answer::json(
        200,
        &json!({ "created": 1, "data": vec![json!({ "url": "https://example.com/1.png" }); count] }),
    )
}

fn sound(fields: &[(&str, &str)]) -> Vec<u8> {
    form(&[7; 750], &[&[("model", "listen")], fields].concat())
}

fn heard(usage: &Value) -> Answer {
    Answer::json(200, &json!({ "text": "One key.", "usage": usage }))
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn pictures_are_refused_lowered_and_charged_by_their_number(pool: PgPool) {
    let gateway = start(pool).await;
    gateway.execute("UPDATE api_keys SET fit = 'strict'").await;
    gateway.set_limit(Subject::Key(gateway.key.id), 5 * PICTURE).await;
    let response = gateway.ask("/v1/images/generations", &paint(6)).send().await.unwrap();
    assert_eq!(error_of(response, 429).await["code"], "cost_limit_exceeded");

    gateway.upstream.enqueue(pictures(3));
    let response = gateway.ask("/v1/images/generations", &paint(3)).send().await.unwrap();
    assert_eq!(response.status(), 200);
    let row = gateway.ledger(1).await.remove(0);
    assert_eq!((&row["cost_nano"], &row["images"]), (&json!(3 * PICTURE), &json!(3)));
    assert_eq!((&row["price_per_image"], &row["audio_ms"]), (&json!(PICTURE), &Value::Null));
    assert_eq!((&row["output_tokens"], &row["estimated"]), (&json!(0), &json!(false)));

    gateway.execute("UPDATE api_keys SET fit = 'clamp'").await;
    gateway.until_enforced().await;
    gateway.upstream.clear_received();
    gateway.upstream.enqueue(pictures(2));
    let response = gateway.ask("/v1/images/generations", &paint(4)).send().await.unwrap();
    assert_eq!(
        (response.status().as_u16(), &response.headers()["x-clamped"]),
        (200, &"n=2".parse().unwrap())
    );
    assert_eq!(gateway.upstream.nth_received(1).await.json().unwrap()["n"], 2);
    assert_eq!(gateway.ledger(2).await[1]["cost_nano"], json!(2 * PICTURE));
    let response = gateway.ask("/v1/images/generations", &paint(1)).send().await.unwrap();
    assert_eq!(error_of(response, 429).await["code"], "cost_limit_exceeded");
    let window = gateway.json("SELECT to_jsonb(w) FROM limit_windows w").await;
    assert_eq!((&window["spent"], &window["excess"]), (&json!(5 * PICTURE), &json!(0)));
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn tokens_and_pictures_are_charged_together(pool: PgPool) {
    let gateway = start(pool).await;
    let prices = "UPDATE models SET input_price = 5000000001, cached_input_price = 0, output_price = 0 WHERE id = 'paint'";
    gateway.execute(prices).await;
    gateway.until_enforced().await;
    let usage = json!({ "input_tokens": 7, "output_tokens": 272, "total_tokens": 279 });
    let event =
        json!({ "type": "image_generation.completed", "b64_json": "AAAA", "usage": usage }).to_string();
    gateway.upstream.enqueue(Answer::events([Step::event(event.as_str())]));
    let response = gateway.ask("/v1/images/generations", &paint(1)).send().await.unwrap();
    response.text().await.unwrap();
    let row = gateway.ledger(1).await.remove(0);
    assert_eq!((&row["cost_nano"], &row["images"]), (&json!(PICTURE + 35_001), &json!(1)), "rounded up once");
    assert_eq!((&row["output_tokens"], &row["estimated"]), (&json!(272), &json!(false)));
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn sound_is_bounded_by_its_bytes_and_charged_by_its_seconds(pool: PgPool) {
    let gateway = start(pool).await;
    gateway.set_limit(Subject::Key(gateway.key.id), BOUND - 1).await;
    assert_eq!(error_of(transcribe(&gateway, sound(&[])).await, 429).await["code"], "cost_limit_exceeded");
    gateway.set_limit(Subject::Key(gateway.key.id), 10 * BOUND).await;
    gateway.upstream.enqueue(heard(&json!({ "type": "duration", "seconds": 2 })));
    let verbose = json!({ "task": "transcribe", "duration": 0.4996, "text": "One key." });
    gateway.upstream.enqueue(Answer::json(200, &verbose));
    gateway.upstream.enqueue(Answer::whole(200, "text/plain", "One key."));
    for body in
        [sound(&[]), sound(&[("response_format", "verbose_json")]), sound(&[("response_format", "text")])]
    {
        assert_eq!(transcribe(&gateway, body).await.status(), 200);
    }
    let rows = gateway.ledger(3).await;
    let figures =
        |row: &Value| (row["audio_ms"].as_i64(), row["cost_nano"].as_i64(), row["estimated"].as_bool());
    assert_eq!(figures(&rows[0]), (Some(2_000), Some(2 * SECOND), Some(false)));
    assert_eq!(figures(&rows[1]), (Some(500), Some(SECOND / 2), Some(false)));
    assert_eq!(figures(&rows[2]), (Some(375), Some(SECOND * 375 / 1_000), Some(true)), "16 kbit/s");
    assert_eq!((&rows[0]["input_tokens"], &rows[0]["price_per_second"]), (&json!(0), &json!(SECOND)));
    // A report beyond all bounds is a fact, and closes the limit.
    gateway.upstream.enqueue(heard(&json!({ "type": "duration", "seconds": 3_600 })));
    assert_eq!(transcribe(&gateway, sound(&[])).await.status(), 200);
    assert_eq!(figures(&gateway.ledger(4).await[3]), (Some(3_600_000), Some(3_600 * SECOND), Some(false)));
    assert_eq!(error_of(transcribe(&gateway, sound(&[])).await, 429).await["code"], "cost_limit_exceeded");
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn what_has_no_price_is_refused_and_what_is_free_passes(pool: PgPool) {
    let gateway = start(pool).await;
    gateway.set_limit(Subject::Key(gateway.key.id), 1_000_000_000).await;
    // A price of another kind says nothing about this one.
    for (path, body) in [
        ("/v1/images/generations", json!({ "model": "listen", "prompt": "a door" })),
        ("/v1/chat/completions", json!({ "model": "paint", "messages": [] })),
        ("/v1/audio/speech", json!({ "model": "paint", "input": "Hello.", "voice": "alloy" })),
    ] {
        let error = error_of(gateway.ask(path, &body).send().await.unwrap(), 400).await;
        assert_eq!((&error["param"], &error["code"]), (&json!("model"), &json!("invalid_request")), "{path}");
        assert!(error["message"].as_str().unwrap().contains("no price"), "{error}");
    }
    let speak = json!({ "model": "listen", "input": "Hello.", "voice": "alloy" });
    let error = error_of(gateway.ask("/v1/audio/speech", &speak).send().await.unwrap(), 400).await;
    assert!(error["message"].as_str().unwrap().contains("by the second"), "{error}");
    assert!(gateway.upstream.received().is_empty() && gateway.ledger_now().await.is_empty());

    models::set_unit_prices(&gateway.owner, "listen", None, Some(0)).await.unwrap();
    models::set_unit_prices(&gateway.owner, "paint", Some(0), None).await.unwrap();
    gateway.set_limit(Subject::Key(gateway.key.id), 0).await;
    assert_eq!(gateway.ask("/v1/audio/speech", &speak).send().await.unwrap().status(), 200);
    assert_eq!(transcribe(&gateway, sound(&[])).await.status(), 200);
    assert_eq!(gateway.ask("/v1/images/generations", &paint(2)).send().await.unwrap().status(), 200);
    assert!(gateway.ledger(3).await.iter().all(|row| row["cost_nano"] == 0));
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn speech_without_a_limit_is_charged_by_what_has_come(pool: PgPool) {
    let gateway = start(pool).await;
    gateway.upstream.enqueue(Answer::whole(200, "audio/pcm", vec![0_u8; 24_000]));
    let speak = json!({ "model": "listen", "input": "Hello.", "voice": "alloy", "response_format": "pcm" });
    let response = gateway.ask("/v1/audio/speech", &speak).send().await.unwrap();
    response.bytes().await.unwrap();
    let row = gateway.ledger(1).await.remove(0);
    assert_eq!((&row["audio_ms"], &row["cost_nano"]), (&json!(500), &json!(SECOND / 2)));
    assert_eq!((&row["estimated"], &row["output_tokens"]), (&json!(true), &json!(0)));
}
