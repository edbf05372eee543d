//! A key's secrets: replaced at once or with an overlap, the overlap ended early or undone.
//!
//! A key has one current secret (`ends_at IS NULL`) and, during a rotation, one retiring secret, which the gateway
//! accepts until its `ends_at`. Both share the key's limits and history.

use domain::key::KeyStatus;
use domain::{AccountId, KeyId};
use ipnet::IpNet;
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use super::{NewSecret, find_by_form, insert_secret, lock_form};
use crate::TenantTx;

/// A busy key's older rows say nothing new of how its secrets are used now.
const LOOKED_AT: i64 = 20_000;

/// Why a secret was not replaced.
#[derive(Debug, thiserror::Error)]
pub enum ReplaceError {
    /// This form has made a secret already, of this key.
    #[error("this form was sent before")]
    FormUsed(KeyId),
    /// The key is revoked.
    #[error("the key is revoked")]
    Revoked,
    /// The key was changed since the version that was seen.
    #[error("the key was changed meanwhile")]
    Stale,
    /// A rotation is under way: a third live secret is not made.
    #[error("a rotation is under way")]
    RotationRunning,
    /// No such key in this account.
    #[error("no such key")]
    NotFound,
    /// The database failed.
    #[error(transparent)]
    Store(#[from] sqlx::Error),
}

/// Gives a key a new secret. Without an `overlap` every older one stops at once (regenerate); with one the present
/// secret goes on working for so long (rotate), which is refused while another is retiring. On an error the transaction
/// is of no further use.
pub async fn replace_secret(
    tx: &mut TenantTx,
    key: KeyId,
    secret: NewSecret<'_>,
    overlap: Option<Duration>,
    seen: i64,
) -> Result<(), ReplaceError> {
    lock_form(tx, secret.form_id).await?;
    if let Some(made) = find_by_form(tx, secret.form_id).await? {
        return Err(ReplaceError::FormUsed(made));
    }
    lock_live(tx, key, seen).await?;
    let account = tx.account();
    if overlap.is_some() {
        let retiring = sqlx::query_scalar!(
            r#"SELECT EXISTS (SELECT FROM key_secrets
                              WHERE account_id = $1 AND key_id = $2 AND ends_at > now()) AS "is!""#,
            account as AccountId,
            key as KeyId,
        )
        .fetch_one(tx.connection())
        .await?;
        if retiring {
            return Err(ReplaceError::RotationRunning);
        }
    }
    // The database's clock decides when it ends, as it does at the gateway.
    sqlx::query!(
        "UPDATE key_secrets SET ends_at = now() + make_interval(secs => $3)
         WHERE account_id = $1 AND key_id = $2 AND (ends_at IS NULL OR ends_at > now())",
        account as AccountId,
        key as KeyId,
        overlap.map_or(0.0, Duration::as_seconds_f64),
    )
    .execute(tx.connection())
    .await?;
    insert_secret(tx, key, secret).await?;
    raise_version(tx, key).await?;
    Ok(())
}

/// What became of a rotation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RotationChange {
    /// Done.
    Changed,
    /// There is none under way: it has ended by itself, or somebody else has ended it.
    NoneRunning,
    /// The key was changed since the version that was seen: it may be another rotation.
    Stale,
    /// No such key in this account, or a revoked one.
    NotFound,
}

/// Ends the overlap of a rotation: the retiring secret stops at once.
pub async fn end_rotation(tx: &mut TenantTx, key: KeyId, seen: i64) -> sqlx::Result<RotationChange> {
    let may = may_change(tx, key, seen).await?;
    if may != RotationChange::Changed {
        return Ok(may);
    }
    let account = tx.account();
    let ended = sqlx::query!(
        "UPDATE key_secrets SET ends_at = now() WHERE account_id = $1 AND key_id = $2 AND ends_at > now()",
        account as AccountId,
        key as KeyId,
    )
    .execute(tx.connection())
    .await?;
    if ended.rows_affected() == 0 {
        return Ok(RotationChange::NoneRunning);
    }
    raise_version(tx, key).await?;
    Ok(RotationChange::Changed)
}

/// Undoes a rotation: the retiring secret is the current one again, the new one stops at once.
pub async fn undo_rotation(tx: &mut TenantTx, key: KeyId, seen: i64) -> sqlx::Result<RotationChange> {
    let may = may_change(tx, key, seen).await?;
    if may != RotationChange::Changed {
        return Ok(may);
    }
    let account = tx.account();
    let retiring = sqlx::query_scalar!(
        "SELECT id FROM key_secrets WHERE account_id = $1 AND key_id = $2 AND ends_at > now()
         ORDER BY ends_at DESC LIMIT 1",
        account as AccountId,
        key as KeyId,
    )
    .fetch_optional(tx.connection())
    .await?;
    let Some(retiring) = retiring else { return Ok(RotationChange::NoneRunning) };
    // In this order: a key never has two current ones.
    set_end(tx, key, None, true).await?;
    set_end(tx, key, Some(retiring), false).await?;
    raise_version(tx, key).await?;
    Ok(RotationChange::Changed)
}

