//! Every path and every layer of the console.

use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, Request};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use http_body_util::{BodyExt, Limited};
use leptos::prelude::provide_context;
use leptos::server_fn::axum::server_fn_paths;
use leptos_axum::{LeptosRoutes, generate_route_list_with_exclusions};

use super::state::AppState;
use super::{documents, functions, headers, origin, telemetry};
use crate::app::{App, shell};
use crate::operator::server as operator;

/// The largest body a form of ours sends is a fraction of this.
const LARGEST_BODY: usize = 256 * 1024;
/// Nothing the console does takes this long; a client that dribbles its body does.
const ANSWER_WITHIN: Duration = Duration::from_mins(1);

/// The whole console as one service.
pub fn router(state: AppState) -> Router {
    // Server functions have one route of their own, which answers plain form posts too.
    let functions = server_fn_paths().map(|(path, _)| path.to_owned()).collect();
    let pages = generate_route_list_with_exclusions(App, Some(functions));
    let options = state.leptos.clone();
    let document = move || shell(options.clone());
    Router::new()
        .route("/", get(documents::home))
        .route("/healthz", get(documents::healthz))
        .route("/readyz", get(documents::readyz))
        // Not a server function: its answer holds a secret and must work without scripts.
        .route("/a/{slug}/keys", post(crate::keys::server::create))
        // Not server functions: people paste secrets into the search, and the others send lists of boxes.
        .route("/a/{slug}/keys/find", post(crate::keys::server::find_keys))
        .route("/a/{slug}/keys/columns", post(crate::keys::server::choose_columns))
        .route("/a/{slug}/keys/views", post(crate::keys::server::change_views))
        .route("/a/{slug}/keys/{id}/secret", post(crate::keys::server::replace_secret))
        .route("/a/{slug}/keys/{id}/edit", post(crate::keys::server::edit))
        // The operator's forms: what was typed comes back whole, also without scripts.
        .route("/operator/models", post(operator::add_model))
        .route("/operator/models/edit", post(operator::change_model))
        .route("/operator/permissions", post(operator::add_permission))
        .route("/operator/permissions/edit", post(operator::change_permission))
        .route("/operator/upstreams", post(operator::add_upstream))
        .route("/operator/upstreams/{id}", post(operator::change_upstream))
        .route("/api/{*function}", post(functions::call))
        .leptos_routes_with_context(&state, pages, provide_server_context(state.clone()), document)
        .fallback(documents::file_or_page)
        // Next to the handlers: for everybody but an operator these addresses are missing ones.
        .layer(from_fn_with_state(state.clone(), operator::hide))
        // Innermost, so that every handler that reads a body is bound by it.
        .layer(DefaultBodyLimit::max(LARGEST_BODY))
        // Before any handler runs: a foreign page's form changes nothing.
        .layer(from_fn_with_state(state.clone(), origin::require_own_origin))
        // Around all work, so that a dribbling body or a stuck query ends.
        .layer(from_fn(in_time))
        // Outside of whatever can refuse, so that refusals carry the headers too.
        .layer(from_fn_with_state(state.clone(), headers::secure))
        // Outermost: the line tells the status the client really got.
        .layer(from_fn(telemetry::log_request))
        .with_state(state)
}

/// What pages and server functions find in Leptos' context; the same for both.
pub fn provide_server_context(state: AppState) -> impl Fn() + Clone + Send + Sync + 'static {
    move || {
        headers::provide_content_policy(state.config.development);
        provide_context(state.clone());
        provide_context(crate::appearance::theme_of_request());
    }
}

/// The whole body, if it is not larger than any form of ours.
pub async fn read_body(headers: &HeaderMap, body: Body) -> Option<Bytes> {
    let declared =
        headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    if declared.is_some_and(|length| length > LARGEST_BODY) {
        return None;
    }
    Limited::new(body, LARGEST_BODY).collect().await.ok().map(http_body_util::Collected::to_bytes)
}

async fn in_time(request: Request, next: Next) -> Response {
    let answer = tokio::time::timeout(ANSWER_WITHIN, next.run(request)).await;
    answer.unwrap_or_else(|_| StatusCode::REQUEST_TIMEOUT.into_response())
}
