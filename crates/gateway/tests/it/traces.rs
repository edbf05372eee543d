//! Traces: what the collector gets of each request, what it never gets, and that it holds nobody up.

use std::time::{Duration, Instant};

use gateway::config::{Sampler, Traces};
use serde_json::{Value, json};
use store::PgPool;
use testkit::upstream::{Answer, Gate, Step, Upstream};

use crate::harness::bare::{Bare, try_start};
use crate::harness::collector::{Collector, behind_tls};
use crate::harness::program::Program;
use crate::harness::{PRICE, TestGateway, UPSTREAM_KEY, eventually, logs, some_secret};
use crate::upstreams::Bench;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const SPAN: &str = "00f067aa0ba902b7";
const CANARY: &str = "canary-trace-51f7";

async fn traced(pool: PgPool, collector: &Collector) -> TestGateway {
    TestGateway::start_as(pool, |config| config.traces = Some(collector.settings())).await
}

fn hello() -> Value {
    json!({ "model": "gpt-4o-mini", "messages": [{ "role": "user", "content": CANARY }] })
}

fn streamed() -> Value {
    let mut body = hello();
    body["stream"] = json!(true);
    body
}

fn word(text: &str) -> Step {
    Step::event(&json!({ "choices": [{ "index": 0, "delta": { "content": text } }] }).to_string())
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_served_request_is_a_span_with_its_upstream_below(pool: PgPool) {
    let collector = Collector::start().await;
    let mut gateway = traced(pool, &collector).await;
    let usage = json!({ "prompt_tokens": 1_000, "completion_tokens": 2_000 });
    gateway.upstream.enqueue(Answer::json(200, &json!({ "choices": [], "usage": usage })));
    let request = gateway
        .chat(&hello())
        .header("traceparent", format!("00-{TRACE}-{SPAN}-01"))
        .header("tracestate", format!("vendor={CANARY}"));
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), 200);
    let id = response.headers()["x-request-id"].to_str().unwrap().to_owned();
    gateway.stop().await;

    let (span, upstreams) = collector.only_request();
    assert_eq!((span.trace.as_str(), span.parent.as_str()), (TRACE, SPAN));
    assert_eq!(span.name, "POST /v1/chat/completions");
    assert_eq!((span.is_error, span.trace_state.as_str()), (false, ""));
    assert_eq!(span.events.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["first byte"]);
    span.assert_attributes(&json!({
        "http.request.method": "POST",
        "http.route": "/v1/chat/completions",
        "url.path": "/v1/chat/completions",
        "http.response.status_code": 200,
        "server.address": "127.0.0.1",
        "server.port": gateway.address().port(),
        "gen_ai.request.model": "gpt-4o-mini",
        "gen_ai.usage.input_tokens": 1_000,
        "gen_ai.usage.output_tokens": 2_000,
        "latchkey.cost_nano_usd": (PRICE.input + 2 * PRICE.output) / 1_000,
        "latchkey.usage_is_estimated": false,
        "latchkey.interrupted": false,
        "latchkey.request_id": id,
        "latchkey.key": gateway.key.public_id,
        "latchkey.account": gateway.account.id.0.to_string(),
    }));
    assert_eq!(upstreams.len(), 1);
    assert_eq!((upstreams[0].name.as_str(), upstreams[0].is_error), ("POST /chat/completions", false));
    upstreams[0].assert_attributes(&json!({
        "http.request.method": "POST",
        "url.template": "/chat/completions",
        "http.response.status_code": 200,
        "server.address": "127.0.0.1",
        "server.port": gateway.upstream.address().port(),
        "latchkey.upstream": "UPSTREAM_URL",
    }));
    assert_eq!(span.resource["service.name"], "latchkey-gateway");
    assert_eq!(span.resource["latchkey.gateway"], "gw-test");
    // The provider learns nothing of the trace.
    let received = &gateway.upstream.received()[0];
    assert_eq!((received.header("traceparent"), received.header("tracestate")), (None, None));
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_refused_request_says_why_and_repeats_nothing(pool: PgPool) {
    let collector = Collector::start().await;
    let mut gateway = traced(pool, &collector).await;
    let unknown = json!({ "model": CANARY, "messages": [] });
    assert_eq!(gateway.chat(&unknown).send().await.unwrap().status(), 404);
    let wrong = gateway.post("/v1/embeddings").bearer_auth(some_secret().expose());
    assert_eq!(wrong.send().await.unwrap().status(), 401);
    let lost = gateway.client.get(gateway.url(&format!("/v1/{CANARY}?key={CANARY}")));
    assert_eq!(lost.bearer_auth(&gateway.key.secret).send().await.unwrap().status(), 404);
    let method = reqwest::Method::from_bytes(CANARY.as_bytes()).unwrap();
    let odd = gateway.client.request(method, gateway.url("/v1/models")).bearer_auth(&gateway.key.secret);
    assert_eq!(odd.send().await.unwrap().status(), 405);
    assert_eq!(gateway.client.get(gateway.url("/healthz")).send().await.unwrap().status(), 200);
    gateway.stop().await;

    let spans = collector.spans();
    let told: Vec<_> = spans
        .iter()
        .map(|span| {
            let attribute = |name: &str| span.attributes.get(name).cloned().unwrap_or_default();
            let key = attribute("latchkey.key") == gateway.key.public_id.as_str();
            (span.name.as_str(), attribute("http.response.status_code"), attribute("error.type"), key)
        })
        .collect();
    let expected = [
        ("POST /v1/chat/completions", json!(404), json!("model_not_found"), true),
        ("POST /v1/embeddings", json!(401), json!("invalid_api_key"), false),
        ("GET", json!(404), json!("path_not_found"), true),
        ("_OTHER", json!(405), json!("method_not_allowed"), true),
    ];
    assert_eq!(told, expected);
    // Their clients' mistakes, not this service's.
    assert!(spans.iter().all(|span| !span.is_error && span.parent.is_empty()));
    assert!(!String::from_utf8_lossy(&collector.bytes()).contains(CANARY));
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_stream_s_span_lasts_as_long_as_the_stream(pool: PgPool) {
    let collector = Collector::start().await;
    let mut gateway = traced(pool, &collector).await;
    let gate = Gate::closed();
    let steps = [word("one "), Step::Wait(gate.clone()), word("two"), Step::event("[DONE]")];
    gateway.upstream.enqueue(Answer::events(steps));
    let mut response = gateway.chat(&streamed()).send().await.unwrap();
    assert!(response.chunk().await.unwrap().is_some());
    let before = nanoseconds();
    gate.open();
    while response.chunk().await.unwrap().is_some() {}
    gateway.stop().await;

    let (span, upstreams) = collector.only_request();
    let events: Vec<_> = span.events.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(events, ["first byte", "end of stream"]);
    assert!(span.events[0].1 <= before && before <= span.events[1].1 && span.events[1].1 <= span.end);
    assert!(before <= upstreams[0].end);
    assert_eq!(span.attributes["gen_ai.usage.output_tokens"], gateway.ledger_now().await[0]["output_tokens"]);
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_client_that_leaves_ends_its_spans(pool: PgPool) {
    let collector = Collector::start().await;
    let mut gateway = traced(pool, &collector).await;
    gateway.upstream.enqueue(Answer::events([word("one "), Step::Hang]));
    let mut response = gateway.chat(&streamed()).send().await.unwrap();
    assert!(response.chunk().await.unwrap().is_some());
    drop(response);
    gateway.ledger(1).await;
    gateway.upstream.enqueue(Answer::hang());
    let asking = tokio::spawn(gateway.chat(&hello()).send());
    gateway.upstream.nth_received(2).await;
    asking.abort();
    gateway.ledger(2).await;
    gateway.stop().await;

    let spans = collector.spans();
    assert_eq!(spans.len(), 4, "{spans:#?}");
    for span in &spans {
        // It is no fault of the upstream's, and no error of the service.
        let told = span.attributes.get("error.type").and_then(Value::as_str);
        assert_eq!(told, span.parent.is_empty().then_some("client_closed"), "{span:#?}");
        assert!(!span.is_error, "{span:#?}");
    }
    let statuses: Vec<_> =
        spans.iter().filter_map(|span| span.attributes.get("http.response.status_code")).collect();
    assert_eq!(statuses, [200, 200], "only the first answer had begun");
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn each_upstream_that_is_asked_has_a_span(pool: PgPool) {
    let collector = Collector::start().await;
    let mut bench = Bench::around(traced(pool, &collector).await).await;
    bench.first.enqueue(Answer::json(503, &json!({ "error": { "message": CANARY } })));
    bench.second.enqueue(Answer::events([word("one "), Step::Die]));
    let mut body = streamed();
    body["model"] = json!("shared");
    let response = bench.gateway.chat(&body).send().await.unwrap();
    assert!(response.text().await.unwrap().contains("upstream_failed"));
    bench.gateway.stop().await;

    let (span, upstreams) = collector.only_request();
    assert!(span.is_error);
    assert_eq!(span.attributes["http.response.status_code"], 200, "it had begun");
    assert_eq!(span.attributes["error.type"], "upstream_failed");
    assert_eq!(span.attributes["latchkey.interrupted"], true);
    let told: Vec<_> = upstreams
        .iter()
        .map(|span| {
            let attribute = |name: &str| span.attributes[name].clone();
            assert!(span.is_error);
            (attribute("latchkey.upstream"), attribute("http.response.status_code"), attribute("error.type"))
        })
        .collect();
    let expected =
        [(json!("first"), json!(503), json!("503")), (json!("second"), json!(200), json!("upstream_failed"))];
    assert_eq!(told, expected);
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn nothing_that_may_not_be_told_is_exported(pool: PgPool) {
    let collector = Collector::start().await;
    let mut gateway = traced(pool, &collector).await;
    let reply = json!({ "choices": [{ "message": { "content": CANARY } }] });
    for answer in [
        Answer::json(200, &reply),
        Answer::json(401, &json!({ "error": { "message": UPSTREAM_KEY } })),
        Answer::json(400, &json!({ "error": { "message": CANARY } })),
        Answer::whole(200, "text/html", CANARY),
        Answer::die(),
    ] {
        gateway.upstream.enqueue(answer);
        let request = gateway.chat(&hello()).header("user-agent", CANARY).header("traceparent", CANARY);
        request.send().await.unwrap();
    }
    gateway.ledger(5).await;
    gateway.stop().await;
    assert_eq!(collector.spans().len(), 10);
    let bytes = collector.bytes();
    let text = String::from_utf8_lossy(&bytes);
    assert!(text.contains(&gateway.key.public_id));
    for secret in [CANARY, UPSTREAM_KEY, &gateway.key.secret[18..]] {
        assert!(!text.contains(secret), "{secret} is exported");
    }
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_client_cannot_have_itself_traced(pool: PgPool) {
    let collector = Collector::start().await;
    let mut gateway = TestGateway::start_as(pool, |config| {
        let sampler = Sampler { ratio: 0.0, follows_clients: false };
        config.traces = Some(Traces { sampler, ..collector.settings() });
    })
    .await;
    let request = gateway.chat(&hello()).header("traceparent", format!("00-{TRACE}-{SPAN}-01"));
    assert_eq!(request.send().await.unwrap().status(), 200);
    gateway.stop().await;
    assert!(collector.0.received().is_empty());
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_collector_that_fails_is_told_once_and_disturbs_nobody(pool: PgPool) {
    let collector = Collector::answering(Answer::whole(500, "text/plain", CANARY)).await;
    let gateway = TestGateway::start_as(pool, |config| {
        config.traces = Some(collector.settings());
        config.edge.metrics = Some("127.0.0.1:0".parse().unwrap());
    })
    .await;
    let metrics = format!("http://{}/metrics", gateway.metrics_address().unwrap());
    for dropped in ["2", "4"] {
        assert_eq!(gateway.chat(&hello()).send().await.unwrap().status(), 200);
        // Without a stop: the batch goes by itself.
        eventually("the spans are counted as dropped", || async {
            let text = reqwest::get(&metrics).await.unwrap().text().await.unwrap();
            let line = format!("latchkey_gateway_dropped_spans_total {dropped}");
            text.lines().any(|there| there == line).then_some(())
        })
        .await;
    }
    assert_eq!(gateway.ledger(2).await.len(), 2);
    let log = logs::so_far();
    // Other tests' collectors cannot be reached at all, and their gateways say that in the same log.
    let told = log.lines().filter(|line| line.contains("does not take spans") && line.contains("500"));
    assert_eq!(told.count(), 1, "two batches within a minute");
    assert!(!log.contains(CANARY), "what a collector says is in the log");
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_collector_that_hangs_holds_no_stop(pool: PgPool) {
    let collector = Collector::answering(Answer::hang()).await;
    let mut gateway = traced(pool, &collector).await;
    for _ in 0..10 {
        assert_eq!(gateway.chat(&hello()).send().await.unwrap().status(), 200);
    }
    let begin = Instant::now();
    gateway.stop().await;
    // Three seconds for the spans; the drain would allow thirty.
    assert!(begin.elapsed() < Duration::from_secs(10), "{:?}", begin.elapsed());
    assert_eq!(gateway.ledger_now().await.len(), 10);
    assert_eq!(collector.0.received().len(), 1, "it was asked");
}

#[tokio::test]
async fn a_collector_behind_tls_gets_spans_if_its_authority_is_known() {
    let place = tempfile::tempdir().unwrap();
    for is_known in [true, false] {
        let collector = Collector::start().await;
        let (port, pem) = behind_tls(&collector).await;
        let file = place.path().join("authority.pem");
        std::fs::write(&file, pem).unwrap();
        let endpoint = format!("https://localhost:{port}/v1/traces").parse().unwrap();
        let authorities = is_known.then_some(file);
        let traces = Traces { authorities, ..Traces::to(endpoint) };
        let bare = Bare::start(|config| {
            config.traces = Some(traces);
            // Without a database a stop takes all the time it may have.
            config.limits.drain = Duration::from_secs(6);
        })
        .await;
        bare.exchange("GET /v1/models HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
        let Bare { gateway, upstream: _upstream } = bare;
        gateway.stop().await;
        assert_eq!(collector.spans().len(), usize::from(is_known));
    }
    let upstream = Upstream::start("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let authorities = Some(place.path().join("nobody.pem"));
    let endpoint = "https://localhost/".parse().unwrap();
    let traces = Traces { authorities, ..Traces::to(endpoint) };
    let refused = try_start(&upstream, |config| config.traces = Some(traces)).await.unwrap_err();
    assert!(refused.to_string().contains("OTEL_EXPORTER_OTLP_CERTIFICATE"), "{refused}");
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn the_program_exports_where_its_environment_says(pool: PgPool) {
    let gateway = TestGateway::start(pool).await;
    let collector = Collector::start().await;
    let place = tempfile::tempdir().unwrap();
    let headers = place.path().join("headers");
    std::fs::write(&headers, format!("x-collector-key={CANARY}%3D\n")).unwrap();
    for (index, disabled) in ["true", "false"].into_iter().enumerate() {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_latchkey-gateway"));
        command
            .env("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url())
            .env("OTEL_EXPORTER_OTLP_HEADERS_FILE", &headers)
            .env("OTEL_SERVICE_NAME", "keys")
            .env("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=a%20test,service.name=nobody")
            .env("OTEL_SDK_DISABLED", disabled);
        let here = place.path().join(index.to_string());
        let mut program = Program::spawn(command, &gateway.owner, &gateway.upstream, &here);
        program.until_ready().await;
        let request = gateway.client.get(program.url("/v1/models")).bearer_auth(&gateway.key.secret);
        assert_eq!(request.send().await.unwrap().status(), 200);
        program.terminate();
        assert!(program.ended().await.success(), "{}", program.log());
        assert!(!program.log().contains(CANARY), "the collector's key is in the log");
        assert_eq!(collector.0.received().len(), index, "traces are off first");
    }
    let (span, _) = collector.only_request();
    assert_eq!(span.name, "GET /v1/models");
    assert_eq!(span.resource["service.name"], "keys");
    assert_eq!(span.resource["deployment.environment.name"], "a test");
    let key = format!("{CANARY}=");
    assert_eq!(collector.0.received()[0].header("x-collector-key"), Some(key.as_str()));
}

fn nanoseconds() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    u64::try_from(since.as_nanos()).unwrap()
}
