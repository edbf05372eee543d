//! Signing in by emailed code.

use axum::http::StatusCode;
use latchkey::auth::{RequestCode, SignOut};
use leptos::server_fn::ServerFn;
use sqlx::PgPool;
use store::TenantTx;

use crate::support::{Browser, TestConsole};

const ADA: &str = "ada@example.com";
const MINUTES_PASS: &str = "UPDATE login_codes SET created_at = created_at - interval '2 minutes'";

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_new_person_signs_in_and_has_an_account(pool: PgPool) {
    let console = TestConsole::new(pool).await;
    let mut browser = console.browser();
    let home = browser.get("/").await;
    assert_eq!((home.status, home.location()), (StatusCode::SEE_OTHER, "/login"));
    assert_eq!(browser.get("/login").await.status, StatusCode::OK);

    let asked = browser.submit_email(" Ada@Example.com ").await;
    assert_eq!((asked.status, asked.location()), (StatusCode::SEE_OTHER, "/login/code"));
    let page = browser.follow(&asked).await;
    assert!(page.text().contains(ADA), "the page says where the code went: {}", page.text());

    let code = console.code_for(ADA).await;
    let inside = browser.submit_code(&format!("{} {}", &code[..4], &code[4..])).await;
    assert_eq!((inside.status, inside.location()), (StatusCode::SEE_OTHER, "/a/ada/keys"));
    let line = inside.cookie_line("__Host-sid").unwrap();
    for attribute in ["; Path=/", "; Secure", "; HttpOnly", "; SameSite=Lax", "; Max-Age=43200"] {
        assert!(line.contains(attribute), "{line}");
    }
    assert!(!line.contains("Domain"), "{line}");
    let keys = browser.follow(&inside).await;
    assert_eq!(keys.status, StatusCode::OK);
    assert_eq!(browser.get("/").await.location(), "/a/ada/keys");
    assert_eq!(browser.get("/login").await.location(), "/a/ada/keys", "whoever is in needs no sign-in page");

    assert_eq!(console.count("SELECT count(*) FROM groups WHERE name = 'default'").await, 1);
    assert_eq!(console.count("SELECT count(*) FROM members WHERE role = 'owner'").await, 1);
    assert_eq!(console.count("SELECT count(*) FROM accounts WHERE billing = 'invoiced'").await, 1);
    assert_eq!(console.count("SELECT count(*) FROM audit_events WHERE action = 'account.opened'").await, 1);
    assert_eq!(console.count("SELECT count(*) FROM audit_events WHERE action = 'session.opened'").await, 1);
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn who_comes_back_finds_the_same_account(pool: PgPool) {
    let console = TestConsole::new(pool).await;
    let (_, first) = console.signed_in(ADA).await;
    console.sql(MINUTES_PASS).await;
    let (_, second) = console.signed_in("ADA@example.com").await;
    assert_eq!(first, second);
    assert_eq!(console.count("SELECT count(*) FROM accounts").await, 1);
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn two_people_of_the_same_name_get_two_accounts(pool: PgPool) {
    let console = TestConsole::new(pool).await;
    let (_, first) = console.signed_in("ada@example.com").await;
    let (_, second) = console.signed_in("ada@example.org").await;
    assert_eq!(first, "ada");
    assert!(second.starts_with("ada-") && second.len() == "ada-00000".len(), "{second}");
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn signing_out_ends_the_session_everywhere(pool: PgPool) {
    let console = TestConsole::new(pool).await;
    let (mut browser, slug) = console.signed_in(ADA).await;
    let mut thief = browser.tab();
    let out = browser.post(SignOut::PATH, &[]).await;
    assert_eq!((out.status, out.location()), (StatusCode::SEE_OTHER, "/login"));
    assert_eq!(out.header("clear-site-data"), "\"storage\"");
    assert!(!browser.cookies.contains_key("__Host-sid"));
    let replayed = thief.get(&format!("/a/{slug}/keys")).await;
    assert_eq!((replayed.status, replayed.location()), (StatusCode::SEE_OTHER, "/login"));
    assert_eq!(console.count("SELECT count(*) FROM sessions").await, 0);
    assert_eq!(console.count("SELECT count(*) FROM audit_events WHERE action = 'session.closed'").await, 1);
}

async fn asked(console: &TestConsole) -> (Browser, String) {
    let mut browser = console.browser();
    browser.get("/login").await;
    let page = browser.submit_email(ADA).await;
    browser.follow(&page).await;
    let code = console.code_for(ADA).await;
    (browser, code)
}

fn wrong(code: &str) -> String {
    let last = code.as_bytes()[7];
    format!("{}{}", &code[..7], if last == b'0' { '1' } else { '0' })
}

async fn is_refused(browser: &mut Browser, code: &str) {
    let answer = browser.submit_code(code).await;
    assert_eq!((answer.status, answer.location()), (StatusCode::SEE_OTHER, "/login/code"), "{code}");
    assert!(!browser.cookies.contains_key("__Host-sid"));
    let page = browser.follow(&answer).await;
    assert!(page.text().contains("This code is wrong or no longer valid"), "{}", page.text());
    let again = browser.get("/login/code").await;
    assert!(!again.text().contains("This code is wrong"), "an error is shown once");
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn the_right_code_is_dead_after_five_wrong_ones(pool: PgPool) {
    let console = TestConsole::new(pool).await;
    let (browser, code) = asked(&console).await;
    for n in 0..5_u8 {
        // Another address each time changes nothing: the row counts.
        let mut other = console.browser_from([198, 51, 100, n].into());
        other.cookies.clone_from(&browser.cookies);
        other.page.clone_from(&browser.page);
        is_refused(&mut other, &wrong(&code)).await;
    }
    let mut browser = browser;
    is_refused(&mut browser, &code).await;
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_wrong_code_leaves_the_right_one_alive(pool: PgPool) {
    let console = TestConsole::new(pool).await;
    let (mut browser, code) = asked(&console).await;
    is_refused(&mut browser, &wrong(&code)).await;
    assert_eq!(browser.submit_code(&code).await.location(), "/a/ada/keys");
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_code_works_once(pool: PgPool) {
    let console = TestConsole::new(pool).await;
    let (mut browser, code) = asked(&console).await;
    let mut tab = browser.tab();
    tab.page.clone_from(&browser.page);
    assert_eq!(browser.submit_code(&code).await.location(), "/a/ada/keys");
    is_refused(&mut tab, &code).await;
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_first_sign_in_that_fails_half_way_can_be_done_again(pool: PgPool) {
    let console = TestConsole::new(pool).await;
    let (mut browser, code) = asked(&console).await;
    // The last thing written before the commit.
    console
        .sql(
            "CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'the disk is full'; END $$;
             CREATE TRIGGER fail BEFORE INSERT ON audit_events FOR EACH ROW WHEN (NEW.action = 'session.opened')
                 EXECUTE FUNCTION fail()",
        )
        .await;
    browser.submit_code(&code).await;
    assert!(!browser.cookies.contains_key("__Host-sid"));
    for table in [
        "SELECT count(*) FROM users",
        "SELECT count(*) FROM accounts",
        "SELECT count(*) FROM sessions",
        "SELECT count(*) FROM login_codes WHERE consumed_at IS NOT NULL OR tries > 0",
    ] {
        assert_eq!(console.count(table).await, 0, "{table}");
    }
    console.sql("DROP TRIGGER fail ON audit_events").await;
    assert_eq!(browser.submit_code(&code).await.location(), "/a/ada/keys");
    assert_eq!(console.count("SELECT count(*) FROM accounts").await, 1);
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn an_expired_code_is_refused(pool: PgPool) {
    let console = TestConsole::new(pool).await;
    let (mut browser, code) = asked(&console).await;
    console.sql("UPDATE login_codes SET expires_at = now()").await;
    is_refused(&mut browser, &code).await;
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_code_works_only_in_the_browser_that_asked(pool: PgPool) {
    let console = TestConsole::new(pool).await;
    let (mut ada, code) = asked(&console).await;
    let mut mallory = console.browser();
    mallory.get("/login").await;
    let page = mallory.submit_email("mallory@example.com").await;
    mallory.follow(&page).await;
    is_refused(&mut mallory, &code).await;
    assert_eq!(ada.submit_code(&code).await.location(), "/a/ada/keys");
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn another_browser_s_wish_does_not_void_a_code(pool: PgPool) {
    let console = TestConsole::new(pool).await;
    let (mut ada, code) = asked(&console).await;
    console.sql(MINUTES_PASS).await;
    let mut mallory = console.browser();
    mallory.get("/login").await;
    mallory.submit_email(ADA).await;
    console.code_for(ADA).await;
    assert_eq!(ada.submit_code(&code).await.location(), "/a/ada/keys");
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn what_is_no_code_is_refused_before_a_try_is_booked(pool: PgPool) {
    let console = TestConsole::new(pool).await;
    let (mut browser, code) = asked(&console).await;
    let wide: String = code.chars().filter_map(|c| char::from_u32(u32::from(c) + 0xfee0)).collect();
    for typed in ["", "1234567", "123456789", "1 2 3 4 5 6 7 8", "abcdefgh", &wide, "12345678\u{0}"] {
        let answer = browser.submit_code(typed).await;
        let page = browser.follow(&answer).await;
        assert!(page.text().contains("Enter the 8 digits from the mail"), "{typed:?}: {}", page.text());
    }
    assert_eq!(console.count("SELECT count(*) FROM login_codes WHERE tries > 0").await, 0);
    assert_eq!(
        browser.submit_code(&format!("{}-{}", &code[..4], &code[4..])).await.location(),
        "/a/ada/keys"
    );
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_mistyped_address_is_given_back_with_what_is_wrong(pool: PgPool) {
    let console = TestConsole::new(pool).await;
    let mut browser = console.browser();
    browser.get("/login").await;
    for typed in ["ada@", "ada example.com", "ada@example.com\r\nBcc: x@example.com", "<b>\"ada\"</b>"] {
        let answer = browser.submit_email(typed).await;
        assert_eq!(answer.location(), "/login", "nothing of it is in the address");
        let page = browser.follow(&answer).await;
        assert!(page.text().contains("This does not look like an email address"), "{}", page.text());
        assert_eq!(page.input("email").replace("\r\n", "\n"), typed.replace("\r\n", "\n"));
        assert!(!page.body.contains("<b>\"ada\""), "it is text, not markup");
    }
    assert!(console.mail.messages().is_empty());
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn known_unknown_and_limited_addresses_get_the_same_bytes(pool: PgPool) {
    let console = TestConsole::new(pool).await;
    console.signed_in(ADA).await;
    let ask = async |email: &str, from: [u8; 4]| {
        let mut browser = console.browser_from(from.into());
        browser.get("/login").await;
        let answer = browser.submit_email(email).await;
        let values: Vec<String> = browser.cookies.values().cloned().collect();
        let mut seen = format!("{} {:?} {}", answer.status, answer.headers, answer.body);
        let shown = browser.follow(&answer).await;
        seen.push_str(&shown.text().replace(email, "ADDRESS"));
        // Random and signed values differ in every answer; their lengths may not.
        values.iter().fold(seen, |seen, value| seen.replace(value.as_str(), &"v".repeat(value.len())))
    };
    let limited = ask(ADA, [198, 51, 100, 1]).await;
    let unknown = ask("bob@example.com", [198, 51, 100, 2]).await;
    console.sql("UPDATE login_codes SET created_at = created_at - interval '2 minutes'").await;
    let known = ask(ADA, [198, 51, 100, 3]).await;
    assert_eq!(limited, unknown);
    assert_eq!(limited, known);
    console.mail.wait_for("bob@example.com").await.unwrap();
    console.mail.wait_for(ADA).await.unwrap();
    let sent = console.count("SELECT count(*) FROM login_codes").await;
    assert_eq!(sent, 3, "the limited one was not issued");
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn send_limits_outlive_the_program(pool: PgPool) {
    let first = TestConsole::new(pool.clone()).await;
    first.browser().submit_email(ADA).await;
    first.code_for(ADA).await;
    drop(first);
    let second = TestConsole::new(pool).await;
    second.browser().submit_email(ADA).await;
    second.browser().submit_email("bob@example.com").await;
    second.mail.wait_for("bob@example.com").await.unwrap();
    assert!(second.mail.messages().iter().all(|mail| !mail.is_to(ADA)));
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn our_own_scripts_get_json_and_a_status(pool: PgPool) {
    let console = TestConsole::new(pool).await;
    let mut browser = console.browser();
    let good = browser.call(RequestCode::PATH, &[("email", ADA)]).await;
    assert_eq!((good.status, good.body.as_str()), (StatusCode::OK, r#"{"notice":"","next":"/login/code"}"#));
    let bad = browser.call(RequestCode::PATH, &[("email", "ada")]).await;
    assert_eq!(bad.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(bad.body.contains(r#""kind":"invalid","field":"email""#), "{}", bad.body);
    let none = browser.call(RequestCode::PATH, &[("nonsense", "1")]).await;
    assert_eq!((none.status, none.body.as_str()), (StatusCode::BAD_REQUEST, r#"{"kind":"malformed"}"#));
    for answer in [good, bad, none] {
        assert_eq!(answer.header("cache-control"), "no-store");
        assert_eq!(answer.header("location"), "");
    }
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn the_database_holds_no_code_and_no_token(pool: PgPool) {
    let console = TestConsole::new(pool).await;
    let (mut browser, code) = asked(&console).await;
    let codes = "SELECT count(*) FROM login_codes WHERE login_codes::text LIKE '%' || $1 || '%'";
    let found: i64 = sqlx::query_scalar(codes).bind(&code).fetch_one(&console.owner).await.unwrap();
    assert_eq!(found, 0);
    browser.submit_code(&code).await;
    let sessions = "SELECT count(*) FROM sessions WHERE sessions::text LIKE '%' || $1 || '%'";
    let token = browser.cookies.get("__Host-sid").unwrap();
    let found: i64 = sqlx::query_scalar(sessions).bind(token).fetch_one(&console.owner).await.unwrap();
    assert_eq!(found, 0);
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn an_audit_event_names_the_person_and_the_place(pool: PgPool) {
    let console = TestConsole::new(pool).await;
    console.signed_in(ADA).await;
    let account = sqlx::query_scalar("SELECT id FROM accounts").fetch_one(&console.owner).await.unwrap();
    let mut tx = TenantTx::begin(&console.pool, domain::AccountId(account)).await.unwrap();
    let events = store::audit::list_newest(&mut tx, 10).await.unwrap();
    let actions: Vec<&str> = events.iter().map(|event| event.action.as_str()).collect();
    assert_eq!(actions, ["session.opened", "account.opened"]);
    assert!(events.iter().all(|event| event.actor_email == ADA));
    let place =
        "SELECT count(*) FROM audit_events WHERE client = '203.0.113.7' AND user_agent LIKE '%Firefox/145.0'";
    assert_eq!(console.count(place).await, 2);
}
