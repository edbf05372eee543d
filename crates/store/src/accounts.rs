//! Accounts and who belongs to them.

use domain::{AccountId, GroupId, UserId};
use sqlx::PgExecutor;

use crate::TenantTx;

/// What a member may do in an account, weakest first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, sqlx::Type)]
#[sqlx(type_name = "text", rename_all = "lowercase")]
pub enum Role {
    /// Sees.
    Viewer,
    /// Makes and manages keys.
    Developer,
    /// Manages the account.
    Admin,
    /// Owns it.
    Owner,
}

/// How an account pays.
#[derive(Clone, Copy, PartialEq, Eq, Debug, sqlx::Type)]
#[sqlx(type_name = "text", rename_all = "lowercase")]
pub enum BillingMode {
    /// No billing method: the gateway refuses the account's requests.
    None,
    /// By invoice; its credit line, if it has one, is the account's limit.
    Invoiced,
    /// From a balance, which is the account's limit: no balance, no requests.
    Prepaid,
}

/// One account of a user.
#[derive(Clone, Debug)]
pub struct Membership {
    /// The account.
    pub account_id: AccountId,
    /// Its name in URLs.
    pub slug: String,
    /// Its name.
    pub name: String,
    /// The user's role there.
    pub role: Role,
    /// How it pays.
    pub billing: BillingMode,
    /// Suspended by the operator.
    pub suspended: bool,
}

/// The accounts of a user, the one joined first first.
pub async fn list_of_user(db: impl PgExecutor<'_>, user: UserId) -> sqlx::Result<Vec<Membership>> {
    sqlx::query_as!(
        Membership,
        r#"SELECT account_id AS "account_id!: AccountId", slug AS "slug!", name AS "name!",
                  role AS "role!: Role", billing AS "billing!: BillingMode", suspended AS "suspended!"
           FROM accounts_of_user($1)"#,
        user as UserId,
    )
    .fetch_all(db)
    .await
}

/// A new account.
#[derive(Clone, Copy, Debug)]
pub struct NewAccount<'a> {
    /// Its id.
    pub id: AccountId,
    /// The id of its `default` group.
    pub group: GroupId,
    /// Its first owner.
    pub owner: UserId,
    /// Its name in URLs: `a-z 0-9 -`, at most 40 characters.
    pub slug: &'a str,
    /// Its name.
    pub name: &'a str,
    /// How it pays.
    pub billing: BillingMode,
}

/// Why an account was not made.
#[derive(Debug, thiserror::Error)]
pub enum OpenAccountError {
    /// Another account has this slug.
    #[error("the slug is taken")]
    SlugTaken,
    /// The database failed.
    #[error(transparent)]
    Store(#[from] sqlx::Error),
}

/// Makes an account with its `default` group and its owner.
pub async fn open(db: impl PgExecutor<'_>, account: NewAccount<'_>) -> Result<(), OpenAccountError> {
    sqlx::query!(
        "SELECT open_account($1, $2, $3, $4, $5, $6)",
        account.id as AccountId,
        account.group as GroupId,
        account.owner as UserId,
        account.slug,
        account.name,
        account.billing as BillingMode,
    )
    .execute(db)
    .await
    .map(|_| ())
    .map_err(|error| match &error {
        sqlx::Error::Database(db) if db.constraint() == Some("accounts_slug_unique") => {
            OpenAccountError::SlugTaken
        }
        _ => error.into(),
    })
}

/// The account's `default` group, into which a key goes when none is named.
pub async fn find_default_group(tx: &mut TenantTx) -> sqlx::Result<Option<GroupId>> {
    let account = tx.account();
    sqlx::query_scalar!(
        r#"SELECT id AS "id: GroupId" FROM groups
           WHERE account_id = $1 AND lower(name) = 'default' AND archived_at IS NULL"#,
        account as AccountId,
    )
    .fetch_optional(tx.connection())
    .await
}

#[cfg(test)]
pub(crate) mod tests {
    use sqlx::PgPool;

    use super::*;
    use crate::{connect::as_role, new_id, sign_in};

    /// The ids of an account made for a test.
    #[derive(Clone, Copy, Debug)]
    pub(crate) struct TestAccount {
        pub(crate) id: AccountId,
        pub(crate) group: GroupId,
        pub(crate) owner: UserId,
    }

    /// An account whose owner is `slug@example.com`.
    pub(crate) async fn account(pool: &PgPool, slug: &str) -> TestAccount {
        let address = domain::email::EmailAddress::parse(&format!("{slug}@example.com")).unwrap();
        let owner = sign_in::find_or_make_user(pool, &address).await.unwrap();
        let made = TestAccount { id: AccountId(new_id()), group: GroupId(new_id()), owner };
        open(pool, new_account(made, slug)).await.unwrap();
        made
    }

    fn new_account(ids: TestAccount, slug: &str) -> NewAccount<'_> {
        let TestAccount { id, group, owner } = ids;
        NewAccount { id, group, owner, slug, name: slug, billing: BillingMode::Invoiced }
    }

    #[sqlx::test(migrator = "crate::MIGRATOR")]
    async fn an_opened_account_has_its_owner_and_default_group(pool: PgPool) {
        let acme = account(&pool, "acme").await;
        let console = as_role(&pool, "latchkey_console").await.unwrap();
        let memberships = list_of_user(&console, acme.owner).await.unwrap();
        assert_eq!(memberships.len(), 1);
        assert_eq!((memberships[0].slug.as_str(), memberships[0].role), ("acme", Role::Owner));
        let mut tx = TenantTx::begin(&console, acme.id).await.unwrap();
        assert_eq!(find_default_group(&mut tx).await.unwrap(), Some(acme.group));
    }

    #[sqlx::test(migrator = "crate::MIGRATOR")]
    async fn a_slug_belongs_to_one_account(pool: PgPool) {
        let acme = account(&pool, "acme").await;
        let again = TestAccount { id: AccountId(new_id()), group: GroupId(new_id()), ..acme };
        let refused = open(&pool, new_account(again, "acme")).await.unwrap_err();
        assert!(matches!(refused, OpenAccountError::SlugTaken), "{refused}");
    }
}
