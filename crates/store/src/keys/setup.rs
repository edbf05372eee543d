//! What of a key can be set: read, made, changed. One transaction holds the key, its rules and its limits together.

use domain::key::{KeyName, KeyStatus};
use domain::limit::{Fit, Measure, Period};
use domain::money::NanoUsd;
use domain::{AccountId, GroupId, KeyId};
use ipnet::IpNet;
use time::OffsetDateTime;

use crate::TenantTx;
use crate::limits::{self, Subject, Terms};

/// What of a key can be set.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Setup {
    /// Its name.
    pub name: KeyName,
    /// What else there is to know of it; empty is nothing.
    pub note: String,
    /// Its group.
    pub group: GroupId,
    /// Its environment.
    pub environment: Option<String>,
    /// When it ends; `None` is never.
    pub expires_at: Option<OffsetDateTime>,
    /// The networks that may use it; `None` is any.
    pub addresses: Option<Vec<IpNet>>,
    /// What it may do; `None` is everything, later permissions included.
    pub permissions: Option<Vec<String>>,
    /// Which models it may use; `None` is all, later ones included.
    pub models: Option<Vec<String>>,
    /// Requests in any 60 s; `None` is no limit.
    pub requests_per_minute: Option<i32>,
    /// What happens to a request whose worst case does not fit a limit.
    pub fit: Fit,
    /// What it may cost in each period; `None` is no limit.
    pub cost: Option<NanoUsd>,
    /// How many tokens it may use in each period; `None` is no limit.
    pub tokens: Option<i64>,
    /// When both of these start anew.
    pub period: Period,
}

impl Setup {
    /// A key of `group` that is called `name` and may do everything.
    #[must_use]
    pub fn named(name: KeyName, group: GroupId) -> Self {
        Self {
            name,
            note: String::new(),
            group,
            environment: None,
            expires_at: None,
            addresses: None,
            permissions: None,
            models: None,
            requests_per_minute: None,
            fit: Fit::default(),
            cost: None,
            tokens: None,
            period: Period::Never,
        }
    }
}

/// A key as it is set up.
#[derive(Clone, Debug)]
pub struct Found {
    /// What can be changed.
    pub setup: Setup,
    /// What was decided about it.
    pub status: KeyStatus,
    /// The version of the row; an edit names the one it was based on.
    pub row_version: i64,
    /// From where it was used last.
    pub last_address: Option<IpNet>,
    /// The current secret's public id.
    pub public_id: String,
    /// The database's time.
    pub now: OffsetDateTime,
}

/// One key's setup, unless it is deleted or another account's.
pub async fn find_setup(tx: &mut TenantTx, id: KeyId) -> sqlx::Result<Option<Found>> {
    let account = tx.account();
    let found = sqlx::query!(
        r#"SELECT k.name AS "name: KeyName", k.note, k.group_id AS "group: GroupId", k.environment, k.expires_at,
                  k.addresses AS "addresses: Vec<IpNet>", k.permissions, k.models, k.requests_per_minute,
                  k.fit AS "fit: Fit", k.status AS "status: KeyStatus", k.row_version,
                  t.last_address AS "last_address: IpNet", s.public_id, now() AS "now!"
           FROM api_keys k
           JOIN key_secrets s ON s.account_id = k.account_id AND s.key_id = k.id AND s.ends_at IS NULL
           JOIN key_stats t ON t.key_id = k.id
           WHERE k.account_id = $1 AND k.id = $2 AND k.status <> 'deleted'"#,
        account as AccountId,
        id as KeyId,
    )
    .fetch_optional(tx.connection())
    .await?;
    let Some(found) = found else { return Ok(None) };
    let standings = limits::list(tx, Subject::Key(id)).await?;
    let amount = |measure| {
        standings
            .iter()
            .find(|standing| standing.terms.measure == measure)
            .map(|standing| standing.terms.amount)
    };
    Ok(Some(Found {
        setup: Setup {
            name: found.name,
            note: found.note,
            group: found.group,
            environment: found.environment,
            expires_at: found.expires_at,
            addresses: found.addresses,
            permissions: found.permissions,
            models: found.models,
            requests_per_minute: found.requests_per_minute,
            fit: found.fit,
            cost: amount(Measure::Cost).map(NanoUsd),
            tokens: amount(Measure::Tokens),
            period: standings.first().map_or(Period::Never, |standing| standing.terms.period),
        },
        status: found.status,
        row_version: found.row_version,
        last_address: found.last_address,
        public_id: found.public_id,
        now: found.now,
    }))
}

