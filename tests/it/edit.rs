//! The form of a key: everything it can be given, errors at their fields, edits that meet.

use axum::http::StatusCode;
use domain::money::NanoUsd;
use domain::{AccountId, KeyId};
use sqlx::PgPool;
use store::TenantTx;
use store::keys::{self, Found};

use crate::keys::create_key;
use crate::support::{Browser, Page, TestConsole};

const ADA: &str = "ada@example.com";

/// Everything there is to fill in, with one-time id or version first.
fn filled<'a>(first: (&'a str, &'a str)) -> Vec<(&'a str, &'a str)> {
    vec![
        first,
        ("name", "build-bot"),
        ("note", "CI for\r\nthe web repo"),
        ("environment", " production "),
        ("expires", "at"),
        ("expires_at", "2090-01-02T03:04"),
        ("cost_on", "on"),
        ("cost", "50 000 000"),
        ("cost_unit", "credits"),
        ("tokens_on", "on"),
        ("tokens", "1,000,000"),
        ("period", "weekly"),
        ("rate_on", "on"),
        ("rate", "60"),
        ("fit", "strict"),
        ("models", "gpt-4o-mini"),
        ("access", "some"),
        ("permissions", "chat:read"),
        ("permissions", "models:list"),
        ("addresses", "10.0.0.0/8\r\n2001:db8::1"),
    ]
}

/// The fields with one of them another.
fn with<'a>(mut fields: Vec<(&'a str, &'a str)>, name: &'a str, value: &'a str) -> Vec<(&'a str, &'a str)> {
    fields.retain(|(field, _)| *field != name);
    fields.push((name, value));
    fields
}

async fn console_with_model(pool: PgPool) -> (TestConsole, Browser, String) {
    let console = TestConsole::new(pool).await;
    console
        .count(
            "INSERT INTO models (id, upstream_model, input_price, cached_input_price, output_price)
             VALUES ('gpt-4o-mini', 'gpt-4o-mini', 1, 1, 1) RETURNING 1::bigint",
        )
        .await;
    let (browser, slug) = console.signed_in(ADA).await;
    (console, browser, slug)
}

