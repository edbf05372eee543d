//! Who may change the operator's tables, and what is written of it.

mod permissions;

use domain::email::EmailAddress;
use domain::money::Price;
use sqlx::PgPool;
use uuid::Uuid;

use super::models::SaveModelError;
use super::upstreams::SaveUpstreamError;
use super::*;
use crate::accounts::tests::account;
use crate::connect::as_role;
use crate::models::Way;
use crate::sessions::{self, NewSession};
use crate::{TenantTx, gateways, new_id, policy};

const ADA: [u8; 32] = [1; 32];
const BOB: [u8; 32] = [2; 32];

/// The console's connection, with a session of ada (the operator) and one of bob.
async fn console(owner: &PgPool) -> PgPool {
    let console = as_role(owner, "latchkey_console").await.unwrap();
    for (slug, token_hash) in [("ada", &ADA), ("bob", &BOB)] {
        let account = account(owner, slug).await;
        let mut tx = TenantTx::begin(&console, account.id).await.unwrap();
        let client = "203.0.113.9".parse().unwrap();
        let new = NewSession { user: account.owner, token_hash, client, user_agent: "test" };
        sessions::open(&mut tx, new).await.unwrap();
        tx.commit().await.unwrap();
    }
    console
}

async fn open(console: &PgPool, token_hash: &[u8; 32]) -> Option<OperatorTx> {
    let operators = [EmailAddress::parse("ada@example.com").unwrap()];
    let client = "203.0.113.9".parse().unwrap();
    let credentials = Credentials { token_hash, operators: &operators, client, user_agent: "test" };
    OperatorTx::begin(console, credentials).await.unwrap()
}

fn setup() -> models::Setup {
    models::Setup {
        aliases: Vec::new(),
        upstream_model: "m".to_owned(),
        ways: Vec::new(),
        price: Some(Price { input: 1, cached_input: 1, output: 2 }),
        price_per_image: None,
        price_per_second: Some(3),
        context_window: Some(8_000),
        max_output: 1_000,
        enabled: true,
    }
}

fn provider(name: &str) -> upstreams::Setup {
    upstreams::Setup {
        name: name.to_owned(),
        base_url: "https://api.example.com/v1".to_owned(),
        secret_name: "UPSTREAM_EUROPE_KEY".to_owned(),
        answer_seconds: 60,
        enabled: true,
    }
}

#[sqlx::test(migrator = "crate::MIGRATOR")]
async fn only_an_operator_s_transaction_writes(pool: PgPool) {
    let console = console(&pool).await;
    crate::models::upsert(&pool, "m", "m", setup().price.unwrap()).await.unwrap();
    let carol = account(&pool, "carol").await;
    for statement in [
        "UPDATE models SET input_price = 0",
        "INSERT INTO models (id, upstream_model) VALUES ('free', 'free')",
        "INSERT INTO upstreams (id, name, base_url, secret_name)
         VALUES (gen_random_uuid(), 'u', 'https://evil.example', 'UPSTREAM_API_KEY')",
        "INSERT INTO model_aliases VALUES ('other', 'm')",
        "DELETE FROM model_aliases",
        "DELETE FROM model_upstreams",
        "SELECT release_gateway(gen_random_uuid())",
    ] {
        let mut tx = TenantTx::begin(&console, carol.id).await.unwrap();
        let refused = sqlx::raw_sql(statement).execute(tx.connection()).await.unwrap_err();
        assert!(refused.to_string().contains("only an operator"), "{statement}: {refused}");
    }
    for statement in [
        "DELETE FROM models",
        "DELETE FROM upstreams",
        "INSERT INTO operator_transactions (id, actor_id, email, client, user_agent)
         SELECT pg_current_xact_id(), gen_random_uuid(), '', '127.0.0.1', ''",
        "DELETE FROM operator_events",
        "SELECT count(*) FROM operator_events",
        "SELECT note_operator_event('a.b', '', NULL, NULL)",
    ] {
        let refused = sqlx::raw_sql(statement).execute(&console).await.unwrap_err();
        assert!(refused.to_string().contains("permission denied"), "{statement}: {refused}");
    }
    let mut tx = open(&console, &ADA).await.unwrap();
    models::update(&mut tx, "m", &setup(), 1).await.unwrap();
    tx.commit().await.unwrap();
    let after = sqlx::raw_sql("UPDATE models SET input_price = 0").execute(&console).await;
    assert!(after.is_err(), "the right ends with its transaction");
}

