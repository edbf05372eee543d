//! The operator's own permissions: who may change them, what collides, what gateways read.

use domain::own_route::{Method, Template, check_name};
use domain::rule::Permission;
use sqlx::PgPool;
use uuid::Uuid;

use super::super::permissions::{self, Route, SavePermissionError, Setup};
use super::super::{OperatorTx, events, upstreams};
use super::{ADA, console, open, provider};
use crate::connect::as_role;
use crate::{TenantTx, new_id, own_routes, policy};

fn route(method: Method, path: &str, upstream: Uuid, price: i64) -> Route {
    let upstream_path = path.trim_start_matches("/v1").to_owned();
    Route { method, path: path.to_owned(), upstream, upstream_path, price }
}

fn setup(routes: Vec<Route>) -> Setup {
    Setup { allows: "Read characters".to_owned(), routes, enabled: true }
}

async fn upstream(tx: &mut OperatorTx) -> Uuid {
    let id = new_id();
    upstreams::insert(tx, id, &provider("characters")).await.unwrap();
    id
}

#[sqlx::test(migrator = "crate::MIGRATOR")]
async fn a_permission_is_read_by_gateways_and_written_by_operators_alone(pool: PgPool) {
    let console = console(&pool).await;
    let mut tx = open(&console, &ADA).await.unwrap();
    let there = upstream(&mut tx).await;
    let wanted = setup(vec![
        route(Method::Get, "/v1/characters", there, 0),
        route(Method::Get, "/v1/characters/{id}", there, 2_000_000),
    ]);
    permissions::insert(&mut tx, "character_info", &wanted).await.unwrap();
    let found = permissions::find(tx.connection(), "character_info").await.unwrap().unwrap();
    assert_eq!((found.setup, found.row_version), (wanted.clone(), 1));
    tx.commit().await.unwrap();
    let used = upstreams::find(&pool, there).await.unwrap().unwrap();
    assert_eq!(used.routes, ["GET /v1/characters", "GET /v1/characters/{id}"]);

    let gateway = as_role(&pool, "latchkey_gateway").await.unwrap();
    let served = own_routes::list(&gateway).await.unwrap();
    let told: Vec<_> = served.iter().map(|r| (r.permission.as_str(), r.path.as_str(), r.price)).collect();
    let name = "character_info";
    assert_eq!(told, [(name, "/v1/characters", 0), (name, "/v1/characters/{id}", 2_000_000)]);

    let before = policy::version(&pool).await.unwrap();
    let mut tx = open(&console, &ADA).await.unwrap();
    let archived = Setup { enabled: false, ..wanted };
    permissions::update(&mut tx, "character_info", &archived, 1).await.unwrap();
    tx.commit().await.unwrap();
    assert!(policy::version(&pool).await.unwrap() > before, "gateways are told");
    assert!(own_routes::list(&gateway).await.unwrap().is_empty(), "archived routes do not exist");

    let account = crate::accounts::tests::account(&pool, "carol").await;
    for statement in [
        "INSERT INTO own_permissions (name, allows) VALUES ('planted', 'x')",
        "UPDATE own_permissions SET enabled = true",
        "UPDATE own_routes SET price = 0",
        "DELETE FROM own_routes",
    ] {
        let mut tx = TenantTx::begin(&console, account.id).await.unwrap();
        let refused = sqlx::raw_sql(statement).execute(tx.connection()).await.unwrap_err();
        assert!(refused.to_string().contains("only an operator"), "{statement}: {refused}");
        let refused = sqlx::raw_sql(statement).execute(&gateway).await.unwrap_err();
        assert!(refused.to_string().contains("permission denied"), "{statement}: {refused}");
    }
    let mut tx = open(&console, &ADA).await.unwrap();
    let refused = sqlx::raw_sql("DELETE FROM own_permissions").execute(tx.connection()).await.unwrap_err();
    assert!(refused.to_string().contains("permission denied"), "keys may name it: {refused}");
}