/// Ends a key's current secret, or makes the one of this id current.
async fn set_end(tx: &mut TenantTx, key: KeyId, secret: Option<Uuid>, ends: bool) -> sqlx::Result<()> {
    let account = tx.account();
    sqlx::query!(
        "UPDATE key_secrets SET ends_at = CASE WHEN $4 THEN now() END
         WHERE account_id = $1 AND key_id = $2 AND CASE WHEN $3::uuid IS NULL THEN ends_at IS NULL ELSE id = $3 END",
        account as AccountId,
        key as KeyId,
        secret,
        ends,
    )
    .execute(tx.connection())
    .await
    .map(|_| ())
}

/// A live secret, as the key's page shows it.
#[derive(Clone, Debug)]
pub struct LiveSecret {
    /// The part that may be shown.
    pub public_id: String,
    /// The prefix it was made with.
    pub prefix: String,
    /// Its last four characters.
    pub last4: String,
    /// When it was made.
    pub created_at: OffsetDateTime,
    /// Until when it works; `None` for the current one.
    pub ends_at: Option<OffsetDateTime>,
    /// Admitted requests with it in the last hour.
    pub last_hour: i64,
    /// When it was used last, as far as the key's newest ledger rows tell.
    pub last_used_at: Option<OffsetDateTime>,
    /// From where.
    pub last_address: Option<IpNet>,
}

/// The key's live secrets, the current one first. How a retiring one is used is read from at most the newest
/// [`LOOKED_AT`] ledger rows of the key; of the current one, nothing.
pub async fn list_secrets(tx: &mut TenantTx, key: KeyId) -> sqlx::Result<Vec<LiveSecret>> {
    let account = tx.account();
    sqlx::query_as!(
        LiveSecret,
        r#"SELECT s.public_id, s.prefix, s.last4, s.created_at, s.ends_at, u.last_hour AS "last_hour!",
                  last.started_at AS "last_used_at?", last.client AS "last_address?: IpNet"
           FROM key_secrets s
           CROSS JOIN LATERAL (
               SELECT count(*) FILTER (WHERE r.public_id = s.public_id) AS last_hour FROM (
                   SELECT public_id FROM usage_records
                   WHERE account_id = $1 AND key_id = $2 AND id >= uuid_floor(now() - interval '1 hour')
                         AND s.ends_at IS NOT NULL
                   ORDER BY id DESC LIMIT $3
               ) r
           ) u
           LEFT JOIN LATERAL (
               SELECT r.started_at, r.client FROM (
                   SELECT public_id, started_at, client, id FROM usage_records
                   WHERE account_id = $1 AND key_id = $2 AND id >= uuid_floor(now() - interval '32 days')
                         AND s.ends_at IS NOT NULL
                   ORDER BY id DESC LIMIT $3
               ) r
               WHERE r.public_id = s.public_id ORDER BY r.id DESC LIMIT 1
           ) last ON true
           WHERE s.account_id = $1 AND s.key_id = $2 AND (s.ends_at IS NULL OR s.ends_at > now())
           ORDER BY s.ends_at NULLS FIRST"#,
        account as AccountId,
        key as KeyId,
        LOOKED_AT,
    )
    .fetch_all(tx.connection())
    .await
}

async fn lock_live(tx: &mut TenantTx, key: KeyId, seen: i64) -> Result<(), ReplaceError> {
    match status_for_update(tx, key).await? {
        Some((KeyStatus::Enabled | KeyStatus::Disabled, version)) if version == seen => Ok(()),
        Some((KeyStatus::Enabled | KeyStatus::Disabled, _)) => Err(ReplaceError::Stale),
        Some((KeyStatus::Revoked, _)) => Err(ReplaceError::Revoked),
        Some((KeyStatus::Deleted, _)) | None => Err(ReplaceError::NotFound),
    }
}

/// Whether a key can be changed, and was not since `seen`.
async fn may_change(tx: &mut TenantTx, key: KeyId, seen: i64) -> sqlx::Result<RotationChange> {
    Ok(match status_for_update(tx, key).await? {
        Some((KeyStatus::Enabled | KeyStatus::Disabled, version)) if version == seen => {
            RotationChange::Changed
        }
        Some((KeyStatus::Enabled | KeyStatus::Disabled, _)) => RotationChange::Stale,
        _ => RotationChange::NotFound,
    })
}

/// A key's status and version, and nobody changes it before this transaction ends.
async fn status_for_update(tx: &mut TenantTx, key: KeyId) -> sqlx::Result<Option<(KeyStatus, i64)>> {
    let account = tx.account();
    let found = sqlx::query!(
        r#"SELECT status AS "status: KeyStatus", row_version FROM api_keys
           WHERE account_id = $1 AND id = $2 FOR UPDATE"#,
        account as AccountId,
        key as KeyId,
    )
    .fetch_optional(tx.connection())
    .await?;
    Ok(found.map(|found| (found.status, found.row_version)))
}

