//! How long a key that was switched off still works.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use domain::key::KeyStatus;
use serde_json::json;
use store::PgPool;

use crate::harness::{TestGateway, make_key, report};

const ROUNDS: usize = 100;
const LOAD: usize = 4;

/// One key is toggled a hundred times while others keep the gateway busy. Measured from the commit of the change to
/// the first refused call; every call that starts after that must be refused.
#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_key_that_is_switched_off_is_refused_at_once(pool: PgPool) {
    let gateway = Arc::new(TestGateway::start(pool).await);
    let stop = Arc::new(AtomicBool::new(false));
    let served = Arc::new(AtomicU64::new(0));
    let mut load = Vec::new();
    for n in 0..LOAD {
        let key = make_key(&gateway.console, gateway.account, &format!("load {n}")).await;
        until_status(&gateway, &key.secret, 200).await;
        load.push(tokio::spawn(keep_busy(gateway.clone(), key.secret, stop.clone(), served.clone())));
    }
    let mut delays = Vec::with_capacity(ROUNDS);
    for _ in 0..ROUNDS {
        gateway.set_status(gateway.key.id, KeyStatus::Disabled).await;
        let committed = Instant::now();
        until_status(&gateway, &gateway.key.secret, 401).await;
        delays.push(committed.elapsed());
        assert_eq!(status(&gateway, &gateway.key.secret).await, 401, "a refused key was let through again");
        gateway.set_status(gateway.key.id, KeyStatus::Enabled).await;
        until_status(&gateway, &gateway.key.secret, 200).await;
    }
    stop.store(true, Ordering::Relaxed);
    for busy in load {
        busy.await.unwrap();
    }
    delays.sort_unstable();
    let (median, slowest) = (delays[ROUNDS / 2], delays[ROUNDS - 1]);
    report(&format!(
        "revocation: switched off {ROUNDS} times under load ({} requests served meanwhile): first refusal after {median:.1?} \
         (median), {slowest:.1?} (slowest)",
        served.load(Ordering::Relaxed)
    ));
    assert!(slowest < Duration::from_secs(5), "slower than with every notification lost: {slowest:?}");
}

async fn keep_busy(gateway: Arc<TestGateway>, secret: String, stop: Arc<AtomicBool>, served: Arc<AtomicU64>) {
    let body = json!({ "model": "gpt-4o-mini", "messages": [{ "role": "user", "content": "hi" }] });
    while !stop.load(Ordering::Relaxed) {
        let request = gateway.post("/v1/chat/completions").bearer_auth(&secret).json(&body);
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 200);
        response.bytes().await.unwrap();
        served.fetch_add(1, Ordering::Relaxed);
    }
}

async fn status(gateway: &TestGateway, secret: &str) -> u16 {
    let response = gateway.client.get(gateway.url("/v1/models")).bearer_auth(secret).send().await.unwrap();
    response.status().as_u16()
}

async fn until_status(gateway: &TestGateway, secret: &str, wanted: u16) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while status(gateway, secret).await != wanted {
        assert!(Instant::now() < deadline, "the key does not get a {wanted}");
    }
}
