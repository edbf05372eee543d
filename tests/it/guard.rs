//! Every server function asks who calls, unless it is on the short list below.

use std::collections::BTreeSet;

use axum::http::{Method, StatusCode};
use leptos::server_fn::ServerFn;
use leptos::server_fn::axum::server_fn_paths;
use sqlx::PgPool;

use latchkey::appearance::SetTheme;
use latchkey::auth;
use latchkey::keys::{LoadKeys, LoadNewKey, LoadRevoke, RevokeKey, SetKeyEnabled};
use latchkey::operator;

use crate::support::TestConsole;

/// What a person without a session may call.
const FOR_ANYBODY: [&str; 7] = [
    auth::LoadLogin::PATH,
    auth::LoadCode::PATH,
    auth::LoadUnknown::PATH,
    auth::RequestCode::PATH,
    auth::RedeemCode::PATH,
    auth::SignOut::PATH,
    // Changes a cookie of the browser that asks, nothing else.
    SetTheme::PATH,
];

/// What exists for operators only: for everybody else it is missing.
const FOR_OPERATORS: [&str; 10] = [
    operator::LoadOperator::PATH,
    operator::LoadOperatorModels::PATH,
    operator::LoadOperatorModel::PATH,
    operator::LoadOperatorUpstreams::PATH,
    operator::LoadOperatorUpstream::PATH,
    operator::LoadOperatorPermissions::PATH,
    operator::LoadOperatorPermission::PATH,
    operator::LoadOperatorGateways::PATH,
    operator::LoadOperatorRelease::PATH,
    operator::ReleaseGateway::PATH,
];

/// A value for every argument of every function, so that none is refused for lack of one.
const ARGUMENTS: [(&str, &str); 13] = [
    ("slug", "ada"),
    ("key", "01932f2a-0000-7000-8000-000000000001"),
    ("query", ""),
    ("after", ""),
    ("tab", "overview"),
    ("before", ""),
    ("enabled", "true"),
    ("row_version", "1"),
    ("name", "x"),
    ("model", "x"),
    ("permission", "x"),
    ("upstream", "01932f2a-0000-7000-8000-000000000001"),
    ("gateway", "01932f2a-0000-7000-8000-000000000001"),
];

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_stranger_is_turned_away_from_every_function(pool: PgPool) {
    let console = TestConsole::new(pool).await;
    console.signed_in("ada@example.com").await;
    let mut stranger = console.browser();
    let mut walked = BTreeSet::new();
    for (path, _) in server_fn_paths() {
        walked.insert(path);
        if FOR_ANYBODY.contains(&path) {
            continue;
        }
        let answer = stranger.call(path, &ARGUMENTS).await;
        if FOR_OPERATORS.contains(&path) {
            assert_eq!(
                (answer.status, answer.body.as_str()),
                (StatusCode::NOT_FOUND, r#"{"kind":"not_found"}"#),
                "{path}"
            );
            continue;
        }
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{path}: {}", answer.body);
        assert_eq!(answer.body, r#"{"kind":"unauthenticated"}"#, "{path}");
        let form = stranger.post(path, &ARGUMENTS).await;
        assert_eq!((form.status, form.location()), (StatusCode::SEE_OTHER, "/login"), "{path}");
    }
    let guarded = [LoadKeys::PATH, LoadNewKey::PATH, LoadRevoke::PATH, RevokeKey::PATH, SetKeyEnabled::PATH];
    for known in FOR_ANYBODY.iter().chain(&FOR_OPERATORS).chain(&guarded) {
        assert!(walked.contains(known), "{known} is not registered, so the walk proves nothing");
    }
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn no_function_answers_a_get(pool: PgPool) {
    let console = TestConsole::new(pool).await;
    let mut browser = console.browser();
    for (path, method) in server_fn_paths() {
        assert_eq!(method, Method::POST, "{path} could be called by a link");
        assert_eq!(browser.get(path).await.status, StatusCode::METHOD_NOT_ALLOWED, "{path}");
    }
}
