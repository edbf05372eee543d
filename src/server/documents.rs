//! What is not a server function: pages rendered around a context, static files, the way in, health.

use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{CACHE_CONTROL, HeaderValue};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};
use leptos::prelude::provide_context;
use store::connect;
use tower::ServiceExt;
use tower_http::services::ServeDir;

use super::respond::{Failure, Visit};
use super::router::provide_server_context;
use super::session;
use super::state::AppState;
use crate::app::shell;
use crate::error::AppError;

/// The name changes with the content, so a copy never grows old.
const FOR_EVER: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");
/// The name stays; `Last-Modified` says whether the copy is still good.
const ASK_AGAIN: HeaderValue = HeaderValue::from_static("public, no-cache");
const READY_WITHIN: Duration = Duration::from_secs(2);

/// Renders the page of the request's address, with `value` in its context and `status`, unless the page says another.
pub async fn render<T: Clone + Send + Sync + 'static>(
    visit: &Visit,
    request: Request,
    status: StatusCode,
    value: T,
) -> Response {
    let state = visit.state.clone();
    let context = provide_server_context(state.clone());
    let options = state.leptos.clone();
    let additional = move || {
        context();
        if let Some(response) = leptos::prelude::use_context::<leptos_axum::ResponseOptions>() {
            response.set_status(status);
        }
        provide_context(value.clone());
    };
    let page = leptos_axum::render_app_async_with_context(additional, move || shell(options.clone()));
    page(request).await
}

/// A file of the build, or the page that says there is nothing here.
pub async fn file_or_page(State(state): State<AppState>, request: Request) -> Response {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return StatusCode::METHOD_NOT_ALLOWED.into_response();
    }
    let (parts, _) = request.into_parts();
    let hashed = state.leptos.hash_files && parts.uri.path().starts_with("/pkg/");
    let files = ServeDir::new(&state.config.site_root)
        .append_index_html_on_directories(false)
        .precompressed_br()
        .precompressed_gzip();
    let Ok(found) = files.oneshot(Request::from_parts(parts.clone(), Body::empty())).await;
    if found.status() == StatusCode::NOT_FOUND {
        let options = state.leptos.clone();
        let context = provide_server_context(state);
        let page = leptos_axum::render_app_async_with_context(context, move || shell(options.clone()));
        return page(Request::from_parts(parts, Body::empty())).await;
    }
    let mut response = found.map(Body::new);
    response.headers_mut().insert(CACHE_CONTROL, if hashed { FOR_EVER } else { ASK_AGAIN });
    response
}

/// `/`: to the keys of the person's account, or to sign in.
pub async fn home(State(state): State<AppState>, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    let target = match way_in(Visit::of(state, parts)).await {
        Ok(target) => target,
        Err(failure) => {
            let error = failure.tell("home");
            let status = StatusCode::from_u16(error.status()).unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
            return (status, error.to_string()).into_response();
        }
    };
    Redirect::to(&target).into_response()
}

async fn way_in(visit: Visit) -> Result<String, Failure> {
    let Some(viewer) = visit.viewer().await? else { return Ok("/login".to_owned()) };
    let first = session::first_account(&visit.state, &viewer).await?;
    // Signed in without an account: an owner has removed the last membership. There is nothing to show.
    first.map(|slug| format!("/a/{slug}/keys")).ok_or_else(|| AppError::NotFound.into())
}

/// `/healthz`: the program runs.
pub async fn healthz() -> &'static str {
    "ok\n"
}

/// `/readyz`: the program can answer, because the database does.
pub async fn readyz(State(state): State<AppState>) -> Response {
    match tokio::time::timeout(READY_WITHIN, connect::check(&state.pool)).await {
        Ok(Ok(())) => "ready\n".into_response(),
        _ => (StatusCode::SERVICE_UNAVAILABLE, "waiting for the database\n").into_response(),
    }
}
