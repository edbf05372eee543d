//! What comes over the wire before anything can be decided: every bad request gets a proper answer and the end of its
//! connection, and nobody takes more than his share of places. No database.

use std::time::Duration;

use domain::client::TrustedProxies;

use crate::harness::bare::{Answer, Bare};
use crate::harness::{eventually, some_secret};

fn proxies(text: &str) -> TrustedProxies {
    text.parse().unwrap()
}

/// Heads no proxy and no gateway may guess about, or that no library reads. Each with the status it gets.
fn bad_heads() -> Vec<(String, u16, &'static str)> {
    let bad = |text: &str| (text.to_owned(), 400, "invalid_request");
    let head = |lines: &str| bad(&format!("POST /healthz HTTP/1.1\r\nhost: x\r\n{lines}\r\n"));
    vec![
        // Two ways to tell where the body ends.
        head("content-length: 5\r\ntransfer-encoding: chunked\r\n"),
        head("transfer-encoding: chunked\r\ncontent-length: 5\r\n"),
        head("content-length: 5\r\ncontent-length: 5\r\n"),
        head("content-length: 5\r\ncontent-length: 6\r\n"),
        head("content-length: 5, 5\r\n"),
        head("content-length: +5\r\n"),
        head("content-length: 0x5\r\n"),
        head("content-length: \r\n"),
        head("content-length: 5 5\r\n"),
        head("transfer-encoding: gzip, chunked\r\n"),
        head("transfer-encoding: chunked, identity\r\n"),
        head("transfer-encoding: identity\r\n"),
        head("transfer-encoding: xchunked\r\n"),
        head("transfer-encoding:\x0bchunked\r\n"),
        head("transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n"),
        head("transfer-encoding : chunked\r\n"),
        bad("POST /healthz HTTP/1.0\r\ntransfer-encoding: chunked\r\n\r\n"),
        // Lines.
        bad("GET /healthz HTTP/1.1\nhost: x\n\n"),
        bad("GET /healthz HTTP/1.1\r\nhost: x\n\r\n"),
        bad("GET /healthz HTTP/1.1\r\nhost: x\r\n\n"),
        bad("\nGET /healthz HTTP/1.1\r\nhost: x\r\n\r\n"),
        head("x: a\r\n b\r\n"),
        head("x: a\r\n\tb\r\n"),
        head(" x: a\r\n"),
        head("x: a\rb\r\n"),
        // Names and values.
        head("a b: c\r\n"),
        head("x : c\r\n"),
        head(": c\r\n"),
        head("nothing\r\n"),
        head("x\0: c\r\n"),
        head("x: a\0b\r\n"),
        head("x: a\x01b\r\n"),
        head("x: a\x7fb\r\n"),
        head("host: y\r\n"),
        bad("GET /healthz HTTP/1.1\r\n\r\n"),
        head("expect: 200-ok\r\n"),
        // Request lines.
        bad("GET http://example.com/healthz HTTP/1.1\r\nhost: x\r\n\r\n"),
        bad("CONNECT example.com:443 HTTP/1.1\r\nhost: example.com:443\r\n\r\n"),
        bad("OPTIONS * HTTP/1.1\r\nhost: x\r\n\r\n"),
        bad("GET example.com HTTP/1.1\r\nhost: x\r\n\r\n"),
        bad("GET /health\0z HTTP/1.1\r\nhost: x\r\n\r\n"),
        bad("GET /health z HTTP/1.1\r\nhost: x\r\n\r\n"),
        bad("GET /healthz\u{e4} HTTP/1.1\r\nhost: x\r\n\r\n"),
        bad("GET  /healthz HTTP/1.1\r\nhost: x\r\n\r\n"),
        bad("GET /healthz HTTP/1.2\r\nhost: x\r\n\r\n"),
        bad("GET /healthz HTTP/3\r\nhost: x\r\n\r\n"),
        bad("GET /healthz\r\n\r\n"),
        bad("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
        bad("hello\r\n\r\n"),
        bad("\x16\x03\x01\x02\x00\x01\x00\x01\r\n\r\n"),
        // Sizes.
        (format!("GET /{} HTTP/1.1\r\nhost: x\r\n\r\n", "a".repeat(9 * 1024)), 414, "uri_too_long"),
        (format!("GET /{} HTTP/1.1\r\nhost: x\r\n\r\n", "a".repeat(70 * 1024)), 414, "uri_too_long"),
        (
            format!("GET /healthz HTTP/1.1\r\nhost: x\r\nx: {}\r\n\r\n", "a".repeat(33 * 1024)),
            431,
            "headers_too_large",
        ),
        (
            format!("GET /healthz HTTP/1.1\r\nhost: x\r\n{}\r\n", "x: y\r\n".repeat(101)),
            431,
            "headers_too_large",
        ),
    ]
}

#[tokio::test]
async fn every_bad_head_is_answered_once_and_ends_its_connection() {
    let bare = Bare::start(|_| {}).await;
    for (head, status, code) in bad_heads() {
        // What follows it could be the rest of a body, or a request that somebody in front has not seen.
        let smuggled = format!("{head}GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n");
        let shown = &head[..head.len().min(120)];
        for text in [&head, &smuggled] {
            let answer = bare.exchange(text).await;
            assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{shown:?}: {answer}");
            Answer::only(&answer).assert_last_refusal(status, code);
        }
        // Behind a good request on the same connection it is no different.
        let second = bare.exchange(&format!("GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n{head}")).await;
        let (_, refusal) = second.split_once("HTTP/1.1 4").unwrap_or_else(|| panic!("{shown:?}: {second}"));
        Answer::only(&format!("HTTP/1.1 4{refusal}")).assert_last_refusal(status, code);
    }
    assert!(bare.upstream.received().is_empty());
    // Everybody else is served as ever.
    let answer = bare.exchange("GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("ok\n"), "{answer}");
}

#[tokio::test]
async fn slow_heads_are_told_and_silent_connections_are_not() {
    let bare = Bare::start(|config| {
        config.limits.head = Duration::from_millis(150);
        config.limits.keep_alive = Duration::from_millis(150);
    })
    .await;
    for slow in ["G", "GET /healthz HTTP/1.1\r\nhost: x\r\n", "POST /healthz HTTP/1.1\r\nx: "] {
        Answer::only(&bare.exchange(slow).await).assert_last_refusal(408, "request_timeout");
    }
    assert_eq!(bare.exchange("").await, "");
    let idle = bare.exchange("GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert!(idle.ends_with("ok\n"), "{idle}");
}

#[tokio::test]
async fn one_client_gets_so_many_connections_and_proxies_any() {
    let ask = "GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n";
    let bare = Bare::start(|config| config.limits.per_client = 2).await;
    let mut inside = Vec::new();
    for _ in 0..2 {
        let mut raw = bare.connect().await;
        raw.send(ask).await;
        raw.read_until("ok\n").await;
        inside.push(raw);
    }
    Answer::only(&bare.exchange("").await).assert_last_refusal(503, "overloaded");
    // What it sends meanwhile does not cost it the answer.
    Answer::only(&bare.exchange(&ask.repeat(100)).await).assert_last_refusal(503, "overloaded");
    inside.pop();
    eventually("the place is free again", || async {
        let answer = bare.exchange("GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
        answer.starts_with("HTTP/1.1 200 ").then_some(())
    })
    .await;
    let behind = Bare::start(|config| {
        config.limits.per_client = 2;
        config.edge.proxies = proxies("127.0.0.0/8");
    })
    .await;
    for _ in 0..5 {
        let mut raw = behind.connect().await;
        raw.send(ask).await;
        raw.read_until("ok\n").await;
        inside.push(raw);
    }
}

/// A request that stays in flight: it is refused at once, but its answer waits until its body has come.
fn unfinished(client: &str) -> String {
    format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nx-forwarded-for: {client}\r\ncontent-length: 5\r\n\r\n"
    )
}

#[tokio::test]
async fn behind_a_proxy_each_clients_requests_are_counted() {
    let bare = Bare::start(|config| {
        config.limits.per_client = 1;
        config.edge.proxies = proxies("127.0.0.0/8");
    })
    .await;
    let whole = |client: &str| {
        format!("{}hello", unfinished(client).replace("host: x", "host: x\r\nconnection: close"))
    };
    let mut first = bare.connect().await;
    first.send(&unfinished("203.0.113.7")).await;
    eventually("the second of a client is refused", || async {
        let answer = bare.exchange(&whole("6.6.6.6, 203.0.113.7")).await;
        answer
            .starts_with("HTTP/1.1 503 ")
            .then(|| Answer::only(&answer).assert_last_refusal(503, "overloaded"))
    })
    .await;
    let other = bare.exchange(&whole("203.0.113.8")).await;
    assert!(other.starts_with("HTTP/1.1 401 "), "{other}");
    first.send("hello").await;
    assert!(first.read_until("}}").await.starts_with("HTTP/1.1 401 "));
    eventually("the client may ask again", || async {
        bare.exchange(&whole("203.0.113.7")).await.starts_with("HTTP/1.1 401 ").then_some(())
    })
    .await;
}

#[tokio::test]
async fn too_many_requests_at_once_are_refused_quickly_and_probes_are_not() {
    let bare = Bare::start(|config| config.limits.requests = 1).await;
    let mut first = bare.connect().await;
    first.send(&unfinished("-")).await;
    eventually("the second is refused", || async {
        // Its body has not come, and nobody waits for it.
        let answer = bare.exchange(&unfinished("-")).await;
        answer
            .starts_with("HTTP/1.1 503 ")
            .then(|| Answer::only(&answer).assert_last_refusal(503, "overloaded"))
    })
    .await;
    let probe = bare.exchange("GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
    assert!(probe.ends_with("ok\n"), "{probe}");
}

#[tokio::test]
async fn plain_http_is_refused_where_tls_is_required() {
    let table: &[(&str, &str, Option<u16>)] = &[
        // Trusted proxies, further headers, and the status of a request; None: let through to the key's check.
        ("", "", Some(403)),
        ("", "x-forwarded-proto: https\r\n", Some(403)),
        ("192.0.2.7", "x-forwarded-proto: https\r\n", Some(403)),
        ("127.0.0.0/8", "", Some(403)),
        ("127.0.0.0/8", "x-forwarded-proto: http\r\n", Some(403)),
        ("127.0.0.0/8", "x-forwarded-proto: https, http\r\n", Some(403)),
        ("127.0.0.0/8", "x-forwarded-proto: https\r\nx-forwarded-proto: http\r\n", Some(403)),
        ("127.0.0.0/8", "forwarded: proto=https\r\nx-forwarded-ssl: on\r\n", Some(403)),
        ("127.0.0.0/8", "x-forwarded-proto: https\r\nconnection: x-forwarded-proto, close\r\n", None),
        ("127.0.0.0/8", "x-forwarded-proto: https\r\nconnection: close\r\n", None),
    ];
    let secret = some_secret().expose().to_owned();
    for (trusted, headers, status) in table {
        let bare = Bare::start(|config| {
            config.edge.proxies = proxies(trusted);
            config.edge.requires_tls = true;
        })
        .await;
        let request =
            format!("GET /v1/models HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {secret}\r\n{headers}\r\n");
        let answer = Answer::only(&bare.exchange(&request).await);
        match status {
            Some(status) => answer.assert_last_refusal(*status, "https_required"),
            // There is no database, so the key is neither right nor wrong.
            None => assert_eq!(answer.status, 503, "{headers:?}: {}", answer.body),
        }
        assert_eq!(answer.header("location"), None);
        assert!(!answer.body.contains(&secret));
    }
}
