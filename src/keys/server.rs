//! API keys, on the server: what the pages show, and the changes a member makes.

mod check;
mod columns;
mod create;
mod delete;
mod edit;
mod form;
mod list;
mod list_forms;
mod page;
mod rows;
mod secret;

use std::time::Instant;

use domain::KeyId;
use domain::key::{KeyState, KeyStatus};
use serde_json::json;
use store::TenantTx;
use store::audit::{self, Action, Event};
use store::keys::{self, ListedKey, StatusChange};

use super::{KeyChange, KeyFormOf, KeyFormView, Receipt, RevokeView};
use crate::error::AppError;
use crate::server::forms::Posted;
use crate::server::receipt;
use crate::server::session::Role;
use crate::server::{Failure, Member, respond_as};

pub use create::create;
pub(in crate::keys) use delete::{delete_key, load_delete};
pub use edit::edit;
pub(in crate::keys) use edit::load_edit_key;
pub(in crate::keys) use list::load_keys;
pub use list_forms::{change_views, choose_columns, find_keys};
pub(in crate::keys) use page::load_key;
pub use rows::account_view;
pub use secret::replace_secret;
pub(in crate::keys) use secret::{end_rotation, load_rotate, undo_rotation};

use form::Offers;
use rows::{key_row, row_with_state};

/// Who may create, switch and revoke keys, or stronger.
pub(super) const MAY_EDIT: Role = Role::Developer;

pub(super) async fn load_new_key(slug: String) -> Result<KeyFormView, AppError> {
    respond_as("load_new_key", slug, MAY_EDIT, async move |member| {
        let offers = Offers::load(&member).await?;
        let mut typed = Posted(&[]).key();
        typed.group = offers.groups.first().map(|group| group.id.to_string()).unwrap_or_default();
        Ok(offers.form(&member, KeyFormOf::New { form_id: store::new_id().to_string() }, typed))
    })
    .await
}

pub(super) async fn load_revoke(slug: String, key: String) -> Result<RevokeView, AppError> {
    respond_as("load_revoke", slug, MAY_EDIT, async move |member| {
        let mut tx = TenantTx::begin(&member.visit.state.pool, member.membership.account_id).await?;
        let key = keys::find(&mut tx, key_id(&key)?).await?.ok_or(AppError::NotFound)?;
        tx.commit().await?;
        let flash = member.visit.take_flash();
        Ok(RevokeView { account: account_view(&member), key: key_row(&key), flash })
    })
    .await
}

/// A text that is no id is the id of nothing.
fn key_id(text: &str) -> Result<KeyId, AppError> {
    text.parse().map_err(|_| AppError::NotFound)
}

pub(super) async fn set_key_enabled(
    slug: String,
    key: String,
    enabled: bool,
    row_version: i64,
) -> Result<KeyChange, AppError> {
    respond_as("set_key_enabled", slug, MAY_EDIT, async move |member| {
        let to = if enabled { KeyStatus::Enabled } else { KeyStatus::Disabled };
        change_status(&member, key_id(&key)?, to, Some(row_version), String::new()).await
    })
    .await
}

/// Revoking does not ask which version was seen: whatever else happened to the key, it should stop.
pub(super) async fn revoke_key(slug: String, key: String, _row_version: i64) -> Result<KeyChange, AppError> {
    respond_as("revoke_key", slug, MAY_EDIT, async move |member| {
        let next = format!("/a/{}/keys", member.membership.slug);
        change_status(&member, key_id(&key)?, KeyStatus::Revoked, None, next).await
    })
    .await
}

/// Changes the status and writes the event in one transaction, then waits for the gateways.
async fn change_status(
    member: &Member,
    id: KeyId,
    to: KeyStatus,
    seen: Option<i64>,
    next: String,
) -> Result<KeyChange, Failure> {
    let mut tx = TenantTx::begin(&member.visit.state.pool, member.membership.account_id).await?;
    let change = keys::set_status(&mut tx, id, to).await?;
    let listed = keys::find_listed(&mut tx, id).await?.ok_or(AppError::NotFound)?;
    let key = &listed.key;
    match change {
        StatusChange::NotFound => return Err(AppError::NotFound.into()),
        StatusChange::Refused { .. } => return Err(already_revoked().into()),
        StatusChange::Unchanged { .. } => {}
        StatusChange::Changed { from, name } => {
            if seen.is_some_and(|seen| seen + 1 != key.row_version) {
                return Err(changed_meanwhile(from, to).into());
            }
            if to == KeyStatus::Enabled {
                may_be_enabled(&listed)?;
            }
            let detail = json!({ "from": from.as_str(), "to": to.as_str() });
            let event = Event { action: action(to), target: Some(id.0), target_name: &name, detail };
            let user_agent = member.visit.browser();
            audit::insert(&mut tx, member.visit.actor(&member.viewer, &user_agent), event).await?;
        }
    }
    tx.commit().await?;
    let receipt = receipt_after_commit(member).await;
    let notice = format!("{} {}. {}.", done_word(to), key.name, receipt.text);
    Ok(KeyChange { key: row_with_state(&listed), receipt, notice, next })
}

/// A key that would be refused all the same is not called enabled: its expiry or its limit is to be changed first.
fn may_be_enabled(key: &ListedKey) -> Result<(), AppError> {
    let message = match KeyState::of(KeyStatus::Enabled, key.signs, key.key.now) {
        KeyState::Expired => "This key has expired. Give it more time first, then enable it.",
        KeyState::Exhausted => "A limit of this key is used up. Raise the limit first, then enable it.",
        _ => return Ok(()),
    };
    Err(AppError::Conflict { message: message.to_owned() })
}

/// The receipt for what was just committed.
async fn receipt_after_commit(member: &Member) -> Receipt {
    receipt::after_commit(&member.visit.state, Instant::now()).await
}

const fn action(to: KeyStatus) -> Action {
    match to {
        KeyStatus::Enabled => Action::KeyEnabled,
        KeyStatus::Disabled => Action::KeyDisabled,
        KeyStatus::Revoked | KeyStatus::Deleted => Action::KeyRevoked,
    }
}

const fn done_word(to: KeyStatus) -> &'static str {
    match to {
        KeyStatus::Enabled => "Enabled",
        KeyStatus::Disabled => "Disabled",
        KeyStatus::Revoked | KeyStatus::Deleted => "Revoked",
    }
}

fn already_revoked() -> AppError {
    let message = "This key is revoked, which cannot be undone. Create a new key instead.".to_owned();
    AppError::Conflict { message }
}

fn changed_meanwhile(is: KeyStatus, wanted: KeyStatus) -> AppError {
    let message = format!(
        "This key was changed meanwhile: it is {} now, and you wanted it {}. Look again, then repeat it if you \
         still want to.",
        is.as_str(),
        wanted.as_str()
    );
    AppError::Conflict { message }
}
