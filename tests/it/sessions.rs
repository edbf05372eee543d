//! Sessions: how they end, and that none can be planted.

use axum::http::StatusCode;
use sqlx::PgPool;

use crate::support::{Browser, TestConsole};

async fn is_in(browser: &mut Browser, slug: &str) -> bool {
    browser.get(&format!("/a/{slug}/keys")).await.status == StatusCode::OK
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn an_idle_session_ends_after_an_hour(pool: PgPool) {
    let console = TestConsole::new(pool).await;
    let (mut browser, slug) = console.signed_in("ada@example.com").await;
    console.sql("UPDATE sessions SET last_seen_at = last_seen_at - interval '59 minutes'").await;
    assert!(is_in(&mut browser, &slug).await, "and now it was seen again");
    console.sql("UPDATE sessions SET last_seen_at = last_seen_at - interval '59 minutes'").await;
    assert!(is_in(&mut browser, &slug).await);
    console.sql("UPDATE sessions SET last_seen_at = last_seen_at - interval '61 minutes'").await;
    assert!(!is_in(&mut browser, &slug).await);
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_busy_session_ends_after_twelve_hours(pool: PgPool) {
    let console = TestConsole::new(pool).await;
    let (mut browser, slug) = console.signed_in("ada@example.com").await;
    assert_eq!(
        console.count("SELECT count(*) FROM sessions WHERE ends_at = created_at + interval '12 hours'").await,
        1
    );
    console.sql("UPDATE sessions SET ends_at = now()").await;
    assert!(!is_in(&mut browser, &slug).await);
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn being_seen_is_written_at_most_once_a_minute(pool: PgPool) {
    let console = TestConsole::new(pool).await;
    let (mut browser, slug) = console.signed_in("ada@example.com").await;
    console.sql("UPDATE sessions SET last_seen_at = now() - interval '50 seconds'").await;
    is_in(&mut browser, &slug).await;
    assert_eq!(
        console
            .count("SELECT count(*) FROM sessions WHERE last_seen_at < now() - interval '45 seconds'")
            .await,
        1
    );
    console.sql("UPDATE sessions SET last_seen_at = now() - interval '70 seconds'").await;
    is_in(&mut browser, &slug).await;
    assert_eq!(
        console
            .count("SELECT count(*) FROM sessions WHERE last_seen_at > now() - interval '45 seconds'")
            .await,
        1
    );
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_planted_token_is_worth_nothing(pool: PgPool) {
    let console = TestConsole::new(pool).await;
    let planted = "A".repeat(43);
    let mut browser = console.browser();
    browser.cookies.insert("__Host-sid".to_owned(), planted.clone());
    browser.get("/login").await;
    browser.submit_email("ada@example.com").await;
    let code = console.code_for("ada@example.com").await;
    let inside = browser.submit_code(&code).await;
    assert_eq!(inside.location(), "/a/ada/keys");
    assert_ne!(browser.cookies["__Host-sid"], planted);
    let mut thief = console.browser();
    for cookie in [planted.as_str(), "", "junk", "'; DROP TABLE sessions; --"] {
        thief.cookies.insert("__Host-sid".to_owned(), cookie.to_owned());
        assert!(!is_in(&mut thief, "ada").await, "{cookie}");
    }
}