/// Why a key was not changed.
#[derive(Debug, thiserror::Error)]
pub enum UpdateKeyError {
    /// Another live key of the account has this name.
    #[error("the name is taken")]
    NameTaken,
    /// The group is archived, or not of this account.
    #[error("no such group")]
    NoSuchGroup,
    /// There is no such key, it is revoked, or it was changed since the version the edit was based on.
    #[error("the key was changed meanwhile")]
    Stale,
    /// The database failed.
    #[error(transparent)]
    Store(#[from] sqlx::Error),
}

/// Changes a key that is enabled or disabled and was last seen at `row_version`, with its limits. A limit whose amount
/// changes keeps what was spent of it. On an error the transaction is of no further use.
pub async fn update(
    tx: &mut TenantTx,
    id: KeyId,
    setup: &Setup,
    row_version: i64,
) -> Result<(), UpdateKeyError> {
    // Before anything that is policy: see the function.
    sqlx::query_scalar!(r#"SELECT lock_windows_of_key($1) AS "lock: ()""#, id as KeyId)
        .fetch_one(tx.connection())
        .await?;
    let account = tx.account();
    if !takes_keys(tx, setup.group).await? {
        return Err(UpdateKeyError::NoSuchGroup);
    }
    let changed = sqlx::query!(
        "UPDATE api_keys
         SET name = $4, note = $5, group_id = $6, environment = $7, expires_at = $8, addresses = $9, permissions = $10,
             models = $11, requests_per_minute = $12, fit = $13, row_version = row_version + 1
         WHERE account_id = $1 AND id = $2 AND row_version = $3 AND status IN ('enabled', 'disabled')",
        account as AccountId,
        id as KeyId,
        row_version,
        &setup.name as &KeyName,
        setup.note,
        setup.group as GroupId,
        setup.environment,
        setup.expires_at,
        setup.addresses.as_deref() as Option<&[IpNet]>,
        setup.permissions.as_deref(),
        setup.models.as_deref(),
        setup.requests_per_minute,
        setup.fit as Fit,
    )
    .execute(tx.connection())
    .await
    .map_err(|error| match &error {
        sqlx::Error::Database(db) if db.constraint() == Some("api_keys_name_unique") => {
            UpdateKeyError::NameTaken
        }
        _ => error.into(),
    })?;
    if changed.rows_affected() == 0 {
        return Err(UpdateKeyError::Stale);
    }
    set_limits(tx, id, setup).await?;
    Ok(())
}

/// Brings a key's limits to what `setup` says; those that are so already are left alone.
pub(super) async fn set_limits(tx: &mut TenantTx, id: KeyId, setup: &Setup) -> sqlx::Result<()> {
    let subject = Subject::Key(id);
    let present = limits::list(tx, subject).await?;
    let wanted = [(Measure::Cost, setup.cost.map(|cost| cost.0)), (Measure::Tokens, setup.tokens)];
    for (measure, amount) in wanted {
        let now = present.iter().find(|standing| standing.terms.measure == measure).map(|found| found.terms);
        let terms = amount.map(|amount| Terms { measure, amount, period: setup.period });
        if now == terms {
            continue;
        }
        if let Some(terms) = terms {
            limits::put(tx, subject, terms).await?;
        } else {
            limits::remove(tx, subject, measure).await?;
        }
    }
    Ok(())
}

/// A group that takes keys.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GroupChoice {
    /// The group.
    pub id: GroupId,
    /// What it is called.
    pub name: String,
}

/// The groups that take keys, `default` first, the others by name.
pub async fn list_groups(tx: &mut TenantTx) -> sqlx::Result<Vec<GroupChoice>> {
    let account = tx.account();
    sqlx::query_as!(
        GroupChoice,
        r#"SELECT id AS "id: GroupId", name FROM groups WHERE account_id = $1 AND archived_at IS NULL
           ORDER BY lower(name) <> 'default', lower(name)"#,
        account as AccountId,
    )
    .fetch_all(tx.connection())
    .await
}

/// The environments that keys of the account have, by name; the standard ones are the form's to offer.
pub async fn list_environments(tx: &mut TenantTx) -> sqlx::Result<Vec<String>> {
    let account = tx.account();
    // One look-up for each name instead of a walk over all keys.
    sqlx::query_scalar!(
        r#"WITH RECURSIVE names AS (
               (SELECT environment FROM api_keys WHERE account_id = $1 AND environment IS NOT NULL
                ORDER BY environment LIMIT 1)
               UNION ALL
               SELECT (SELECT k.environment FROM api_keys k WHERE k.account_id = $1 AND k.environment > n.environment
                       ORDER BY k.environment LIMIT 1)
               FROM names n WHERE n.environment IS NOT NULL
           )
           SELECT environment AS "environment!" FROM names WHERE environment IS NOT NULL LIMIT 50"#,
        account as AccountId,
    )
    .fetch_all(tx.connection())
    .await
}

