//! `POST /a/{slug}/keys/{id}/edit`: changes a key, its rules and its limits.

use std::time::Instant;

use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use domain::KeyId;
use domain::dollars::write_price;
use domain::key::KeyStatus;
use serde_json::{Value, json};
use store::TenantTx;
use store::audit::{self, Action, Event};
use store::keys::{self, Found, Setup, UpdateKeyError};

use super::check::{self, Context};
use super::form::{self, Offers};
use super::{MAY_EDIT, already_revoked, key_id};
use crate::error::AppError;
use crate::keys::{EditOutcome, KeyFormOf, KeyFormView, KeyTyped};
use crate::server::forms::{Fields, Post, Posted, differences, on_to, seen_version, status_of};
use crate::server::{AppState, Failure, Member, Visit, receipt, respond_as};
use crate::ui::Change;

/// The form of an existing key.
pub(in crate::keys) async fn load_edit_key(slug: String, key: String) -> Result<KeyFormView, AppError> {
    respond_as("load_edit_key", slug, MAY_EDIT, async move |member| {
        let id = key_id(&key)?;
        let offers = Offers::load(&member).await?;
        let found = find(&member, id).await?;
        let typed = form::typed(&found.setup, &offers);
        Ok(offers.form(&member, form_of(id, &found), typed))
    })
    .await
}

fn form_of(id: KeyId, found: &Found) -> KeyFormOf {
    let name = found.setup.name.to_string();
    KeyFormOf::Edit { id: id.to_string(), name, row_version: found.row_version }
}

async fn find(member: &Member, id: KeyId) -> Result<Found, Failure> {
    let mut tx = TenantTx::begin(&member.visit.state.pool, member.membership.account_id).await?;
    let found = keys::find_setup(&mut tx, id).await?.ok_or(AppError::NotFound)?;
    tx.commit().await?;
    if found.status == KeyStatus::Revoked {
        return Err(already_revoked().into());
    }
    Ok(found)
}

/// What a form led to.
enum Answer {
    /// It is saved: the line to show on the list.
    Saved(String),
    /// It is shown again, with this status.
    Again(StatusCode, Box<KeyFormView>),
}

/// Answers the form of `/a/{slug}/keys/{id}/edit`.
pub async fn edit(
    State(state): State<AppState>,
    Path((slug, key)): Path<(String, String)>,
    request: Request,
) -> Response {
    let post = match Post::read(state, request).await {
        Ok(post) => post,
        Err(status) => return status.into_response(),
    };
    let (status, outcome) = match answer(post.visit.clone(), &slug, &key, &post.fields).await {
        Ok(Answer::Saved(notice)) => return on_to(&post.visit, &format!("/a/{slug}/keys"), notice),
        Ok(Answer::Again(status, form)) => (status, EditOutcome::Again(form)),
        Err(failure) => match failure.tell("edit_key") {
            AppError::Unauthenticated => return Redirect::to("/login").into_response(),
            error => (status_of(&error), EditOutcome::Failed(error)),
        },
    };
    post.show(status, outcome).await
}

