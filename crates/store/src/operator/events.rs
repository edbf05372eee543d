//! The operator's own log. The database writes it; here it is read.

use serde_json::Value;
use time::OffsetDateTime;

use super::OperatorTx;

/// One row that was changed.
#[derive(Clone, Debug)]
pub struct OperatorEvent {
    /// When.
    pub at: OffsetDateTime,
    /// Who: an address, or a role of the database.
    pub actor: String,
    /// What: `model.changed`.
    pub action: String,
    /// To what, as it was called then.
    pub target: String,
    /// The row before; none where it is new.
    pub before: Option<Value>,
    /// The row after; none where it is gone.
    pub after: Option<Value>,
}

/// The newest events, newest first.
pub async fn list_newest(tx: &mut OperatorTx, most: i32) -> sqlx::Result<Vec<OperatorEvent>> {
    sqlx::query_as!(
        OperatorEvent,
        r#"SELECT at AS "at!", actor AS "actor!", action AS "action!", target AS "target!", before, after
           FROM list_operator_events($1)"#,
        most,
    )
    .fetch_all(tx.connection())
    .await
}
