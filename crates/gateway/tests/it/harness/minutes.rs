//! Requests per minute, looked at afterwards: whether any 60 s held more than the limit, whoever admitted them.

use std::net::SocketAddr;
use std::time::Duration;

use domain::rate;
use reqwest::StatusCode;
use serde_json::json;
use tokio::time::{Instant, sleep};

use super::{TestGateway, TestKey};

/// Two gateways date their admissions by two copies of the database's clock, each a little late or early.
const CLOCKS: i64 = 100_000;
const MINUTE: i64 = 60_000_000;

/// Asserts that no minute holds more admissions of a key than its limit, and gives how many there were in all.
pub async fn assert_none_over(gateway: &TestGateway, key: &TestKey, limit: usize) -> usize {
    let sql =
        "SELECT (extract(epoch FROM started_at) * 1000000)::bigint FROM usage_records WHERE key_id = $1";
    let admitted: Vec<i64> = sqlx::query_scalar(sql).bind(key.id.0).fetch_all(&gateway.owner).await.unwrap();
    let most = rate::most_within(&admitted, MINUTE - CLOCKS);
    assert!(most <= limit, "{most} in one minute, {limit} allowed: {admitted:?}");
    admitted.len()
}

/// A chat request of a key to one of several gateways.
pub async fn ask(
    client: &reqwest::Client,
    address: SocketAddr,
    key: &TestKey,
) -> reqwest::Result<reqwest::Response> {
    let hello = json!({ "model": "gpt-4o-mini", "messages": [{ "role": "user", "content": "hi" }] });
    let url = format!("http://{address}/v1/chat/completions");
    client.post(url).bearer_auth(&key.secret).json(&hello).send().await
}

/// Keeps asking a gateway, ten times a second, until `end`. Gives how many were admitted; what is neither that nor 429
/// nor 503 fails. A gateway that is away admits nothing.
pub async fn press(client: reqwest::Client, address: SocketAddr, key: TestKey, end: Instant) -> usize {
    let mut admitted = 0;
    while Instant::now() < end {
        if let Ok(response) = ask(&client, address, &key).await {
            match response.status() {
                StatusCode::OK => admitted += 1,
                StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {}
                other => panic!("answered with {other}"),
            }
        }
        sleep(Duration::from_millis(100)).await;
    }
    admitted
}
