//! Deleting a key: asked first, its name typed where it is in use.

use serde_json::json;
use store::TenantTx;
use store::audit::{self, Action, Event};
use store::keys::{self, Key};
use time::Duration;

use super::{MAY_EDIT, account_view, key_id, key_row, receipt_after_commit};
use crate::auth::Done;
use crate::error::AppError;
use crate::keys::DeleteView;
use crate::server::respond_as;

/// A key that was used within this time is in use.
const IN_USE: Duration = Duration::days(30);

/// The question before deleting.
pub(in crate::keys) async fn load_delete(slug: String, key: String) -> Result<DeleteView, AppError> {
    respond_as("load_delete", slug, MAY_EDIT, async move |member| {
        let mut tx = TenantTx::begin(&member.visit.state.pool, member.membership.account_id).await?;
        let key = keys::find(&mut tx, key_id(&key)?).await?.ok_or(AppError::NotFound)?;
        tx.commit().await?;
        let flash = member.visit.take_flash();
        Ok(DeleteView {
            account: account_view(&member),
            type_name: is_in_use(&key),
            key: key_row(&key),
            flash,
        })
    })
    .await
}

fn is_in_use(key: &Key) -> bool {
    key.last_used_at.is_some_and(|last| key.now - last < IN_USE)
}

pub(in crate::keys) async fn delete_key(slug: String, key: String, name: String) -> Result<Done, AppError> {
    respond_as("delete_key", slug, MAY_EDIT, async move |member| {
        let id = key_id(&key)?;
        let mut tx = TenantTx::begin(&member.visit.state.pool, member.membership.account_id).await?;
        let key = keys::find(&mut tx, id).await?.ok_or(AppError::NotFound)?;
        if is_in_use(&key) && name.split_whitespace().collect::<Vec<_>>().join(" ") != key.name {
            let message = format!("To delete it, type its name: {}", key.name);
            return Err(AppError::invalid("name", message).into());
        }
        let name = keys::delete(&mut tx, id).await?.ok_or(AppError::NotFound)?;
        let user_agent = member.visit.browser();
        let detail = json!({ "public_id": key.public_id });
        let event = Event { action: Action::KeyDeleted, target: Some(id.0), target_name: &name, detail };
        audit::insert(&mut tx, member.visit.actor(&member.viewer, &user_agent), event).await?;
        tx.commit().await?;
        let receipt = receipt_after_commit(&member).await;
        let next = format!("/a/{}/keys", member.membership.slug);
        Ok(Done { notice: format!("Deleted {name}. {}.", receipt.text), next })
    })
    .await
}
