//! Keys against a real database, as the console's role.

use domain::key_query::{KeyQuery, StateFilter};
use domain::secret::{ENTROPY, KeyPrefix, Pepper, PlainSecret};
use sqlx::PgPool;

use super::*;
use crate::accounts::tests::{TestAccount, account};
use crate::connect::as_role;
use crate::policy;

/// Makes a key named `name`; its secret follows from `seed`.
pub(crate) async fn make_key(
    console: &PgPool,
    account: TestAccount,
    name: &str,
    seed: u8,
) -> Result<(KeyId, PlainSecret), InsertKeyError> {
    let mut tx = TenantTx::begin(console, account.id).await.unwrap();
    let secret = PlainSecret::from_entropy(&KeyPrefix::parse("sk-lk-").unwrap(), &[seed; ENTROPY]);
    let id = KeyId(crate::new_id());
    let new = NewKey {
        id,
        setup: &Setup::named(KeyName::parse(name).unwrap(), account.group),
        created_by: account.owner,
        secret: NewSecret {
            public_id: &secret.public_id(),
            digest: Pepper::new(b"test pepper", 1).digest(&secret),
            pepper_version: 1,
            prefix: "sk-lk-",
            last4: secret.last4(),
            form_id: Uuid::from_bytes([seed; 16]),
        },
    };
    insert(&mut tx, new).await?;
    tx.commit().await.unwrap();
    Ok((id, secret))
}

pub(crate) async fn status_to(
    console: &PgPool,
    account: TestAccount,
    key: KeyId,
    to: KeyStatus,
) -> StatusChange {
    let mut tx = TenantTx::begin(console, account.id).await.unwrap();
    let change = set_status(&mut tx, key, to).await.unwrap();
    tx.commit().await.unwrap();
    change
}

#[sqlx::test(migrator = "crate::MIGRATOR")]
async fn a_made_key_is_listed_without_its_secret(pool: PgPool) {
    let acme = account(&pool, "acme").await;
    let console = as_role(&pool, "latchkey_console").await.unwrap();
    let (id, secret) = make_key(&console, acme, "build-bot", 1).await.unwrap();
    let mut tx = TenantTx::begin(&console, acme.id).await.unwrap();
    let found = find_page(&mut tx, &KeyQuery::default(), 50).await.unwrap();
    let keys = list_by_ids(&mut tx, &found.keys).await.unwrap();
    assert_eq!(keys.len(), 1);
    let key = &keys[0].key;
    assert_eq!((key.id, key.name.as_str(), key.requests), (id, "build-bot", 0));
    assert_eq!((key.last4.as_str(), key.last_used_at), (secret.last4(), None));
    assert_eq!((keys[0].group.as_str(), keys[0].maker.as_deref()), ("default", Some("acme@example.com")));
    assert!(!format!("{keys:?}").contains(&secret.expose()[20..60]));
}

#[sqlx::test(migrator = "crate::MIGRATOR")]
async fn a_second_live_key_of_the_same_name_is_refused(pool: PgPool) {
    let acme = account(&pool, "acme").await;
    let other = account(&pool, "other").await;
    let console = as_role(&pool, "latchkey_console").await.unwrap();
    let (id, _) = make_key(&console, acme, "Build-Bot", 1).await.unwrap();
    let refused = make_key(&console, acme, "build-bot", 2).await.unwrap_err();
    assert!(matches!(refused, InsertKeyError::NameTaken), "{refused}");
    make_key(&console, other, "build-bot", 3).await.unwrap();
    status_to(&console, acme, id, KeyStatus::Revoked).await;
    make_key(&console, acme, "build-bot", 4).await.unwrap();
}

#[sqlx::test(migrator = "crate::MIGRATOR")]
async fn a_deleted_key_is_nowhere_and_its_name_is_free(pool: PgPool) {
    let acme = account(&pool, "acme").await;
    let other = account(&pool, "other").await;
    let console = as_role(&pool, "latchkey_console").await.unwrap();
    let (id, _) = make_key(&console, acme, "one", 1).await.unwrap();
    let deleted = async |account: TestAccount| {
        let mut tx = TenantTx::begin(&console, account.id).await.unwrap();
        let deleted = delete(&mut tx, id).await.unwrap();
        tx.commit().await.unwrap();
        deleted
    };
    assert_eq!(deleted(other).await, None, "another account's key is no key");
    assert_eq!(deleted(acme).await.as_deref(), Some("one"));
    assert_eq!(deleted(acme).await, None);
    let mut tx = TenantTx::begin(&console, acme.id).await.unwrap();
    assert!(find(&mut tx, id).await.unwrap().is_none() && find_setup(&mut tx, id).await.unwrap().is_none());
    drop(tx);
    make_key(&console, acme, "one", 2).await.unwrap();
}