async fn answer(visit: Visit, slug: &str, key: &str, posted: &Fields) -> Result<Answer, Failure> {
    let member = Member::admit(visit, slug, MAY_EDIT).await?;
    let id = key_id(key)?;
    let posted = Posted(posted);
    let seen = seen_version(&posted)?;
    let offers = Offers::load(&member).await?;
    let found = find(&member, id).await?;
    let typed = with_own_address(posted.key(), &posted, &member);
    let mut form = offers.form(&member, form_of(id, &found), typed);
    form.of = KeyFormOf::Edit { id: id.to_string(), name: found.setup.name.to_string(), row_version: seen };
    if posted.is_on("add_address") {
        return Ok(Answer::Again(StatusCode::OK, Box::new(form)));
    }
    let context = Context {
        offers: &offers,
        credits: member.visit.state.config.credits,
        now: found.now,
        present: Some(&found.setup),
        last_address: found.last_address.map(|address| address.addr()),
    };
    let setup = match check::setup(&form.typed, &context) {
        Ok(setup) => setup,
        Err(errors) => {
            form.errors = errors;
            return Ok(Answer::Again(StatusCode::UNPROCESSABLE_ENTITY, Box::new(form)));
        }
    };
    let mut tx = TenantTx::begin(&member.visit.state.pool, member.membership.account_id).await?;
    match keys::update(&mut tx, id, &setup, seen).await {
        Ok(()) => {}
        Err(UpdateKeyError::NameTaken) => {
            let message = "Another key of this account has this name. Choose a different one.";
            form.errors.push(("name".to_owned(), message.to_owned()));
            return Ok(Answer::Again(StatusCode::UNPROCESSABLE_ENTITY, Box::new(form)));
        }
        Err(UpdateKeyError::NoSuchGroup) => {
            form.errors.push(("group".to_owned(), "This group does not take keys any more.".to_owned()));
            return Ok(Answer::Again(StatusCode::UNPROCESSABLE_ENTITY, Box::new(form)));
        }
        Err(UpdateKeyError::Stale) => {
            drop(tx);
            return stale(&member, id, form, &setup, &offers).await;
        }
        Err(UpdateKeyError::Store(error)) => return Err(error.into()),
    }
    let changes = changes(&found.setup, &setup, &offers);
    let user_agent = member.visit.browser();
    let event = Event {
        action: Action::KeyChanged,
        target: Some(id.0),
        target_name: setup.name.as_str(),
        detail: detail(&changes),
    };
    audit::insert(&mut tx, member.visit.actor(&member.viewer, &user_agent), event).await?;
    tx.commit().await?;
    let receipt = receipt::after_commit(&member.visit.state, Instant::now()).await;
    Ok(Answer::Saved(format!("Saved {}. {}.", setup.name, receipt.text)))
}

/// Somebody else has saved meanwhile: both values are shown, and saving again puts these in the place of theirs.
async fn stale(
    member: &Member,
    id: KeyId,
    mut form: KeyFormView,
    wanted: &Setup,
    offers: &Offers,
) -> Result<Answer, Failure> {
    let now = find(member, id).await?;
    form.of = form_of(id, &now);
    form.conflict = changes(&now.setup, wanted, offers);
    if now.setup == *wanted {
        // They wanted the same.
        return Ok(Answer::Saved(format!("Saved {}.", wanted.name)));
    }
    Ok(Answer::Again(StatusCode::CONFLICT, Box::new(form)))
}

/// The button that adds the viewer's own address to what is typed.
pub(super) fn with_own_address(mut typed: KeyTyped, posted: &Posted<'_>, member: &Member) -> KeyTyped {
    if posted.is_on("add_address") {
        let own = member.visit.address().to_canonical().to_string();
        if !typed.addresses.lines().any(|line| line.trim() == own) {
            if !typed.addresses.is_empty() {
                typed.addresses.push('\n');
            }
            typed.addresses.push_str(&own);
        }
    }
    typed
}

/// Where two setups differ, in words.
fn changes(before: &Setup, after: &Setup, offers: &Offers) -> Vec<Change> {
    let fields = |setup: &Setup| {
        let typed = form::typed(setup, offers);
        let list = |list: &Option<Vec<String>>, all: &str| {
            list.as_ref().map_or_else(|| all.to_owned(), |list| list.join(", "))
        };
        let has_limit = setup.cost.is_some() || setup.tokens.is_some();
        let period = if has_limit { form::period_word(setup.period).to_owned() } else { String::new() };
        let expires = setup.expires_at.map_or_else(|| "Never".to_owned(), crate::server::text::date_time);
        [
            ("Name", typed.name),
            ("Note", typed.note),
            ("Group", offers.group_name(&typed.group)),
            ("Environment", typed.environment),
            ("Expires", expires),
            ("Cost limit", setup.cost.map(|cost| format!("${}", write_price(cost.0))).unwrap_or_default()),
            ("Token limit", typed.tokens),
            ("Reset period", period),
            ("Requests per minute", typed.rate),
            ("Beyond a limit", typed.fit),
            ("Models", list(&setup.models, "All")),
            ("Permissions", list(&setup.permissions, "All")),
            ("Addresses", typed.addresses.replace('\n', ", ")),
        ]
    };
    differences(fields(before), fields(after))
}

/// The same for the audit log.
fn detail(changes: &[Change]) -> Value {
    let fields = changes
        .iter()
        .map(|change| (change.field.clone(), json!({ "from": change.before, "to": change.after })));
    Value::Object(fields.collect())
}
