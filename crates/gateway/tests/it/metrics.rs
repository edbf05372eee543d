//! Metrics: what is counted, and that only their own address tells it.

use serde_json::json;
use store::PgPool;

use crate::harness::TestGateway;
use crate::harness::bare::Bare;

async fn read(address: std::net::SocketAddr) -> String {
    let response = reqwest::get(format!("http://{address}/metrics")).await.unwrap();
    assert_eq!(response.status(), 200);
    assert!(response.headers()["content-type"].to_str().unwrap().starts_with("application/openmetrics-text"));
    response.text().await.unwrap()
}

fn has(text: &str, line: &str) {
    assert!(text.lines().any(|there| there == line), "{line} is missing in:\n{text}");
}

/// The value of a metric without labels.
fn value(text: &str, name: &str) -> f64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("{name} is missing in:\n{text}")).parse().unwrap()
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn requests_are_counted_by_route_and_outcome(pool: PgPool) {
    let gateway = TestGateway::start_as(pool, |config| {
        config.edge.metrics = Some("127.0.0.1:0".parse().unwrap());
        config.edge.metrics_per_key = true;
    })
    .await;
    let prompt = json!({ "model": "gpt-4o-mini", "messages": [] });
    for _ in 0..2 {
        assert_eq!(gateway.chat(&prompt).send().await.unwrap().status(), 200);
    }
    gateway.chat(&json!({ "model": "nobody's", "messages": [] })).send().await.unwrap();
    gateway.post("/v1/embeddings").bearer_auth("sk-lk-wrong").send().await.unwrap();
    gateway.client.get(gateway.url("/secret/path")).send().await.unwrap();
    let rows = gateway.ledger(2).await;
    assert_eq!(rows.len(), 2);
    let text = read(gateway.metrics_address().unwrap()).await;
    let name = "latchkey_gateway_requests_total";
    has(&text, &format!("{name}{{route=\"/v1/chat/completions\",status=\"2xx\",code=\"\"}} 2"));
    has(
        &text,
        &format!("{name}{{route=\"/v1/chat/completions\",status=\"4xx\",code=\"model_not_found\"}} 1"),
    );
    has(&text, &format!("{name}{{route=\"/v1/embeddings\",status=\"4xx\",code=\"invalid_api_key\"}} 1"));
    has(&text, &format!("{name}{{route=\"none\",status=\"4xx\",code=\"invalid_api_key\"}} 1"));
    has(&text, &format!("latchkey_gateway_key_requests_total{{key=\"{}\"}} 3", gateway.key.public_id));
    has(&text, "latchkey_gateway_upstream_seconds_count 2");
    has(&text, "latchkey_gateway_added_seconds_count 5");
    has(&text, "latchkey_gateway_policy_fresh 1");
    has(&text, "latchkey_gateway_in_flight_requests 0");
    assert!(value(&text, "latchkey_gateway_policy_version") >= 1.0);
    assert!(value(&text, "latchkey_gateway_policy_age_seconds") < 30.0);
    assert!(value(&text, "latchkey_gateway_connections") >= 1.0);
    assert!(value(&text, "latchkey_gateway_journal_room") > 1_000.0);
    for secret in [&gateway.key.secret, "nobody's", "secret/path", "sk-lk-wrong"] {
        assert!(!text.contains(secret), "{secret} shows in metrics");
    }
}

#[tokio::test]
async fn metrics_have_an_address_of_their_own_or_none() {
    let bare = Bare::start(|config| config.edge.metrics = Some("127.0.0.1:0".parse().unwrap())).await;
    let metrics = bare.gateway.metrics_address().unwrap();
    bare.exchange("GET /healthz HTTP/1.1\nhost: x\n\n").await;
    let text = read(metrics).await;
    has(&text, "latchkey_gateway_requests_total{route=\"none\",status=\"4xx\",code=\"invalid_request\"} 1");
    has(&text, "latchkey_gateway_policy_fresh 0");
    let client = reqwest::Client::new();
    for (path, status) in [("", 404), ("v1/models", 404)] {
        assert_eq!(client.get(format!("http://{metrics}/{path}")).send().await.unwrap().status(), status);
    }
    let post = client.post(format!("http://{metrics}/metrics")).send().await.unwrap();
    assert_eq!(post.status(), 405);
    // Clients' address does not know them.
    let public = client.get(format!("http://{}/metrics", bare.address())).send().await.unwrap();
    assert_eq!(public.status(), 401);
    assert!(Bare::start(|_| {}).await.gateway.metrics_address().is_none());
}
