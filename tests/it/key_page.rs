//! A key's own page: what it shows, new secrets and rotations, deleting.

use axum::http::StatusCode;
use latchkey::keys::{DeleteKey, EndRotation, UndoRotation};
use leptos::server_fn::ServerFn;
use sqlx::PgPool;

use crate::keys::{create_key, secret_in};
use crate::support::{Browser, Page, TestConsole};

const ADA: &str = "ada@example.com";

/// A console with one key: its owner's browser, the account, the key's address.
async fn one_key(pool: PgPool) -> (TestConsole, Browser, String, String) {
    let console = TestConsole::new(pool).await;
    let (mut ada, slug) = console.signed_in(ADA).await;
    create_key(&mut ada, &slug, "build-bot").await;
    let id: uuid::Uuid =
        sqlx::query_scalar("SELECT id FROM api_keys").fetch_one(&console.owner).await.unwrap();
    (console, ada, slug.clone(), format!("/a/{slug}/keys/{id}"))
}

async fn rotate(browser: &mut Browser, address: &str, overlap: &str) -> Page {
    let form = browser.get(&format!("{address}/rotate")).await;
    let (form_id, version) = (form.input("form_id"), form.input("row_version"));
    let fields = [("form_id", form_id.as_str()), ("row_version", &version), ("overlap", overlap)];
    browser.post(&format!("{address}/secret"), &fields).await
}