#[sqlx::test(migrator = "crate::MIGRATOR")]
async fn a_form_makes_one_key_however_often_it_is_sent(pool: PgPool) {
    let acme = account(&pool, "acme").await;
    let console = as_role(&pool, "latchkey_console").await.unwrap();
    let (id, _) = make_key(&console, acme, "one", 7).await.unwrap();
    let refused = make_key(&console, acme, "two", 7).await.unwrap_err();
    assert!(matches!(refused, InsertKeyError::FormUsed(made) if made == id), "{refused}");
}

#[sqlx::test(migrator = "crate::MIGRATOR")]
async fn the_same_form_sent_many_times_at_once_makes_one_key(pool: PgPool) {
    let acme = account(&pool, "acme").await;
    let console = as_role(&pool, "latchkey_console").await.unwrap();
    let sent: Vec<_> = (0..8)
        .map(|_| {
            let console = console.clone();
            tokio::spawn(async move { make_key(&console, acme, "one", 7).await })
        })
        .collect();
    let (mut made, mut repeated) = (0, 0);
    for outcome in sent {
        match outcome.await.unwrap() {
            Ok(_) => made += 1,
            Err(InsertKeyError::FormUsed(_)) => repeated += 1,
            Err(other) => panic!("{other}"),
        }
    }
    assert_eq!((made, repeated), (1, 7));
}

#[sqlx::test(migrator = "crate::MIGRATOR")]
async fn a_key_is_switched_until_it_is_revoked(pool: PgPool) {
    let acme = account(&pool, "acme").await;
    let console = as_role(&pool, "latchkey_console").await.unwrap();
    let (id, _) = make_key(&console, acme, "one", 1).await.unwrap();
    let name = || "one".to_owned();
    let to = async |status| status_to(&console, acme, id, status).await;
    assert_eq!(
        to(KeyStatus::Disabled).await,
        StatusChange::Changed { from: KeyStatus::Enabled, name: name() }
    );
    assert_eq!(to(KeyStatus::Disabled).await, StatusChange::Unchanged { name: name() });
    assert_eq!(
        to(KeyStatus::Enabled).await,
        StatusChange::Changed { from: KeyStatus::Disabled, name: name() }
    );
    assert_eq!(
        to(KeyStatus::Revoked).await,
        StatusChange::Changed { from: KeyStatus::Enabled, name: name() }
    );
    assert_eq!(to(KeyStatus::Enabled).await, StatusChange::Refused { from: KeyStatus::Revoked });
    let mut tx = TenantTx::begin(&console, acme.id).await.unwrap();
    assert_eq!(tally(&mut tx).await.unwrap(), Tally { revoked: 1, ..Tally::default() });
    assert!(find_page(&mut tx, &KeyQuery::default(), 50).await.unwrap().keys.is_empty());
    let revoked = KeyQuery { state: StateFilter::Revoked, ..KeyQuery::default() };
    assert_eq!(find_page(&mut tx, &revoked, 50).await.unwrap().keys, [id]);
}

#[sqlx::test(migrator = "crate::MIGRATOR")]
async fn another_accounts_key_is_not_found(pool: PgPool) {
    let acme = account(&pool, "acme").await;
    let other = account(&pool, "other").await;
    let console = as_role(&pool, "latchkey_console").await.unwrap();
    let (id, _) = make_key(&console, acme, "one", 1).await.unwrap();
    assert_eq!(status_to(&console, other, id, KeyStatus::Revoked).await, StatusChange::NotFound);
    let mut tx = TenantTx::begin(&console, other.id).await.unwrap();
    assert!(find(&mut tx, id).await.unwrap().is_none());
    assert!(find_page(&mut tx, &KeyQuery::default(), 50).await.unwrap().keys.is_empty());
    assert!(list_by_ids(&mut tx, &[id]).await.unwrap().is_empty());
}

#[sqlx::test(migrator = "crate::MIGRATOR")]
async fn every_change_of_a_key_raises_the_policy_version(pool: PgPool) {
    let acme = account(&pool, "acme").await;
    let console = as_role(&pool, "latchkey_console").await.unwrap();
    let gateway = as_role(&pool, "latchkey_gateway").await.unwrap();
    let before = policy::version(&gateway).await.unwrap();
    let (id, secret) = make_key(&console, acme, "one", 1).await.unwrap();
    let made = policy::version(&gateway).await.unwrap();
    assert!(made > before);
    let changes = policy::list_changes(&gateway, before).await.unwrap();
    assert_eq!(changes.keys, [id]);
    let records = policy::find_secrets(&gateway, &[id]).await.unwrap();
    assert_eq!(records.len(), 1);
    assert_eq!(records[0].digest, Pepper::new(b"test pepper", 1).digest(&secret).0);
    assert_eq!(records[0].status, KeyStatus::Enabled);
    status_to(&console, acme, id, KeyStatus::Disabled).await;
    let changes = policy::list_changes(&gateway, made).await.unwrap();
    assert_eq!((changes.version, changes.keys.as_slice()), (made + 1, [id].as_slice()));
    assert_eq!(policy::find_secrets(&gateway, &[id]).await.unwrap()[0].status, KeyStatus::Disabled);
}
