//! API keys: made, listed, switched, revoked. Their secrets are digests here.

use domain::key::{KeyName, KeyStatus};
use domain::limit::Fit;
use domain::money::NanoUsd;
use domain::secret::{Digest, PublicId};
use domain::{AccountId, GroupId, KeyId, SecretId, UserId};
use ipnet::IpNet;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::TenantTx;

mod find;
mod listed;
mod secrets;
mod setup;

pub use find::{COUNTED, Hits, Tally, find_page, tally};
pub use listed::{
    Choices, Consumed, ListedKey, Owner, find_by_digest, find_by_public_id, find_listed, list_by_ids,
    list_choices,
};
pub use secrets::{
    LiveSecret, ReplaceError, RotationChange, end_rotation, list_secrets, replace_secret, undo_rotation,
};
pub use setup::{
    Found, GroupChoice, Setup, UpdateKeyError, find_setup, list_environments, list_groups, update,
};

/// A key to be made, with its first secret.
#[derive(Clone, Copy, Debug)]
pub struct NewKey<'a> {
    /// Its id.
    pub id: KeyId,
    /// What it is to be.
    pub setup: &'a Setup,
    /// Who makes it.
    pub created_by: UserId,
    /// Its secret.
    pub secret: NewSecret<'a>,
}

/// A secret as it is stored.
#[derive(Clone, Copy, Debug)]
pub struct NewSecret<'a> {
    /// The part that may be shown.
    pub public_id: &'a PublicId,
    /// The look-up key.
    pub digest: Digest,
    /// Under which pepper.
    pub pepper_version: i16,
    /// The operator's prefix it was made with.
    pub prefix: &'a str,
    /// Its last four characters.
    pub last4: &'a str,
    /// The one-time id of the form that asked for it.
    pub form_id: Uuid,
}

/// Why a key was not made.
#[derive(Debug, thiserror::Error)]
pub enum InsertKeyError {
    /// Another live key of the account has this name.
    #[error("the name is taken")]
    NameTaken,
    /// The group is archived, or not of this account.
    #[error("no such group")]
    NoSuchGroup,
    /// This form has made this key already.
    #[error("this form was sent before")]
    FormUsed(KeyId),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] sqlx::Error),
}

/// Makes a key, its limits, its secret and its counters. On an error the transaction is of no further use.
pub async fn insert(tx: &mut TenantTx, key: NewKey<'_>) -> Result<(), InsertKeyError> {
    lock_form(tx, key.secret.form_id).await?;
    if let Some(made) = find_by_form(tx, key.secret.form_id).await? {
        return Err(InsertKeyError::FormUsed(made));
    }
    let account = tx.account();
    let setup = key.setup;
    if !setup::takes_keys(tx, setup.group).await? {
        return Err(InsertKeyError::NoSuchGroup);
    }
    sqlx::query!(
        "INSERT INTO api_keys (id, account_id, group_id, name, note, environment, expires_at, addresses, permissions,
                               models, requests_per_minute, fit, created_by)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)",
        key.id as KeyId,
        account as AccountId,
        setup.group as GroupId,
        &setup.name as &KeyName,
        setup.note,
        setup.environment,
        setup.expires_at,
        setup.addresses.as_deref() as Option<&[IpNet]>,
        setup.permissions.as_deref(),
        setup.models.as_deref(),
        setup.requests_per_minute,
        setup.fit as Fit,
        key.created_by as UserId,
    )
    .execute(tx.connection())
    .await
    .map_err(|error| match &error {
        sqlx::Error::Database(db) if db.constraint() == Some("api_keys_name_unique") => {
            InsertKeyError::NameTaken
        }
        _ => error.into(),
    })?;
    insert_secret(tx, key.id, key.secret).await?;
    sqlx::query!(
        "INSERT INTO key_stats (key_id, account_id) VALUES ($1, $2)",
        key.id as KeyId,
        account as AccountId,
    )
    .execute(tx.connection())
    .await?;
    setup::set_limits(tx, key.id, setup).await?;
    Ok(())
}

async fn insert_secret(tx: &mut TenantTx, key: KeyId, secret: NewSecret<'_>) -> sqlx::Result<()> {
    let account = tx.account();
    sqlx::query!(
        "INSERT INTO key_secrets
           (id, account_id, key_id, public_id, digest, pepper_version, prefix, last4, form_id)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        SecretId(crate::new_id()) as SecretId,
        account as AccountId,
        key as KeyId,
        secret.public_id as &PublicId,
        &secret.digest.0[..],
        secret.pepper_version,
        secret.prefix,
        secret.last4,
        secret.form_id,
    )
    .execute(tx.connection())
    .await
    .map(|_| ())
}

/// Lets the same form, sent twice at once, wait for itself: the second one then finds what the first has made, and not
/// merely that its name is taken.
async fn lock_form(tx: &mut TenantTx, form_id: Uuid) -> sqlx::Result<()> {
    sqlx::query!(
        r#"SELECT pg_advisory_xact_lock(hashtextextended($1, 2)) AS "lock: ()""#,
        form_id.to_string()
    )
    .fetch_one(tx.connection())
    .await
    .map(|_| ())
}

