//! `POST /a/{slug}/keys`: makes a key and shows its secret, once.
//!
//! A plain route and no server function: its answer is the page with the secret, never stored by anyone on
//! the way, and it works without scripts. Each form carries a one-time id, so that a double click, a repeat
//! or a reload makes no second key and shows no secret again.

use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use domain::KeyId;
use domain::secret::{PlainSecret, mask};
use serde_json::json;
use store::audit::{self, Action, Event};
use store::keys::{self, InsertKeyError, Key, NewKey, NewSecret, Setup};
use store::{TenantTx, models, policy};
use uuid::Uuid;

use super::check::{self, Context};
use super::edit::with_own_address;
use super::form::Offers;
use super::{MAY_EDIT, account_view, receipt_after_commit};
use crate::error::AppError;
use crate::keys::{CreateOutcome, CreatedKeyView, KeyFormOf};
use crate::server::forms::{Fields, Post, Posted, status_of};
use crate::server::secrets::random;
use crate::server::{AppState, Failure, Member, Visit};

/// Answers the form of `/a/{slug}/keys/new`.
pub async fn create(State(state): State<AppState>, Path(slug): Path<String>, request: Request) -> Response {
    let post = match Post::read(state, request).await {
        Ok(post) => post,
        Err(status) => return status.into_response(),
    };
    let outcome = match answer(post.visit.clone(), &slug, &post.fields).await {
        Ok(outcome) => outcome,
        Err(failure) => CreateOutcome::Failed(failure.tell("create_key")),
    };
    let status = match &outcome {
        CreateOutcome::Created(_) | CreateOutcome::Unfinished(_) => StatusCode::OK,
        CreateOutcome::Refused(_) => StatusCode::UNPROCESSABLE_ENTITY,
        CreateOutcome::Failed(AppError::Unauthenticated) => return Redirect::to("/login").into_response(),
        CreateOutcome::Failed(error) => status_of(error),
    };
    post.show(status, outcome).await
}

async fn answer(visit: Visit, slug: &str, posted: &Fields) -> Result<CreateOutcome, Failure> {
    let member = Member::admit(visit, slug, MAY_EDIT).await?;
    let posted = Posted(posted);
    let form_id: Uuid = posted.text("form_id").parse().map_err(|_| AppError::Malformed)?;
    if !posted.is_on("name") {
        return Err(AppError::Malformed.into());
    }
    if let Some(made) = made_before(&member, form_id).await? {
        return Ok(CreateOutcome::Created(Box::new(created_view(&member, made).await)));
    }
    let offers = Offers::load(&member).await?;
    let typed = with_own_address(posted.key(), &posted, &member);
    let mut form = offers.form(&member, KeyFormOf::New { form_id: form_id.to_string() }, typed);
    if posted.is_on("add_address") {
        return Ok(CreateOutcome::Unfinished(Box::new(form)));
    }
    let context = Context {
        offers: &offers,
        credits: member.visit.state.config.credits,
        now: policy::pulse(&member.visit.state.pool).await?.now,
        present: None,
        last_address: None,
    };
    let made = match check::setup(&form.typed, &context) {
        Ok(setup) => make(&member, form_id, &setup).await,
        Err(errors) => {
            form.errors = errors;
            return Ok(CreateOutcome::Refused(Box::new(form)));
        }
    };
    match made {
        Ok(made) => Ok(CreateOutcome::Created(Box::new(created_view(&member, made).await))),
        Err(Failure::Refused(AppError::Invalid { field, message })) => {
            form.errors.push((field, message));
            Ok(CreateOutcome::Refused(Box::new(form)))
        }
        Err(failure) => Err(failure),
    }
}

/// A key, and its secret if this request made it.
pub(super) struct Made {
    pub(super) key: Key,
    pub(super) secret: Option<PlainSecret>,
}

async fn make(member: &Member, form_id: Uuid, setup: &Setup) -> Result<Made, Failure> {
    let config = &member.visit.state.config;
    let secret = PlainSecret::from_entropy(&config.key_prefix, &random()?);
    let mut tx = TenantTx::begin(&member.visit.state.pool, member.membership.account_id).await?;
    let id = KeyId(store::new_id());
    let new = NewKey {
        id,
        setup,
        created_by: member.viewer.user,
        secret: NewSecret {
            public_id: &secret.public_id(),
            digest: config.key_pepper.digest(&secret),
            pepper_version: config.key_pepper.version(),
            prefix: config.key_prefix.as_str(),
            last4: secret.last4(),
            form_id,
        },
    };
    match keys::insert(&mut tx, new).await {
        Ok(()) => {}
        // The same form sent twice at once makes the second one stumble over the first one's name or form id.
        Err(refused @ (InsertKeyError::NameTaken | InsertKeyError::FormUsed(_))) => {
            drop(tx);
            let message = "Another key of this account has this name. Choose a different one.";
            let taken = match refused {
                InsertKeyError::NameTaken => AppError::invalid("name", message),
                _ => AppError::NotFound,
            };
            return made_before(member, form_id).await?.ok_or_else(|| taken.into());
        }
        Err(InsertKeyError::NoSuchGroup) => {
            return Err(AppError::invalid("group", "This group does not take keys any more.").into());
        }
        Err(InsertKeyError::Store(error)) => return Err(error.into()),
    }
    let user_agent = member.visit.browser();
    let detail = json!({ "public_id": secret.public_id().as_str() });
    let event =
        Event { action: Action::KeyCreated, target: Some(id.0), target_name: setup.name.as_str(), detail };
    audit::insert(&mut tx, member.visit.actor(&member.viewer, &user_agent), event).await?;
    let key = keys::find(&mut tx, id).await?.ok_or(AppError::NotFound)?;
    tx.commit().await?;
    Ok(Made { key, secret: Some(secret) })
}

/// The key that this form has made already, if it has.
async fn made_before(member: &Member, form_id: Uuid) -> Result<Option<Made>, Failure> {
    let mut tx = TenantTx::begin(&member.visit.state.pool, member.membership.account_id).await?;
    let Some(id) = keys::find_by_form(&mut tx, form_id).await? else { return Ok(None) };
    let key = keys::find(&mut tx, id).await?.ok_or(AppError::NotFound)?;
    tx.commit().await?;
    Ok(Some(Made { key, secret: None }))
}

pub(super) async fn created_view(member: &Member, made: Made) -> CreatedKeyView {
    let Made { key, secret } = made;
    let receipt = if secret.is_some() { Some(receipt_after_commit(member).await) } else { None };
    let example_model = models::find_example(&member.visit.state.pool).await.unwrap_or_else(|error| {
        tracing::error!(%error, "a key is made, but no model could be read for its examples");
        None
    });
    CreatedKeyView {
        account: account_view(member),
        mask: mask(&key.prefix, &key.last4),
        name: key.name,
        secret: secret.map(|secret| secret.expose().to_owned()),
        gateway_url: member.visit.state.config.gateway_base_url(),
        receipt,
        example_model,
        older: None,
    }
}
