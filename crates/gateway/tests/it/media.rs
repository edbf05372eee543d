//! Sound, both ways: bytes that are played while they come, and forms with a file.

use bytes::Bytes;
use domain::key::KeyStatus;
use futures_util::StreamExt;
use reqwest::Response;
use serde_json::{Value, json};
use store::PgPool;
use testkit::upstream::{Answer, Ending, Gate, Step};

use crate::harness::TestGateway;

fn speech() -> Value {
    json!({ "model": "tts", "input": "Say this.", "voice": "alloy" })
}

/// A form as the official libraries write it, with `fields` after the file.
pub fn form(file: &[u8], fields: &[(&str, &str)]) -> Vec<u8> {
    let head = b"--b0undary\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.mp3\"\r\n\
        Content-Type: audio/mpeg\r\n\r\n";
    let mut body = [head.as_slice(), file, b"\r\n"].concat();
    for (name, value) in fields {
        let part =
            format!("--b0undary\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n");
        body.extend(part.as_bytes());
    }
    body.extend(b"--b0undary--\r\n");
    body
}

pub async fn transcribe(gateway: &TestGateway, body: Vec<u8>) -> Response {
    let request = gateway.post("/v1/audio/transcriptions").bearer_auth(&gateway.key.secret).body(body);
    request.header("content-type", "multipart/form-data; boundary=b0undary").send().await.unwrap()
}