/// The key a form has made, if it was sent before.
pub async fn find_by_form(tx: &mut TenantTx, form_id: Uuid) -> sqlx::Result<Option<KeyId>> {
    let account = tx.account();
    sqlx::query_scalar!(
        r#"SELECT key_id AS "id: KeyId" FROM key_secrets WHERE account_id = $1 AND form_id = $2"#,
        account as AccountId,
        form_id,
    )
    .fetch_optional(tx.connection())
    .await
}

/// A key as a list shows it.
#[derive(Clone, Debug)]
pub struct Key {
    /// Its id.
    pub id: KeyId,
    /// Its name.
    pub name: String,
    /// What was decided about it.
    pub status: KeyStatus,
    /// When that was decided.
    pub status_at: OffsetDateTime,
    /// When it ends; `None` is never.
    pub expires_at: Option<OffsetDateTime>,
    /// When it was made.
    pub created_at: OffsetDateTime,
    /// For edits: the version that was seen.
    pub row_version: i64,
    /// The current secret's public id.
    pub public_id: String,
    /// The current secret's prefix.
    pub prefix: String,
    /// The current secret's last four characters.
    pub last4: String,
    /// Admitted requests so far.
    pub requests: i64,
    /// What they cost.
    pub cost: NanoUsd,
    /// When the last one came.
    pub last_used_at: Option<OffsetDateTime>,
    /// The database's time, for "2 min ago".
    pub now: OffsetDateTime,
}

/// Keys with their current secret and counters, of account `$1`: what follows `WHERE`, then the arguments.
macro_rules! query_keys {
    ($condition:literal, $($argument:expr),+ $(,)?) => {
        sqlx::query_as!(
            Key,
            r#"SELECT k.id AS "id: KeyId", k.name, k.status AS "status: KeyStatus", k.status_at, k.expires_at,
                      k.created_at, k.row_version, s.public_id, s.prefix, s.last4,
                      t.requests, t.cost_nano AS "cost: NanoUsd", t.last_used_at, now() AS "now!"
               FROM api_keys k
               JOIN key_secrets s ON s.account_id = k.account_id AND s.key_id = k.id AND s.ends_at IS NULL
               JOIN key_stats t ON t.key_id = k.id
               WHERE k.account_id = $1 AND k.status <> 'deleted' AND "# + $condition,
            $($argument),+
        )
    };
}

/// One key, unless it is deleted or another account's.
pub async fn find(tx: &mut TenantTx, id: KeyId) -> sqlx::Result<Option<Key>> {
    let account = tx.account();
    query_keys!("k.id = $2", account as AccountId, id as KeyId,).fetch_optional(tx.connection()).await
}

/// What a change of status came to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum StatusChange {
    /// Done.
    Changed {
        /// What the key was before.
        from: KeyStatus,
        /// What it is called.
        name: String,
    },
    /// It was so already.
    Unchanged {
        /// What it is called.
        name: String,
    },
    /// Nothing leads there from where the key is: it is revoked.
    Refused {
        /// Where it is.
        from: KeyStatus,
    },
    /// No such key in this account.
    NotFound,
}

/// Takes a key out of every list for good: it is revoked, its name is free again, its usage stays in reports. Whether
/// there was one; its name.
pub async fn delete(tx: &mut TenantTx, id: KeyId) -> sqlx::Result<Option<String>> {
    let account = tx.account();
    sqlx::query_scalar!(
        "UPDATE api_keys SET status = 'deleted', status_at = now(), row_version = row_version + 1
         WHERE account_id = $1 AND id = $2 AND status <> 'deleted' RETURNING name",
        account as AccountId,
        id as KeyId,
    )
    .fetch_optional(tx.connection())
    .await
}

/// Moves a key to `to` (not for deleting), if its present status lets it.
pub async fn set_status(tx: &mut TenantTx, id: KeyId, to: KeyStatus) -> sqlx::Result<StatusChange> {
    let account = tx.account();
    let found = sqlx::query!(
        r#"SELECT status AS "status: KeyStatus", name FROM api_keys
           WHERE account_id = $1 AND id = $2 AND status <> 'deleted' FOR UPDATE"#,
        account as AccountId,
        id as KeyId,
    )
    .fetch_optional(tx.connection())
    .await?;
    let Some(found) = found else { return Ok(StatusChange::NotFound) };
    if found.status == to {
        return Ok(StatusChange::Unchanged { name: found.name });
    }
    if !found.status.may_become(to) {
        return Ok(StatusChange::Refused { from: found.status });
    }
    sqlx::query!(
        "UPDATE api_keys SET status = $3, status_at = now(), row_version = row_version + 1
         WHERE account_id = $1 AND id = $2",
        account as AccountId,
        id as KeyId,
        to.as_str(),
    )
    .execute(tx.connection())
    .await?;
    Ok(StatusChange::Changed { from: found.status, name: found.name })
}

#[cfg(test)]
pub(crate) mod tests;