#[sqlx::test(migrator = "crate::MIGRATOR")]
#[expect(clippy::disallowed_methods, reason = "one statement that nothing else runs")]
async fn nobody_else_opens_one(pool: PgPool) {
    let console = console(&pool).await;
    assert!(open(&console, &BOB).await.is_none(), "signed in, and no operator");
    assert!(open(&console, &[9; 32]).await.is_none(), "nobody's session");
    let seen = sqlx::query_scalar!("SELECT count(*) FROM list_operator_events(9)").fetch_one(&console).await;
    assert_eq!(seen.unwrap(), Some(0));
    assert!(open(&console, &ADA).await.is_some());
    sqlx::query("UPDATE sessions SET ends_at = now()").execute(&pool).await.unwrap();
    assert!(open(&console, &ADA).await.is_none(), "the session is over");
}

#[sqlx::test(migrator = "crate::MIGRATOR")]
async fn a_change_raises_the_version_and_is_written_down_with_it(pool: PgPool) {
    let console = console(&pool).await;
    let mut tx = open(&console, &ADA).await.unwrap();
    models::insert(&mut tx, "m", &setup()).await.unwrap();
    tx.commit().await.unwrap();
    let before = policy::version(&pool).await.unwrap();

    let mut tx = open(&console, &ADA).await.unwrap();
    let dearer = models::Setup {
        price: Some(Price { input: 5, cached_input: 1, output: 2 }),
        price_per_image: Some(40),
        price_per_second: None,
        aliases: vec!["short".to_owned()],
        ..setup()
    };
    let read = async |tx: &mut OperatorTx| models::find(tx.connection(), "m").await.unwrap().unwrap().setup;
    assert_eq!(read(&mut tx).await, setup());
    models::update(&mut tx, "m", &dearer, 1).await.unwrap();
    assert_eq!(read(&mut tx).await, dearer);
    let events = events::list_newest(&mut tx, 10).await.unwrap();
    tx.commit().await.unwrap();

    assert!(policy::version(&pool).await.unwrap() > before);
    let told: Vec<(&str, &str, &str)> =
        events.iter().map(|e| (e.action.as_str(), e.target.as_str(), e.actor.as_str())).collect();
    let ada = "ada@example.com";
    assert_eq!(told, [("alias.added", "m", ada), ("model.changed", "m", ada), ("model.added", "m", ada)]);
    let prices = |row: &Option<serde_json::Value>| {
        ["input_price", "price_per_image", "price_per_second"]
            .map(|column| row.as_ref().unwrap()[column].as_i64())
    };
    assert_eq!(prices(&events[1].before), [Some(1), None, Some(3)]);
    assert_eq!(prices(&events[1].after), [Some(5), Some(40), None]);
    let offered = crate::models::list(&pool).await.unwrap().remove(0);
    assert_eq!((offered.price_per_image, offered.price_per_second), (Some(40), None), "what gateways read");

    crate::models::upsert(&pool, "by-hand", "m", setup().price.unwrap()).await.unwrap();
    let mut tx = open(&console, &ADA).await.unwrap();
    let newest = events::list_newest(&mut tx, 1).await.unwrap().remove(0);
    assert_eq!(
        (newest.target.as_str(), newest.actor.contains('@')),
        ("by-hand", false),
        "the schema's owner"
    );
}

#[sqlx::test(migrator = "crate::MIGRATOR")]
async fn a_stale_edit_changes_nothing(pool: PgPool) {
    let console = console(&pool).await;
    let mut tx = open(&console, &ADA).await.unwrap();
    models::insert(&mut tx, "m", &setup()).await.unwrap();
    models::update(&mut tx, "m", &setup(), 1).await.unwrap();
    let stale = models::update(&mut tx, "m", &models::Setup { enabled: false, ..setup() }, 1).await;
    assert!(matches!(stale, Err(SaveModelError::Stale)), "{stale:?}");
    let id = new_id();
    upstreams::insert(&mut tx, id, &provider("u")).await.unwrap();
    upstreams::update(&mut tx, id, &provider("v"), 1).await.unwrap();
    let stale = upstreams::update(&mut tx, id, &provider("w"), 1).await;
    assert!(matches!(stale, Err(SaveUpstreamError::Stale)), "{stale:?}");
    tx.commit().await.unwrap();
    assert_eq!(models::find(&pool, "m").await.unwrap().unwrap().row_version, 2);
    assert_eq!(upstreams::find(&pool, id).await.unwrap().unwrap().setup.name, "v");
}

