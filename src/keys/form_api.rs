//! The form of a key, new or existing: what it carries, and its loaders. No logic.

use leptos::prelude::*;
use serde::{Deserialize, Serialize};

use super::AccountView;
use crate::error::AppError;
use crate::ui::Change;

/// A key's fields as texts, as the form has them.
#[expect(clippy::struct_excessive_bools, reason = "independent switches of a form")]
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyTyped {
    /// Its name.
    pub name: String,
    /// What else there is to know of it.
    pub note: String,
    /// Its group's id; empty is the default one.
    pub group: String,
    /// Its environment.
    pub environment: String,
    /// When it ends: `never`, `hour`, `day`, `month`, or `at` the time below.
    pub expires: String,
    /// `2026-12-12T08:05`, in UTC.
    pub expires_at: String,
    /// Whether what it costs is limited.
    pub cost_on: bool,
    /// To how much.
    pub cost: String,
    /// Of what: `usd` or `credits`.
    pub cost_unit: String,
    /// Whether its tokens are limited.
    pub tokens_on: bool,
    /// To how many.
    pub tokens: String,
    /// When cost and tokens start anew: `never`, `daily`, `weekly`, `monthly`.
    pub period: String,
    /// Whether its requests in a minute are limited.
    pub rate_on: bool,
    /// To how many.
    pub rate: String,
    /// What happens to a request that may not fit: `clamp` or `strict`.
    pub fit: String,
    /// The models it may use; none is all.
    pub models: Vec<String>,
    /// What it may do: `all`, `read` or `some`.
    pub access: String,
    /// What that is, where it is some.
    pub permissions: Vec<String>,
    /// The networks that may use it, one a line; none is any.
    pub addresses: String,
    /// That the list leaves out who uses the key now is meant.
    pub addresses_sure: bool,
}

/// A choice of the form.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Choice {
    /// What is sent.
    pub value: String,
    /// What is shown.
    pub label: String,
    /// What it means; empty where the label says it.
    pub hint: String,
}

/// What there is to choose from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyChoices {
    /// The account's groups.
    pub groups: Vec<Choice>,
    /// Environments that other keys of the account have.
    pub environments: Vec<String>,
    /// Models on offer, and those the key has that are not.
    pub models: Vec<Choice>,
    /// Permissions on offer, and those the key has that are not.
    pub permissions: Vec<Choice>,
    /// The viewer's own address.
    pub your_address: String,
    /// Credits of a dollar: `500 000`.
    pub credits_per_dollar: String,
}

/// What the form is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum KeyFormOf {
    /// A new key; the one-time id of this form is sent as the hidden field `form_id`.
    New {
        /// That id.
        form_id: String,
    },
    /// An existing key.
    Edit {
        /// Its id.
        id: String,
        /// What it is called now.
        name: String,
        /// The version of the row that was read.
        row_version: i64,
    },
}

/// What the form shows: empty, filled, or with what was typed and what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyFormView {
    /// The account and the viewer.
    pub account: AccountView,
    /// What it is for.
    pub of: KeyFormOf,
    /// What is in the fields.
    pub typed: KeyTyped,
    /// What there is to choose from.
    pub choices: KeyChoices,
    /// What the collapsed sections hold, in words: `$100 a month, 60 requests/min`.
    pub limits_text: String,
    /// `3 models, from 2 networks`.
    pub access_text: String,
    /// What is wrong: field and message.
    pub errors: Vec<(String, String)>,
    /// What somebody else changed meanwhile: the field, what it is now, what was typed.
    pub conflict: Vec<Change>,
}

/// What became of `POST /a/{slug}/keys/{id}/edit`; given to the page by context.
#[derive(Clone)]
pub enum EditOutcome {
    /// The form is shown again.
    Again(Box<KeyFormView>),
    /// There is nothing to show but the error.
    Failed(AppError),
}

/// The form for a new key, with a fresh one-time id.
#[server]
pub async fn load_new_key(slug: String) -> Result<KeyFormView, AppError> {
    super::server::load_new_key(slug).await
}

/// The form of an existing key.
#[server]
pub async fn load_edit_key(slug: String, key: String) -> Result<KeyFormView, AppError> {
    super::server::load_edit_key(slug, key).await
}
