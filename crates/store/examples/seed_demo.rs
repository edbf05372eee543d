//! Fills a development database: account Acme of demo@example.com with active billing, models with prices and one
//! API key. Prints one JSON line `{"email","slug","secret"}`; `secret` is null when the key was made by an earlier run.
//!
//! Needs `DATABASE_URL` of the schema's owner and the `KEY_PEPPER` and `KEY_PREFIX` the programs run with.

use domain::email::EmailAddress;
use domain::key::KeyName;
use domain::money::Price;
use domain::secret::{ENTROPY, KeyPrefix, Pepper, PlainSecret};
use domain::{AccountId, GroupId, KeyId};
use sqlx::PgPool;
use store::accounts::{BillingMode, NewAccount};
use store::keys::{InsertKeyError, NewKey, NewSecret};
use store::{TenantTx, accounts, keys, models, new_id, sign_in};
use uuid::Uuid;

const EMAIL: &str = "demo@example.com";
const SLUG: &str = "acme";
/// The demo key's form id: a second run finds the key of the first by it.
const FORM: Uuid = Uuid::from_u128(0x0de0_0000_0000_7000_8000_0000_0000_0001);

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let pool = PgPool::connect(&setting("DATABASE_URL")?).await?;
    seed_models(&pool).await?;
    let account = seed_account(&pool).await?;
    let secret = seed_key(&pool, account).await?;
    print_line(secret.as_ref().map(PlainSecret::expose));
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "a development tool of its own, not one of the programs")]
fn setting(name: &str) -> Result<String> {
    std::env::var(name).map_err(|_| format!("{name} is not set").into())
}

#[expect(clippy::print_stdout, reason = "its output is its purpose")]
fn print_line(secret: Option<&str>) {
    println!("{}", serde_json::json!({ "email": EMAIL, "slug": SLUG, "secret": secret }));
}

/// The list prices of well-known models, in nano-dollars per million tokens.
async fn seed_models(pool: &PgPool) -> Result<()> {
    let price = |input, cached_input, output| Price { input, cached_input, output };
    for (id, price) in [
        ("gpt-4o-mini", price(150_000_000, 75_000_000, 600_000_000)),
        ("gpt-4o", price(2_500_000_000, 1_250_000_000, 10_000_000_000)),
        ("text-embedding-3-small", price(20_000_000, 20_000_000, 0)),
        ("gpt-image-1", price(5_000_000_000, 1_250_000_000, 40_000_000_000)),
    ] {
        models::upsert(pool, id, id, price).await?;
    }
    Ok(())
}

async fn seed_account(pool: &PgPool) -> Result<accounts::Membership> {
    let owner = sign_in::find_or_make_user(pool, &EmailAddress::parse(EMAIL)?).await?;
    if accounts::list_of_user(pool, owner).await?.is_empty() {
        let account = NewAccount {
            id: AccountId(new_id()),
            group: GroupId(new_id()),
            owner,
            slug: SLUG,
            name: "Acme",
            billing: BillingMode::Invoiced,
        };
        accounts::open(pool, account).await?;
    }
    let found = accounts::list_of_user(pool, owner).await?.into_iter().next();
    found.ok_or_else(|| "the demo account is missing".into())
}

async fn seed_key(pool: &PgPool, account: accounts::Membership) -> Result<Option<PlainSecret>> {
    let owner = sign_in::find_or_make_user(pool, &EmailAddress::parse(EMAIL)?).await?;
    let prefix = KeyPrefix::parse(&setting("KEY_PREFIX").unwrap_or_else(|_| "sk-lk-".to_owned()))?;
    let mut entropy = [0; ENTROPY];
    getrandom::fill(&mut entropy)?;
    let secret = PlainSecret::from_entropy(&prefix, &entropy);
    let mut tx = TenantTx::begin(pool, account.account_id).await?;
    let group =
        accounts::find_default_group(&mut tx).await?.ok_or("the demo account has no default group")?;
    let new = NewKey {
        id: KeyId(new_id()),
        setup: &keys::Setup::named(KeyName::parse("Demo key")?, group),
        created_by: owner,
        secret: NewSecret {
            public_id: &secret.public_id(),
            digest: Pepper::new(setting("KEY_PEPPER")?.as_bytes(), 1).digest(&secret),
            pepper_version: 1,
            prefix: prefix.as_str(),
            last4: secret.last4(),
            form_id: FORM,
        },
    };
    match keys::insert(&mut tx, new).await {
        Ok(()) => {
            tx.commit().await?;
            Ok(Some(secret))
        }
        Err(InsertKeyError::FormUsed(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}
