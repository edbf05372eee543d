//! A secret and a prompt go through everything; neither may come out where it does not belong.

use std::fmt::Write;

use domain::key::KeyStatus;
use serde_json::json;
use store::PgPool;
use testkit::upstream::{Answer, Step};

use crate::harness::{TestGateway, UPSTREAM_KEY, logs, some_secret};

const PROMPT: &str = "canary-prompt-3f9d";
const REPLY: &str = "canary-reply-8c21";

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn no_secret_and_no_word_of_a_prompt_gets_out(pool: PgPool) {
    let gateway = TestGateway::start(pool).await;
    let secret = gateway.key.secret.clone();
    let mut shown = String::new();
    let plain = json!({ "model": "gpt-4o-mini", "messages": [{ "role": "user", "content": PROMPT }] });
    let mut streamed = plain.clone();
    streamed["stream"] = json!(true);
    let reply = json!({ "choices": [{ "index": 0, "delta": { "content": REPLY } }] }).to_string();
    let answers = [
        Answer::json(200, &json!({ "choices": [{ "message": { "content": REPLY } }] })),
        Answer::json(401, &json!({ "error": { "message": format!("{UPSTREAM_KEY} {REPLY}") } })),
        Answer::json(500, &json!({ "error": { "message": UPSTREAM_KEY } })),
        Answer::whole(500, "text/plain", REPLY),
        Answer::events([Step::event(&reply), Step::Die]),
        Answer::die(),
    ];
    for (body, answer) in [&plain, &plain, &plain, &plain, &streamed, &streamed].into_iter().zip(answers) {
        gateway.upstream.enqueue(answer);
        let response = gateway.chat(body).send().await.unwrap();
        write!(shown, "{:?}", response.headers()).unwrap();
        shown.push_str(&response.text().await.unwrap());
    }
    let broken = [
        json!({ "model": PROMPT.repeat(20), "messages": [] }).to_string(),
        format!("{{\"model\":\"gpt-4o-mini\",\"x\":\"{PROMPT}"),
    ];
    for body in broken {
        let request = gateway.post("/v1/chat/completions").bearer_auth(&secret).body(body);
        let response = request.header("content-type", "application/json").send().await.unwrap();
        shown.push_str(&response.text().await.unwrap());
    }
    let in_query = gateway.client.get(gateway.url(&format!("/v1/models?key={secret}")));
    shown.push_str(&in_query.send().await.unwrap().text().await.unwrap());
    gateway.set_status(gateway.key.id, KeyStatus::Revoked).await;
    crate::harness::eventually("the key is revoked", || async {
        let response = gateway.chat(&plain).send().await.unwrap();
        (response.status() == 401).then_some(())
    })
    .await;

    let log = logs::so_far();
    assert!(log.contains(&gateway.key.public_id), "the log is not being captured");
    let ledger = format!("{:?}", gateway.ledger_now().await);
    let spool = gateway.spool_text();
    assert!(spool.contains(&gateway.key.public_id), "the spool has nothing in it to look at");
    let hidden = &secret[PREFIX_AND_ID..];
    let places = [("the log", &log), ("a response", &shown), ("the ledger", &ledger), ("the spool", &spool)];
    for (place, text) in places {
        assert!(!text.contains(hidden), "the secret is in {place}");
        assert!(!text.contains(UPSTREAM_KEY), "the upstream's key is in {place}");
        assert!(!text.contains(PROMPT), "the prompt is in {place}");
    }
    for text in [&log, &ledger, &spool] {
        assert!(!text.contains(REPLY), "an answer is in the log, the ledger or the spool");
    }
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_secret_pasted_into_a_path_is_in_no_line_of_the_log(pool: PgPool) {
    let gateway = TestGateway::start(pool).await;
    let pasted = some_secret().expose().to_owned();
    let mut levels = String::new();
    for path in [
        format!("/v1/models/{pasted}"),
        format!("/v1/{pasted}"),
        format!("/{pasted}/v1/chat/completions"),
        format!("/api/openai/v1/chat/completions/{pasted}?key={pasted}"),
    ] {
        for with_key in [true, false] {
            let request = gateway.client.get(gateway.url(&path));
            let request = if with_key { request.bearer_auth(&gateway.key.secret) } else { request };
            let response = request.send().await.unwrap();
            assert!(response.status().is_client_error(), "{path}");
            let id = response.headers()["x-request-id"].to_str().unwrap().to_owned();
            let line = logs::so_far().lines().find(|line| line.contains(&id)).map(str::to_owned);
            levels.push_str(&line.unwrap_or_else(|| panic!("no line about {path}")));
        }
    }
    assert!(levels.contains(" INFO ") && levels.contains("DEBUG "), "{levels}");
    assert!(!logs::so_far().contains(&pasted[PREFIX_AND_ID..]), "the secret is in the log");
}

/// What of a secret may be shown: its prefix and public id.
const PREFIX_AND_ID: usize = 6 + 12;