async fn only_key(console: &TestConsole) -> (KeyId, Found) {
    let row = sqlx::query_scalar("SELECT id FROM api_keys").fetch_one(&console.owner);
    let id = KeyId(row.await.unwrap());
    let row = sqlx::query_scalar("SELECT account_id FROM api_keys").fetch_one(&console.owner);
    let mut tx = TenantTx::begin(&console.owner, AccountId(row.await.unwrap())).await.unwrap();
    (id, keys::find_setup(&mut tx, id).await.unwrap().unwrap())
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_key_is_made_with_everything_it_can_be_given(pool: PgPool) {
    let (console, mut ada, slug) = console_with_model(pool).await;
    let form = ada.get(&format!("/a/{slug}/keys/new")).await;
    let form_id = form.input("form_id");
    let made = ada.post(&format!("/a/{slug}/keys"), &filled(("form_id", &form_id))).await;
    assert_eq!(made.status, StatusCode::OK, "{}", made.text());
    let (id, found) = only_key(&console).await;
    let setup = &found.setup;
    assert_eq!((setup.name.as_str(), setup.note.as_str()), ("build-bot", "CI for\nthe web repo"));
    assert_eq!(setup.environment.as_deref(), Some("production"));
    assert_eq!(setup.cost, Some(NanoUsd(100_000_000_000)));
    assert_eq!((setup.tokens, setup.requests_per_minute), (Some(1_000_000), Some(60)));
    assert_eq!(setup.permissions.as_deref().unwrap(), ["chat:read", "models:list"]);
    assert_eq!(setup.addresses.as_ref().unwrap().len(), 2);
    // The form of the key has all of it again, and saving it as it is changes nothing.
    let edit = ada.get(&format!("/a/{slug}/keys/{id}/edit")).await;
    assert_eq!(edit.status, StatusCode::OK);
    assert_eq!(
        (edit.input("cost"), edit.input("expires_at")),
        ("100.00".to_owned(), "2090-01-02T03:04".to_owned())
    );
    let again = with(filled(("row_version", "1")), "cost", "100");
    let again = with(again, "cost_unit", "usd");
    let saved = ada.post(&format!("/a/{slug}/keys/{id}/edit"), &again).await;
    assert_eq!(saved.status, StatusCode::SEE_OTHER, "{}", saved.text());
    assert_eq!(only_key(&console).await.1.setup, *setup);
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn what_is_wrong_stands_at_its_field_and_nothing_typed_is_lost(pool: PgPool) {
    let (console, mut ada, slug) = console_with_model(pool).await;
    let form_id = ada.get(&format!("/a/{slug}/keys/new")).await.input("form_id");
    for (field, typed, told) in [
        ("name", "", "Give the key a name"),
        ("expires_at", "2020-01-01T00:00", "This time is past"),
        ("expires_at", "soon", "Choose a date"),
        ("cost", "-1", "whole number of credits"),
        ("tokens", "many", "whole number of tokens"),
        ("rate", "0", "From 1 to 1000000"),
        ("models", "gpt-9", "gpt-9 is not on offer"),
        ("permissions", "root:write", "root:write is not on offer"),
        ("addresses", "10.0.0.1\n<b>here</b>", "Line 2"),
        ("group", "no-such-group", "Choose a group"),
    ] {
        let fields = with(filled(("form_id", &form_id)), field, typed);
        let refused = ada.post(&format!("/a/{slug}/keys"), &fields).await;
        assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{field} {typed}: {}", refused.text());
        assert!(refused.text().contains(told), "{field} {typed}: {}", refused.text());
        assert!(refused.body.contains("CI for\nthe web repo") && refused.input("form_id") == form_id);
        assert!(!refused.body.contains("<b>here</b>"));
    }
    assert_eq!(console.count("SELECT count(*) FROM api_keys").await, 0);
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn of_two_people_the_second_sees_both_values(pool: PgPool) {
    let (console, mut ada, slug) = console_with_model(pool).await;
    create_key(&mut ada, &slug, "build-bot").await;
    let (id, _) = only_key(&console).await;
    let path = format!("/a/{slug}/keys/{id}/edit");
    let mut second = ada.tab();
    assert_eq!(second.get(&path).await.input("row_version"), "1");
    let first = with(filled(("row_version", "1")), "rate", "1110");
    assert_eq!(ada.post(&path, &first).await.status, StatusCode::SEE_OTHER);
    let late = with(filled(("row_version", "1")), "rate", "2220");
    let told: Page = second.post(&path, &late).await;
    assert_eq!(told.status, StatusCode::CONFLICT);
    let text = told.text();
    assert!(
        text.contains("Somebody else has saved this meanwhile")
            && text.contains("1110")
            && text.contains("2220")
    );
    assert_eq!(only_key(&console).await.1.setup.requests_per_minute, Some(1_110), "nothing was saved");
    let version = told.input("row_version");
    let meant = with(filled(("row_version", &version)), "rate", "2220");
    assert_eq!(second.post(&path, &meant).await.status, StatusCode::SEE_OTHER);
    assert_eq!(only_key(&console).await.1.setup.requests_per_minute, Some(2_220));
    let changes = "SELECT count(*) FROM audit_events WHERE action = 'key.changed'
                   AND detail -> 'Requests per minute' ->> 'from' = '1110'";
    assert_eq!(console.count(changes).await, 1);
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_list_that_locks_out_who_uses_the_key_asks_first(pool: PgPool) {
    let (console, mut ada, slug) = console_with_model(pool).await;
    create_key(&mut ada, &slug, "build-bot").await;
    let (id, _) = only_key(&console).await;
    let path = format!("/a/{slug}/keys/{id}/edit");
    console.count("UPDATE key_stats SET last_address = '198.51.100.7' RETURNING 1::bigint").await;
    let fields = filled(("row_version", "1"));
    let asked = ada.post(&path, &fields).await;
    assert_eq!(asked.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(asked.text().contains("came from 198.51.100.7, which the list leaves out"), "{}", asked.text());
    let sure = with(fields, "addresses_sure", "on");
    assert_eq!(ada.post(&path, &sure).await.status, StatusCode::SEE_OTHER);
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn the_own_address_is_added_without_saving(pool: PgPool) {
    let (console, mut ada, slug) = console_with_model(pool).await;
    let form_id = ada.get(&format!("/a/{slug}/keys/new")).await.input("form_id");
    let mut fields = with(filled(("form_id", &form_id)), "name", "");
    fields.push(("add_address", "yes"));
    let form = ada.post(&format!("/a/{slug}/keys"), &fields).await;
    assert_eq!(form.status, StatusCode::OK);
    assert!(form.body.contains("10.0.0.0/8\n2001:db8::1\n"), "{}", form.body);
    assert!(!form.text().contains("Nothing was saved"));
    assert_eq!(console.count("SELECT count(*) FROM api_keys").await, 0);
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn nobody_else_edits_a_key(pool: PgPool) {
    let (console, mut ada, slug) = console_with_model(pool).await;
    create_key(&mut ada, &slug, "build-bot").await;
    let (id, found) = only_key(&console).await;
    let (mut bob, theirs) = console.signed_in("bob@example.com").await;
    let mut stranger = console.browser();
    for path in [format!("/a/{slug}/keys/{id}/edit"), format!("/a/{theirs}/keys/{id}/edit")] {
        assert_eq!(bob.get(&path).await.status, StatusCode::NOT_FOUND, "{path}");
        let posted = bob.post(&path, &filled(("row_version", "1"))).await;
        assert_eq!(posted.status, StatusCode::NOT_FOUND, "{path}");
        let posted = stranger.post(&path, &filled(("row_version", "1"))).await;
        assert_eq!(posted.location(), "/login");
    }
    assert_eq!(only_key(&console).await.1.setup, found.setup);
}
