//! Wrong keys in great number, and more keys than may be in memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use domain::key::KeyStatus;
use serde_json::{Value, json};
use store::PgPool;
use store::limits::Subject;
use testkit::upstream::{Answer, Step};

use crate::harness::cable::Cable;
use crate::harness::{TestGateway, TestKey, eventually, make_key, report, some_secret};

const WRONG: usize = 10_000;
const SENDERS: usize = 8;

async fn asked(gateway: &TestGateway, secret: &str) -> (u16, Value) {
    let request = gateway.client.get(gateway.url("/v1/models")).bearer_auth(secret);
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    (status, response.json::<Value>().await.unwrap()["error"]["code"].take())
}

async fn send_wrong_keys(gateway: Arc<TestGateway>, count: usize) {
    for _ in 0..count {
        assert_eq!(asked(&gateway, some_secret().expose()).await, (401, json!("invalid_api_key")));
    }
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn ten_thousand_wrong_keys_are_no_matter_to_a_right_one_from_the_same_address(pool: PgPool) {
    let cable = Cable::to(&pool, true).await;
    let gateway_pool = cable.pool(&pool);
    let gateway = Arc::new(TestGateway::start_on(pool, gateway_pool, |_| {}).await);
    gateway.until_ready().await;
    let done = Arc::new(AtomicBool::new(false));
    let right = tokio::spawn({
        let (gateway, done) = (gateway.clone(), done.clone());
        async move {
            let mut times = Vec::new();
            while !done.load(Ordering::Relaxed) {
                let begin = Instant::now();
                assert_eq!(asked(&gateway, &gateway.key.secret).await.0, 200);
                times.push(begin.elapsed());
            }
            times
        }
    });
    let senders = (0..SENDERS).map(|_| tokio::spawn(send_wrong_keys(gateway.clone(), WRONG / SENDERS)));
    for sender in senders.collect::<Vec<_>>() {
        sender.await.unwrap();
    }
    done.store(true, Ordering::Relaxed);
    let mut times = right.await.unwrap();
    times.sort_unstable();
    let (median, slowest) = (times[times.len() / 2], times[times.len() - 1]);
    report(&format!(
        "wrong keys: {} requests of a right key from the same address beside {WRONG} wrong ones: {median:.1?} (median), \
         {slowest:.1?} (slowest)",
        times.len()
    ));
    assert!(slowest < Duration::from_secs(5), "{slowest:?}");
    // And they cost no database: it may be gone.
    cable.pull();
    send_wrong_keys(gateway.clone(), 200).await;
    assert_eq!(asked(&gateway, &gateway.key.secret).await.0, 200);
}

/// A gateway that may hold three of its twelve keys.
async fn crowded(pool: PgPool, look_ups: u32) -> (TestGateway, Vec<TestKey>, Cable) {
    let cable = Cable::to(&pool, true).await;
    let gateway_pool = cable.pool(&pool);
    let gateway = TestGateway::start_on(pool, gateway_pool, |limits| {
        limits.keys = 3;
        limits.look_ups = look_ups;
    })
    .await;
    gateway.until_ready().await;
    let mut keys = vec![gateway.key.clone()];
    for n in 1..12 {
        keys.push(make_key(&gateway.console, gateway.account, &format!("key {n}")).await);
    }
    gateway.until_enforced().await;
    (gateway, keys, cable)
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn more_keys_than_fit_into_memory_are_all_served_and_revoked_at_once(pool: PgPool) {
    let (mut gateway, keys, _cable) = crowded(pool.clone(), 500).await;
    // At first it has grown too large, then it is loaded as one that is.
    for round in 0..2 {
        for key in keys.iter().chain(&keys) {
            assert_eq!(asked(&gateway, &key.secret).await.0, 200, "round {round}");
        }
        for _ in 0..20 {
            assert_eq!(asked(&gateway, some_secret().expose()).await, (401, json!("invalid_api_key")));
        }
        let gateway_pool = store::connect::as_role(&pool, "latchkey_gateway").await.unwrap();
        if round == 0 {
            gateway.stop().await;
            gateway.start_again(gateway_pool).await;
        }
    }
    // Held or not, a change is in force at once, and comes back with the key.
    for (n, key) in keys.iter().enumerate().skip(1) {
        let is_held = n % 2 == 0;
        if is_held {
            assert_eq!(asked(&gateway, &key.secret).await.0, 200);
        }
        gateway.set_status(key.id, KeyStatus::Disabled).await;
        gateway.until_enforced().await;
        assert_eq!(asked(&gateway, &key.secret).await, (401, json!("key_disabled")), "held: {is_held}");
        gateway.set_status(key.id, KeyStatus::Revoked).await;
        gateway.until_enforced().await;
        assert_eq!(asked(&gateway, &key.secret).await, (401, json!("invalid_api_key")), "held: {is_held}");
    }
    // A key that is looked up brings its limits.
    gateway.set_limit(Subject::Key(gateway.key.id), 10).await;
    gateway.execute("UPDATE api_keys SET fit = 'strict'").await;
    let more = make_key(&gateway.console, gateway.account, "one more").await;
    gateway.until_enforced().await;
    assert_eq!(asked(&gateway, &more.secret).await.0, 200);
    let prompt = json!({ "model": "gpt-4o-mini", "messages": [{ "role": "user", "content": "hi" }] });
    let refused = gateway.chat(&prompt).send().await.unwrap();
    assert_eq!(refused.status(), 429);
    assert_eq!(refused.json::<Value>().await.unwrap()["error"]["code"], "cost_limit_exceeded");
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn look_ups_beyond_their_budget_are_a_503_and_never_a_401(pool: PgPool) {
    let (gateway, keys, cable) = crowded(pool, 1).await;
    let (mut served, mut later) = (0, 0);
    for key in keys.iter().chain(&keys) {
        match asked(&gateway, &key.secret).await {
            (200, _) => served += 1,
            (503, code) if code == "overloaded" => later += 1,
            other => panic!("{other:?}"),
        }
    }
    assert!(served > 0 && later > 0, "{served} served, {later} put off");
    // It passes by itself, one a second.
    eventually("a key that was put off is served", || async {
        (asked(&gateway, &keys[0].secret).await.0 == 200).then_some(())
    })
    .await;
    // What is held is served without the database, wrong keys are known without it, and the others are not guessed at.
    cable.pull();
    assert_eq!(asked(&gateway, &keys[0].secret).await.0, 200);
    for _ in 0..20 {
        assert_eq!(asked(&gateway, some_secret().expose()).await.0, 401);
    }
    for key in &keys {
        let (status, code) = asked(&gateway, &key.secret).await;
        assert!(status == 200 || status == 503, "{status} {code}");
    }
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_running_stream_keeps_its_key_in_memory_and_ends_with_it(pool: PgPool) {
    let (gateway, keys, _cable) = crowded(pool, 500).await;
    let first = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"}}]}\n\n";
    gateway.upstream.enqueue(Answer::events([Step::send(first), Step::Hang]));
    let prompt =
        json!({ "model": "gpt-4o-mini", "stream": true, "messages": [{ "role": "user", "content": "hi" }] });
    let response = gateway.chat(&prompt).send().await.unwrap();
    assert_eq!(response.status(), 200);
    for key in keys.iter().skip(1) {
        assert_eq!(asked(&gateway, &key.secret).await.0, 200);
    }
    gateway.set_status(gateway.key.id, KeyStatus::Revoked).await;
    let rest = tokio::time::timeout(Duration::from_secs(20), response.text()).await.unwrap().unwrap();
    assert!(rest.contains("invalid_api_key"), "{rest}");
}
