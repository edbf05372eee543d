//! Saving an own permission: a plain route, as for the operator's other forms.

use axum::extract::{Query, Request, State};
use axum::response::Response;
use domain::own_route::{MAX_ROUTES, Template};
use serde::Deserialize;
use store::operator::permissions::{self, SavePermissionError, Setup};
use store::operator::upstreams;

use super::save::{Answer, answer, notice};
use super::{FormOutcome, Operator, PermissionFormView, check_permission, rows};
use crate::error::AppError;
use crate::server::forms::{Fields, Posted, differences, seen_version, yes_or_no};
use crate::server::{AppState, Failure};
use crate::ui::Change;

const LIST: &str = "/operator/permissions";

/// The permission in the address of its form.
#[derive(Deserialize)]
pub struct Which {
    #[serde(default)]
    permission: String,
}

/// `POST /operator/permissions`.
pub async fn add_permission(State(state): State<AppState>, request: Request) -> Response {
    answer(state, request, LIST, async |operator, posted| save(operator, posted, None).await).await
}

/// `POST /operator/permissions/edit?permission=…`.
pub async fn change_permission(
    State(state): State<AppState>,
    Query(Which { permission }): Query<Which>,
    request: Request,
) -> Response {
    let save = async move |operator: Operator, posted: Fields| save(operator, posted, Some(permission)).await;
    answer(state, request, LIST, save).await
}

async fn save(operator: Operator, posted: Fields, existing: Option<String>) -> Result<Answer, Failure> {
    let posted = Posted(&posted);
    let pool = operator.visit.state.pool.clone();
    let upstreams = upstreams::list(&pool).await?;
    let mut typed = posted.permission();
    if let Some(name) = &existing {
        typed.name.clone_from(name);
    }
    let mut form = PermissionFormView {
        account: operator.account().await?,
        is_new: existing.is_none(),
        typed,
        routes: posted.routes(),
        upstreams: rows::upstream_choices(&upstreams),
        row_version: if existing.is_some() { seen_version(&posted)? } else { 0 },
        errors: Vec::new(),
        conflict: Vec::new(),
    };
    let again = |mut form: PermissionFormView| {
        rows::spare_route(&mut form.routes, &form.upstreams);
        Answer::Again(FormOutcome::Permission(Box::new(form)))
    };
    let setup = match check_permission::permission(form.is_new, &form.typed, &form.routes, &form.upstreams) {
        Ok(setup) => setup,
        Err(errors) => {
            form.errors = errors;
            return Ok(again(form));
        }
    };
    let name = form.typed.name.clone();
    let mut tx = operator.begin().await?;
    let saved = match existing {
        None => permissions::insert(&mut tx, &name, &setup).await,
        Some(_) => permissions::update(&mut tx, &name, &setup, form.row_version).await,
    };
    let refused = match saved {
        Ok(()) => {
            tx.commit().await?;
            return Ok(Answer::Saved(notice(&operator, &name).await));
        }
        Err(refused) => refused,
    };
    drop(tx);
    let now = permissions::find(&pool, &name).await?;
    match refused {
        // The same form, sent twice: the first one has made it.
        SavePermissionError::NameTaken if now.as_ref().is_some_and(|now| now.setup == setup) => {
            return Ok(Answer::Saved(notice(&operator, &name).await));
        }
        SavePermissionError::NameTaken => {
            let message = "A permission is called so already, in use or archived. Choose a different name.";
            form.errors.push(("name".to_owned(), message.to_owned()));
        }
        SavePermissionError::RouteTaken { method, path, permission } => {
            let error = format!("{method} {path} is a route of {permission}, in use or archived");
            form.errors.push((field_of(&form, &method, &path), error));
        }
        SavePermissionError::NoSuchUpstream => return Err(AppError::Malformed.into()),
        SavePermissionError::Stale => {
            let now = now.ok_or(AppError::NotFound)?;
            form.row_version = now.row_version;
            form.conflict = conflict(&now.setup, &setup, &upstreams);
            if form.conflict.is_empty() {
                // Somebody else wanted the same.
                return Ok(Answer::Saved(notice(&operator, &name).await));
            }
        }
        SavePermissionError::Store(error) => return Err(error.into()),
    }
    Ok(again(form))
}

/// The field in which a path of this shape was typed.
fn field_of(form: &PermissionFormView, method: &str, path: &str) -> String {
    let taken = Template::parse(path).ok();
    let is_it = |field: &crate::operator::RouteField| {
        let typed = Template::parse(&field.path).ok();
        field.method == method
            && typed.zip(taken.as_ref()).is_some_and(|(typed, taken)| typed.has_shape_of(taken))
    };
    let place = form.routes.iter().take(MAX_ROUTES).position(is_it);
    place.map_or_else(|| "routes".to_owned(), |place| format!("path-{}", place + 1))
}

/// Where a permission as it is now differs from what it was to be.
fn conflict(now: &Setup, wanted: &Setup, upstreams: &[upstreams::Upstream]) -> Vec<Change> {
    let fields = |setup: &Setup| {
        let routes = setup.routes.iter().map(|route| {
            let row = rows::route(route, upstreams);
            format!("{} ({})", row.route, row.detail)
        });
        [
            ("Lets a key", setup.allows.clone()),
            ("Routes", routes.collect::<Vec<_>>().join(", ")),
            ("Served", yes_or_no(setup.enabled)),
        ]
    };
    differences(fields(now), fields(wanted))
}
