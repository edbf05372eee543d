//! A key's own page, the questions before its secret is replaced or it is deleted: what they carry. No logic.

use leptos::prelude::*;
use serde::{Deserialize, Serialize};

use super::{AccountView, KeyChange, KeyRow};
use crate::auth::{Done, Flash};
use crate::error::AppError;
use crate::ui::Change;

/// A part of a key's page: the `tab` parameter of its address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyTab {
    /// What it is, may do and has left.
    #[default]
    Overview,
    /// Its last requests.
    Requests,
    /// What was done to it.
    Audit,
}

impl KeyTab {
    /// Reads the address's `tab` parameter; what it does not know is the overview.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        match text {
            "requests" => Self::Requests,
            "audit" => Self::Audit,
            _ => Self::Overview,
        }
    }

    /// The value of the address's `tab` parameter.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Overview => "overview",
            Self::Requests => "requests",
            Self::Audit => "audit",
        }
    }
}

/// What `/a/{slug}/keys/{id}` shows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyView {
    /// The account and the viewer.
    pub account: AccountView,
    /// The key.
    pub key: KeyRow,
    /// What else there is to know of it; empty is nothing.
    pub note: String,
    /// Its current secret and, during a rotation, the retiring one.
    pub retiring: Option<RetiringSecret>,
    /// The part that is shown.
    pub part: KeyPart,
    /// What the last post led to.
    pub flash: Flash,
}

/// A part of the page.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum KeyPart {
    /// What it is, may do and has left.
    Overview {
        /// Its limits.
        limits: Vec<LimitBar>,
        /// Name and value of all that is set.
        facts: Vec<(String, String)>,
    },
    /// Its last requests, newest first.
    Requests {
        /// The admitted ones.
        served: Vec<ServedRow>,
        /// The refused ones of the last seven days.
        refused: Vec<RefusedRow>,
        /// The address of older admitted ones, if there are any.
        older: Option<String>,
    },
    /// What was done to it, newest first.
    Audit {
        /// The events.
        events: Vec<KeyEvent>,
    },
}

/// One limit against what is spent of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LimitBar {
    /// `Cost`, `Tokens`.
    pub label: String,
    /// `$25.60 of $100.00`.
    pub text: String,
    /// `$74.40 left, starts anew 1 Dec 2026, 00:00 UTC`.
    pub detail: String,
    /// Thousandths spent, at most 1 000.
    pub spent: u16,
    /// Whether nothing is left.
    pub used_up: bool,
}

/// The older secret while a rotation is under way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetiringSecret {
    /// What identifies it without being it.
    pub mask: String,
    /// Until when it works, RFC 3339 in UTC.
    pub ends_iso: String,
    /// The same to show: `in 23 h`.
    pub ends_text: String,
    /// The exact time.
    pub ends_exact: String,
    /// `14 requests in the last hour, the last one 3 min ago from 10.2.0.4`.
    pub use_text: String,
    /// Whether it is still used.
    pub in_use: bool,
}

/// One admitted request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServedRow {
    /// The request's id.
    pub id: String,
    /// When, RFC 3339 in UTC.
    pub at_iso: String,
    /// `2 min ago`.
    pub at_text: String,
    /// The exact time.
    pub at_exact: String,
    /// The model.
    pub model: String,
    /// The path template.
    pub route: String,
    /// `200`, with `interrupted` where it was.
    pub status: String,
    /// Whether the status is an error's, or it was interrupted.
    pub failed: bool,
    /// `120 in (20 cached), 40 out`.
    pub tokens: String,
    /// `$0.000184`.
    pub cost: String,
    /// `412 ms`.
    pub latency: String,
    /// From where.
    pub client: String,
}

/// One refused request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusedRow {
    /// The request's id.
    pub id: String,
    /// When, RFC 3339 in UTC.
    pub at_iso: String,
    /// `2 min ago`.
    pub at_text: String,
    /// The exact time.
    pub at_exact: String,
    /// What its client was told: `ip_not_allowed`.
    pub code: String,
    /// The same in a sentence, with the figures of the limit.
    pub why: String,
    /// The model asked for; empty where none was named.
    pub model: String,
    /// From where.
    pub client: String,
}

/// One thing that was done to a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyEvent {
    /// When, RFC 3339 in UTC.
    pub at_iso: String,
    /// `2 min ago`.
    pub at_text: String,
    /// The exact time.
    pub at_exact: String,
    /// Who.
    pub actor: String,
    /// `Changed`.
    pub act: String,
    /// What was changed.
    pub changes: Vec<Change>,
}

/// What the question before a new secret shows (`/a/{slug}/keys/{id}/rotate`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RotateView {
    /// The account and the viewer.
    pub account: AccountView,
    /// The key in question.
    pub key: KeyRow,
    /// The one-time id of this form.
    pub form_id: String,
    /// What is chosen: `now`, `1h`, `24h`, `7d`.
    pub overlap: String,
    /// A rotation that is under way, which only a regeneration ends.
    pub retiring: Option<RetiringSecret>,
    /// Why nothing was done.
    pub error: Option<AppError>,
}

/// What the question before deleting shows (`/a/{slug}/keys/{id}/delete`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeleteView {
    /// The account and the viewer.
    pub account: AccountView,
    /// The key in question.
    pub key: KeyRow,
    /// Whether its name must be typed: it is in use.
    pub type_name: bool,
    /// What the last post led to.
    pub flash: Flash,
}

/// A key's page. `before` is the id of the request behind which older ones begin, or empty.
#[server]
pub async fn load_key(slug: String, key: String, tab: KeyTab, before: String) -> Result<KeyView, AppError> {
    super::server::load_key(slug, key, tab, before).await
}

/// The question before a new secret, with a fresh one-time id.
#[server]
pub async fn load_rotate(slug: String, key: String) -> Result<RotateView, AppError> {
    super::server::load_rotate(slug, key).await
}

/// The question before deleting.
#[server]
pub async fn load_delete(slug: String, key: String) -> Result<DeleteView, AppError> {
    super::server::load_delete(slug, key).await
}

/// Stops the retiring secret of a rotation at once. Then the page it came from.
#[server]
pub async fn end_rotation(slug: String, key: String, row_version: i64) -> Result<KeyChange, AppError> {
    super::server::end_rotation(slug, key, row_version).await
}

/// Makes the retiring secret the current one again and stops the new one. Then the page it came from.
#[server]
pub async fn undo_rotation(slug: String, key: String, row_version: i64) -> Result<KeyChange, AppError> {
    super::server::undo_rotation(slug, key, row_version).await
}

/// Deletes a key for good. `name` is what was typed, where that is asked for. Then the list.
#[server]
pub async fn delete_key(slug: String, key: String, name: String) -> Result<Done, AppError> {
    super::server::delete_key(slug, key, name).await
}
