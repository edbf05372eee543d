//! The list of keys: searched, filtered, ordered, leafed through, remembered.

use axum::http::StatusCode;
use sqlx::PgPool;

use crate::keys::{create_key, secret_in};
use crate::support::{Browser, Page, TestConsole, logged};

const ADA: &str = "ada@example.com";
const LIST: &str = "/a/ada/keys";
const FIND: &str = "/a/ada/keys/find";

/// The names of the keys a page lists, in order.
fn listed(page: &Page) -> Vec<String> {
    assert_eq!(page.status, StatusCode::OK, "{}", page.text());
    let cells = page.body.split("class=\"cell-link\"").skip(1);
    cells.map(|rest| rest.split_once('>').unwrap().1.split('<').next().unwrap().to_owned()).collect()
}

async fn make(browser: &mut Browser, names: &[&str]) {
    for name in names {
        assert_eq!(create_key(browser, "ada", name).await.status, StatusCode::OK);
    }
}

/// The address of the link with these words.
fn link(page: &Page, words: &str) -> String {
    let end =
        page.body.find(&format!(">{words}</a>")).unwrap_or_else(|| panic!("no {words} in {}", page.body));
    let start = page.body[..end].rfind("href=\"").unwrap() + 6;
    page.body[start..].split('"').next().unwrap().replace("&amp;", "&")
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn what_is_typed_becomes_an_address(pool: PgPool) {
    let console = TestConsole::new(pool).await;
    let (mut browser, _) = console.signed_in(ADA).await;
    make(&mut browser, &["build bot", "deploy bot", "search"]).await;
    let found =
        browser.post(FIND, &[("q", " bot  bui "), ("sort", "name"), ("after", "junk"), ("status", "")]).await;
    assert_eq!((found.status, found.location()), (StatusCode::SEE_OTHER, "/a/ada/keys?q=bot++bui&sort=name"));
    let page = browser.follow(&found).await;
    assert_eq!(listed(&page), ["build bot"]);
    assert!(page.text().contains("1 key"), "{}", page.text());
    let nothing = browser.get(&format!("{LIST}?q=%25_%5C")).await;
    assert!(listed(&nothing).is_empty() && nothing.text().contains("No key matches"), "{}", nothing.text());
    let hostile =
        browser.get(&format!("{LIST}?q=%3Cscript%3Ealert(1)%3C/script%3E&env=%22%3E%3Cscript%3E")).await;
    assert!(
        !hostile.body.contains("<script>alert") && !hostile.body.contains("\"><script>"),
        "{}",
        hostile.body
    );
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_pasted_secret_finds_its_key_and_is_kept_nowhere(pool: PgPool) {
    let console = TestConsole::new(pool).await;
    let (mut browser, _) = console.signed_in(ADA).await;
    let created = create_key(&mut browser, "ada", "build-bot").await;
    let secret = secret_in(&created).unwrap();
    make(&mut browser, &["other"]).await;
    browser.seen.clear();
    let public_id = &secret[6..18];
    for (state, told) in [
        ("enabled", "This is build-bot."),
        ("revoked", "This is build-bot, revoked "),
        ("deleted", "This was build-bot, deleted "),
    ] {
        let update = "UPDATE api_keys SET status = $1 WHERE name = 'build-bot' RETURNING 1";
        let _one: i32 = sqlx::query_scalar(update).bind(state).fetch_one(&console.owner).await.unwrap();
        let found = browser.post(FIND, &[("q", &format!("  {secret}\n"))]).await;
        assert_eq!(found.location(), format!("{LIST}?key={public_id}"));
        let page = browser.follow(&found).await;
        assert!(page.text().contains(told), "{}", page.text());
        let expected: &[&str] = if state == "deleted" { &[] } else { &["build-bot"] };
        assert_eq!(listed(&page), expected, "{state}");
    }
    // Somebody else's, a foreign one, a cut one: none of them goes anywhere.
    let (mut eve, _) = console.signed_in("eve@example.com").await;
    create_key(&mut eve, "eve", "hers").await;
    let unknown = eve.post("/a/eve/keys/find", &[("q", &secret)]).await;
    assert_eq!(unknown.location(), "/a/eve/keys?status=all");
    assert!(eve.follow(&unknown).await.text().contains("No key of this account has the secret"));
    for pasted in ["sk-proj-abcDEF0123456789abcDEF0123456789", &secret[..60]] {
        let refused = browser.post(FIND, &[("q", pasted)]).await;
        assert_eq!(refused.location(), "/a/ada/keys?status=all", "{pasted}");
        assert!(browser.follow(&refused).await.text().contains("looks like a secret"));
    }
    let random_part = &secret[20..60];
    for seen in browser.seen.iter().chain(&eve.seen) {
        assert!(!seen.contains(random_part), "{seen}");
    }
    assert!(!logged().contains(random_part));
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn heads_order_the_list_and_filters_are_cleared_one_by_one(pool: PgPool) {
    let console = TestConsole::new(pool).await;
    let (mut browser, _) = console.signed_in(ADA).await;
    make(&mut browser, &["b", "a", "c"]).await;
    console.sql("UPDATE api_keys SET environment = 'qa', expires_at = now() + interval '2 hours' WHERE name <> 'b'").await;
    let first = browser.get(LIST).await;
    assert_eq!(listed(&first), ["c", "a", "b"]);
    assert!(first.body.contains("aria-sort=\"descending\""), "{}", first.body);
    let by_name = browser.get(&link(&first, "Name")).await;
    assert_eq!(listed(&by_name), ["a", "b", "c"]);
    assert!(by_name.body.contains("aria-sort=\"ascending\""));
    assert_eq!(listed(&browser.get(&link(&by_name, "Name")).await), ["c", "b", "a"]);
    let narrowed =
        browser.get(&format!("{LIST}?env=qa&status=expiring&sort=name&expires=&group=&idle=99")).await;
    assert_eq!(listed(&narrowed), ["a", "c"]);
    let text = narrowed.text();
    assert!(text.contains("Environment: qa") && text.contains("Status: Expiring soon"), "{text}");
    assert!(text.contains("in 119 min") || text.contains("in 2 h"), "{text}");
    assert!(
        narrowed.body.contains("href=\"/a/ada/keys?status=expiring&amp;sort=name\""),
        "{}",
        narrowed.body
    );
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_row_says_what_is_left_and_what_it_is_bound_to(pool: PgPool) {
    let console = TestConsole::new(pool).await;
    let (mut browser, _) = console.signed_in(ADA).await;
    make(&mut browser, &["bound"]).await;
    console
        .sql(
            "UPDATE api_keys SET note = 'CI & <b>', models = '{gpt-4o,o3}', addresses = '{10.0.0.0/8}',
                                 requests_per_minute = 600;
             INSERT INTO limits (id, account_id, key_id, measure, amount, period)
             SELECT gen_random_uuid(), account_id, id, 'cost', 100000000000, 'monthly' FROM api_keys;
             INSERT INTO limit_windows (limit_id, account_id, starts_at, ends_at, amount, spent)
             SELECT l.id, l.account_id, w.starts_at, w.ends_at, l.amount, 85000000000
             FROM limits l, LATERAL limit_window(l.period, l.period_since, 'UTC', now()) w",
        )
        .await;
    let page = browser.get(LIST).await;
    let text = page.text();
    for told in [
        "CI & <b>",
        "7 500 000 of 50 000 000 credits left",
        "$15.00 of $100.00",
        "resets in",
        "600/min",
        "10.0.0.0/8",
        "gpt-4o, o3",
        "Near limit",
        "Never expires",
        "by ada@example.com",
        "default",
    ] {
        assert!(text.contains(told), "{told}: {text}");
    }
    assert!(page.body.contains("<progress") && !page.body.contains("style=\""), "{}", page.body);
    assert!(!page.body.contains("<b>"));
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn chosen_columns_and_saved_views_are_remembered(pool: PgPool) {
    let console = TestConsole::new(pool).await;
    let (mut browser, _) = console.signed_in(ADA).await;
    make(&mut browser, &["one", "two"]).await;
    let chosen = browser
        .post("/a/ada/keys/columns", &[("query", "sort=name"), ("column", "cost"), ("density", "compact")])
        .await;
    assert_eq!(chosen.location(), "/a/ada/keys?sort=name");
    let page = browser.follow(&chosen).await;
    assert!(page.body.contains("cell-cost-head") && page.body.contains("data-compact"), "{}", page.body);
    assert!(!page.body.contains("cell-group-head") && page.body.contains("cell-status-head"));
    let saved = browser.post("/a/ada/keys/views", &[("query", "q=two&after=x"), ("name", " My  two ")]).await;
    assert_eq!(saved.location(), "/a/ada/keys?q=two");
    let page = browser.follow(&saved).await;
    assert!(page.text().contains("Saved this view as My two."), "{}", page.text());
    assert_eq!(listed(&browser.get(&link(&page, "My two")).await), ["two"]);
    let id = page.body.split("name=\"forget\"").nth(1).unwrap().split("value=\"").nth(1).unwrap();
    let id = id.split('"').next().unwrap();
    let refused = browser.post("/a/ada/keys/views", &[("query", ""), ("name", "  ")]).await;
    assert!(browser.follow(&refused).await.text().contains("Give the view a name"));
    let forgotten = browser.post("/a/ada/keys/views", &[("query", ""), ("forget", id)]).await;
    assert!(!browser.follow(&forgotten).await.text().contains("My two"));
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn the_forms_of_the_list_are_for_its_members(pool: PgPool) {
    let console = TestConsole::new(pool).await;
    let (mut ada, _) = console.signed_in(ADA).await;
    make(&mut ada, &["one"]).await;
    let (mut eve, _) = console.signed_in("eve@example.com").await;
    for form in ["find", "columns", "views"] {
        let path = format!("/a/ada/keys/{form}");
        assert_eq!(
            eve.post(&path, &[("q", "one"), ("name", "x")]).await.status,
            StatusCode::NOT_FOUND,
            "{form}"
        );
        let nobody = console.browser().post(&path, &[("q", "one"), ("name", "x")]).await;
        assert_eq!((nobody.status, nobody.location()), (StatusCode::SEE_OTHER, "/login"), "{form}");
    }
    assert_eq!(console.count("SELECT count(*) FROM saved_views").await, 0);
    console.set_role("eve@example.com", "ada", "viewer").await;
    let found = eve.post(FIND, &[("q", "one")]).await;
    let page = eve.follow(&found).await;
    assert_eq!(listed(&page), ["one"]);
    assert!(!page.body.contains("role=\"switch\"") && !page.body.contains("/revoke"), "{}", page.body);
}