/// Whether a group is one of the account's, and not archived.
pub(super) async fn takes_keys(tx: &mut TenantTx, group: GroupId) -> sqlx::Result<bool> {
    let account = tx.account();
    sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT FROM groups WHERE account_id = $1 AND id = $2 AND archived_at IS NULL) AS "is!""#,
        account as AccountId,
        group as GroupId,
    )
    .fetch_one(tx.connection())
    .await
}

#[cfg(test)]
mod tests {
    use sqlx::PgPool;

    use super::*;
    use crate::accounts::tests::{TestAccount, account};
    use crate::connect::as_role;
    use crate::keys::tests::make_key;
    use crate::limits::Standing;

    async fn found(console: &PgPool, account: TestAccount, key: KeyId) -> Found {
        let mut tx = TenantTx::begin(console, account.id).await.unwrap();
        find_setup(&mut tx, key).await.unwrap().unwrap()
    }

    async fn save(
        console: &PgPool,
        account: TestAccount,
        key: KeyId,
        setup: &Setup,
        seen: i64,
    ) -> Result<(), UpdateKeyError> {
        let mut tx = TenantTx::begin(console, account.id).await.unwrap();
        update(&mut tx, key, setup, seen).await?;
        tx.commit().await?;
        Ok(())
    }

    fn everything(acme: TestAccount) -> Setup {
        Setup {
            name: KeyName::parse("renamed").unwrap(),
            note: "CI for the web repo".to_owned(),
            group: acme.group,
            environment: Some("production".to_owned()),
            expires_at: Some(time::macros::datetime!(2030-01-02 03:04:05 UTC)),
            addresses: Some(vec!["10.0.0.0/8".parse().unwrap(), "2001:db8::1/128".parse().unwrap()]),
            permissions: Some(vec!["chat:read".to_owned()]),
            models: Some(vec!["gpt-4o-mini".to_owned()]),
            requests_per_minute: Some(60),
            fit: Fit::Strict,
            cost: Some(NanoUsd(5_000_000_000)),
            tokens: Some(1_000_000),
            period: Period::Monthly,
        }
    }

