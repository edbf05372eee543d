//! Where a request comes from, and what of it goes on to the upstream.

use serde_json::json;
use store::PgPool;
use testkit::upstream::Answer;

use crate::harness::TestGateway;

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn usage_names_the_client_behind_the_proxies(pool: PgPool) {
    let gateway = TestGateway::start_as(pool, |config| {
        config.edge.proxies = "127.0.0.0/8, 10.0.0.0/8".parse().unwrap();
    })
    .await;
    let cases: &[(&[(&str, &str)], &str)] = &[
        (&[], "127.0.0.1"),
        (&[("x-forwarded-for", "203.0.113.7")], "203.0.113.7"),
        (&[("x-forwarded-for", "6.6.6.6, 203.0.113.7, 10.0.0.2")], "203.0.113.7"),
        (&[("x-forwarded-for", "6.6.6.6"), ("x-forwarded-for", "203.0.113.7")], "203.0.113.7"),
        (&[("x-forwarded-for", "::ffff:203.0.113.7")], "203.0.113.7"),
        // The header is read though the client has named it as one to be dropped.
        (&[("x-forwarded-for", "203.0.113.7"), ("connection", "X-Forwarded-For")], "203.0.113.7"),
        // No other header says anything.
        (
            &[("x-real-ip", "6.6.6.6"), ("forwarded", "for=6.6.6.6"), ("cf-connecting-ip", "6.6.6.6")],
            "127.0.0.1",
        ),
        (
            &[("true-client-ip", "6.6.6.6"), ("x-client-ip", "6.6.6.6"), ("x-forwarded-for", "junk")],
            "127.0.0.1",
        ),
    ];
    for (headers, _) in cases {
        let mut request = gateway.client.get(gateway.url("/v1/models")).bearer_auth(&gateway.key.secret);
        for (name, value) in *headers {
            request = request.header(*name, *value);
        }
        assert_eq!(request.send().await.unwrap().status(), 200);
    }
    let rows = gateway.ledger(cases.len()).await;
    let clients: Vec<_> = rows.iter().map(|row| row["client"].as_str().unwrap().to_owned()).collect();
    assert_eq!(clients, cases.iter().map(|(_, client)| *client).collect::<Vec<_>>());
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn without_trusted_proxies_nobody_can_say_where_he_comes_from(pool: PgPool) {
    let gateway = TestGateway::start(pool).await;
    let request = gateway.client.get(gateway.url("/v1/models")).bearer_auth(&gateway.key.secret);
    request.header("x-forwarded-for", "203.0.113.7").send().await.unwrap();
    assert_eq!(gateway.ledger(1).await[0]["client"], "127.0.0.1");
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn only_what_is_meant_for_the_other_side_crosses(pool: PgPool) {
    let gateway = TestGateway::start(pool).await;
    let private = [
        ("cookie", "session=1"),
        ("x-forwarded-for", "203.0.113.7"),
        ("x-forwarded-host", "evil.example"),
        ("x-forwarded-proto", "http"),
        ("x-real-ip", "203.0.113.7"),
        ("forwarded", "for=203.0.113.7"),
        ("via", "1.1 x"),
        ("connection", "openai-beta, x-named"),
        ("openai-beta", "assistants=v2"),
        ("x-named", "y"),
        ("keep-alive", "timeout=5"),
        ("te", "trailers"),
        ("trailer", "x"),
        ("proxy-authorization", "Basic x"),
        ("proxy-connection", "keep-alive"),
        ("openai-organization", "org"),
        ("openai-project", "proj"),
        ("accept-encoding", "gzip"),
    ];
    let back = Answer::json(200, &json!({ "choices": [] }))
        .header("set-cookie", "a=b")
        .header("connection", "openai-version, x-named")
        .header("openai-version", "2020-10-01")
        .header("openai-processing-ms", "5")
        .header("keep-alive", "timeout=5")
        .header("proxy-authenticate", "Basic")
        .header("server", "upstream")
        .header("via", "1.1 y")
        .header("alt-svc", "h3=\":443\"")
        .header("strict-transport-security", "max-age=1")
        .header("access-control-allow-origin", "*")
        .header("x-request-id", "theirs")
        .header("openai-organization", "our-org");
    gateway.upstream.enqueue(back);
    let mut request =
        gateway.chat(&json!({ "model": "gpt-4o-mini", "messages": [] })).header("idempotency-key", "once");
    for (name, value) in private {
        request = request.header(name, value);
    }
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), 200);
    let received = gateway.upstream.nth_received(1).await;
    for (name, _) in private {
        assert_eq!(received.header(name), None, "{name} reached the upstream");
    }
    assert_eq!(received.header("idempotency-key"), None, "accounts share one provider key");
    assert!(!format!("{:?}", received.headers).contains(&gateway.key.secret));
    let mut names: Vec<_> = response.headers().keys().map(http::HeaderName::as_str).collect();
    names.sort_unstable();
    assert_eq!(
        names,
        [
            "cache-control",
            "content-length",
            "content-type",
            "date",
            "openai-processing-ms",
            "x-content-type-options",
            "x-request-id"
        ]
    );
    assert_ne!(response.headers()["x-request-id"], "theirs");
}
