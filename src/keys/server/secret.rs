//! `POST /a/{slug}/keys/{id}/secret`: a new secret for a key, shown once; and what becomes of the older one.

use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use domain::KeyId;
use domain::secret::PlainSecret;
use serde_json::json;
use store::audit::{self, Action, Event};
use store::keys::{self, NewSecret, ReplaceError, RotationChange};
use store::{StoreError, TenantTx};
use time::Duration;
use uuid::Uuid;

use super::create::{Made, created_view};
use super::{MAY_EDIT, account_view, already_revoked, key_id, key_row, page, receipt_after_commit};
use crate::error::AppError;
use crate::keys::{KeyChange, RotateView, SecretOutcome};
use crate::server::forms::{Fields, Post, Posted, seen_version, status_of};
use crate::server::secrets::random;
use crate::server::{AppState, Failure, Member, Visit, respond_as, text};

const CHANGED_MEANWHILE: &str =
    "This key was changed meanwhile. Look again, then repeat it if you still want to.";

/// The question before a new secret.
pub(in crate::keys) async fn load_rotate(slug: String, key: String) -> Result<RotateView, AppError> {
    respond_as("load_rotate", slug, MAY_EDIT, async move |member| {
        question(&member, key_id(&key)?, store::new_id(), "24h".to_owned()).await
    })
    .await
}

async fn question(member: &Member, id: KeyId, form_id: Uuid, overlap: String) -> Result<RotateView, Failure> {
    let mut tx = TenantTx::begin(&member.visit.state.pool, member.membership.account_id).await?;
    let key = keys::find(&mut tx, id).await?.ok_or(AppError::NotFound)?;
    let retiring = page::retiring(&mut tx, id, key.now).await?;
    tx.commit().await?;
    if key.status == domain::key::KeyStatus::Revoked {
        return Err(already_revoked().into());
    }
    let overlap = if retiring.is_some() { "now".to_owned() } else { overlap };
    let (account, form_id) = (account_view(member), form_id.to_string());
    Ok(RotateView { account, key: key_row(&key), form_id, overlap, retiring, error: None })
}

/// Answers the form of `/a/{slug}/keys/{id}/rotate`.
pub async fn replace_secret(
    State(state): State<AppState>,
    Path((slug, key)): Path<(String, String)>,
    request: Request,
) -> Response {
    let post = match Post::read(state, request).await {
        Ok(post) => post,
        Err(status) => return status.into_response(),
    };
    let (status, outcome) = match answer(post.visit.clone(), &slug, &key, &post.fields).await {
        Ok(outcome @ SecretOutcome::Refused(_)) => (StatusCode::CONFLICT, outcome),
        Ok(outcome) => (StatusCode::OK, outcome),
        Err(failure) => match failure.tell("replace_secret") {
            AppError::Unauthenticated => return Redirect::to("/login").into_response(),
            error => (status_of(&error), SecretOutcome::Failed(error)),
        },
    };
    post.show(status, outcome).await
}

/// For how long the older secret goes on working; `None` is not at all.
fn overlap(word: &str) -> Result<Option<Duration>, AppError> {
    match word {
        "now" => Ok(None),
        "1h" => Ok(Some(Duration::HOUR)),
        "24h" => Ok(Some(Duration::hours(24))),
        "7d" => Ok(Some(Duration::days(7))),
        _ => Err(AppError::Malformed),
    }
}