#[sqlx::test(migrator = "crate::MIGRATOR")]
async fn names_belong_to_one_model_and_ways_keep_their_order(pool: PgPool) {
    let console = console(&pool).await;
    let mut tx = open(&console, &ADA).await.unwrap();
    let [first, second] = [new_id(), new_id()];
    upstreams::insert(&mut tx, first, &provider("first")).await.unwrap();
    upstreams::insert(&mut tx, second, &provider("second")).await.unwrap();
    let way = |upstream: Uuid| Way { upstream, upstream_model: "there".to_owned() };
    let named = |names: &[&str], ways: &[Uuid]| models::Setup {
        aliases: names.iter().map(|name| (*name).to_owned()).collect(),
        ways: ways.iter().map(|upstream| way(*upstream)).collect(),
        ..setup()
    };
    models::insert(&mut tx, "a", &named(&["x", "y"], &[second, first])).await.unwrap();
    let ways = |model: Option<models::Model>| {
        model.unwrap().setup.ways.into_iter().map(|way| way.upstream).collect::<Vec<_>>()
    };
    assert_eq!(ways(models::find(tx.connection(), "a").await.unwrap()), [second, first]);
    models::update(&mut tx, "a", &named(&["y", "z"], &[first]), 1).await.unwrap();
    let changed = models::find(tx.connection(), "a").await.unwrap();
    assert_eq!(changed.as_ref().unwrap().setup.aliases, ["y", "z"]);
    assert_eq!(ways(changed), [first]);
    tx.commit().await.unwrap();
    let used = upstreams::find(&pool, first).await.unwrap().unwrap();
    assert_eq!(used.models, ["a"]);

    for (id, names, taken) in
        [("a", &[][..], None), ("z", &[], None), ("b", &["y"], Some("y")), ("b", &["a"], Some("a"))]
    {
        let mut tx = open(&console, &ADA).await.unwrap();
        let refused = models::insert(&mut tx, id, &named(names, &[])).await;
        match (refused, taken) {
            (Err(SaveModelError::NameTaken), None) => {}
            (Err(SaveModelError::AliasTaken(name)), Some(taken)) => assert_eq!(name, taken),
            other => panic!("{id} {names:?}: {other:?}"),
        }
    }
    let mut tx = open(&console, &ADA).await.unwrap();
    let refused = models::insert(&mut tx, "c", &named(&[], &[new_id()])).await;
    assert!(matches!(refused, Err(SaveModelError::NoSuchUpstream)), "{refused:?}");
    let mut tx = open(&console, &ADA).await.unwrap();
    let refused = upstreams::insert(&mut tx, new_id(), &provider("first")).await;
    assert!(matches!(refused, Err(SaveUpstreamError::NameTaken)), "{refused:?}");
}

#[sqlx::test(migrator = "crate::MIGRATOR")]
async fn an_operator_releases_what_a_silent_gateway_holds(pool: PgPool) {
    let console = console(&pool).await;
    let gateway = Uuid::from_u128(7);
    gateways::acknowledge(&pool, gateway, "gw", 1).await.unwrap();
    sqlx::raw_sql(
        "INSERT INTO limits (id, account_id, measure, amount, period)
         SELECT gen_random_uuid(), id, 'cost', 1000, 'never' FROM accounts;
         SELECT take_lease('00000000-0000-0000-0000-000000000007', id, 100, 100) FROM limits",
    )
    .execute(&pool)
    .await
    .unwrap();
    let mut tx = open(&console, &ADA).await.unwrap();
    let held = fleet::list_held(&mut tx).await.unwrap();
    assert_eq!(held, [fleet::Held { gateway, measure: "cost".to_owned(), leases: 2, amount: 200 }]);
    assert_eq!(fleet::release(&mut tx, gateway).await.unwrap(), fleet::Released::Heard);
    drop(tx);
    sqlx::raw_sql("UPDATE gateways SET heard_at = now() - interval '1 minute'").execute(&pool).await.unwrap();
    let mut tx = open(&console, &ADA).await.unwrap();
    assert_eq!(fleet::release(&mut tx, gateway).await.unwrap(), fleet::Released::Limits(2));
    assert!(fleet::list_held(&mut tx).await.unwrap().is_empty());
    assert_eq!(fleet::release(&mut tx, gateway).await.unwrap(), fleet::Released::Limits(0));
    let newest = events::list_newest(&mut tx, 1).await.unwrap().remove(0);
    assert_eq!((newest.action.as_str(), newest.target.as_str()), ("gateway.released", "gw"));
    tx.commit().await.unwrap();
    assert_eq!(gateways::find_fence(&pool, gateway).await.unwrap(), 2);
}
