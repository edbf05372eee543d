//! Keys as a list shows them, and what its filters offer.

use domain::key::{KeyStatus, Signs};
use domain::key_query::{Cursor, CursorValue, Sort};
use domain::limit::{Measure, Period};
use domain::secret::Digest;
use domain::{AccountId, KeyId, UserId};
use ipnet::IpNet;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::TenantTx;

/// A row of the list.
#[derive(Clone, Debug)]
pub struct ListedKey {
    /// The key.
    pub key: super::Key,
    /// What its maker says of it; empty is nothing.
    pub note: String,
    /// Its group's name.
    pub group: String,
    /// Its environment.
    pub environment: Option<String>,
    /// The networks that may use it; `None` is any.
    pub addresses: Option<Vec<IpNet>>,
    /// What it may do; `None` is everything.
    pub permissions: Option<Vec<String>>,
    /// Which models it may use; `None` is all.
    pub models: Option<Vec<String>>,
    /// Requests in any 60 s; `None` is no limit.
    pub requests_per_minute: Option<i32>,
    /// From where it was used last.
    pub last_address: Option<IpNet>,
    /// The address of who made it.
    pub maker: Option<String>,
    /// What its state follows from.
    pub signs: Signs,
    /// Its limits with the figures of their present windows, cost first.
    pub limits: Vec<Consumed>,
    /// Its name as the list is ordered by it.
    pub name_place: String,
    /// Its last use as the list is ordered by it, to the minute; `None` is never.
    pub used_place: Option<OffsetDateTime>,
    /// Its state as the list is ordered by it.
    pub state_place: i16,
    /// The share used as the list is ordered by it.
    pub share_place: i16,
}

/// A limit and what is used of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Consumed {
    /// What it counts.
    pub measure: Measure,
    /// How much there is: nano-dollars or tokens.
    pub amount: i64,
    /// When it starts anew.
    pub period: Period,
    /// How much is used.
    pub spent: i64,
    /// When the present window ends; `None` is never.
    pub ends_at: Option<OffsetDateTime>,
}

impl Consumed {
    /// The share that is used, per mille and at most 1000; cut, so that only a limit that is used up has all of it.
    pub fn share(&self) -> i16 {
        if self.spent >= self.amount {
            return 1_000;
        }
        let share = i128::from(self.spent) * 1_000 / i128::from(self.amount.max(1));
        i16::try_from(share).unwrap_or(1_000)
    }
}

/// These keys, in this order; those that are deleted or another account's are left out.
pub async fn list_by_ids(tx: &mut TenantTx, ids: &[KeyId]) -> sqlx::Result<Vec<ListedKey>> {
    let account = tx.account();
    let ids: Vec<Uuid> = ids.iter().map(|id| id.0).collect();
    let limits = list_limits(tx, &ids).await?;
    let rows = sqlx::query!(
        r#"SELECT k.id AS "id: KeyId", k.name, k.status AS "status: KeyStatus", k.status_at, k.expires_at, k.created_at,
                  k.row_version, s.public_id, s.prefix, s.last4, t.requests, t.cost_nano, t.last_used_at, now() AS "now!",
                  k.note, g.name AS "group", k.environment, k.addresses AS "addresses: Vec<IpNet>", k.permissions,
                  k.models, k.requests_per_minute, t.last_address AS "last_address: IpNet", m.email AS "maker?",
                  f.share_refused, f.rate_limited_until > now() AS "rate_limited!", f.name AS name_place,
                  nullif(f.last_used_at, '-infinity') AS used_place, f.state AS state_place,
                  f.share_used AS share_place
           FROM unnest($2::uuid[]) WITH ORDINALITY AS wanted (id, place)
           JOIN api_keys k ON k.id = wanted.id
           JOIN groups g ON g.id = k.group_id
           JOIN key_secrets s ON s.account_id = k.account_id AND s.key_id = k.id AND s.ends_at IS NULL
           JOIN key_stats t ON t.key_id = k.id
           JOIN key_facets f ON f.key_id = k.id
           LEFT JOIN makers_of_keys($2) m ON m.id = k.created_by
           WHERE k.account_id = $1 AND k.status <> 'deleted'
           ORDER BY wanted.place"#,
        account as AccountId,
        &ids,
    )
    .fetch_all(tx.connection())
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| {
            let limits: Vec<Consumed> =
                limits.iter().filter(|(key, _)| *key == row.id).map(|(_, limit)| *limit).collect();
            let signs = Signs {
                expires_at: row.expires_at,
                share_used: limits.iter().map(Consumed::share).max().unwrap_or(0),
                share_refused: row.share_refused,
                rate_limited: row.rate_limited,
            };
            let key = super::Key {
                id: row.id,
                name: row.name,
                status: row.status,
                status_at: row.status_at,
                expires_at: row.expires_at,
                created_at: row.created_at,
                row_version: row.row_version,
                public_id: row.public_id,
                prefix: row.prefix,
                last4: row.last4,
                requests: row.requests,
                cost: domain::money::NanoUsd(row.cost_nano),
                last_used_at: row.last_used_at,
                now: row.now,
            };
            ListedKey {
                key,
                note: row.note,
                group: row.group,
                environment: row.environment,
                addresses: row.addresses,
                permissions: row.permissions,
                models: row.models,
                requests_per_minute: row.requests_per_minute,
                last_address: row.last_address,
                maker: row.maker,
                signs,
                limits,
                name_place: row.name_place,
                used_place: row.used_place,
                state_place: row.state_place,
                share_place: row.share_place,
            }
        })
        .collect())
}

