//! The policy feed: what a gateway must know, in full and as changes since a version.

use domain::key::KeyStatus;
use domain::limit::{Fit, Measure};
use domain::secret::Digest;
use domain::{AccountId, GroupId, KeyId, LimitId, UserId};
use futures_util::Stream;
use ipnet::IpNet;
use sqlx::{PgConnection, PgExecutor};
use time::OffsetDateTime;

use crate::accounts::BillingMode;

/// The channel on which a new policy version is announced. Its payload is the version; a hint, never the truth.
pub const CHANNEL: &str = "latchkey_policy";

/// The present policy version.
pub async fn version(db: impl PgExecutor<'_>) -> sqlx::Result<i64> {
    sqlx::query_scalar!("SELECT version FROM policy_version").fetch_one(db).await
}

/// The policy version together with the database's time.
#[derive(Clone, Copy, Debug)]
pub struct Pulse {
    /// The version.
    pub version: i64,
    /// The database's time.
    pub now: OffsetDateTime,
}

/// One look at the version and the clock: a gateway's poll.
pub async fn pulse(db: impl PgExecutor<'_>) -> sqlx::Result<Pulse> {
    sqlx::query_as!(Pulse, r#"SELECT version, clock_timestamp() AS "now!" FROM policy_version"#)
        .fetch_one(db)
        .await
}

/// What changed after a version.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Changes {
    /// The version these changes lead to.
    pub version: i64,
    /// The log does not reach back far enough: load everything.
    pub incomplete: bool,
    /// Keys made, changed or gone.
    pub keys: Vec<KeyId>,
    /// Groups made or changed.
    pub groups: Vec<GroupId>,
    /// Accounts made or changed.
    pub accounts: Vec<AccountId>,
    /// The list of models changed.
    pub models: bool,
}

/// What changed after version `since`. One statement, so one moment: the version and the changes belong together.
pub async fn list_changes(db: impl PgExecutor<'_>, since: i64) -> sqlx::Result<Changes> {
    let rows = sqlx::query!(
        r#"SELECT v.version AS "current!", c.version AS "version?", c.kind AS "kind?", c.id AS "id?"
           FROM policy_version v LEFT JOIN policy_changes c ON c.version > $1 AND c.version <= v.version
           ORDER BY c.version"#,
        since,
    )
    .fetch_all(db)
    .await?;
    let mut changes = Changes { version: since, ..Changes::default() };
    let mut reached = since;
    for row in rows {
        changes.version = row.current;
        let (Some(version), Some(kind), Some(id)) = (row.version, row.kind, row.id) else { continue };
        // Versions rise one by one, so a gap means that the log was cut.
        changes.incomplete |= version > reached + 1;
        reached = version;
        match kind.as_str() {
            "key" => changes.keys.push(KeyId(id)),
            "group" => changes.groups.push(GroupId(id)),
            "account" => changes.accounts.push(AccountId(id)),
            _ => changes.models = true,
        }
    }
    changes.incomplete |= reached < changes.version;
    changes.keys.sort_unstable();
    changes.keys.dedup();
    Ok(changes)
}

/// One secret with what is decided about its key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SecretRow {
    /// The look-up key.
    pub digest: Vec<u8>,
    /// The part that may be shown.
    pub public_id: String,
    /// When a retiring secret ends; `None` for the current one.
    pub ends_at: Option<OffsetDateTime>,
    /// Its key.
    pub key_id: KeyId,
    /// The key's account.
    pub account_id: AccountId,
    /// The key's group.
    pub group_id: GroupId,
    /// The key's environment.
    pub environment: Option<String>,
    /// What is decided about the key.
    pub status: KeyStatus,
    /// When the key ends.
    pub expires_at: Option<OffsetDateTime>,
    /// Who made the key.
    pub created_by: UserId,
    /// From where the key may be used; `None` is anywhere.
    pub addresses: Option<Vec<IpNet>>,
    /// What it may do; `None` is anything.
    pub permissions: Option<Vec<String>>,
    /// Which models it may use; `None` is any.
    pub models: Option<Vec<String>>,
    /// Requests it may make within 60 s.
    pub requests_per_minute: Option<i32>,
    /// What happens to a request whose worst case does not fit its limits.
    pub fit: Fit,
}

