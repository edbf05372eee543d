//! Named queries of the list of keys, each member's own.

use domain::{AccountId, UserId};
use uuid::Uuid;

use crate::TenantTx;

/// A member has at most this many.
pub const MOST: i64 = 50;

/// A named query.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SavedView {
    /// Its id.
    pub id: Uuid,
    /// What its owner calls it.
    pub name: String,
    /// The query as it stands in the address.
    pub query: String,
}

/// Why a view was not saved.
#[derive(Debug, thiserror::Error)]
pub enum SaveViewError {
    /// There are [`MOST`] already.
    #[error("there are too many views")]
    TooMany,
    /// The database failed.
    #[error(transparent)]
    Store(#[from] sqlx::Error),
}

/// The views of a member, by name.
pub async fn list(tx: &mut TenantTx, user: UserId) -> sqlx::Result<Vec<SavedView>> {
    let account = tx.account();
    sqlx::query_as!(
        SavedView,
        "SELECT id, name, query FROM saved_views WHERE account_id = $1 AND user_id = $2 ORDER BY lower(name)",
        account as AccountId,
        user as UserId,
    )
    .fetch_all(tx.connection())
    .await
}

/// Saves a query under a name (1 to 60 characters); a view of this name is replaced.
pub async fn save(tx: &mut TenantTx, user: UserId, name: &str, query: &str) -> Result<(), SaveViewError> {
    let account = tx.account();
    sqlx::query!(
        "DELETE FROM saved_views WHERE account_id = $1 AND user_id = $2 AND lower(name) = lower($3)",
        account as AccountId,
        user as UserId,
        name,
    )
    .execute(tx.connection())
    .await?;
    let saved = sqlx::query!(
        "INSERT INTO saved_views (id, account_id, user_id, name, query)
         SELECT $3, $1, $2, $4, $5
         WHERE (SELECT count(*) FROM saved_views WHERE account_id = $1 AND user_id = $2) < $6",
        account as AccountId,
        user as UserId,
        crate::new_id(),
        name,
        query,
        MOST,
    )
    .execute(tx.connection())
    .await?;
    if saved.rows_affected() == 0 { Err(SaveViewError::TooMany) } else { Ok(()) }
}

/// Takes a view away, if it is this member's.
pub async fn delete(tx: &mut TenantTx, user: UserId, id: Uuid) -> sqlx::Result<bool> {
    let account = tx.account();
    let deleted = sqlx::query!(
        "DELETE FROM saved_views WHERE account_id = $1 AND user_id = $2 AND id = $3",
        account as AccountId,
        user as UserId,
        id,
    )
    .execute(tx.connection())
    .await?;
    Ok(deleted.rows_affected() > 0)
}

#[cfg(test)]
mod tests {
    use sqlx::PgPool;

    use super::*;
    use crate::accounts::tests::account;
    use crate::connect::as_role;

    #[sqlx::test(migrator = "crate::MIGRATOR")]
    async fn a_view_is_its_member_s_and_a_name_is_used_once(pool: PgPool) {
        let (acme, other) = (account(&pool, "acme").await, account(&pool, "other").await);
        let console = as_role(&pool, "latchkey_console").await.unwrap();
        let mut tx = TenantTx::begin(&console, acme.id).await.unwrap();
        save(&mut tx, acme.owner, "Mine", "status=expired").await.unwrap();
        save(&mut tx, acme.owner, "mine", "status=revoked").await.unwrap();
        let views = list(&mut tx, acme.owner).await.unwrap();
        assert_eq!(views.len(), 1);
        assert_eq!((views[0].name.as_str(), views[0].query.as_str()), ("mine", "status=revoked"));
        assert!(list(&mut tx, other.owner).await.unwrap().is_empty());
        assert!(!delete(&mut tx, other.owner, views[0].id).await.unwrap());
        for n in 1..MOST {
            save(&mut tx, acme.owner, &format!("view {n}"), "").await.unwrap();
        }
        let refused = save(&mut tx, acme.owner, "one more", "").await.unwrap_err();
        assert!(matches!(refused, SaveViewError::TooMany), "{refused}");
        assert!(delete(&mut tx, acme.owner, views[0].id).await.unwrap());
        tx.commit().await.unwrap();
        let mut tx = TenantTx::begin(&console, other.id).await.unwrap();
        assert!(list(&mut tx, acme.owner).await.unwrap().is_empty());
    }
}