    #[sqlx::test(migrator = "crate::MIGRATOR")]
    async fn everything_that_is_set_is_read_back(pool: PgPool) {
        let acme = account(&pool, "acme").await;
        let console = as_role(&pool, "latchkey_console").await.unwrap();
        let (key, _) = make_key(&console, acme, "one", 1).await.unwrap();
        let before = found(&console, acme, key).await;
        assert_eq!(before.setup, Setup::named(KeyName::parse("one").unwrap(), acme.group));
        let wanted = everything(acme);
        save(&console, acme, key, &wanted, before.row_version).await.unwrap();
        let after = found(&console, acme, key).await;
        assert_eq!((after.setup, after.row_version), (wanted, before.row_version + 1));
        let plain = before.setup;
        save(&console, acme, key, &plain, after.row_version).await.unwrap();
        assert_eq!(found(&console, acme, key).await.setup, plain, "and taken away again");
    }

    #[sqlx::test(migrator = "crate::MIGRATOR")]
    async fn an_edit_of_what_was_changed_meanwhile_changes_nothing(pool: PgPool) {
        let acme = account(&pool, "acme").await;
        let other = account(&pool, "other").await;
        let console = as_role(&pool, "latchkey_console").await.unwrap();
        let (key, _) = make_key(&console, acme, "one", 1).await.unwrap();
        make_key(&console, acme, "two", 2).await.unwrap();
        let seen = found(&console, acme, key).await;
        let wanted = everything(acme);
        save(&console, acme, key, &wanted, seen.row_version).await.unwrap();
        let stale = Setup { note: "late".to_owned(), cost: None, ..wanted.clone() };
        assert!(matches!(
            save(&console, acme, key, &stale, seen.row_version).await,
            Err(UpdateKeyError::Stale)
        ));
        let now = seen.row_version + 1;
        let taken = Setup { name: KeyName::parse("TWO").unwrap(), ..wanted.clone() };
        assert!(matches!(save(&console, acme, key, &taken, now).await, Err(UpdateKeyError::NameTaken)));
        let foreign = Setup { group: other.group, ..wanted.clone() };
        assert!(matches!(save(&console, acme, key, &foreign, now).await, Err(UpdateKeyError::NoSuchGroup)));
        let theirs = Setup { group: other.group, ..wanted.clone() };
        assert!(
            matches!(save(&console, other, key, &theirs, now).await, Err(UpdateKeyError::Stale)),
            "another account's key is no key"
        );
        assert_eq!(found(&console, acme, key).await.setup, wanted);
    }

    #[sqlx::test(migrator = "crate::MIGRATOR")]
    async fn a_changed_amount_keeps_what_was_spent(pool: PgPool) {
        let acme = account(&pool, "acme").await;
        let console = as_role(&pool, "latchkey_console").await.unwrap();
        let (key, _) = make_key(&console, acme, "one", 1).await.unwrap();
        let mut wanted = everything(acme);
        save(&console, acme, key, &wanted, 1).await.unwrap();
        let gateway = as_role(&pool, "latchkey_gateway").await.unwrap();
        let standings = async || -> Vec<Standing> {
            let mut tx = TenantTx::begin(&console, acme.id).await.unwrap();
            limits::list(&mut tx, Subject::Key(key)).await.unwrap()
        };
        let cost = standings().await[0].id;
        let wish = crate::leases::Wish { limit: cost, needed: 10, wished: 10 };
        crate::leases::take(&gateway, crate::new_id(), &[wish]).await.unwrap();
        sqlx::query_scalar!(
            "UPDATE limit_windows SET spent = 7 WHERE limit_id = $1",
            cost as domain::LimitId
        )
        .execute(&pool)
        .await
        .unwrap();
        wanted.cost = Some(NanoUsd(9_000_000_000));
        save(&console, acme, key, &wanted, 2).await.unwrap();
        let now = standings().await;
        assert_eq!((now[0].terms.amount, now[0].spent, now[0].reserved), (9_000_000_000, 7, 10));
        wanted.period = Period::Daily;
        save(&console, acme, key, &wanted, 3).await.unwrap();
        assert_eq!(standings().await[0].spent, 0, "another period begins anew");
    }
}