#[sqlx::test(migrator = "crate::MIGRATOR")]
async fn every_change_is_in_the_operator_s_log(pool: PgPool) {
    let console = console(&pool).await;
    let mut tx = open(&console, &ADA).await.unwrap();
    let there = upstream(&mut tx).await;
    let first = setup(vec![
        route(Method::Get, "/v1/a", there, 1),
        route(Method::Get, "/v1/b", there, 1),
        route(Method::Get, "/v1/c/{x}", there, 1),
    ]);
    permissions::insert(&mut tx, "own", &first).await.unwrap();
    let second = setup(vec![
        route(Method::Get, "/v1/a", there, 1),
        route(Method::Get, "/v1/b", there, 2),
        route(Method::Post, "/v1/b", there, 3),
    ]);
    permissions::update(&mut tx, "own", &second, 1).await.unwrap();
    assert_eq!(permissions::find(tx.connection(), "own").await.unwrap().unwrap().setup, second);
    let events = events::list_newest(&mut tx, 20).await.unwrap();
    tx.commit().await.unwrap();
    let mut told: Vec<(&str, &str)> =
        events.iter().map(|e| (e.action.as_str(), e.target.as_str())).take(7).collect();
    told.sort_unstable();
    assert_eq!(
        told,
        [
            ("permission.added", "own"),
            ("route.added", "/v1/a"),
            ("route.added", "/v1/b"),
            ("route.added", "/v1/b"),
            ("route.added", "/v1/c/{x}"),
            ("route.changed", "/v1/b"),
            ("route.removed", "/v1/c/{x}"),
        ]
    );
    assert!(events.iter().all(|event| event.actor == "ada@example.com"));
}

#[sqlx::test(migrator = "crate::MIGRATOR")]
async fn names_and_routes_are_taken_once(pool: PgPool) {
    let console = console(&pool).await;
    let mut tx = open(&console, &ADA).await.unwrap();
    let there = upstream(&mut tx).await;
    let one = setup(vec![route(Method::Get, "/v1/c/{id}", there, 1)]);
    permissions::insert(&mut tx, "one", &Setup { enabled: false, ..one.clone() }).await.unwrap();
    tx.commit().await.unwrap();

    let mut tx = open(&console, &ADA).await.unwrap();
    let refused = permissions::insert(&mut tx, "one", &setup(Vec::new())).await;
    assert!(matches!(refused, Err(SavePermissionError::NameTaken)), "{refused:?}");
    let same_shape = setup(vec![route(Method::Get, "/v1/c/{name}", there, 1)]);
    drop(tx);
    let mut tx = open(&console, &ADA).await.unwrap();
    match permissions::insert(&mut tx, "two", &same_shape).await {
        Err(SavePermissionError::RouteTaken { method, path, permission }) => {
            assert_eq!((method.as_str(), path.as_str(), permission.as_str()), ("GET", "/v1/c/{id}", "one"));
        }
        other => panic!("{other:?}"),
    }
    drop(tx);
    let mut tx = open(&console, &ADA).await.unwrap();
    let nowhere = setup(vec![route(Method::Get, "/v1/d", new_id(), 1)]);
    let refused = permissions::insert(&mut tx, "two", &nowhere).await;
    assert!(matches!(refused, Err(SavePermissionError::NoSuchUpstream)), "{refused:?}");
    drop(tx);
    let mut tx = open(&console, &ADA).await.unwrap();
    let others =
        setup(vec![route(Method::Post, "/v1/c/{id}", there, 1), route(Method::Get, "/v1/c/me", there, 1)]);
    permissions::insert(&mut tx, "two", &others).await.unwrap();
    let renamed = setup(vec![route(Method::Get, "/v1/c/{name}", there, 1)]);
    permissions::update(&mut tx, "one", &renamed, 1).await.unwrap();
    let stale = permissions::update(&mut tx, "one", &one, 1).await;
    assert!(matches!(stale, Err(SavePermissionError::Stale)), "{stale:?}");
    let by_hand = "INSERT INTO own_routes (permission, method, path, upstream_id, upstream_path, price)
                   SELECT 'two', 'GET', '/v1/c/{x}', upstream_id, '/x', 1 FROM own_routes LIMIT 1";
    let refused = sqlx::raw_sql(by_hand).execute(tx.connection()).await.unwrap_err();
    assert!(refused.to_string().contains("own_routes_pkey"), "{refused}");
}

