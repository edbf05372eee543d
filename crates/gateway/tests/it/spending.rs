//! Cost and token limits as a key's clients meet them: what fits, what is lowered until it fits, what is refused.

use domain::limit::{Measure, Period};
use reqwest::Response;
use serde_json::{Value, json};
use store::PgPool;
use store::limits::{Subject, Terms};
use testkit::upstream::{Answer, Gate, Step};

use crate::harness::{PRICE, TestGateway, eventually};

/// A body whose bound on input tokens is its length.
fn ask(max_tokens: Option<u32>) -> Value {
    let mut body = json!({ "model": "gpt-4o-mini", "messages": [{ "role": "user", "content": "hi" }] });
    if let Some(most) = max_tokens {
        body["max_tokens"] = most.into();
    }
    body
}

/// The worst case of such a body.
fn worst(body: &Value, output: i64) -> i64 {
    let input = i64::try_from(body.to_string().len()).unwrap();
    (input * PRICE.input + output * PRICE.output + 999_999) / 1_000_000
}

/// An answer that reports this usage.
fn used(input: u32, output: u32) -> Answer {
    let usage =
        json!({ "prompt_tokens": input, "completion_tokens": output, "total_tokens": input + output });
    Answer::json(200, &json!({ "object": "chat.completion", "choices": [], "usage": usage }))
}

async fn refusal(response: Response, status: u16) -> Value {
    let (found, body) = (response.status(), response.json::<Value>().await.unwrap());
    assert_eq!(found, status, "{body}");
    body["error"].clone()
}

