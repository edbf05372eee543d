//! The operator's forms: plain routes, so that a refused form comes back whole, however long it is, and without scripts.
//!
//! A saved form leads on to the list, with the receipt; a refused one is shown again with what is wrong at its fields.

use std::future::Future;
use std::time::Instant;

use axum::extract::{Path, Query, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use store::operator::models::{self, SaveModelError};
use store::operator::upstreams::{self, SaveUpstreamError};
use uuid::Uuid;

use super::check;
use super::{FormOutcome, ModelFormView, Operator, UpstreamFormView, rows};
use crate::error::AppError;
use crate::server::forms::{Fields, Post, Posted, differences, on_to, seen_version, status_of, yes_or_no};
use crate::server::{AppState, Failure, receipt};
use crate::ui::Change;

/// What a form led to.
pub enum Answer {
    /// It is saved: the line to show on the list.
    Saved(String),
    /// It is shown again.
    Again(FormOutcome),
}

/// The model in the address of its form.
#[derive(Deserialize)]
pub struct Which {
    #[serde(default)]
    model: String,
}

/// `POST /operator/models`.
pub async fn add_model(State(state): State<AppState>, request: Request) -> Response {
    answer(state, request, "/operator/models", async |operator, posted| {
        save_model(operator, posted, None).await
    })
    .await
}

/// `POST /operator/models/edit?model=…`.
pub async fn change_model(
    State(state): State<AppState>,
    Query(Which { model }): Query<Which>,
    request: Request,
) -> Response {
    let save =
        async move |operator: Operator, posted: Fields| save_model(operator, posted, Some(model)).await;
    answer(state, request, "/operator/models", save).await
}

/// `POST /operator/upstreams`.
pub async fn add_upstream(State(state): State<AppState>, request: Request) -> Response {
    let save = async |operator: Operator, posted: Fields| {
        let id = Posted(&posted).text("id").parse().map_err(|_| AppError::Malformed)?;
        save_upstream(operator, posted, id, true).await
    };
    answer(state, request, "/operator/upstreams", save).await
}

/// `POST /operator/upstreams/{id}`.
pub async fn change_upstream(
    State(state): State<AppState>,
    Path(id): Path<String>,
    request: Request,
) -> Response {
    let save = async move |operator: Operator, posted: Fields| {
        let id = id.parse().map_err(|_| AppError::NotFound)?;
        save_upstream(operator, posted, id, false).await
    };
    answer(state, request, "/operator/upstreams", save).await
}

/// Reads the form, saves, and answers: on to `list`, or the page of the request's address around what is wrong.
pub async fn answer<Fut: Future<Output = Result<Answer, Failure>> + Send>(
    state: AppState,
    request: Request,
    list: &'static str,
    save: impl FnOnce(Operator, Fields) -> Fut,
) -> Response {
    let post = match Post::read(state, request).await {
        Ok(post) => post,
        Err(status) => return status.into_response(),
    };
    let saved = match Operator::admit(post.visit.clone()).await {
        Ok(operator) => save(operator, post.fields.clone()).await,
        Err(failure) => Err(failure),
    };
    let (status, outcome) = match saved {
        Ok(Answer::Saved(notice)) => return on_to(&post.visit, list, notice),
        Ok(Answer::Again(outcome)) => (StatusCode::UNPROCESSABLE_ENTITY, outcome),
        Err(failure) => {
            let error = failure.tell("save_operator_form");
            (status_of(&error), FormOutcome::Failed(error))
        }
    };
    post.show(status, outcome).await
}

/// What the change of `name` has led to on the gateways.
pub async fn notice(operator: &Operator, name: &str) -> String {
    let receipt = receipt::after_commit(&operator.visit.state, Instant::now()).await;
    format!("Saved {name}. {}.", receipt.text)
}

async fn save_model(operator: Operator, posted: Fields, existing: Option<String>) -> Result<Answer, Failure> {
    let posted = Posted(&posted);
    let pool = operator.visit.state.pool.clone();
    let upstreams = upstreams::list(&pool).await?;
    let mut typed = posted.model();
    if let Some(id) = &existing {
        typed.id.clone_from(id);
    }
    let ways = posted.ways(&upstreams);
    let mut form = ModelFormView {
        account: operator.account().await?,
        is_new: existing.is_none(),
        typed,
        ways,
        row_version: if existing.is_some() { seen_version(&posted)? } else { 0 },
        errors: Vec::new(),
        conflict: Vec::new(),
    };
    let setup = match check::model(&form.typed, &form.ways) {
        Ok(setup) => setup,
        Err(errors) => {
            form.errors = errors;
            return Ok(Answer::Again(FormOutcome::Model(Box::new(form))));
        }
    };
    let id = form.typed.id.clone();
    let mut tx = operator.begin().await?;
    let saved = match existing {
        None => models::insert(&mut tx, &id, &setup).await,
        Some(_) => models::update(&mut tx, &id, &setup, form.row_version).await,
    };
    let refused = match saved {
        Ok(()) => {
            tx.commit().await?;
            return Ok(Answer::Saved(notice(&operator, &id).await));
        }
        Err(refused) => refused,
    };
    drop(tx);
    let now = models::find(&pool, &id).await?;
    match refused {
        // The same form, sent twice: the first one has made it.
        SaveModelError::NameTaken if now.as_ref().is_some_and(|model| model.setup == setup) => {
            return Ok(Answer::Saved(notice(&operator, &id).await));
        }
        SaveModelError::NameTaken => {
            let message = "A model, or another name of one, is called so already. Choose a different one.";
            form.errors.push(("id".to_owned(), message.to_owned()));
        }
        SaveModelError::AliasTaken(name) => {
            form.errors.push(("aliases".to_owned(), format!("{name} is the name of another model")));
        }
        SaveModelError::NoSuchUpstream => return Err(AppError::Malformed.into()),
        SaveModelError::Stale => {
            let now = now.ok_or(AppError::NotFound)?;
            form.row_version = now.row_version;
            form.conflict = model_conflict(&now, setup, &upstreams);
            if form.conflict.is_empty() {
                // Somebody else wanted the same.
                return Ok(Answer::Saved(notice(&operator, &id).await));
            }
        }
        SaveModelError::Store(error) => return Err(error.into()),
    }
    Ok(Answer::Again(FormOutcome::Model(Box::new(form))))
}

/// Where a model as it is now differs from what it was to be.
fn model_conflict(
    now: &models::Model,
    wanted: models::Setup,
    upstreams: &[upstreams::Upstream],
) -> Vec<Change> {
    let wanted = models::Model { setup: wanted, ..now.clone() };
    let fields = |model: &models::Model| {
        let typed = rows::model_typed(model);
        [
            ("Other names", typed.aliases.replace('\n', ", ")),
            ("Name at UPSTREAM_URL", typed.upstream_model),
            ("Input price", typed.input_price),
            ("Cached input price", typed.cached_input_price),
            ("Output price", typed.output_price),
            ("Price per image", typed.price_per_image),
            ("Price per second of sound", typed.price_per_second),
            ("Context window", typed.context_window),
            ("Output cap", typed.max_output),
            ("Offered", yes_or_no(typed.enabled)),
            ("Upstreams", rows::model(model, upstreams).upstreams.join(", ")),
        ]
    };
    differences(fields(now), fields(&wanted))
}

async fn save_upstream(
    operator: Operator,
    posted: Fields,
    id: Uuid,
    is_new: bool,
) -> Result<Answer, Failure> {
    let posted = Posted(&posted);
    let pool = operator.visit.state.pool.clone();
    let found = upstreams::find(&pool, id).await?;
    if !is_new && found.is_none() {
        return Err(AppError::NotFound.into());
    }
    let mut form = UpstreamFormView {
        account: operator.account().await?,
        is_new,
        id: id.to_string(),
        typed: posted.upstream(),
        used_by: found.as_ref().map(rows::used_by).unwrap_or_default(),
        row_version: if is_new { 0 } else { seen_version(&posted)? },
        errors: Vec::new(),
        conflict: Vec::new(),
    };
    let setup = match check::upstream(&form.typed) {
        Ok(setup) => setup,
        Err(errors) => {
            form.errors = errors;
            return Ok(Answer::Again(FormOutcome::Upstream(Box::new(form))));
        }
    };
    let mut tx = operator.begin().await?;
    // Looked for again behind whoever else is saving: the same form, sent twice, has made it by now. Another one under
    // its id is an edit of what it has made, as somebody does who goes back to correct it.
    let made = if is_new { upstreams::find(&pool, id).await? } else { None };
    let saved = if made.as_ref().is_some_and(|made| made.setup == setup) {
        return Ok(Answer::Saved(notice(&operator, &setup.name).await));
    } else if made.is_some() {
        form.is_new = false;
        Err(SaveUpstreamError::Stale)
    } else if is_new {
        upstreams::insert(&mut tx, id, &setup).await
    } else {
        upstreams::update(&mut tx, id, &setup, form.row_version).await
    };
    match saved {
        Ok(()) => {
            tx.commit().await?;
            return Ok(Answer::Saved(notice(&operator, &setup.name).await));
        }
        Err(SaveUpstreamError::NameTaken) => {
            let message = "Another upstream is called so already. Choose a different name.";
            form.errors.push(("name".to_owned(), message.to_owned()));
        }
        Err(SaveUpstreamError::Stale) => {
            drop(tx);
            let now = upstreams::find(&pool, id).await?.ok_or(AppError::NotFound)?;
            form.row_version = now.row_version;
            form.conflict = upstream_conflict(now.setup, setup);
            if form.conflict.is_empty() {
                return Ok(Answer::Saved(notice(&operator, &form.typed.name).await));
            }
        }
        Err(SaveUpstreamError::Store(error)) => return Err(error.into()),
    }
    Ok(Answer::Again(FormOutcome::Upstream(Box::new(form))))
}

/// Where an upstream as it is now differs from what it was to be.
fn upstream_conflict(now: upstreams::Setup, wanted: upstreams::Setup) -> Vec<Change> {
    let fields = |upstream: upstreams::Setup| {
        [
            ("Name", upstream.name),
            ("Base URL", upstream.base_url),
            ("Variable with its key", upstream.secret_name),
            ("Timeout", format!("{} s", upstream.answer_seconds)),
            ("In use", yes_or_no(upstream.enabled)),
        ]
    };
    differences(fields(now), fields(wanted))
}