pub async fn error_of(response: Response, status: u16) -> Value {
    assert_eq!(response.status(), status, "{response:?}");
    response.json::<Value>().await.unwrap()["error"].take()
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn sound_passes_as_it_comes(pool: PgPool) {
    let gateway = TestGateway::start(pool).await;
    gateway.offer(&["tts=tts-1"]).await;
    let gate = Gate::closed();
    let steps = [Step::send(vec![7_u8; 700]), Step::Wait(gate.clone()), Step::send(vec![8_u8; 700])];
    gateway.upstream.enqueue(Answer::whole(200, "audio/mpeg", "").in_steps(steps));
    let response = gateway.ask("/v1/audio/speech", &speech()).send().await.unwrap();
    assert_eq!(
        (response.status().as_u16(), &response.headers()["content-type"]),
        (200, &"audio/mpeg".parse().unwrap())
    );
    let mut bytes = response.bytes_stream();
    assert_eq!(bytes.next().await.unwrap().unwrap(), Bytes::from(vec![7; 700]));
    gate.open();
    assert_eq!(bytes.next().await.unwrap().unwrap(), Bytes::from(vec![8; 700]));
    assert!(bytes.next().await.is_none());
    assert_eq!(gateway.upstream.nth_received(1).await.json().unwrap()["model"], "tts-1");
    let row = gateway.ledger(1).await.remove(0);
    assert_eq!((&row["route"], &row["status"]), (&json!("/v1/audio/speech"), &json!(200)));
    assert_eq!(
        (&row["estimated"], &row["output_tokens"], &row["interrupted"]),
        (&json!(true), &json!(2), &json!(false))
    );
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn sound_that_breaks_off_is_not_taken_for_all_of_it(pool: PgPool) {
    let gateway = TestGateway::start(pool).await;
    gateway.offer(&["tts"]).await;
    let first = Step::send(vec![7_u8; 1_400]);
    for (end, status) in [(Step::Die, 502), (Step::Hang, 401)] {
        gateway.upstream.clear_received();
        gateway.upstream.enqueue(Answer::whole(200, "audio/mpeg", "").in_steps([first.clone(), end]));
        let response = gateway.ask("/v1/audio/speech", &speech()).send().await.unwrap();
        assert_eq!(response.status(), 200);
        let mut bytes = response.bytes_stream();
        assert_eq!(bytes.next().await.unwrap().unwrap().len(), 1_400);
        if status == 401 {
            gateway.set_status(gateway.key.id, KeyStatus::Revoked).await;
        }
        assert!(bytes.next().await.unwrap().is_err(), "the client must see that something is missing");
        if status == 401 {
            assert_eq!(gateway.upstream.nth_received(1).await.ended().await, Ending::Abandoned);
        }
    }
    let rows = gateway.ledger(2).await;
    for (row, status) in rows.iter().zip([502, 401]) {
        assert_eq!(
            (&row["status"], &row["interrupted"], &row["output_tokens"]),
            (&json!(status), &json!(true), &json!(2))
        );
    }
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn only_sound_is_sound(pool: PgPool) {
    let gateway = TestGateway::start(pool).await;
    gateway.offer(&["tts"]).await;
    for answer in
        [Answer::whole(200, "text/html", "<h1>nginx</h1>"), Answer::json(200, &json!({ "oops": 1 }))]
    {
        gateway.upstream.enqueue(answer);
        let response = gateway.ask("/v1/audio/speech", &speech()).send().await.unwrap();
        assert_eq!(error_of(response, 502).await["code"], "upstream_failed");
    }
    let done =
        r#"{"type":"speech.audio.done","usage":{"input_tokens":3,"output_tokens":40,"total_tokens":43}}"#;
    let events = [Step::event(r#"{"type":"speech.audio.delta","audio":"AAAA"}"#), Step::event(done)];
    gateway.upstream.enqueue(Answer::events(events));
    let response = gateway.ask("/v1/audio/speech", &speech()).send().await.unwrap();
    assert!(response.text().await.unwrap().ends_with(&format!("data: {done}\n\n")));
    let row = gateway.ledger(3).await.remove(2);
    assert_eq!(
        (&row["input_tokens"], &row["output_tokens"], &row["estimated"]),
        (&json!(3), &json!(40), &json!(false))
    );
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_form_goes_on_as_it_came_but_for_its_model(pool: PgPool) {
    let gateway = TestGateway::start(pool).await;
    gateway.offer(&["listen=whisper-1", "whisper-1"]).await;
    // More than other bodies may have, and bytes that look like the form around them.
    let file = [vec![0xff; 11 * 1024 * 1024], b"\r\n--b0undar\r\nmodel\r\n\r\nlisten".to_vec()].concat();
    for model in ["listen", "whisper-1"] {
        gateway.upstream.clear_received();
        let body = form(&file, &[("model", model), ("language", "listen")]);
        let response = transcribe(&gateway, body.clone()).await;
        assert_eq!(response.status(), 200);
        assert!(response.json::<Value>().await.unwrap()["text"].is_string());
        let received = gateway.upstream.nth_received(1).await;
        assert!(
            received.body == form(&file, &[("model", "whisper-1"), ("language", "listen")]),
            "other bytes"
        );
        assert_eq!(received.header("content-type"), Some("multipart/form-data; boundary=b0undary"));
    }
    let rows = gateway.ledger(2).await;
    assert_eq!(
        (&rows[0]["model"], &rows[0]["route"]),
        (&json!("listen"), &json!("/v1/audio/transcriptions"))
    );
    assert_eq!(
        (&rows[0]["input_tokens"], &rows[0]["output_tokens"], &rows[0]["estimated"]),
        (&json!(20), &json!(6), &json!(false))
    );
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_transcript_may_be_text(pool: PgPool) {
    let gateway = TestGateway::start(pool).await;
    gateway.offer(&["whisper-1"]).await;
    let form = || form(&[1; 2_000], &[("model", "whisper-1"), ("response_format", "srt")]);
    gateway.upstream.enqueue(Answer::whole(200, "text/plain; charset=utf-8", "12"));
    let response = transcribe(&gateway, form()).await;
    assert_eq!(response.headers()["content-type"], "text/plain; charset=utf-8");
    assert_eq!(response.text().await.unwrap(), "12");
    gateway.upstream.enqueue(Answer::whole(200, "text/html", "<h1>nginx</h1>"));
    assert_eq!(error_of(transcribe(&gateway, form()).await, 502).await["code"], "upstream_failed");
    let events = [
        Step::event(r#"{"type":"transcript.text.delta","delta":"four"}"#),
        Step::event(
            r#"{"type":"transcript.text.done","text":"four","usage":{"type":"duration","seconds":3}}"#,
        ),
    ];
    gateway.upstream.enqueue(Answer::events(events));
    assert!(transcribe(&gateway, form()).await.text().await.unwrap().contains("\"seconds\":3"));
    let rows = gateway.ledger(3).await;
    assert_eq!((&rows[0]["output_tokens"], &rows[0]["estimated"]), (&json!(1), &json!(true)));
    assert!(rows[0]["input_tokens"].as_i64().unwrap() >= 10, "ten for the sound: {}", rows[0]);
    assert_eq!((&rows[2]["output_tokens"], &rows[2]["estimated"]), (&json!(2), &json!(true)));
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn wrong_forms_are_told_before_anything_is_sent_on(pool: PgPool) {
    let gateway = TestGateway::start(pool).await;
    gateway.offer(&["whisper-1"]).await;
    let model = ("model", "whisper-1");
    for (body, param) in [
        (form(b"x", &[]), Some("model")),
        (form(b"", &[model]), Some("file")),
        (form(b"x", &[model, model]), Some("model")),
        (form(b"x", &[model, ("file", "x")]), Some("file")),
        (form(b"x", &[model, ("stream", "1")]), Some("stream")),
        (form(b"x", &[model, ("fallbacks[]", "other")]), Some("fallbacks[]")),
        ([b"before".as_slice(), &form(b"x", &[model])].concat(), None),
        ([&form(b"x", &[model]), b"after".as_slice()].concat(), None),
        (form(b"x", &[model]).replace(b"\"model\"", b"\"model\"; name=\"x\""), None),
        (b"{}".to_vec(), None),
    ] {
        let error = error_of(transcribe(&gateway, body).await, 400).await;
        assert_eq!((&error["code"], error["param"].as_str()), (&json!("invalid_request"), param), "{error}");
    }
    let error = error_of(transcribe(&gateway, form(b"x", &[("model", "nobody")])).await, 404).await;
    assert_eq!(error["code"], "model_not_found");
    let json = gateway.ask("/v1/audio/transcriptions", &json!({ "model": "whisper-1" }));
    let error = error_of(json.send().await.unwrap(), 415).await;
    assert!(error["message"].as_str().unwrap().contains("multipart/form-data"), "{error}");
    let error = error_of(transcribe(&gateway, form(&vec![0; 33 * 1024 * 1024], &[model])).await, 413).await;
    assert!(error["message"].as_str().unwrap().contains("32 MiB"), "{error}");
    assert!(gateway.upstream.received().is_empty() && gateway.ledger_now().await.is_empty());
}

trait Replace {
    fn replace(self, old: &[u8], new: &[u8]) -> Self;
}

impl Replace for Vec<u8> {
    fn replace(self, old: &[u8], new: &[u8]) -> Self {
        let at = self.windows(old.len()).position(|window| window == old).unwrap();
        [&self[..at], new, &self[at + old.len()..]].concat()
    }
}
