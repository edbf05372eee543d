//! API keys: made once, shown once, switched, revoked.

use axum::http::StatusCode;
use latchkey::keys::{RevokeKey, SetKeyEnabled};
use leptos::server_fn::ServerFn;
use sqlx::PgPool;
use store::gateways;

use crate::support::{Browser, Page, TestConsole, logged};

const ADA: &str = "ada@example.com";

/// Creates a key by the form and returns the answer.
pub async fn create_key(browser: &mut Browser, slug: &str, name: &str) -> Page {
    let form = browser.get(&format!("/a/{slug}/keys/new")).await;
    assert_eq!(form.status, StatusCode::OK);
    let form_id = form.input("form_id");
    browser.post(&format!("/a/{slug}/keys"), &[("form_id", &form_id), ("name", name)]).await
}

/// The first full secret in a page.
pub fn secret_in(page: &Page) -> Option<String> {
    page.body.match_indices("sk-lk-").find_map(|(at, _)| {
        let secret: String = page.body[at + 6..].chars().take_while(char::is_ascii_alphanumeric).collect();
        (secret.len() == 61).then(|| format!("sk-lk-{secret}"))
    })
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_secret_is_shown_once_and_nowhere_else(pool: PgPool) {
    let console = TestConsole::new(pool).await;
    let (mut browser, slug) = console.signed_in(ADA).await;
    let form = browser.get(&format!("/a/{slug}/keys/new")).await;
    let fields = [("form_id", form.input("form_id")), ("name", "  build   bot ".to_owned())];
    let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let path = format!("/a/{slug}/keys");

    let created = browser.post(&path, &fields).await;
    assert_eq!((created.status, created.header("cache-control")), (StatusCode::OK, "no-store"));
    let secret = secret_in(&created).expect("the secret is in the answer");
    assert!(created.text().contains("build bot") && created.text().contains("https://api.example.com/v1"));
    browser.seen.pop();

    let reloaded = browser.post(&path, &fields).await;
    assert_eq!(reloaded.status, StatusCode::OK);
    assert_eq!(secret_in(&reloaded), None, "a reload makes no key and shows no secret");
    assert!(reloaded.text().contains("build bot"));
    let renamed = browser.post(&path, &[fields[0], ("name", "another")]).await;
    assert!(renamed.text().contains("build bot"), "the form has made its key already");
    assert_eq!(console.count("SELECT count(*) FROM api_keys").await, 1);
    assert_eq!(console.count("SELECT count(*) FROM audit_events WHERE action = 'key.created'").await, 1);

    let list = browser.get(&path).await;
    assert!(list.text().contains(&format!("sk-lk-••••{}", &secret[63..])), "{}", list.text());
    let random_part = &secret[18..61];
    for seen in &browser.seen {
        assert!(!seen.contains(random_part), "the secret is in another answer: {seen}");
    }
    assert!(!logged().contains(random_part), "the secret is in the log");
    for table in ["api_keys", "key_secrets", "audit_events", "policy_changes", "sessions"] {
        let rows: Vec<String> = match table {
            "api_keys" => {
                sqlx::query_scalar("SELECT t::text FROM api_keys t").fetch_all(&console.owner).await
            }
            "key_secrets" => {
                sqlx::query_scalar("SELECT t::text FROM key_secrets t").fetch_all(&console.owner).await
            }
            "audit_events" => {
                sqlx::query_scalar("SELECT t::text FROM audit_events t").fetch_all(&console.owner).await
            }
            "sessions" => {
                sqlx::query_scalar("SELECT t::text FROM sessions t").fetch_all(&console.owner).await
            }
            _ => sqlx::query_scalar("SELECT t::text FROM policy_changes t").fetch_all(&console.owner).await,
        }
        .unwrap();
        assert!(!rows.is_empty() && rows.iter().all(|row| !row.contains(random_part)), "{table}");
    }
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn one_form_sent_many_times_at_once_makes_one_key(pool: PgPool) {
    let console = TestConsole::new(pool).await;
    let (mut browser, slug) = console.signed_in(ADA).await;
    let form = browser.get(&format!("/a/{slug}/keys/new")).await;
    let (path, form_id) = (format!("/a/{slug}/keys"), form.input("form_id"));
    let posts = (0..6).map(|_| {
        let (mut tab, path, form_id) = (browser.tab(), path.clone(), form_id.clone());
        tokio::spawn(async move { tab.post(&path, &[("form_id", &form_id), ("name", "one")]).await })
    });
    let mut secrets = 0;
    for post in posts.collect::<Vec<_>>() {
        let page = post.await.unwrap();
        assert_eq!(page.status, StatusCode::OK, "{}", page.text());
        secrets += usize::from(secret_in(&page).is_some());
    }
    assert_eq!(secrets, 1);
    assert_eq!(console.count("SELECT count(*) FROM api_keys").await, 1);
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_refused_name_is_given_back_with_what_is_wrong(pool: PgPool) {
    let console = TestConsole::new(pool).await;
    let (mut browser, slug) = console.signed_in(ADA).await;
    create_key(&mut browser, &slug, "Build bot").await;
    let long = "x".repeat(101);
    let cases = [
        ("   ", "Give the key a name"),
        (long.as_str(), "A name has at most 100 characters"),
        ("a\u{202e}b", "invisible characters"),
        ("build BOT", "Another key of this account has this name"),
    ];
    for (typed, told) in cases {
        let refused = create_key(&mut browser, &slug, typed).await;
        assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{typed:?}");
        assert!(refused.text().contains(told), "{typed:?}: {}", refused.text());
        assert_eq!(refused.input("name"), typed);
        let form_id = refused.input("form_id");
        assert!(!form_id.is_empty());
    }
    let malformed = browser.post(&format!("/a/{slug}/keys"), &[("name", "x"), ("form_id", "1")]).await;
    assert_eq!(malformed.status, StatusCode::BAD_REQUEST);
    assert_eq!(console.count("SELECT count(*) FROM api_keys").await, 1);
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_name_is_text_and_never_markup(pool: PgPool) {
    let console = TestConsole::new(pool).await;
    let (mut browser, slug) = console.signed_in(ADA).await;
    let name = "</title><script>alert(1)</script>&lt;\"'";
    let created = create_key(&mut browser, &slug, name).await;
    let list = browser.get(&format!("/a/{slug}/keys")).await;
    let id: sqlx::types::Uuid =
        sqlx::query_scalar("SELECT id FROM api_keys").fetch_one(&console.owner).await.unwrap();
    let revoke = browser.get(&format!("/a/{slug}/keys/{id}/revoke")).await;
    let refused = create_key(&mut browser, &slug, name).await;
    for page in [created, list, revoke, refused] {
        assert!(!page.body.contains("<script>alert"), "{}", page.body);
        assert!(!page.body.contains("</title><script"), "{}", page.body);
    }
}

struct Row {
    id: String,
    version: String,
}

async fn row(console: &TestConsole) -> Row {
    let (id, version): (sqlx::types::Uuid, i64) = (
        sqlx::query_scalar("SELECT id FROM api_keys").fetch_one(&console.owner).await.unwrap(),
        sqlx::query_scalar("SELECT row_version FROM api_keys").fetch_one(&console.owner).await.unwrap(),
    );
    Row { id: id.to_string(), version: version.to_string() }
}

async fn switch(browser: &mut Browser, row: &Row, enabled: &str) -> Page {
    let fields = [("slug", "ada"), ("key", &row.id), ("enabled", enabled), ("row_version", &row.version)];
    browser.post(SetKeyEnabled::PATH, &fields).await
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_key_is_switched_off_and_on_from_the_list(pool: PgPool) {
    let console = TestConsole::new(pool).await;
    let (mut browser, slug) = console.signed_in(ADA).await;
    create_key(&mut browser, &slug, "build-bot").await;
    browser.get("/a/ada/keys?status=all").await;
    let off = switch(&mut browser, &row(&console).await, "false").await;
    assert_eq!(
        (off.status, off.location()),
        (StatusCode::SEE_OTHER, "/a/ada/keys?status=all"),
        "where it was"
    );
    let page = browser.follow(&off).await;
    assert!(page.text().contains("Disabled build-bot. No gateway is running"), "{}", page.text());
    assert!(!browser.get("/a/ada/keys").await.text().contains("Disabled build-bot."), "told once");
    let again = switch(&mut browser, &row(&console).await, "false").await;
    assert_eq!(again.status, StatusCode::SEE_OTHER, "switching off what is off is no error");
    let on = switch(&mut browser, &row(&console).await, "true").await;
    assert!(browser.follow(&on).await.text().contains("Enabled build-bot."));
    for action in ["key.enabled", "key.disabled"] {
        let events = "SELECT count(*) FROM audit_events WHERE action = $1 AND target_name = 'build-bot'";
        let events: i64 = sqlx::query_scalar(events).bind(action).fetch_one(&console.owner).await.unwrap();
        assert_eq!(events, 1, "{action}");
    }
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_stale_switch_is_refused_and_nothing_changes(pool: PgPool) {
    let console = TestConsole::new(pool).await;
    let (mut browser, slug) = console.signed_in(ADA).await;
    create_key(&mut browser, &slug, "build-bot").await;
    let seen = row(&console).await;
    let mut tab = browser.tab();
    tab.get("/a/ada/keys").await;
    switch(&mut tab, &seen, "false").await;
    switch(&mut tab, &row(&console).await, "true").await;
    browser.get("/a/ada/keys").await;
    let stale = switch(&mut browser, &seen, "false").await;
    let page = browser.follow(&stale).await;
    assert!(page.text().contains("This key was changed meanwhile: it is enabled now"), "{}", page.text());
    assert_eq!(
        console.count("SELECT count(*) FROM api_keys WHERE status = 'enabled' AND row_version = 3").await,
        1
    );
    let fields = [("slug", "ada"), ("key", &seen.id), ("enabled", "false"), ("row_version", "1")];
    assert_eq!(browser.call(SetKeyEnabled::PATH, &fields).await.status, StatusCode::CONFLICT);
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_revoked_key_stays_revoked(pool: PgPool) {
    let console = TestConsole::new(pool).await;
    let (mut browser, slug) = console.signed_in(ADA).await;
    create_key(&mut browser, &slug, "build-bot").await;
    let key = row(&console).await;
    let question = browser.get(&format!("/a/{slug}/keys/{}/revoke", key.id)).await;
    assert!(question.status == StatusCode::OK && question.text().contains("build-bot"));
    let fields = [("slug", "ada"), ("key", key.id.as_str()), ("row_version", &key.version)];
    let revoked = browser.post(RevokeKey::PATH, &fields).await;
    assert_eq!((revoked.status, revoked.location()), (StatusCode::SEE_OTHER, "/a/ada/keys"));
    let list = browser.follow(&revoked).await;
    assert!(list.text().contains("Revoked build-bot. No gateway is running"), "{}", list.text());
    assert!(browser.get("/a/ada/keys?status=revoked").await.text().contains("build-bot"));
    let back = switch(&mut browser, &row(&console).await, "true").await;
    assert!(browser.follow(&back).await.text().contains("This key is revoked, which cannot be undone"));
    assert_eq!(console.count("SELECT count(*) FROM api_keys WHERE status = 'revoked'").await, 1);
    assert_eq!(console.count("SELECT count(*) FROM audit_events WHERE action = 'key.revoked'").await, 1);
    let again = create_key(&mut browser, &slug, "build-bot").await;
    assert_eq!(again.status, StatusCode::OK, "its name is free again");
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_receipt_tells_how_far_the_gateways_are(pool: PgPool) {
    let console = TestConsole::new(pool).await;
    let (mut browser, slug) = console.signed_in(ADA).await;
    create_key(&mut browser, &slug, "build-bot").await;
    let gateway = sqlx::types::Uuid::from_u128(1);
    gateways::acknowledge(&console.owner, gateway, "gw-a", i64::MAX).await.unwrap();
    browser.get("/a/ada/keys").await;
    let off = switch(&mut browser, &row(&console).await, "false").await;
    let page = browser.follow(&off).await;
    assert!(page.text().contains("Disabled build-bot. Enforced on 1/1 gateways in "), "{}", page.text());
    gateways::acknowledge(&console.owner, gateway, "gw-a", 0).await.unwrap();
    let on = switch(&mut browser, &row(&console).await, "true").await;
    let page = browser.follow(&on).await;
    let told = "Enabled build-bot. Enforced on 0/1 gateways so far; gw-a has not confirmed yet.";
    assert!(page.text().contains(told), "{}", page.text());
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_viewer_sees_and_changes_nothing(pool: PgPool) {
    let console = TestConsole::new(pool).await;
    let (mut ada, slug) = console.signed_in(ADA).await;
    create_key(&mut ada, &slug, "build-bot").await;
    let (mut viewer, _) = console.signed_in("vic@example.com").await;
    console.set_role("vic@example.com", "ada", "viewer").await;
    let list = viewer.get("/a/ada/keys").await;
    assert!(list.status == StatusCode::OK && list.text().contains("build-bot"));
    let key = row(&console).await;
    for path in ["/a/ada/keys/new".to_owned(), format!("/a/ada/keys/{}/revoke", key.id)] {
        assert_eq!(viewer.get(&path).await.status, StatusCode::FORBIDDEN, "{path}");
    }
    let form_id = store::new_id().to_string();
    let created = viewer.post("/a/ada/keys", &[("form_id", &form_id), ("name", "mine")]).await;
    assert_eq!(created.status, StatusCode::FORBIDDEN);
    let fields =
        [("slug", "ada"), ("key", key.id.as_str()), ("enabled", "false"), ("row_version", &key.version)];
    for path in [SetKeyEnabled::PATH, RevokeKey::PATH] {
        assert_eq!(viewer.call(path, &fields).await.status, StatusCode::FORBIDDEN, "{path}");
    }
    assert_eq!(console.count("SELECT count(*) FROM api_keys WHERE status = 'enabled'").await, 1);
    console.set_role("vic@example.com", "ada", "developer").await;
    assert_eq!(
        viewer.call(SetKeyEnabled::PATH, &fields).await.status,
        StatusCode::OK,
        "roles are read afresh"
    );
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_row_shows_requests_exact_cost_and_last_use(pool: PgPool) {
    let console = TestConsole::new(pool).await;
    let (mut browser, slug) = console.signed_in(ADA).await;
    create_key(&mut browser, &slug, "build-bot").await;
    assert!(browser.get("/a/ada/keys").await.text().contains("Never"));
    let columns = [("column", "requests"), ("column", "cost"), ("column", "used")];
    browser.post("/a/ada/keys/columns", &columns).await;
    console
        .sql("UPDATE key_stats SET requests = 1204, cost_nano = 184000, last_used_at = now() - interval '2 minutes'")
        .await;
    let text = browser.get("/a/ada/keys").await.text();
    assert!(text.contains("1 204") && text.contains("$0.00018"), "{text}");
    assert!(text.contains("2 min ago"), "{text}");
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_long_list_comes_in_pages(pool: PgPool) {
    let console = TestConsole::new(pool).await;
    let (mut browser, slug) = console.signed_in(ADA).await;
    for n in 0..51 {
        create_key(&mut browser, &slug, &format!("key number {n:02}")).await;
    }
    let first = browser.get("/a/ada/keys").await;
    assert!(first.text().contains("key number 50") && !first.text().contains("key number 00"));
    let at = first.body.find("after=").unwrap();
    let cursor: String = first.body[at + 6..].chars().take_while(|c| !matches!(c, '"' | '&')).collect();
    let second = browser.get(&format!("/a/ada/keys?after={cursor}")).await;
    assert!(second.text().contains("key number 00") && !second.text().contains("key number 01"));
    let last = browser.get("/a/ada/keys?page=last").await;
    assert!(last.text().contains("key number 49") && !last.text().contains("key number 50"));
}
