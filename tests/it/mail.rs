//! The mail that carries a code, and what happens while no mail can be sent.

use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, HOST, ORIGIN};
use axum::http::{Method, StatusCode};
use latchkey::auth::RequestCode;
use leptos::server_fn::ServerFn;
use sqlx::PgPool;
use testkit::mail::Behaviour;

use crate::support::{PUBLIC_URL, TestConsole};

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn the_mail_says_for_whom_from_where_and_links_home(pool: PgPool) {
    let console = TestConsole::new(pool).await;
    let mut browser = console.browser();
    let mut request = browser
        .request(Method::POST, RequestCode::PATH)
        .header(ORIGIN, PUBLIC_URL)
        .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
        .body(Body::from("email=ada%40example.com"))
        .unwrap();
    request.headers_mut().insert(HOST, "evil.example".parse().unwrap());
    request.headers_mut().insert("x-forwarded-host", "evil.example".parse().unwrap());
    request.headers_mut().insert("x-forwarded-for", "198.51.100.66".parse().unwrap());
    assert_eq!(browser.send(request).await.location(), "/login/code");

    let mail = console.mail.wait_for("ada@example.com").await.unwrap();
    let code = mail.code.clone().unwrap();
    let html = mail.html.clone().unwrap();
    assert_eq!(mail.subject, "Your code to sign in to Latchkey");
    for text in [&mail.text, &html] {
        assert!(text.contains(&format!("{} {}", &code[..4], &code[4..])), "{text}");
        assert!(text.contains("203.0.113.7") && text.contains("Firefox on Linux"), "{text}");
        assert!(text.contains("ada@example.com") && text.contains("UTC"), "{text}");
        assert!(text.contains(PUBLIC_URL) && !text.contains("evil.example"), "{text}");
        assert!(!text.contains("198.51.100.66"), "no proxy is trusted, so what it says is not believed");
    }
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_trusted_proxy_tells_the_clients_address(pool: PgPool) {
    let console = TestConsole::with(pool, &["--trusted-proxies=203.0.113.0/24"]).await;
    let mut browser = console.browser();
    let mut request = browser
        .request(Method::POST, RequestCode::PATH)
        .header(ORIGIN, PUBLIC_URL)
        .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
        .body(Body::from("email=ada%40example.com"))
        .unwrap();
    request.headers_mut().insert("x-forwarded-for", "6.6.6.6, 198.51.100.66".parse().unwrap());
    browser.send(request).await;
    let mail = console.mail.wait_for("ada@example.com").await.unwrap();
    assert!(mail.text.contains("198.51.100.66") && !mail.text.contains("6.6.6.6"), "{}", mail.text);
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn mail_that_waits_for_its_next_try_holds_up_no_other(pool: PgPool) {
    let console = TestConsole::new(pool).await;
    // One more than there are lines to the mail server.
    for n in 0..9 {
        let email = format!("later{n}@example.com");
        console.mail.defer(&email);
        assert_eq!(console.browser().submit_email(&email).await.location(), "/login/code");
    }
    console.browser().submit_email("ada@example.com").await;
    console.code_for("ada@example.com").await;
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn pages_answer_while_the_mail_server_is_down_and_the_mail_comes_later(pool: PgPool) {
    let console = TestConsole::new(pool).await;
    console.mail.behave(Behaviour::Refuse);
    let mut browser = console.browser();
    browser.get("/login").await;
    let answer = browser.submit_email("ada@example.com").await;
    assert_eq!((answer.status, answer.location()), (StatusCode::SEE_OTHER, "/login/code"));
    assert_eq!(browser.follow(&answer).await.status, StatusCode::OK);
    console.mail.behave(Behaviour::Accept);
    let code = console.code_for("ada@example.com").await;
    assert_eq!(browser.submit_code(&code).await.location(), "/a/ada/keys");
}