const LIVE: &str = "SELECT count(*) FROM key_secrets WHERE ends_at IS NULL OR ends_at > now()";

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_rotation_shows_the_new_secret_once_and_the_old_one_as_retiring(pool: PgPool) {
    let (console, mut ada, slug, address) = one_key(pool).await;
    let form_id = ada.get(&format!("{address}/rotate")).await.input("form_id");
    let fields = [("form_id", form_id.as_str()), ("row_version", "1"), ("overlap", "24h")];
    let rotated = ada.post(&format!("{address}/secret"), &fields).await;
    assert_eq!((rotated.status, rotated.header("cache-control")), (StatusCode::OK, "no-store"));
    let secret = secret_in(&rotated).expect("the new secret is in the answer");
    assert!(rotated.text().contains("The secret it had before works until"), "{}", rotated.text());
    let again = ada.post(&format!("{address}/secret"), &fields).await;
    assert_eq!((again.status, secret_in(&again)), (StatusCode::OK, None), "a reload shows no secret");
    assert_eq!(console.count("SELECT count(*) FROM key_secrets").await, 2);

    let page = ada.get(&address).await;
    assert!(page.text().contains("Rotation under way") && page.text().contains("Not used lately"));
    assert!(page.text().contains(&secret[63..]) && !page.body.contains(&secret[18..61]));
    let stale = [
        ("form_id", uuid::Uuid::nil().to_string()),
        ("row_version", "1".to_owned()),
        ("overlap", "now".to_owned()),
    ];
    let stale: Vec<(&str, &str)> = stale.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let stale = ada.post(&format!("{address}/secret"), &stale).await;
    assert_eq!(stale.status, StatusCode::CONFLICT);
    assert!(stale.text().contains("This key was changed meanwhile"), "{}", stale.text());
    let second = rotate(&mut ada, &address, "1h").await;
    assert_eq!(second.status, StatusCode::CONFLICT);
    assert!(second.text().contains("A rotation is under way already"), "{}", second.text());

    let id = address.rsplit('/').next().unwrap().to_owned();
    let change = async |ada: &mut Browser, path: &'static str| {
        let version = ada.get(&address).await.input("row_version");
        let about = [("slug", slug.as_str()), ("key", id.as_str()), ("row_version", version.as_str())];
        ada.post(path, &about).await
    };
    assert_eq!(change(&mut ada, UndoRotation::PATH).await.status, StatusCode::SEE_OTHER);
    assert_eq!(console.count(LIVE).await, 1);
    assert!(!ada.get(&address).await.text().contains("Rotation under way"));
    rotate(&mut ada, &address, "7d").await;
    assert_eq!(console.count(LIVE).await, 2);
    assert_eq!(change(&mut ada, EndRotation::PATH).await.status, StatusCode::SEE_OTHER);
    assert_eq!(console.count(LIVE).await, 1);
    rotate(&mut ada, &address, "now").await;
    assert_eq!(console.count(LIVE).await, 1);
    let audit = ada.get(&format!("{address}?tab=audit")).await.text();
    for act in ["Rotated the secret", "Undid the rotation", "Ended the rotation", "Regenerated the secret"] {
        assert!(audit.contains(act), "{act}: {audit}");
    }
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_key_in_use_is_deleted_by_typing_its_name(pool: PgPool) {
    let (console, mut ada, slug, address) = one_key(pool).await;
    console.count("UPDATE key_stats SET last_used_at = now(), requests = 3 RETURNING 1::bigint").await;
    let id = address.rsplit('/').next().unwrap().to_owned();
    let asked = ada.get(&format!("{address}/delete")).await;
    assert!(asked.text().contains("Type its name"), "{}", asked.text());
    let with = |name: &'static str| [("slug", slug.clone()), ("key", id.clone()), ("name", name.to_owned())];
    let post = async |ada: &mut Browser, name: &'static str| {
        let fields = with(name);
        let fields: Vec<(&str, &str)> =
            fields.iter().map(|(field, value)| (*field, value.as_str())).collect();
        ada.post(DeleteKey::PATH, &fields).await
    };
    let refused = post(&mut ada, "build").await;
    assert_eq!(refused.location(), format!("{address}/delete"));
    assert!(ada.follow(&refused).await.text().contains("To delete it, type its name: build-bot"));
    assert_eq!(console.count("SELECT count(*) FROM api_keys WHERE status = 'deleted'").await, 0);
    let deleted = post(&mut ada, "build-bot").await;
    assert_eq!(deleted.location(), format!("/a/{slug}/keys"));
    assert!(ada.follow(&deleted).await.text().contains("Deleted build-bot."));
    assert_eq!(ada.get(&address).await.status, StatusCode::NOT_FOUND);
    assert_eq!(console.count("SELECT count(*) FROM audit_events WHERE action = 'key.deleted'").await, 1);
    create_key(&mut ada, &slug, "build-bot").await;
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn it_shows_limits_requests_and_refusals(pool: PgPool) {
    let (console, mut ada, _, address) = one_key(pool).await;
    for fill in [
        "INSERT INTO limits (id, account_id, key_id, measure, amount, period)
         SELECT gen_random_uuid(), account_id, id, 'cost', 100000000000, 'never' FROM api_keys RETURNING 1::bigint",
        "INSERT INTO limit_windows (limit_id, account_id, starts_at, amount, spent)
         SELECT id, account_id, period_since, amount, 25600000000 FROM limits RETURNING 1::bigint",
        "INSERT INTO usage_records (id, account_id, key_id, public_id, group_id, created_by, model, route, status,
             streamed, input_tokens, cached_input_tokens, output_tokens, cost_nano, input_price, cached_input_price,
             output_price, estimated, interrupted, client, started_at, duration_us)
         SELECT (left(uuid_floor(now())::text, 24) || '000000000001')::uuid, account_id, id, 'public', group_id,
             created_by, '<i>gpt</i>', '/v1/chat/completions', 200, false, 120, 20, 40, 184000, 1, 1, 1, false, true,
             '203.0.113.9', now(), 412000 FROM api_keys RETURNING 1::bigint",
        "INSERT INTO refusals (id, account_id, key_id, public_id, refused_at, code, rule, limit_value, current_value,
             client, model)
         SELECT gen_random_uuid(), account_id, id, 'public', now(), 'cost_limit_exceeded', 'cost', 2000000000,
             1990000000, '198.51.100.7', NULL FROM api_keys RETURNING 1::bigint",
    ] {
        console.count(fill).await;
    }
    let overview = ada.get(&address).await.text();
    assert!(
        overview.contains("$25.60 of $100.00") && overview.contains("$74.40 left; does not start anew"),
        "{overview}"
    );
    let requests = ada.get(&format!("{address}?tab=requests")).await;
    assert!(!requests.body.contains("<i>gpt"));
    let requests = requests.text();
    for told in
        ["<i>gpt</i>", "120 in (20 cached), 40 out", "200, interrupted", "412 ms", "$0.000184", "203.0.113.9"]
    {
        assert!(requests.contains(told), "{told}: {requests}");
    }
    assert!(requests.contains("The cost limit did not cover it. $1.99 of $2.00 used."), "{requests}");
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn for_others_there_is_no_such_key_and_a_viewer_changes_nothing(pool: PgPool) {
    let (console, mut ada, slug, address) = one_key(pool).await;
    let (mut bob, theirs) = console.signed_in("bob@example.com").await;
    let id = address.rsplit('/').next().unwrap().to_owned();
    for path in [address.clone(), format!("/a/{theirs}/keys/{id}")] {
        for part in ["", "/rotate", "/delete", "/edit"] {
            let missing = bob.get(&format!("{path}{part}")).await;
            assert_eq!(missing.status, StatusCode::NOT_FOUND, "{path}{part}");
        }
        let posted = bob
            .post(&format!("{path}/secret"), &[("form_id", &id), ("row_version", "1"), ("overlap", "now")])
            .await;
        assert_eq!(posted.status, StatusCode::NOT_FOUND);
    }
    console.set_role("bob@example.com", &slug, "viewer").await;
    let seen = bob.get(&address).await;
    assert_eq!(seen.status, StatusCode::OK);
    assert!(!seen.text().contains("Rotate") && !seen.text().contains("Delete"), "{}", seen.text());
    for part in ["/rotate", "/delete", "/edit"] {
        assert_eq!(bob.get(&format!("{address}{part}")).await.status, StatusCode::FORBIDDEN, "{part}");
    }
    let posted = bob
        .post(&format!("{address}/secret"), &[("form_id", &id), ("row_version", "1"), ("overlap", "now")])
        .await;
    assert_eq!(posted.status, StatusCode::FORBIDDEN);
    assert_eq!(console.count("SELECT count(*) FROM key_secrets").await, 1);
    assert_eq!(ada.get(&address).await.status, StatusCode::OK);
}