/// One row, as a list shows it.
pub async fn find_listed(tx: &mut TenantTx, id: KeyId) -> sqlx::Result<Option<ListedKey>> {
    Ok(list_by_ids(tx, &[id]).await?.pop())
}

async fn list_limits(tx: &mut TenantTx, keys: &[Uuid]) -> sqlx::Result<Vec<(KeyId, Consumed)>> {
    let account = tx.account();
    let rows = sqlx::query!(
        r#"SELECT l.key_id AS "key!: KeyId", l.measure AS "measure: Measure", l.amount, l.period AS "period: Period",
                  w.ends_at, coalesce(f.spent, 0) AS "spent!"
           FROM limits l JOIN accounts a ON a.id = l.account_id
                CROSS JOIN LATERAL limit_window(l.period, l.period_since, a.time_zone, now()) w
                LEFT JOIN limit_windows f ON f.limit_id = l.id AND f.starts_at = w.starts_at
           WHERE l.account_id = $1 AND l.key_id = ANY ($2)
           ORDER BY l.measure"#,
        account as AccountId,
        keys,
    )
    .fetch_all(tx.connection())
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| {
            let limit = Consumed {
                measure: row.measure,
                amount: row.amount,
                period: row.period,
                spent: row.spent,
                ends_at: row.ends_at,
            };
            (row.key, limit)
        })
        .collect())
}

/// What a secret or a public id belongs to, whatever became of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Owner {
    /// The key.
    pub key: KeyId,
    /// The secret's public id.
    pub public_id: String,
    /// What the key is called, or was.
    pub name: String,
    /// What was decided about it.
    pub status: KeyStatus,
    /// When that was decided.
    pub status_at: OffsetDateTime,
    /// Whether the secret still is one of the key's.
    pub current: bool,
}

/// Secrets with their keys, of account `$1`: what follows `WHERE`, then the argument.
macro_rules! query_owner {
    ($condition:literal, $($argument:expr),+ $(,)?) => {
        sqlx::query_as!(
            Owner,
            r#"SELECT k.id AS "key: KeyId", s.public_id, k.name, k.status AS "status: KeyStatus", k.status_at,
                      s.ends_at IS NULL OR s.ends_at > now() AS "current!"
               FROM key_secrets s JOIN api_keys k ON k.account_id = s.account_id AND k.id = s.key_id
               WHERE s.account_id = $1 AND "# + $condition,
            $($argument),+
        )
    };
}

/// Whose secret it is, if it is one of this account's; also of revoked and deleted keys.
pub async fn find_by_digest(tx: &mut TenantTx, digest: Digest) -> sqlx::Result<Option<Owner>> {
    let account = tx.account();
    query_owner!("s.digest = $2", account as AccountId, &digest.0[..]).fetch_optional(tx.connection()).await
}

/// The same by the part of a secret that is none.
pub async fn find_by_public_id(tx: &mut TenantTx, public_id: &str) -> sqlx::Result<Option<Owner>> {
    let account = tx.account();
    query_owner!("s.public_id = $2", account as AccountId, public_id).fetch_optional(tx.connection()).await
}

/// What can be chosen among, beside groups.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Choices {
    /// The environments that keys have.
    pub environments: Vec<String>,
    /// The models that keys are restricted to.
    pub models: Vec<String>,
    /// The permissions that keys are restricted to.
    pub permissions: Vec<String>,
    /// The members, by their addresses.
    pub people: Vec<(UserId, String)>,
}

/// Reads what can be chosen among: of each at most 200.
pub async fn list_choices(tx: &mut TenantTx) -> sqlx::Result<Choices> {
    let people =
        sqlx::query!(r#"SELECT id AS "id!: UserId", email AS "email!" FROM people_of_account() LIMIT 200"#)
            .fetch_all(tx.connection())
            .await?;
    Ok(Choices {
        environments: list_terms(tx, ":e:", ":e;").await?,
        models: list_terms(tx, ":m:", ":m;").await?,
        permissions: list_terms(tx, ":p:", ":p;").await?,
        people: people.into_iter().map(|person| (person.id, person.email)).collect(),
    })
}

/// The different terms between two, without their first three characters. Goes from one to the next by the index: there
/// are few, however many keys have them.
async fn list_terms(tx: &mut TenantTx, from: &str, to: &str) -> sqlx::Result<Vec<String>> {
    let account = tx.account();
    sqlx::query_scalar!(
        r#"WITH RECURSIVE one AS (
               (SELECT term FROM key_terms WHERE account_id = $1 AND term > $2 AND term < $3 ORDER BY term LIMIT 1)
               UNION ALL
               SELECT (SELECT t.term FROM key_terms t
                       WHERE t.account_id = $1 AND t.term > one.term AND t.term < $3 ORDER BY t.term LIMIT 1)
               FROM one WHERE one.term IS NOT NULL
           )
           SELECT substr(term, 4) AS "term!" FROM one WHERE term IS NOT NULL LIMIT 200"#,
        account as AccountId,
        from,
        to,
    )
    .fetch_all(tx.connection())
    .await
}

impl ListedKey {
    /// Its place in the list, if that is ordered by `sort`.
    pub fn cursor(&self, sort: Sort) -> Cursor {
        let value = match sort {
            Sort::Name => CursorValue::Name(self.name_place.clone()),
            Sort::Created => CursorValue::Moment(Some(self.key.created_at)),
            Sort::Used => CursorValue::Moment(self.used_place),
            Sort::Expires => CursorValue::Moment(self.key.expires_at),
            Sort::State => CursorValue::Number(self.state_place),
            Sort::Share => CursorValue::Number(self.share_place),
        };
        Cursor { value, id: self.key.id }
    }
}