/// The table's CHECKs and the rules of `domain` refuse the same names and paths.
#[sqlx::test(migrator = "crate::MIGRATOR")]
async fn the_database_knows_the_same_rules(pool: PgPool) {
    let console = console(&pool).await;
    let mut tx = open(&console, &ADA).await.unwrap();
    let there = upstream(&mut tx).await;
    permissions::insert(&mut tx, "own", &setup(Vec::new())).await.unwrap();
    tx.commit().await.unwrap();
    let long = format!("/v1/{}", "a".repeat(197));
    let paths = [
        "/v1/characters",
        "/v1/characters/{id}",
        "/v1/images/edits",
        "/v1/chat/{id}/{message}",
        "/v1/completions/{id}",
        "/v1/keys",
        "/v1/a/b/c/d/e/f/g/h",
        "/v1/a/b/c/d/e/f/g/h/i",
        "/v1/{all}",
        "/v1/",
        "/v1/a/",
        "/v1//a",
        "/v1/..",
        "/v1/a/../b",
        "/v1/a/.",
        "/v1/a%2fb",
        "/v1/a;b",
        "/v1/a b",
        "/v1/a?b",
        "/v1/a\nb",
        "/v1/ä",
        "/v2/a",
        "a",
        "",
        "/v1/a/{Id}",
        "/v1/a/{}",
        "/v1/a/x{id}",
        "/v1/chat/{x}",
        "/v1/images/{x}",
        "/v1/audio/{x}",
        "/v1/key",
        "/v1/key/rotate",
        "/v1/key/{x}",
        "/v1/models/{x}/{y}",
        "/v1/models/x",
        &long,
        &long[..200],
    ];
    let built_in = domain::catalogue::CATALOGUE.iter().flat_map(|entry| entry.routes).map(|(_, path)| *path);
    for path in paths.into_iter().chain(built_in) {
        let mut tx = open(&console, &ADA).await.unwrap();
        let row = Route { upstream_path: "/x".to_owned(), ..route(Method::Get, path, there, 1) };
        let taken = permissions::update(&mut tx, "own", &setup(vec![row]), 1).await;
        assert_eq!(taken.is_ok(), Template::parse(path).is_ok(), "{path}: {taken:?}");
    }
    let names = [
        "text_generation",
        "a:b",
        "a",
        "",
        "A",
        "1a",
        "a-b",
        "a:",
        ":a",
        "a:b:c",
        "key:rotate",
        "models",
        "a\n",
    ];
    for name in names.into_iter().chain(Permission::CATALOGUE) {
        let mut tx = open(&console, &ADA).await.unwrap();
        let taken = permissions::insert(&mut tx, name, &setup(Vec::new())).await;
        assert_eq!(taken.is_ok(), check_name(name).is_ok(), "{name}: {taken:?}");
    }
    for statement in [
        "UPDATE own_routes SET price = -1",
        "UPDATE own_routes SET price = 100000000001",
        "UPDATE own_routes SET method = 'HEAD'",
        "UPDATE own_routes SET upstream_path = '/../x'",
        "UPDATE own_permissions SET allows = ''",
    ] {
        let mut tx = open(&console, &ADA).await.unwrap();
        let row = route(Method::Get, "/v1/z", there, 1);
        permissions::update(&mut tx, "own", &setup(vec![row]), 1).await.unwrap();
        let refused = sqlx::raw_sql(statement).execute(tx.connection()).await.unwrap_err();
        assert!(refused.to_string().contains("check constraint"), "{statement}: {refused}");
    }
}