/// Secrets that could still matter, with their keys: what else holds of them, then the arguments.
macro_rules! query_secrets {
    ($condition:literal $(, $argument:expr)*) => {
        sqlx::query_as!(
            SecretRow,
            r#"SELECT s.digest, s.public_id, s.ends_at, k.id AS "key_id: KeyId",
                      k.account_id AS "account_id: AccountId", k.group_id AS "group_id: GroupId", k.environment,
                      k.status AS "status: KeyStatus", k.expires_at, k.created_by AS "created_by: UserId",
                      k.addresses AS "addresses: Vec<IpNet>", k.permissions, k.models, k.requests_per_minute,
                      k.fit AS "fit: Fit"
               FROM key_secrets s JOIN api_keys k ON k.id = s.key_id
               WHERE k.status IN ('enabled', 'disabled') AND (s.ends_at IS NULL OR s.ends_at > now()) AND "#
                + $condition,
            $($argument),*
        )
    };
}

/// Streams every secret that could still matter. Read [`version`] before it: rows may then be newer than the version,
/// never older, and what made them newer is among the changes since.
pub fn stream_secrets(db: &mut PgConnection) -> impl Stream<Item = sqlx::Result<SecretRow>> + '_ {
    query_secrets!("true").fetch(db)
}

/// The secrets of these keys that could still matter. A key without any here is gone.
pub async fn find_secrets(db: impl PgExecutor<'_>, keys: &[KeyId]) -> sqlx::Result<Vec<SecretRow>> {
    let ids: Vec<_> = keys.iter().map(|key| key.0).collect();
    query_secrets!("k.id = ANY($1)", &ids).fetch_all(db).await
}

/// One secret, if it could still matter. Read [`version`] before it.
pub async fn find_secret(db: impl PgExecutor<'_>, digest: &Digest) -> sqlx::Result<Option<SecretRow>> {
    query_secrets!("s.digest = $1", digest.0.as_slice()).fetch_optional(db).await
}

/// How many secrets could still matter.
pub async fn count_secrets(db: impl PgExecutor<'_>) -> sqlx::Result<i64> {
    sqlx::query_scalar!(
        r#"SELECT count(*) AS "count!" FROM key_secrets s JOIN api_keys k ON k.id = s.key_id
           WHERE k.status IN ('enabled', 'disabled') AND (s.ends_at IS NULL OR s.ends_at > now())"#
    )
    .fetch_one(db)
    .await
}

/// Streams the digest of every secret that could still matter. Read [`version`] before it.
pub fn stream_digests(db: &mut PgConnection) -> impl Stream<Item = sqlx::Result<Vec<u8>>> + '_ {
    sqlx::query_scalar!(
        "SELECT s.digest FROM key_secrets s JOIN api_keys k ON k.id = s.key_id
         WHERE k.status IN ('enabled', 'disabled') AND (s.ends_at IS NULL OR s.ends_at > now())"
    )
    .fetch(db)
}

/// What is decided about an account.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AccountRow {
    /// The account.
    pub id: AccountId,
    /// How it pays.
    pub billing: BillingMode,
    /// Suspended by the operator.
    pub suspended: bool,
}

/// The accounts named, or all of them.
pub async fn list_accounts(
    db: impl PgExecutor<'_>,
    only: Option<&[AccountId]>,
) -> sqlx::Result<Vec<AccountRow>> {
    let ids: Option<Vec<_>> = only.map(|ids| ids.iter().map(|id| id.0).collect());
    sqlx::query_as!(
        AccountRow,
        r#"SELECT id AS "id: AccountId", billing AS "billing: BillingMode", suspended_at IS NOT NULL AS "suspended!"
           FROM accounts WHERE $1::uuid[] IS NULL OR id = ANY($1)"#,
        ids.as_deref(),
    )
    .fetch_all(db)
    .await
}