async fn answer(visit: Visit, slug: &str, key: &str, posted: &Fields) -> Result<SecretOutcome, Failure> {
    let member = Member::admit(visit, slug, MAY_EDIT).await?;
    let id = key_id(key)?;
    let posted = Posted(posted);
    let form_id: Uuid = posted.text("form_id").parse().map_err(|_| AppError::Malformed)?;
    let word = posted.text("overlap");
    let overlap = overlap(&word)?;
    let seen = seen_version(&posted)?;
    let config = &member.visit.state.config;
    let secret = PlainSecret::from_entropy(&config.key_prefix, &random()?);
    let mut tx = TenantTx::begin(&member.visit.state.pool, member.membership.account_id).await?;
    let new = NewSecret {
        public_id: &secret.public_id(),
        digest: config.key_pepper.digest(&secret),
        pepper_version: config.key_pepper.version(),
        prefix: config.key_prefix.as_str(),
        last4: secret.last4(),
        form_id,
    };
    match keys::replace_secret(&mut tx, id, new, overlap, seen).await {
        Ok(()) => {}
        // A repeat or a reload: the key is shown without its secret.
        Err(ReplaceError::FormUsed(made)) if made == id => {
            let key = keys::find(&mut tx, id).await?.ok_or(AppError::NotFound)?;
            drop(tx);
            let mut view = created_view(&member, Made { key, secret: None }).await;
            view.older = Some("The key has a new secret.".to_owned());
            return Ok(SecretOutcome::Replaced(Box::new(view)));
        }
        Err(ReplaceError::FormUsed(_)) => return Err(AppError::Malformed.into()),
        Err(ReplaceError::Revoked) => return Err(already_revoked().into()),
        Err(ReplaceError::NotFound) => return Err(AppError::NotFound.into()),
        Err(refused @ (ReplaceError::RotationRunning | ReplaceError::Stale)) => {
            drop(tx);
            let mut view = question(&member, id, form_id, word).await?;
            let message = match refused {
                ReplaceError::Stale => CHANGED_MEANWHILE,
                _ => {
                    "A rotation is under way already. End or undo it first, or replace both secrets at once."
                }
            };
            view.error = Some(AppError::Conflict { message: message.to_owned() });
            return Ok(SecretOutcome::Refused(Box::new(view)));
        }
        Err(ReplaceError::Store(error)) => return Err(error.into()),
    }
    let key = keys::find(&mut tx, id).await?.ok_or(AppError::NotFound)?;
    let action = if overlap.is_some() { Action::KeyRotated } else { Action::KeyRegenerated };
    let detail = json!({ "public_id": secret.public_id().as_str(), "overlap": word });
    let user_agent = member.visit.browser();
    let event = Event { action, target: Some(id.0), target_name: &key.name, detail };
    audit::insert(&mut tx, member.visit.actor(&member.viewer, &user_agent), event).await?;
    tx.commit().await?;
    let now = key.now;
    let mut view = created_view(&member, Made { key, secret: Some(secret) }).await;
    view.older = Some(match overlap {
        None => "The secrets it had before do not work any more.".to_owned(),
        Some(overlap) => format!("The secret it had before works until {}.", text::date_time(now + overlap)),
    });
    Ok(SecretOutcome::Replaced(Box::new(view)))
}

pub(in crate::keys) async fn end_rotation(
    slug: String,
    key: String,
    row_version: i64,
) -> Result<KeyChange, AppError> {
    respond_as("end_rotation", slug, MAY_EDIT, async move |member| {
        let id = key_id(&key)?;
        let mut tx = TenantTx::begin(&member.visit.state.pool, member.membership.account_id).await?;
        let change = keys::end_rotation(&mut tx, id, row_version).await;
        finish(&member, tx, id, change, Action::KeyRotationEnded, "Ended the rotation of").await
    })
    .await
}

pub(in crate::keys) async fn undo_rotation(
    slug: String,
    key: String,
    row_version: i64,
) -> Result<KeyChange, AppError> {
    respond_as("undo_rotation", slug, MAY_EDIT, async move |member| {
        let id = key_id(&key)?;
        let mut tx = TenantTx::begin(&member.visit.state.pool, member.membership.account_id).await?;
        let change = keys::undo_rotation(&mut tx, id, row_version).await;
        finish(&member, tx, id, change, Action::KeyRotationUndone, "Undid the rotation of").await
    })
    .await
}

/// Writes the event, commits, and waits for the gateways.
async fn finish(
    member: &Member,
    mut tx: TenantTx,
    id: KeyId,
    change: Result<RotationChange, StoreError>,
    action: Action,
    done: &str,
) -> Result<KeyChange, Failure> {
    match change? {
        RotationChange::Changed => {}
        RotationChange::NotFound => return Err(AppError::NotFound.into()),
        RotationChange::Stale => {
            let message =
                "This key was changed meanwhile. Look again, then repeat it if you still want to.".to_owned();
            return Err(AppError::Conflict { message }.into());
        }
        RotationChange::NoneRunning => {
            let message = "The rotation is over already: only one secret works now.".to_owned();
            return Err(AppError::Conflict { message }.into());
        }
    }
    let key = keys::find(&mut tx, id).await?.ok_or(AppError::NotFound)?;
    let user_agent = member.visit.browser();
    let event = Event { action, target: Some(id.0), target_name: &key.name, detail: json!({}) };
    audit::insert(&mut tx, member.visit.actor(&member.viewer, &user_agent), event).await?;
    tx.commit().await?;
    let receipt = receipt_after_commit(member).await;
    let notice = format!("{done} {}. {}.", key.name, receipt.text);
    Ok(KeyChange { key: key_row(&key), receipt, notice, next: String::new() })
}
