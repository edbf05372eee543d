//! One account never sees another's.

use axum::http::StatusCode;
use latchkey::keys::{LoadRevoke, RevokeKey, SetKeyEnabled};
use leptos::server_fn::ServerFn;
use sqlx::PgPool;
use sqlx::types::Uuid;

use crate::keys::create_key;
use crate::support::{Page, TestConsole};

const NO_ID: &str = "01932f2a-0000-7000-8000-000000000001";

/// An answer without what differs in every answer.
pub fn bytes(page: &Page) -> String {
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
    let hers: Uuid = sqlx::query_scalar("SELECT id FROM api_keys").fetch_one(&console.owner).await.unwrap();
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

/// A row of the ledger for each key there is.
const BOOK: &str = "INSERT INTO usage_records (id, account_id, key_id, public_id, group_id, created_by, model, route,
         status, streamed, input_tokens, cached_input_tokens, output_tokens, cost_nano, input_price, cached_input_price,
         output_price, estimated, interrupted, client, started_at, duration_us)
     SELECT uuid_floor(now()), account_id, id, 'public', group_id, created_by, 'gpt-4o-mini', '/v1/chat/completions',
         200, false, 1, 0, 1, 1, 1, 1, 1, false, false, '203.0.113.9', now(), 1
     FROM api_keys";

/// What the console's role sees with `account` named.
async fn seen(console: &TestConsole, account: &str, query: &'static str, of: Uuid) -> i64 {
    let mut tx = console.pool.begin().await.unwrap();
    let name = "SELECT set_config('latchkey.account_id', $1, true)";
    let _named: String = sqlx::query_scalar(name).bind(account).fetch_one(&mut *tx).await.unwrap();
    sqlx::query_scalar(query).bind(of).fetch_one(&mut *tx).await.unwrap()
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn the_consoles_role_sees_the_account_it_has_named_and_no_other(pool: PgPool) {
    let console = TestConsole::new(pool).await;
    let (mut ada, _) = console.signed_in("ada@example.com").await;
    create_key(&mut ada, "ada", "hers").await;
    console.sql(BOOK).await;
    console.signed_in("bob@example.com").await;
    let id = async |slug: &str| -> Uuid {
        let query = sqlx::query_scalar("SELECT id FROM accounts WHERE slug = $1").bind(slug.to_owned());
        query.fetch_one(&console.owner).await.unwrap()
    };
    let (hers, his) = (id("ada").await, id("bob").await.to_string());
    for query in [
        "SELECT count(*) FROM accounts WHERE id = $1",
        "SELECT count(*) FROM members WHERE account_id = $1",
        "SELECT count(*) FROM groups WHERE account_id = $1",
        "SELECT count(*) FROM api_keys WHERE account_id = $1",
        "SELECT count(*) FROM key_secrets WHERE account_id = $1",
        "SELECT count(*) FROM key_stats WHERE account_id = $1",
        "SELECT count(*) FROM usage_records WHERE account_id = $1",
        "SELECT count(*) FROM audit_events WHERE account_id = $1",
    ] {
        assert_eq!(seen(&console, "", query, hers).await, 0, "{query}, without an account");
        assert_eq!(seen(&console, &his, query, hers).await, 0, "{query}, as another account");
        assert!(seen(&console, &hers.to_string(), query, hers).await > 0, "{query}, as hers");
    }
}