/// The figures of the only limit's only window.
async fn figures(gateway: &TestGateway) -> (i64, i64, i64) {
    let row = gateway.json("SELECT to_jsonb(w) FROM limit_windows w").await;
    let figure = |name: &str| row[name].as_i64().unwrap();
    (figure("spent"), figure("reserved"), figure("excess"))
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn what_does_not_fit_is_refused_where_the_key_is_strict(pool: PgPool) {
    let gateway = TestGateway::start(pool).await;
    let (fits, too_much) = (ask(Some(100)), ask(Some(101)));
    gateway.execute("UPDATE api_keys SET fit = 'strict'").await;
    gateway.set_limit(Subject::Key(gateway.key.id), worst(&fits, 100)).await;
    let response = gateway.chat(&too_much).send().await.unwrap();
    assert_eq!(response.headers()["x-should-retry"], "false");
    assert!(!response.headers().contains_key("retry-after"), "it never resets");
    let error = refusal(response, 429).await;
    assert_eq!((&error["type"], &error["code"]), (&json!("rate_limit_error"), &json!("cost_limit_exceeded")));
    gateway.upstream.enqueue(used(10, 100));
    let response = gateway.chat(&fits).send().await.unwrap();
    assert_eq!(response.status(), 200);
    assert!(!response.headers().contains_key("x-clamped"));
    let cost = gateway.ledger(1).await[0]["cost_nano"].as_i64().unwrap();
    assert_eq!(cost, (10 * PRICE.input + 100 * PRICE.output) / 1_000_000);
    assert_eq!(figures(&gateway).await.0, cost);
    assert_eq!(gateway.upstream.received().len(), 1);
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn what_does_not_fit_is_lowered_until_it_does(pool: PgPool) {
    let gateway = TestGateway::start(pool).await;
    let body = ask(None);
    gateway.set_limit(Subject::Key(gateway.key.id), worst(&body, 50)).await;
    gateway.upstream.enqueue(used(10, 50));
    let response = gateway.chat(&body).send().await.unwrap();
    assert_eq!(response.status(), 200);
    let told = response.headers()["x-clamped"].to_str().unwrap().to_owned();
    let sent = gateway.upstream.received()[0].json().unwrap();
    let cap = sent["max_completion_tokens"].as_u64().or(sent["max_tokens"].as_u64()).unwrap();
    assert_eq!(cap, 50, "{sent}");
    assert!(told.contains("50"), "{told}");
    // Fewer than sixteen tokens are no answer.
    gateway.ledger(1).await;
    let error = refusal(gateway.chat(&ask(Some(100))).send().await.unwrap(), 429).await;
    assert_eq!(error["code"], "cost_limit_exceeded");
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn tokens_and_budgets_of_groups_are_limits_too(pool: PgPool) {
    let gateway = TestGateway::start(pool).await;
    gateway.execute("UPDATE api_keys SET fit = 'strict'").await;
    let body = ask(Some(100));
    let tokens = i64::try_from(body.to_string().len()).unwrap() + 100;
    let limit = Terms { measure: Measure::Tokens, amount: tokens, period: Period::Daily };
    gateway.set_limit_of(gateway.account.id, Subject::Key(gateway.key.id), limit).await;
    gateway.upstream.enqueue(used(10, 20));
    assert_eq!(gateway.chat(&body).send().await.unwrap().status(), 200);
    gateway.ledger(1).await;
    assert_eq!(figures(&gateway).await.0, 30);
    let response = gateway.chat(&body).send().await.unwrap();
    let seconds: u64 = response.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    assert!(seconds <= 86_400, "until midnight: {seconds}");
    assert_eq!(refusal(response, 429).await["code"], "token_limit_exceeded");
    gateway.execute("DELETE FROM limits").await;
    gateway.set_limit(Subject::Group(gateway.account.group), 1).await;
    let error = refusal(gateway.chat(&body).send().await.unwrap(), 429).await;
    assert_eq!(error["code"], "group_limit_exceeded");
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_price_of_zero_always_passes_and_a_missing_one_never(pool: PgPool) {
    let gateway = TestGateway::start(pool).await;
    gateway.set_limit(Subject::Key(gateway.key.id), 0).await;
    gateway
        .execute("UPDATE models SET input_price = 0, cached_input_price = 0, output_price = 0 WHERE id = 'gpt-4o-mini'")
        .await;
    gateway
        .execute("UPDATE models SET input_price = NULL, cached_input_price = NULL, output_price = NULL WHERE id = 'alias'")
        .await;
    gateway.until_enforced().await;
    assert_eq!(gateway.chat(&ask(None)).send().await.unwrap().status(), 200);
    let mut unpriced = ask(None);
    unpriced["model"] = json!("alias");
    let error = refusal(gateway.chat(&unpriced).send().await.unwrap(), 400).await;
    assert_eq!((&error["code"], &error["param"]), (&json!("invalid_request"), &json!("model")));
    // Whoever has no limit may use it.
    gateway.execute("DELETE FROM limits").await;
    gateway.until_enforced().await;
    assert_eq!(gateway.chat(&unpriced).send().await.unwrap().status(), 200);
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn what_nobody_can_bound_is_refused_to_who_has_a_limit(pool: PgPool) {
    let gateway = TestGateway::start(pool).await;
    let remote = json!({ "model": "gpt-4o-mini", "max_tokens": 20, "messages": [{ "role": "user", "content": [
        { "type": "image_url", "image_url": { "url": "https://example.com/a.png" } } ] }] });
    let earlier = json!({ "model": "gpt-4o-mini", "input": "go on", "previous_response_id": "resp_1" });
    assert_eq!(gateway.chat(&remote).send().await.unwrap().status(), 200);
    gateway.set_limit(Subject::Key(gateway.key.id), 1_000_000_000).await;
    let error = refusal(gateway.chat(&remote).send().await.unwrap(), 400).await;
    assert_eq!(error["code"], "invalid_request");
    let error = refusal(gateway.ask("/v1/responses", &earlier).send().await.unwrap(), 400).await;
    assert!(error["message"].as_str().unwrap().contains("earlier turns"), "{error}");
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn one_picture_cannot_be_lowered(pool: PgPool) {
    let gateway = TestGateway::start(pool).await;
    gateway.set_limit(Subject::Key(gateway.key.id), 1_000_000).await;
    let paint = json!({ "model": "gpt-4o-mini", "prompt": "a cat" });
    let error = refusal(gateway.ask("/v1/images/generations", &paint).send().await.unwrap(), 429).await;
    assert_eq!(error["code"], "cost_limit_exceeded");
    // And one in a prompt is more than its bytes.
    let look = json!({ "model": "gpt-4o-mini", "max_tokens": 16, "messages": [{ "role": "user", "content": [
        { "type": "image_url", "image_url": { "url": "data:image/png;base64,iVBORw0KGgo=" } } ] }] });
    let error = refusal(gateway.chat(&look).send().await.unwrap(), 429).await;
    assert_eq!(error["code"], "cost_limit_exceeded");
    assert!(gateway.upstream.received().is_empty());
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn who_leaves_before_the_answer_pays_for_what_was_set_aside(pool: PgPool) {
    let gateway = TestGateway::start(pool).await;
    let body = ask(Some(100));
    gateway.set_limit(Subject::Key(gateway.key.id), 10_000_000).await;
    gateway.upstream.enqueue(Answer::hang());
    let asking = tokio::spawn(gateway.chat(&body).send());
    gateway.upstream.nth_received(1).await;
    asking.abort();
    let row = &gateway.ledger(1).await[0];
    assert_eq!((&row["status"], &row["output_tokens"]), (&json!(499), &json!(100)), "{row}");
    let cost = row["cost_nano"].as_i64().unwrap();
    eventually("the window has it", || async { (figures(&gateway).await.0 == cost).then_some(()) }).await;
    assert_eq!(figures(&gateway).await.2, 0, "a guess is never beyond the limit");
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_lying_upstream_costs_its_own_excess_and_no_more(pool: PgPool) {
    let gateway = TestGateway::start(pool).await;
    let body = ask(Some(100));
    let amount = worst(&body, 100) * 3;
    gateway.set_limit(Subject::Key(gateway.key.id), amount).await;
    gateway.upstream.enqueue(used(10, 5_000));
    assert_eq!(gateway.chat(&body).send().await.unwrap().status(), 200);
    let cost = gateway.ledger(1).await[0]["cost_nano"].as_i64().unwrap();
    eventually("the window has it", || async { (figures(&gateway).await.0 == cost).then_some(()) }).await;
    let (spent, reserved, excess) = figures(&gateway).await;
    assert_eq!((spent, excess), (cost, cost + reserved - amount));
    let error = refusal(gateway.chat(&body).send().await.unwrap(), 429).await;
    assert_eq!(error["code"], "cost_limit_exceeded");
    assert_eq!(gateway.upstream.received().len(), 1);
    // The key says so itself.
    let about = gateway.client.get(gateway.url("/v1/key")).bearer_auth(&gateway.key.secret);
    let about: Value = about.send().await.unwrap().json().await.unwrap();
    assert_eq!(about["status"], "exhausted");
    assert_eq!(about["limits"], json!([{ "kind": "cost", "limit": amount, "left": 0, "resets_at": null }]));
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_stream_ends_when_its_limit_is_lowered_below_what_is_spent(pool: PgPool) {
    let gateway = TestGateway::start(pool).await;
    let mut body = ask(Some(100));
    let limit = worst(&body, 100) * 4;
    gateway.set_limit(Subject::Key(gateway.key.id), limit).await;
    gateway.upstream.enqueue(used(10, 50));
    assert_eq!(gateway.chat(&body).send().await.unwrap().status(), 200);
    let spent = gateway.ledger(1).await[0]["cost_nano"].as_i64().unwrap();
    eventually("the window has it", || async { (figures(&gateway).await.0 == spent).then_some(()) }).await;
    body["stream"] = json!(true);
    let gate = Gate::closed();
    let word = r#"{"choices":[{"index":0,"delta":{"content":"word "}}]}"#;
    gateway.upstream.enqueue(Answer::events([
        Step::event(word),
        Step::Wait(gate.clone()),
        Step::event("[DONE]"),
    ]));
    let mut stream = gateway.chat(&body).send().await.unwrap();
    assert_eq!(stream.status(), 200);
    assert!(stream.chunk().await.unwrap().is_some());
    gateway.set_limit(Subject::Key(gateway.key.id), spent).await;
    let mut rest = String::new();
    while let Some(chunk) = stream.chunk().await.unwrap() {
        rest.push_str(&String::from_utf8_lossy(&chunk));
    }
    assert!(rest.contains("cost_limit_exceeded"), "{rest}");
    let rows = gateway.ledger(2).await;
    assert_eq!((&rows[1]["status"], &rows[1]["interrupted"]), (&json!(429), &json!(true)));
    assert!(rows[1]["cost_nano"].as_i64().unwrap() > 0, "what was emitted is charged");
    // What the gateway still holds of it is nobody's to spend.
    body["stream"] = json!(false);
    refusal(gateway.chat(&body).send().await.unwrap(), 429).await;
    // And it is open again as soon as there is room.
    gateway.set_limit(Subject::Key(gateway.key.id), limit).await;
    assert_eq!(gateway.chat(&body).send().await.unwrap().status(), 200);
}

/// Many at once spend a limit to its end: not a unit too many, and what is left is less than one request.
#[sqlx::test(migrator = "store::MIGRATOR")]
async fn many_at_once_never_spend_more_than_there_is(pool: PgPool) {
    let gateway = TestGateway::start(pool).await;
    gateway.execute("UPDATE api_keys SET fit = 'strict'").await;
    let body = ask(Some(20));
    let (one, amount) = (worst(&body, 20), worst(&body, 20) * 10 + 1);
    gateway.set_limit(Subject::Key(gateway.key.id), amount).await;
    let mut served = 0;
    // What is reserved and not used comes back, so some must come again.
    for _ in 0..60 {
        let asking = (0..8).map(|_| gateway.chat(&body).send());
        let answers = futures_util::future::join_all(asking).await;
        served += answers.iter().filter(|answer| answer.as_ref().unwrap().status() == 200).count();
        let (spent, ..) = figures(&gateway).await;
        assert!(spent <= amount, "{spent} of {amount}");
        if amount - spent < one {
            break;
        }
    }
    let rows = gateway.ledger(served).await;
    let cost: i64 = rows.iter().map(|row| row["cost_nano"].as_i64().unwrap()).sum();
    eventually("everything is booked", || async { (figures(&gateway).await.0 == cost).then_some(()) }).await;
    let (spent, _, excess) = figures(&gateway).await;
    assert_eq!(excess, 0);
    assert!(spent <= amount && amount - spent < one, "{spent} of {amount}, one is {one}");
}
