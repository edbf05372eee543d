//! Limits: what a key, a group or an account may consume, and what it has.

use domain::limit::{Measure, Period};
use domain::{AccountId, GroupId, KeyId, LimitId};
use sqlx::PgExecutor;
use time::OffsetDateTime;

use crate::TenantTx;

/// Whose limit it is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Subject {
    /// One key.
    Key(KeyId),
    /// All keys of a group together: its budget.
    Group(GroupId),
    /// The whole account: its balance, or its credit line.
    Account,
}

impl Subject {
    /// The two columns that say so.
    const fn columns(self) -> (Option<KeyId>, Option<GroupId>) {
        match self {
            Self::Key(key) => (Some(key), None),
            Self::Group(group) => (None, Some(group)),
            Self::Account => (None, None),
        }
    }
}

/// A limit as it is set.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Terms {
    /// What it counts.
    pub measure: Measure,
    /// How much: nano-dollars or tokens.
    pub amount: i64,
    /// When it starts anew.
    pub period: Period,
}

/// Sets a limit. Changing the amount keeps what was spent; changing the period starts a new window.
pub async fn put(tx: &mut TenantTx, subject: Subject, terms: Terms) -> sqlx::Result<LimitId> {
    let account = tx.account();
    let (key, group) = subject.columns();
    sqlx::query_scalar!(
        r#"INSERT INTO limits (id, account_id, key_id, group_id, measure, amount, period)
           VALUES ($1, $2, $3, $4, $5, $6, $7)
           ON CONFLICT (account_id, key_id, group_id, measure)
               DO UPDATE SET amount = excluded.amount, period = excluded.period
           RETURNING id AS "id: LimitId""#,
        crate::new_id(),
        account as AccountId,
        key as Option<KeyId>,
        group as Option<GroupId>,
        terms.measure as Measure,
        terms.amount,
        terms.period as Period,
    )
    .fetch_one(tx.connection())
    .await
}

/// Takes a limit away, with its windows. Whether there was one.
pub async fn remove(tx: &mut TenantTx, subject: Subject, measure: Measure) -> sqlx::Result<bool> {
    let account = tx.account();
    let (key, group) = subject.columns();
    let removed = sqlx::query!(
        "DELETE FROM limits WHERE account_id = $1 AND key_id IS NOT DISTINCT FROM $2
             AND group_id IS NOT DISTINCT FROM $3 AND measure = $4",
        account as AccountId,
        key as Option<KeyId>,
        group as Option<GroupId>,
        measure as Measure,
    )
    .execute(tx.connection())
    .await?;
    Ok(removed.rows_affected() > 0)
}

/// A limit with the figures of its present window.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Standing {
    /// The limit.
    pub id: LimitId,
    /// As it is set.
    pub terms: Terms,
    /// When the present window began.
    pub starts_at: OffsetDateTime,
    /// When it ends; `None` is never.
    pub ends_at: Option<OffsetDateTime>,
    /// Settled in it.
    pub spent: i64,
    /// Held by gateways for requests to come.
    pub reserved: i64,
    /// Facts beyond the amount.
    pub excess: i64,
}

/// Limits with the figures of their present windows: which ones, then the arguments.
macro_rules! query_standings {
    ($condition:literal $(, $argument:expr)*) => {
        sqlx::query_as!(
            Row,
            r#"SELECT l.id AS "id: LimitId", l.measure AS "measure: Measure", l.amount, l.period AS "period: Period",
                      w.starts_at AS "starts_at!", w.ends_at, coalesce(f.spent, 0) AS "spent!",
                      coalesce(f.reserved, 0) AS "reserved!", coalesce(f.excess, 0) AS "excess!"
               FROM limits l JOIN accounts a ON a.id = l.account_id
                    CROSS JOIN LATERAL limit_window(l.period, l.period_since, a.time_zone, now()) w
                    LEFT JOIN limit_windows f ON f.limit_id = l.id AND f.starts_at = w.starts_at
               WHERE "# + $condition + " ORDER BY l.measure",
            $($argument),*
        )
    };
}

/// The limits of one key, across accounts: for the gateway, which has shown that it knows the key's secret.
pub async fn list_of_key(db: impl PgExecutor<'_>, key: KeyId) -> sqlx::Result<Vec<Standing>> {
    let rows = query_standings!("l.key_id = $1", key as KeyId).fetch_all(db).await?;
    Ok(rows.into_iter().map(Standing::from).collect())
}

/// The limits of one subject. A window nobody has used yet has spent nothing.
pub async fn list(tx: &mut TenantTx, subject: Subject) -> sqlx::Result<Vec<Standing>> {
    let account = tx.account();
    let (key, group) = subject.columns();
    let rows = query_standings!(
        "l.account_id = $1 AND l.key_id IS NOT DISTINCT FROM $2 AND l.group_id IS NOT DISTINCT FROM $3",
        account as AccountId,
        key as Option<KeyId>,
        group as Option<GroupId>
    )
    .fetch_all(tx.connection())
    .await?;
    Ok(rows.into_iter().map(Standing::from).collect())
}

/// A row of [`query_standings`].
struct Row {
    id: LimitId,
    measure: Measure,
    amount: i64,
    period: Period,
    starts_at: OffsetDateTime,
    ends_at: Option<OffsetDateTime>,
    spent: i64,
    reserved: i64,
    excess: i64,
}

impl From<Row> for Standing {
    fn from(row: Row) -> Self {
        Self {
            id: row.id,
            terms: Terms { measure: row.measure, amount: row.amount, period: row.period },
            starts_at: row.starts_at,
            ends_at: row.ends_at,
            spent: row.spent,
            reserved: row.reserved,
            excess: row.excess,
        }
    }
}