/// What is decided about a group.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GroupRow {
    /// The group.
    pub id: GroupId,
    /// Archived groups serve nothing.
    pub archived: bool,
    /// What its keys may do at most; `None` is anything.
    pub permissions: Option<Vec<String>>,
    /// Which models its keys may use at most; `None` is any.
    pub models: Option<Vec<String>>,
}

/// The groups named, or all of them.
pub async fn list_groups(db: impl PgExecutor<'_>, only: Option<&[GroupId]>) -> sqlx::Result<Vec<GroupRow>> {
    let ids: Option<Vec<_>> = only.map(|ids| ids.iter().map(|id| id.0).collect());
    sqlx::query_as!(
        GroupRow,
        r#"SELECT id AS "id: GroupId", archived_at IS NOT NULL AS "archived!", permissions, models
           FROM groups WHERE $1::uuid[] IS NULL OR id = ANY($1)"#,
        ids.as_deref(),
    )
    .fetch_all(db)
    .await
}

/// One limit, as far as it is policy.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LimitRow {
    /// The limit.
    pub id: LimitId,
    /// Its account.
    pub account_id: AccountId,
    /// Its key, if it is one's.
    pub key_id: Option<KeyId>,
    /// Its group, if it is one's.
    pub group_id: Option<GroupId>,
    /// What it counts.
    pub measure: Measure,
    /// How much: nano-dollars or tokens.
    pub amount: i64,
    /// Nothing is left of it in the present window.
    pub used_up: bool,
    /// When that window ends; `None` is never, or that nobody has used it yet.
    pub ends_at: Option<OffsetDateTime>,
}

/// Limits: which ones, then the arguments.
macro_rules! query_limits {
    ($condition:literal $(, $argument:expr)*) => {
        sqlx::query_as!(
            LimitRow,
            r#"SELECT l.id AS "id: LimitId", l.account_id AS "account_id: AccountId", l.key_id AS "key_id: KeyId",
                      l.group_id AS "group_id: GroupId", l.measure AS "measure: Measure", l.amount,
                      coalesce(f.spent >= l.amount, l.amount = 0) AS "used_up!", f.ends_at AS "ends_at?"
               FROM limits l LEFT JOIN LATERAL (
                   SELECT spent, ends_at FROM limit_windows
                   WHERE limit_id = l.id AND starts_at >= l.period_since AND starts_at <= now()
                         AND (ends_at IS NULL OR ends_at > now())
                   ORDER BY starts_at DESC LIMIT 1
               ) f ON true
               WHERE "# + $condition,
            $($argument),*
        )
    };
}

/// Streams every limit.
pub fn stream_limits(db: &mut PgConnection) -> impl Stream<Item = sqlx::Result<LimitRow>> + '_ {
    query_limits!("true").fetch(db)
}

/// The limits of these keys, groups and accounts; of an account, those it has itself.
pub async fn find_limits(db: impl PgExecutor<'_>, changes: &Changes) -> sqlx::Result<Vec<LimitRow>> {
    let keys: Vec<_> = changes.keys.iter().map(|key| key.0).collect();
    let groups: Vec<_> = changes.groups.iter().map(|group| group.0).collect();
    let accounts: Vec<_> = changes.accounts.iter().map(|account| account.0).collect();
    query_limits!(
        "l.key_id = ANY($1) OR l.group_id = ANY($2)
             OR (l.account_id = ANY($3) AND l.key_id IS NULL AND l.group_id IS NULL)",
        &keys,
        &groups,
        &accounts
    )
    .fetch_all(db)
    .await
}
