//! What a key may do, as its clients meet it: permissions, models, addresses, and requests per minute.

use std::time::Duration;

use domain::limit::{Measure, Period};
use reqwest::Response;
use serde_json::{Value, json};
use store::PgPool;
use store::accounts::BillingMode;
use store::connect::as_role;
use store::limits::{Subject, Terms};
use tokio::time::Instant;

use crate::harness::{TestGateway, eventually, make_key, minutes, open_account};

fn hello() -> Value {
    json!({ "model": "gpt-4o-mini", "messages": [{ "role": "user", "content": "hi" }] })
}

async fn refusal(response: Response, status: u16) -> Value {
    assert_eq!(response.status(), status);
    response.json::<Value>().await.unwrap()["error"].take()
}

async fn code(gateway: &TestGateway, status: u16) -> String {
    let response = gateway.chat(&hello()).send().await.unwrap();
    refusal(response, status).await["code"].as_str().unwrap().to_owned()
}

/// Changes the test's key, its group or whatever else, and waits until that is enforced.
async fn decide(gateway: &TestGateway, sql: &'static str) {
    gateway.execute(sql).await;
    gateway.until_enforced().await;
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn the_first_step_that_fails_is_told(pool: PgPool) {
    let gateway = TestGateway::start(pool).await;
    // From the last step to the first: each hides the one before.
    for (sql, status, word) in [
        ("UPDATE api_keys SET models = '{alias}'", 403, "model_not_allowed"),
        ("UPDATE groups SET permissions = '{models:list}'", 403, "insufficient_permissions"),
        ("UPDATE accounts SET billing = 'none'", 402, "billing_inactive"),
        ("UPDATE groups SET archived_at = now()", 403, "group_archived"),
        ("UPDATE accounts SET suspended_at = now()", 403, "account_inactive"),
        ("UPDATE api_keys SET addresses = '{203.0.113.0/24}'", 403, "ip_not_allowed"),
        ("UPDATE api_keys SET expires_at = now()", 401, "key_expired"),
        ("UPDATE api_keys SET status = 'disabled'", 401, "key_disabled"),
        ("UPDATE api_keys SET status = 'revoked'", 401, "invalid_api_key"),
    ] {
        decide(&gateway, sql).await;
        assert_eq!(code(&gateway, status).await, word, "{sql}");
    }
    assert!(gateway.upstream.received().is_empty());
    assert!(gateway.ledger_now().await.is_empty());
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_key_and_its_group_each_bound_permissions_and_models(pool: PgPool) {
    let gateway = TestGateway::start(pool).await;
    decide(&gateway, "UPDATE api_keys SET permissions = '{embeddings:read}'").await;
    let error = refusal(gateway.chat(&hello()).send().await.unwrap(), 403).await;
    assert_eq!(
        (&error["type"], &error["code"]),
        (&json!("permission_error"), &json!("insufficient_permissions"))
    );
    assert_eq!(error["message"], "API key doesn't have permission for this endpoint");
    let embed = json!({ "model": "text-embedding-3-small", "input": "hi" });
    assert_eq!(gateway.ask("/v1/embeddings", &embed).send().await.unwrap().status(), 200);
    decide(&gateway, "UPDATE api_keys SET permissions = NULL; UPDATE groups SET models = '{alias}'").await;
    let error = refusal(gateway.chat(&hello()).send().await.unwrap(), 403).await;
    assert_eq!((&error["code"], &error["param"]), (&json!("model_not_allowed"), &json!("model")));
    let list = gateway.client.get(gateway.url("/v1/models")).bearer_auth(&gateway.key.secret);
    let list: Value = list.send().await.unwrap().json().await.unwrap();
    assert_eq!(list["data"].as_array().unwrap().len(), 1);
    // An empty list is none, not any.
    decide(&gateway, "UPDATE groups SET models = '{}'").await;
    assert_eq!(code(&gateway, 403).await, "model_not_allowed");
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn requests_per_minute_are_counted_and_told(pool: PgPool) {
    let gateway = TestGateway::start(pool).await;
    decide(&gateway, "UPDATE api_keys SET requests_per_minute = 3").await;
    let mut left = Vec::new();
    for _ in 0..2 {
        let response = gateway.chat(&hello()).send().await.unwrap();
        assert_eq!(
            (response.status().as_u16(), &response.headers()["x-ratelimit-limit-requests"]),
            (200, &"3".parse().unwrap())
        );
        left.push(response.headers()["x-ratelimit-remaining-requests"].to_str().unwrap().to_owned());
    }
    assert_eq!(left, ["2", "1"]);
    // What is refused for another reason, or asks about the key, takes nothing.
    for _ in 0..5 {
        let unknown = json!({ "model": "nobody", "messages": [] });
        refusal(gateway.chat(&unknown).send().await.unwrap(), 404).await;
        let about = gateway.client.get(gateway.url("/v1/key")).bearer_auth(&gateway.key.secret);
        let about: Value = about.send().await.unwrap().json().await.unwrap();
        assert_eq!(
            about["limits"],
            json!([{ "kind": "requests", "limit": 3, "left": 1, "resets_at": null }])
        );
    }
    let list =
        gateway.client.get(gateway.url("/v1/models")).bearer_auth(&gateway.key.secret).send().await.unwrap();
    let told = list.headers()["ratelimit"].to_str().unwrap();
    assert!(list.status() == 200 && told.starts_with("\"requests\";r=0;t="), "{told}");
    assert!(!told.ends_with("=1"), "the first of them leaves in about a minute: {told}");
    let response = gateway.chat(&hello()).send().await.unwrap();
    let headers = response.headers().clone();
    let seconds: u64 = headers["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=61).contains(&seconds), "{seconds}");
    assert_eq!(headers["ratelimit-policy"], "\"requests\";q=3;w=60");
    assert_eq!(headers["ratelimit"], format!("\"requests\";r=0;t={seconds}"));
    assert_eq!(headers["x-ratelimit-reset-requests"], format!("{seconds}s"));
    assert!(!headers.contains_key("x-should-retry"));
    let error = refusal(response, 429).await;
    assert_eq!((&error["type"], &error["code"]), (&json!("rate_limit_error"), &json!("rate_limit_exceeded")));
    assert!(error["message"].as_str().unwrap().contains("3 requests per minute"), "{error}");
    // A higher limit counts at once, and what was admitted still counts.
    decide(&gateway, "UPDATE api_keys SET requests_per_minute = 4").await;
    assert_eq!(gateway.chat(&hello()).send().await.unwrap().status(), 200);
    assert_eq!(code(&gateway, 429).await, "rate_limit_exceeded");
    decide(&gateway, "UPDATE api_keys SET requests_per_minute = NULL").await;
    let free = gateway.chat(&hello()).send().await.unwrap();
    assert!(free.status() == 200 && !free.headers().contains_key("ratelimit"));
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn many_at_once_are_admitted_as_often_as_the_limit_says(pool: PgPool) {
    let gateway = TestGateway::start(pool).await;
    decide(&gateway, "UPDATE api_keys SET requests_per_minute = 25").await;
    let asking = (0..100).map(|_| gateway.chat(&hello()).send());
    let answers = futures_util::future::join_all(asking).await;
    let statuses: Vec<u16> = answers.into_iter().map(|answer| answer.unwrap().status().as_u16()).collect();
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 25, "{statuses:?}");
    assert_eq!(statuses.iter().filter(|status| **status == 429).count(), 75, "{statuses:?}");
    gateway.ledger(25).await;
    assert_eq!(minutes::assert_none_over(&gateway, &gateway.key, 25).await, 25);
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_restart_forgets_no_request_of_the_last_minute(pool: PgPool) {
    let mut gateway = TestGateway::start(pool).await;
    decide(&gateway, "UPDATE api_keys SET requests_per_minute = 3").await;
    for _ in 0..2 {
        assert_eq!(gateway.chat(&hello()).send().await.unwrap().status(), 200);
    }
    gateway.stop().await;
    let pool = as_role(&gateway.owner, "latchkey_gateway").await.unwrap();
    gateway.start_again(pool).await;
    assert_eq!(gateway.chat(&hello()).send().await.unwrap().status(), 200);
    assert_eq!(code(&gateway, 429).await, "rate_limit_exceeded");
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_second_gateway_admits_nothing_before_its_share_counts(pool: PgPool) {
    let first = TestGateway::start(pool).await;
    decide(&first, "UPDATE api_keys SET requests_per_minute = 10").await;
    assert_eq!(first.chat(&hello()).send().await.unwrap().status(), 200);
    first.ledger(1).await;
    let (second, _spool) = first.neighbour().await;
    let ask = |address| {
        let url = format!("http://{address}/v1/chat/completions");
        first.client.post(url).bearer_auth(&first.key.secret).json(&hello()).send()
    };
    assert_eq!(refusal(ask(second.address()).await.unwrap(), 429).await["code"], "rate_limit_exceeded");
    let ready = || async {
        let response = first.client.get(format!("http://{}/readyz", second.address())).send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    };
    let (status, why) = ready().await;
    assert!(
        status == 503 && why.contains("does not count yet"),
        "no balancer should send it anything yet: {why}"
    );
    assert_eq!(first.client.get(first.url("/readyz")).send().await.unwrap().status(), 200);
    // The first has heard of it within a second or two, and then goes by the half that will be its own.
    eventually("the first goes by its half", || async {
        let sql = "SELECT to_jsonb(count(*)) FROM gateways g, rate_shares r WHERE g.share_epoch = r.epoch AND r.epoch > 1";
        (first.json(sql).await == 2).then_some(())
    })
    .await;
    let mut admitted = 1;
    while ask(first.address()).await.unwrap().status() == 200 {
        admitted += 1;
    }
    assert_eq!(admitted, 5);
    // A minute later, as the database has it, both halves count.
    first.execute("UPDATE rate_shares SET counts_from = now()").await;
    eventually("the second's half counts", || async {
        (ask(second.address()).await.unwrap().status() == 200).then_some(())
    })
    .await;
    assert_eq!(ready().await.0, 200);
    let mut admitted = 1;
    while ask(second.address()).await.unwrap().status() == 200 {
        admitted += 1;
    }
    assert_eq!(admitted, 4, "the one request it found in the ledger counts too");
    second.stop().await;
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_new_gateway_does_not_wait_where_nothing_is_to_be_shared(pool: PgPool) {
    let first = TestGateway::start(pool).await;
    let (second, _spool) = first.neighbour().await;
    let ready = || async {
        let url = format!("http://{}/readyz", second.address());
        first.client.get(url).send().await.unwrap().status().as_u16()
    };
    assert_eq!(ready().await, 200, "no key has a limit of requests per minute");
    decide(&first, "UPDATE api_keys SET requests_per_minute = 10").await;
    eventually("it has a share to wait for", || async { (ready().await == 503).then_some(()) }).await;
    // Nobody else is there to serve: then it is better to serve who has no such limit.
    let mut first = first;
    first.stop().await;
    let client = &first.client;
    eventually("it serves alone", || async {
        let url = format!("http://{}/readyz", second.address());
        (client.get(url).send().await.unwrap().status() == 200).then_some(())
    })
    .await;
    second.stop().await;
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn no_minute_is_over_while_gateways_come_and_go(pool: PgPool) {
    let mut first = TestGateway::start(pool).await;
    decide(&first, "UPDATE api_keys SET requests_per_minute = 12").await;
    let (begin, client, key) = (Instant::now(), first.client.clone(), first.key.clone());
    let at = |seconds| begin + Duration::from_secs(seconds);
    let press = |address, end| tokio::spawn(minutes::press(client.clone(), address, key.clone(), end));
    let alone = press(first.address(), at(10));
    let (second, _spool) = first.neighbour().await;
    let joining = press(second.address(), at(69));
    let mut answered = alone.await.unwrap();
    first.stop().await;
    let pool = as_role(&first.owner, "latchkey_gateway").await.unwrap();
    first.start_again(pool).await;
    let again = press(first.address(), at(71));
    answered += joining.await.unwrap();
    second.stop().await;
    answered += again.await.unwrap();
    first.ledger(answered).await;
    let admitted = minutes::assert_none_over(&first, &first.key, 12).await;
    assert!(admitted > 12, "{admitted}: the first minute's slots come back after it");
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_prepaid_account_needs_a_balance(pool: PgPool) {
    let gateway = TestGateway::start(pool).await;
    let other = open_account(&gateway.owner, "other", BillingMode::Prepaid).await;
    let key = make_key(&gateway.console, other, "key").await;
    gateway.until_enforced().await;
    let list = || gateway.client.get(gateway.url("/v1/models")).bearer_auth(&key.secret).send();
    let error = refusal(list().await.unwrap(), 402).await;
    assert_eq!((&error["type"], &error["code"]), (&json!("billing_error"), &json!("insufficient_balance")));
    assert_eq!(
        gateway.client.get(gateway.url("/v1/key")).bearer_auth(&key.secret).send().await.unwrap().status(),
        200
    );
    let credit = Terms { measure: Measure::Cost, amount: 1_000_000, period: Period::Never };
    gateway.set_limit_of(other.id, Subject::Account, credit).await;
    assert_eq!(list().await.unwrap().status(), 200);
    let ask = || gateway.post("/v1/chat/completions").bearer_auth(&key.secret).json(&hello()).send();
    assert_eq!(ask().await.unwrap().status(), 200);
    // Spent to the last: step 7 knows, so that not even a list is served.
    gateway.execute("UPDATE limit_windows SET spent = amount, reserved = 0; DELETE FROM leases").await;
    gateway.until_enforced().await;
    assert_eq!(refusal(list().await.unwrap(), 402).await["code"], "insufficient_balance");
}