async fn raise_version(tx: &mut TenantTx, key: KeyId) -> sqlx::Result<()> {
    let account = tx.account();
    sqlx::query!(
        "UPDATE api_keys SET row_version = row_version + 1 WHERE account_id = $1 AND id = $2",
        account as AccountId,
        key as KeyId,
    )
    .execute(tx.connection())
    .await
    .map(|_| ())
}

#[cfg(test)]
mod tests {
    use domain::secret::{ENTROPY, KeyPrefix, Pepper, PlainSecret};
    use sqlx::PgPool;

    use super::*;
    use crate::accounts::tests::{TestAccount, account};
    use crate::connect::as_role;
    use crate::keys::tests::make_key;

    /// Replaces the secret by one that follows from `seed`.
    async fn replace(
        console: &PgPool,
        account: TestAccount,
        key: KeyId,
        seed: u8,
        overlap: Option<Duration>,
    ) -> Result<String, ReplaceError> {
        let mut tx = TenantTx::begin(console, account.id).await.unwrap();
        let secret = PlainSecret::from_entropy(&KeyPrefix::parse("sk-lk-").unwrap(), &[seed; ENTROPY]);
        let new = NewSecret {
            public_id: &secret.public_id(),
            digest: Pepper::new(b"test pepper", 1).digest(&secret),
            pepper_version: 1,
            prefix: "sk-lk-",
            last4: secret.last4(),
            form_id: Uuid::from_bytes([seed; 16]),
        };
        let version = find_version(&mut tx, key).await;
        replace_secret(&mut tx, key, new, overlap, version).await?;
        tx.commit().await?;
        Ok(secret.public_id().to_string())
    }

    /// The key's version; 0 where there is no such key.
    async fn find_version(tx: &mut TenantTx, key: KeyId) -> i64 {
        crate::keys::find(tx, key).await.unwrap().map_or(0, |key| key.row_version)
    }

    /// The public ids of the live secrets, the current one first.
    async fn live(console: &PgPool, account: TestAccount, key: KeyId) -> Vec<String> {
        let mut tx = TenantTx::begin(console, account.id).await.unwrap();
        list_secrets(&mut tx, key).await.unwrap().into_iter().map(|secret| secret.public_id).collect()
    }

    #[sqlx::test(migrator = "crate::MIGRATOR")]
    async fn a_rotation_keeps_both_secrets_until_it_is_ended_or_undone(pool: PgPool) {
        let acme = account(&pool, "acme").await;
        let console = as_role(&pool, "latchkey_console").await.unwrap();
        let (key, first) = make_key(&console, acme, "one", 1).await.unwrap();
        let first = first.public_id().to_string();
        let second = replace(&console, acme, key, 2, Some(Duration::HOUR)).await.unwrap();
        assert_eq!(live(&console, acme, key).await, [second.as_str(), first.as_str()]);
        let third = replace(&console, acme, key, 3, Some(Duration::HOUR)).await.unwrap_err();
        assert!(matches!(third, ReplaceError::RotationRunning), "{third}");

        let change = async |undo: bool| {
            let mut tx = TenantTx::begin(&console, acme.id).await.unwrap();
            let seen = find_version(&mut tx, key).await;
            assert_eq!(end_rotation(&mut tx, key, seen - 1).await.unwrap(), RotationChange::Stale);
            let change = if undo {
                undo_rotation(&mut tx, key, seen).await
            } else {
                end_rotation(&mut tx, key, seen).await
            };
            tx.commit().await.unwrap();
            change.unwrap()
        };
        assert_eq!(change(true).await, RotationChange::Changed);
        assert_eq!(live(&console, acme, key).await, [first.as_str()], "undone");
        assert_eq!(change(true).await, RotationChange::NoneRunning);
        let fourth = replace(&console, acme, key, 4, Some(Duration::HOUR)).await.unwrap();
        assert_eq!(change(false).await, RotationChange::Changed);
        assert_eq!(live(&console, acme, key).await, [fourth.as_str()], "ended");
        assert_eq!(change(false).await, RotationChange::NoneRunning);
    }

    #[sqlx::test(migrator = "crate::MIGRATOR")]
    async fn a_regenerated_secret_ends_all_older_ones(pool: PgPool) {
        let acme = account(&pool, "acme").await;
        let other = account(&pool, "other").await;
        let console = as_role(&pool, "latchkey_console").await.unwrap();
        let (key, _) = make_key(&console, acme, "one", 1).await.unwrap();
        replace(&console, acme, key, 2, Some(Duration::DAY)).await.unwrap();
        let third = replace(&console, acme, key, 3, None).await.unwrap();
        assert_eq!(live(&console, acme, key).await, [third.as_str()]);
        let repeated = replace(&console, acme, key, 3, None).await.unwrap_err();
        assert!(matches!(repeated, ReplaceError::FormUsed(made) if made == key), "{repeated}");
        let foreign = replace(&console, other, key, 4, None).await.unwrap_err();
        assert!(matches!(foreign, ReplaceError::NotFound), "{foreign}");
        crate::keys::tests::status_to(&console, acme, key, KeyStatus::Revoked).await;
        let late = replace(&console, acme, key, 5, None).await.unwrap_err();
        assert!(matches!(late, ReplaceError::Revoked), "{late}");
    }
}
