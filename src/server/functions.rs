//! How server functions travel over HTTP: as calls of our own scripts and islands (JSON back), and as plain
//! form posts (a redirect back, what happened in the flash cookie).

use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::header::{ACCEPT, CONTENT_TYPE, LOCATION, SET_COOKIE};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use http_body_util::BodyExt;
use leptos::server_fn::axum::get_server_fn_service;
use leptos::server_fn::error::SERVER_FN_ERROR_HEADER;
use serde::Deserialize;

use super::flash;
use super::router::provide_server_context;
use super::state::AppState;
use crate::auth::Flash;
use crate::error::AppError;

/// Where server functions live.
const PREFIX: &str = "/api/";
/// What a form without files is sent as.
pub const FORM: &str = "application/x-www-form-urlencoded";

/// Whether a path is a server function's and not a page's.
#[must_use]
pub fn is_function_path(path: &str) -> bool {
    path.starts_with(PREFIX)
}

/// The function's name in its path: the last segment, without the digits some builds add.
fn name_of(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or_default().trim_end_matches(|c: char| c.is_ascii_digit())
}

/// The parts of any answer that a plain form post cares about.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Said {
    notice: String,
    next: String,
}

/// Answers `POST /api/…`.
pub async fn call(State(state): State<AppState>, request: Request) -> Response {
    let (mut parts, body) = request.into_parts();
    let path = parts.uri.path().to_owned();
    if get_server_fn_service(&path, Method::POST).is_none() {
        return refuse(&AppError::NotFound);
    }
    if !has_content_type(&parts.headers, FORM) {
        return StatusCode::UNSUPPORTED_MEDIA_TYPE.into_response();
    }
    let Some(body) = super::router::read_body(&parts.headers, body).await else {
        return StatusCode::PAYLOAD_TOO_LARGE.into_response();
    };
    if !accepts_html(&parts.headers) {
        return run(&state, parts, body).await;
    }
    let before = parts.headers.clone();
    // Leptos would put errors into the address; asked for JSON it gives them to us.
    parts.headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
    let answer = run(&state, parts, body.clone()).await;
    back_to_a_page(&state, name_of(&path), &before, &body, answer).await
}

/// Runs the function and gives a refusal its status.
async fn run(state: &AppState, parts: Parts, body: Bytes) -> Response {
    let context = provide_server_context(state.clone());
    let request = Request::from_parts(parts, Body::from(body));
    let answer = leptos_axum::handle_server_fns_with_context(context, request).await.into_response();
    if answer.headers().contains_key(SERVER_FN_ERROR_HEADER) { with_status(answer).await } else { answer }
}

async fn with_status(answer: Response) -> Response {
    let (mut parts, body) = answer.into_parts();
    let bytes = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let error = serde_json::from_slice(&bytes).unwrap_or(AppError::Malformed);
    parts.headers.remove(SERVER_FN_ERROR_HEADER);
    parts.status = StatusCode::from_u16(error.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    Response::from_parts(parts, Body::from(bytes))
}

/// Turns an answer into a redirect, with what happened in the flash cookie.
async fn back_to_a_page(
    state: &AppState,
    form: &str,
    before: &HeaderMap,
    posted: &[u8],
    answer: Response,
) -> Response {
    let (mut parts, body) = answer.into_parts();
    let bytes = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let page = flash::page_before(before, state.config.public.as_str());
    let mut left = Flash { form: form.to_owned(), ..Flash::default() };
    let target = if parts.status.is_success() {
        let said: Said = serde_json::from_slice(&bytes).unwrap_or_default();
        left.notice = Some(said.notice).filter(|notice| !notice.is_empty());
        Some(said.next).filter(|next| !next.is_empty()).or(page)
    } else {
        let error = serde_json::from_slice(&bytes).unwrap_or(AppError::Malformed);
        left.values = flash::values_to_give_back(form, &fields(posted));
        let target = if error == AppError::Unauthenticated { Some("/login".to_owned()) } else { page };
        left.error = Some(error);
        target
    };
    parts.headers.remove(CONTENT_TYPE);
    if (left.notice.is_some() || left.error.is_some())
        && let Some(line) = flash::leave(&state.flash_key, left)
    {
        parts.headers.append(SET_COOKIE, line);
    }
    let target = target.as_deref().and_then(|path| HeaderValue::from_str(path).ok());
    parts.headers.insert(LOCATION, target.unwrap_or(HeaderValue::from_static("/")));
    parts.headers.remove(axum::http::header::CONTENT_LENGTH);
    parts.status = StatusCode::SEE_OTHER;
    Response::from_parts(parts, Body::empty())
}

/// The fields of a posted form, decoded.
#[must_use]
pub fn fields(posted: &[u8]) -> Vec<(String, String)> {
    form_urlencoded::parse(posted).into_owned().collect()
}

fn refuse(error: &AppError) -> Response {
    let status = StatusCode::from_u16(error.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let body = serde_json::to_string(error).unwrap_or_default();
    (status, [(CONTENT_TYPE, HeaderValue::from_static("application/json"))], body).into_response()
}

/// Whether the request's body is declared as `wanted`.
#[must_use]
pub fn has_content_type(headers: &HeaderMap, wanted: &str) -> bool {
    let declared = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    declared.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case(wanted)
}

fn accepts_html(headers: &HeaderMap) -> bool {
    headers.get_all(ACCEPT).iter().any(|value| value.to_str().is_ok_and(|value| value.contains("text/html")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_has_the_same_name_in_every_build() {
        assert_eq!(name_of("/api/latchkey/auth/api/request_code"), "request_code");
        assert_eq!(name_of("/api/request_code1194837465"), "request_code");
    }

    #[test]
    fn only_forms_are_taken() {
        let declared = |value: &'static str| {
            has_content_type(&[(CONTENT_TYPE, HeaderValue::from_static(value))].into_iter().collect(), FORM)
        };
        assert!(declared("application/x-www-form-urlencoded; charset=utf-8"));
        assert!(!declared("text/plain") && !declared("multipart/form-data; boundary=x"));
    }
}
