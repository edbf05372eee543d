//! What every answer carries, and what the console refuses before any handler runs.

use std::collections::HashSet;

use axum::body::Body;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE, COOKIE, ORIGIN};
use axum::http::{Method, StatusCode};
use latchkey::auth::{RequestCode, SignOut};
use latchkey::keys::SetKeyEnabled;
use leptos::server_fn::ServerFn;
use sqlx::PgPool;

use crate::keys::create_key;
use crate::support::{Browser, PUBLIC_URL, Page, TestConsole};

fn nonce(page: &Page) -> String {
    let policy = page.header("content-security-policy");
    policy.split("'nonce-").nth(1).unwrap().split('\'').next().unwrap().to_owned()
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn every_answer_carries_the_headers(pool: PgPool) {
    let console = TestConsole::new(pool).await;
    let (mut browser, slug) = console.signed_in("ada@example.com").await;
    let mut answers = vec![create_key(&mut browser, &slug, "one").await];
    for path in [
        "/",
        "/login",
        "/login/code",
        "/a/ada/keys",
        "/a/ada/keys/new",
        "/a/nobody/keys",
        "/nowhere",
        "/sample.txt",
        "/healthz",
        "/readyz",
        "/api/nothing",
    ] {
        answers.push(browser.get(path).await);
        answers.push(console.browser().get(path).await);
    }
    answers.push(browser.post(SignOut::PATH, &[]).await);
    answers.push(browser.call("/api/nothing", &[]).await);
    answers.push(browser.call(SetKeyEnabled::PATH, &[]).await);
    answers.push(browser.post("/nowhere", &[]).await);
    for page in answers {
        for (name, value) in [
            ("x-content-type-options", "nosniff"),
            ("x-frame-options", "DENY"),
            ("referrer-policy", "same-origin"),
            ("cross-origin-opener-policy", "same-origin"),
            ("cross-origin-resource-policy", "same-origin"),
            ("strict-transport-security", "max-age=63072000; includeSubDomains"),
        ] {
            assert_eq!(page.header(name), value, "{name} of {page:?}");
        }
        assert!(page.header("permissions-policy").contains("camera=()"));
        let policy = page.header("content-security-policy");
        assert!(
            policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"),
            "{policy}"
        );
        assert!(page.header("server").is_empty());
        let cached = page.header("cache-control");
        assert!(
            cached == "no-store"
                || page.body.starts_with("A file of")
                || page.body.starts_with("A file that"),
            "{page:?}"
        );
    }
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn each_page_has_its_own_nonce_and_its_scripts_carry_it(pool: PgPool) {
    let console = TestConsole::new(pool).await;
    let mut browser = console.browser();
    let mut nonces = HashSet::new();
    for _ in 0..50 {
        let page = browser.get("/login").await;
        let nonce = nonce(&page);
        for script in page.body.split("<script").skip(1) {
            let tag = script.split('>').next().unwrap();
            assert!(tag.contains(&format!("nonce=\"{nonce}\"")) || tag.contains("src=\"/"), "{tag}");
        }
        assert!(!page.body.contains(" style=\""), "the policy forbids style attributes");
        assert!(page.header("content-security-policy").contains("'wasm-unsafe-eval'"));
        assert!(!page.header("content-security-policy").contains("'unsafe-"));
        assert!(nonce.len() >= 22 && nonces.insert(nonce));
    }
}

async fn try_sign_out(browser: &mut Browser, headers: &[(&'static str, &str)]) -> StatusCode {
    let mut request = browser
        .request(Method::POST, SignOut::PATH)
        .header(CONTENT_TYPE, "application/x-www-form-urlencoded");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    browser.send(request.body(Body::empty()).unwrap()).await.status
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_foreign_page_changes_nothing(pool: PgPool) {
    let console = TestConsole::new(pool).await;
    let (mut browser, _) = console.signed_in("ada@example.com").await;
    for headers in [
        &[][..],
        &[("origin", "https://evil.example")],
        &[("origin", "null")],
        &[("origin", "http://keys.example.com")],
        &[("origin", "https://evil.example"), ("sec-fetch-site", "same-origin")],
        &[("sec-fetch-site", "same-site")],
        &[("sec-fetch-site", "cross-site")],
        &[("referer", "https://keys.example.com/a/ada/keys")],
    ] {
        assert_eq!(try_sign_out(&mut browser, headers).await, StatusCode::FORBIDDEN, "{headers:?}");
    }
    assert_eq!(console.count("SELECT count(*) FROM sessions").await, 1);
    for path in [RequestCode::PATH, SetKeyEnabled::PATH, "/a/ada/keys"] {
        let request = browser
            .request(Method::POST, path)
            .header(ORIGIN, "https://evil.example")
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(Body::from("email=eve%40example.com&form_id=x&name=y"))
            .unwrap();
        assert_eq!(browser.send(request).await.status, StatusCode::FORBIDDEN, "{path}");
    }
    assert_eq!(try_sign_out(&mut browser, &[("sec-fetch-site", "same-origin")]).await, StatusCode::SEE_OTHER);
    assert_eq!(console.count("SELECT count(*) FROM sessions").await, 0);
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_form_goes_back_only_to_pages_of_ours(pool: PgPool) {
    let console = TestConsole::new(pool).await;
    let mut browser = console.browser();
    browser.page = "https://evil.example/steal".to_owned();
    let answer = browser.submit_email("nonsense").await;
    assert_eq!((answer.status, answer.location()), (StatusCode::SEE_OTHER, "/"));
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn other_bodies_and_methods_are_refused(pool: PgPool) {
    let console = TestConsole::new(pool).await;
    let mut browser = console.browser();
    let post = |browser: &Browser, path: &str| browser.request(Method::POST, path).header(ORIGIN, PUBLIC_URL);
    for path in [RequestCode::PATH, "/a/ada/keys"] {
        for kind in ["text/plain", "application/json", "multipart/form-data; boundary=x"] {
            let request =
                post(&browser, path).header(CONTENT_TYPE, kind).body(Body::from("email=a")).unwrap();
            assert_eq!(
                browser.send(request).await.status,
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "{path} {kind}"
            );
        }
        let form = "application/x-www-form-urlencoded";
        let large = "a".repeat(256 * 1024 + 1);
        let request =
            post(&browser, path).header(CONTENT_TYPE, form).body(Body::from(large.clone())).unwrap();
        assert_eq!(browser.send(request).await.status, StatusCode::PAYLOAD_TOO_LARGE, "{path}");
        let declared = post(&browser, path).header(CONTENT_TYPE, form).header(CONTENT_LENGTH, "9999999");
        let request = declared.body(Body::empty()).unwrap();
        assert_eq!(browser.send(request).await.status, StatusCode::PAYLOAD_TOO_LARGE, "{path}");
    }
    for path in ["/", "/login", "/a/ada/keys", "/nowhere"] {
        let request =
            browser.request(Method::TRACE, path).header(ORIGIN, PUBLIC_URL).body(Body::empty()).unwrap();
        assert_eq!(browser.send(request).await.status, StatusCode::METHOD_NOT_ALLOWED, "{path}");
        let request =
            browser.request(Method::DELETE, path).header(ORIGIN, PUBLIC_URL).body(Body::empty()).unwrap();
        assert_eq!(browser.send(request).await.status, StatusCode::METHOD_NOT_ALLOWED, "{path}");
    }
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn an_address_that_leads_nowhere_says_so(pool: PgPool) {
    let console = TestConsole::new(pool).await;
    let mut browser = console.browser();
    for path in ["/nowhere", "/a", "/a/ada", "/pkg/none.js", "/../Cargo.toml", "/%2e%2e/Cargo.toml"] {
        let page = browser.get(path).await;
        assert_eq!(page.status, StatusCode::NOT_FOUND, "{path}");
        assert!(page.header("content-type").starts_with("text/html"), "{path}");
    }
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn files_of_the_build_come_compressed(pool: PgPool) {
    let console = TestConsole::new(pool).await;
    let mut browser = console.browser();
    let plain = browser.get("/sample.txt").await;
    assert_eq!((plain.status, plain.body.as_str()), (StatusCode::OK, "A file that the build left.\n"));
    assert_eq!(plain.header("cache-control"), "public, no-cache");
    let request = browser.request(Method::GET, "/sample.txt").header("accept-encoding", "gzip, br");
    let packed = browser.send(request.body(Body::empty()).unwrap()).await;
    assert_eq!((packed.status, packed.header("content-encoding")), (StatusCode::OK, "gzip"));
    assert_eq!(packed.header("content-type"), "text/plain");
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_forged_flash_shows_nothing(pool: PgPool) {
    let console = TestConsole::new(pool).await;
    let mut browser = console.browser();
    let body = "eyJmb3JtIjoicmVxdWVzdF9jb2RlIiwiZXJyb3IiOm51bGwsIm5vdGljZSI6IlBXTkVEIiwidmFsdWVzIjpbXX0";
    let request = browser.request(Method::GET, "/login");
    let mut request = request.body(Body::empty()).unwrap();
    request.headers_mut().insert(COOKIE, format!("__Host-flash={body}.AAAA").parse().unwrap());
    let page = browser.send(request).await;
    assert!(page.status == StatusCode::OK && !page.body.contains("PWNED"));
    assert!(page.cookie_line("__Host-flash").unwrap().contains("Max-Age=0"));
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn readiness_follows_the_database(pool: PgPool) {
    let console = TestConsole::new(pool).await;
    assert_eq!(console.browser().get("/readyz").await.status, StatusCode::OK);
    console.pool.close().await;
    let mut browser = console.browser();
    assert_eq!(browser.get("/healthz").await.status, StatusCode::OK);
    browser.cookies.insert("__Host-sid".to_owned(), "A".repeat(43));
    let page = browser.get("/a/ada/keys").await;
    assert_eq!(page.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(page.text().contains("cannot reach its database"), "{}", page.text());
}
