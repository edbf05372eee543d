//! The audit log: one event for each act, written in the act's own transaction.

use std::net::IpAddr;

use domain::{AccountId, UserId};
use ipnet::IpNet;
use serde_json::Value;
use uuid::Uuid;

use crate::TenantTx;

/// What is audited.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Action {
    /// The account was opened.
    AccountOpened,
    /// Somebody signed in.
    SignedIn,
    /// Somebody signed out.
    SignedOut,
    /// A key was made.
    KeyCreated,
    /// A key, its rules or its limits were changed.
    KeyChanged,
    /// A key was switched on.
    KeyEnabled,
    /// A key was switched off.
    KeyDisabled,
    /// A key was revoked.
    KeyRevoked,
    /// A key was deleted.
    KeyDeleted,
    /// A key got a new secret, and every older one stopped.
    KeyRegenerated,
    /// A key got a new secret beside the one it had.
    KeyRotated,
    /// The older secret of a rotation was stopped before its time.
    KeyRotationEnded,
    /// The older secret of a rotation is the only one again.
    KeyRotationUndone,
}

impl Action {
    /// The stored word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AccountOpened => "account.opened",
            Self::SignedIn => "session.opened",
            Self::SignedOut => "session.closed",
            Self::KeyCreated => "key.created",
            Self::KeyChanged => "key.changed",
            Self::KeyEnabled => "key.enabled",
            Self::KeyDisabled => "key.disabled",
            Self::KeyRevoked => "key.revoked",
            Self::KeyDeleted => "key.deleted",
            Self::KeyRegenerated => "key.regenerated",
            Self::KeyRotated => "key.rotated",
            Self::KeyRotationEnded => "key.rotation_ended",
            Self::KeyRotationUndone => "key.rotation_undone",
        }
    }
}

/// Who acts, and from where.
#[derive(Clone, Copy, Debug)]
pub struct Actor<'a> {
    /// The user.
    pub user: UserId,
    /// Their address, as it is now.
    pub email: &'a str,
    /// The client's address.
    pub client: IpAddr,
    /// The browser, at most 300 characters.
    pub user_agent: &'a str,
}

/// One act.
#[derive(Clone, Debug)]
pub struct Event<'a> {
    /// What was done.
    pub action: Action,
    /// To which thing.
    pub target: Option<Uuid>,
    /// What it is called now.
    pub target_name: &'a str,
    /// Before and after. Never a secret.
    pub detail: Value,
}

/// Writes an event into the account of `tx`.
pub async fn insert(tx: &mut TenantTx, actor: Actor<'_>, event: Event<'_>) -> sqlx::Result<()> {
    let account = tx.account();
    sqlx::query!(
        "INSERT INTO audit_events
           (id, account_id, actor_id, actor_email, action, target_id, target_name, client, user_agent, detail)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        crate::new_id(),
        account as AccountId,
        actor.user as UserId,
        actor.email,
        event.action.as_str(),
        event.target,
        event.target_name,
        IpNet::from(actor.client.to_canonical()) as IpNet,
        actor.user_agent,
        event.detail,
    )
    .execute(tx.connection())
    .await
    .map(|_| ())
}

/// One line of the log.
#[derive(Clone, Debug)]
pub struct LoggedEvent {
    /// When.
    pub at: time::OffsetDateTime,
    /// Who.
    pub actor_email: String,
    /// What, as stored.
    pub action: String,
    /// To what, as it was called then.
    pub target_name: String,
    /// Before and after.
    pub detail: Value,
}

/// The newest events of the account, newest first.
pub async fn list_newest(tx: &mut TenantTx, most: i64) -> sqlx::Result<Vec<LoggedEvent>> {
    let account = tx.account();
    sqlx::query_as!(
        LoggedEvent,
        "SELECT at, actor_email, action, target_name, detail FROM audit_events
         WHERE account_id = $1 ORDER BY at DESC, id DESC LIMIT $2",
        account as AccountId,
        most,
    )
    .fetch_all(tx.connection())
    .await
}

/// The newest events about one thing of the account, newest first.
pub async fn list_of_target(tx: &mut TenantTx, target: Uuid, most: i64) -> sqlx::Result<Vec<LoggedEvent>> {
    let account = tx.account();
    sqlx::query_as!(
        LoggedEvent,
        "SELECT at, actor_email, action, target_name, detail FROM audit_events
         WHERE account_id = $1 AND target_id = $2 ORDER BY at DESC, id DESC LIMIT $3",
        account as AccountId,
        target,
        most,
    )
    .fetch_all(tx.connection())
    .await
}
