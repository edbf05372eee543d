//! One account never sees another's.

use axum::http::StatusCode;
use latchkey::keys::{LoadRevoke, RevokeKey, SetKeyEnabled};
use leptos::server_fn::ServerFn;
use sqlx::PgPool;

use crate::keys::create_key;
use crate::support::{Page, TestConsole};

const NO_ID: &str = "01932f2a-0000-7000-8000-000000000001";

/// An answer without what differs in every answer.
fn bytes(page: &Page) -> String {
    let nonce =
        page.header("content-security-policy").split("'nonce-").nth(1).unwrap_or("").split('\'').next();
    let mut text = format!("{} {:?} {}", page.status, page.headers, page.body);
    if let Some(nonce) = nonce.filter(|nonce| !nonce.is_empty()) {
        text = text.replace(nonce, "NONCE");
    }
    text
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_foreign_account_answers_as_a_missing_one(pool: PgPool) {
    let console = TestConsole::new(pool).await;
    console.signed_in("ada@example.com").await;
    let (mut bob, _) = console.signed_in("bob@example.com").await;
    for rest in ["keys", "keys/new", &format!("keys/{NO_ID}/revoke")] {
        let foreign = bob.get(&format!("/a/ada/{rest}")).await;
        let missing = bob.get(&format!("/a/zoe/{rest}")).await;
        assert_eq!(foreign.status, StatusCode::NOT_FOUND, "{rest}");
        assert_eq!(bytes(&foreign), bytes(&missing).replace("/a/zoe/", "/a/ada/"), "{rest}");
    }
    let form = [("form_id", NO_ID), ("name", "planted")];
    let foreign = bob.post("/a/ada/keys", &form).await;
    let missing = bob.post("/a/zoe/keys", &form).await;
    assert_eq!(foreign.status, StatusCode::NOT_FOUND);
    assert_eq!(bytes(&foreign), bytes(&missing).replace("/a/zoe/", "/a/ada/"));
    assert_eq!(console.count("SELECT count(*) FROM api_keys").await, 0);
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_foreign_key_answers_as_a_missing_one(pool: PgPool) {
    let console = TestConsole::new(pool).await;
    let (mut ada, _) = console.signed_in("ada@example.com").await;
    create_key(&mut ada, "ada", "hers").await;
    let hers: sqlx::types::Uuid =
        sqlx::query_scalar("SELECT id FROM api_keys").fetch_one(&console.owner).await.unwrap();
    let hers = hers.to_string();
    let (mut bob, _) = console.signed_in("bob@example.com").await;
    for path in [SetKeyEnabled::PATH, RevokeKey::PATH, LoadRevoke::PATH] {
        // In his own account, and in hers.
        for slug in ["bob", "ada"] {
            let fields = |key| [("slug", slug), ("key", key), ("enabled", "false"), ("row_version", "1")];
            let foreign = bob.call(path, &fields(hers.as_str())).await;
            let missing = bob.call(path, &fields(NO_ID)).await;
            let junk = bob.call(path, &fields("not-an-id")).await;
            assert_eq!(foreign.status, StatusCode::NOT_FOUND, "{path} {slug}");
            assert_eq!(bytes(&foreign), bytes(&missing));
            assert_eq!(bytes(&foreign), bytes(&junk));
        }
    }
    let page = bob.get(&format!("/a/bob/keys/{hers}/revoke")).await;
    assert_eq!(page.status, StatusCode::NOT_FOUND);
    assert_eq!(console.count("SELECT count(*) FROM api_keys WHERE status = 'enabled'").await, 1);
    assert!(!bob.get("/a/bob/keys").await.text().contains("hers"));
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn without_an_account_the_consoles_role_sees_nothing(pool: PgPool) {
    let console = TestConsole::new(pool).await;
    let (mut ada, _) = console.signed_in("ada@example.com").await;
    create_key(&mut ada, "ada", "hers").await;
    for query in [
        "SELECT count(*) FROM accounts",
        "SELECT count(*) FROM members",
        "SELECT count(*) FROM groups",
        "SELECT count(*) FROM api_keys",
        "SELECT count(*) FROM key_secrets",
        "SELECT count(*) FROM key_stats",
        "SELECT count(*) FROM usage_records",
        "SELECT count(*) FROM audit_events",
    ] {
        let seen: i64 = sqlx::query_scalar(query).fetch_one(&console.pool).await.unwrap();
        assert_eq!(seen, 0, "{query}");
        assert!(
            console.count(query).await > 0 || query.contains("usage_records"),
            "{query} has something to hide"
        );
    }
}
