//! API keys: server functions and what they carry. No logic. Texts are ready to show: neither the
//! components nor the browser format dates, counts or money.

pub use domain::key::KeyStatus;
use leptos::prelude::*;
use serde::{Deserialize, Serialize};

use super::{KeyFormView, RotateView};
use crate::auth::Flash;
use crate::error::AppError;

/// The account a page belongs to, and who looks at it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountView {
    /// The account's part of the address: `/a/{slug}/…`.
    pub slug: String,
    /// The account's name.
    pub name: String,
    /// The viewer's role in words: `Owner`, `Admin`, `Developer`, `Viewer`.
    pub role: String,
    /// Whether the viewer may create, switch and revoke keys.
    pub may_edit: bool,
    /// The viewer's address.
    pub email: String,
    /// The operator's name for this service.
    pub brand: String,
    /// Whether requests can be paid for; if not, every request is refused and the page says so.
    pub billing_active: bool,
    /// Whether the viewer runs this service.
    pub operator: bool,
}

/// One row of the list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyRow {
    /// The key's id.
    pub id: String,
    /// The key's name.
    pub name: String,
    /// The stored state.
    pub status: KeyStatus,
    /// The state in words: `Operational`, `Disabled`, `Revoked`.
    pub state_text: String,
    /// What identifies the secret without being it: `sk-lk-••••9f3K`.
    pub mask: String,
    /// The public id, which may be copied.
    pub public_id: String,
    /// Creation time, RFC 3339 in UTC.
    pub created_iso: String,
    /// Creation time to show: `21 Nov 2026, 08:05 UTC`.
    pub created_text: String,
    /// Last use, RFC 3339 in UTC, if there was one.
    pub last_used_iso: Option<String>,
    /// Last use to show: `2 min ago`, or `Never`.
    pub last_used_text: String,
    /// Requests so far: `1 204`.
    pub requests_text: String,
    /// Cost so far: `$0.000184`.
    pub cost_text: String,
    /// The version of the row this was read at; sent back with every change.
    pub row_version: i64,
}

/// What the answer to `POST /a/{slug}/keys` shows. The only wire type that can hold a secret.
#[derive(Clone, PartialEq, Eq)]
pub struct CreatedKeyView {
    /// The account and the viewer.
    pub account: AccountView,
    /// The key's name.
    pub name: String,
    /// The full secret; `None` if this form had been answered before: the key exists, its secret is not shown again.
    pub secret: Option<String>,
    /// What identifies the secret without being it.
    pub mask: String,
    /// Where clients send requests, with `/v1`.
    pub gateway_url: String,
    /// How far the gateways know of it; `None` if they were asked when the form was first answered.
    pub receipt: Option<Receipt>,
    /// A model to try it with; `None` while the operator has set up none.
    pub example_model: Option<String>,
    /// Of a key that had a secret before: what becomes of that.
    pub older: Option<String>,
}

/// What became of `POST /a/{slug}/keys/{id}/secret`; given to the page by context.
#[derive(Clone)]
pub enum SecretOutcome {
    /// The key has a new secret.
    Replaced(Box<CreatedKeyView>),
    /// The question is asked again.
    Refused(Box<RotateView>),
    /// There is nothing to show but the error.
    Failed(AppError),
}

/// What became of `POST /a/{slug}/keys`; given to the page by context.
#[derive(Clone)]
pub enum CreateOutcome {
    /// The key exists.
    Created(Box<CreatedKeyView>),
    /// The form is shown again, filled in further.
    Unfinished(Box<KeyFormView>),
    /// The form is shown again with what is wrong.
    Refused(Box<KeyFormView>),
    /// There is nothing to show but the error.
    Failed(AppError),
}

/// What the question before revoking shows (`/a/{slug}/keys/{id}/revoke`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RevokeView {
    /// The account and the viewer.
    pub account: AccountView,
    /// The key in question.
    pub key: KeyRow,
    /// What the last post led to.
    pub flash: Flash,
}

/// How far the gateways are with a change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// `Enforced on 1/1 gateways in 9 ms`, or what holds it up.
    pub text: String,
    /// Whether every live gateway, and at least one, enforces the change.
    pub complete: bool,
}

/// The answer to a change of a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyChange {
    /// The key as it is now.
    pub key: KeyRow,
    /// How far the gateways know of it.
    pub receipt: Receipt,
    /// The whole line to show: `Disabled build-bot. Enforced on 1/1 gateways in 9 ms.`
    pub notice: String,
    /// Where a plain form post goes next; empty is the page it came from.
    pub next: String,
}

/// The question before revoking.
#[server]
pub async fn load_revoke(slug: String, key: String) -> Result<RevokeView, AppError> {
    super::server::load_revoke(slug, key).await
}

/// Enables or disables a key that is not revoked. Form fields: `slug`, `key`, `enabled` (`true` or
/// `false`), `row_version`. Then the page it came from.
#[server]
pub async fn set_key_enabled(
    slug: String,
    key: String,
    enabled: bool,
    row_version: i64,
) -> Result<KeyChange, AppError> {
    super::server::set_key_enabled(slug, key, enabled, row_version).await
}

/// Revokes a key for good. Form fields: `slug`, `key`, `row_version`. Then the list.
#[server]
pub async fn revoke_key(slug: String, key: String, row_version: i64) -> Result<KeyChange, AppError> {
    super::server::revoke_key(slug, key, row_version).await
}
