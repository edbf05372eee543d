//! Forms that are plain routes: read, judged field by field, given back whole with what is wrong, or left for a page.

use axum::body::Body;
use axum::extract::Request;
use axum::http::header::SET_COOKIE;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};

use super::respond::Visit;
use super::state::AppState;
use super::{documents, flash, functions, router};
use crate::auth::Flash;
use crate::error::AppError;
use crate::ui::Change;

/// The fields of a posted form, in their order.
pub type Fields = Vec<(String, String)>;
/// What is wrong: field and message.
pub type Errors = Vec<(String, String)>;

/// A form that was posted to a plain route.
pub struct Post {
    /// The request it came with.
    pub visit: Visit,
    /// What was in it.
    pub fields: Fields,
}

impl Post {
    /// Reads a form as browsers send it. What is none: 415; what is larger than any of ours: 413.
    pub async fn read(state: AppState, request: Request) -> Result<Self, StatusCode> {
        let (parts, body) = request.into_parts();
        if !functions::has_content_type(&parts.headers, functions::FORM) {
            return Err(StatusCode::UNSUPPORTED_MEDIA_TYPE);
        }
        let body = router::read_body(&parts.headers, body).await.ok_or(StatusCode::PAYLOAD_TOO_LARGE)?;
        Ok(Self { visit: Visit::of(state, parts), fields: functions::fields(&body) })
    }

    /// Answers with the page of the request's address, around `value`.
    pub async fn show<T: Clone + Send + Sync + 'static>(&self, status: StatusCode, value: T) -> Response {
        let request = Request::from_parts(self.visit.parts.clone(), Body::empty());
        documents::render(&self.visit, request, status, value).await
    }
}

/// The HTTP status of an error.
#[must_use]
pub fn status_of(error: &AppError) -> StatusCode {
    StatusCode::from_u16(error.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

/// A posted form.
pub struct Posted<'a>(pub &'a [(String, String)]);

impl Posted<'_> {
    /// A field's text; empty where it was not sent.
    #[must_use]
    pub fn text(&self, field: &str) -> String {
        self.raw(field).trim().to_owned()
    }

    /// The same with the spaces around it, to be given back as it was typed.
    #[must_use]
    pub fn raw(&self, field: &str) -> String {
        let found = self.0.iter().find(|(name, _)| name == field);
        found.map(|(_, value)| value.clone()).unwrap_or_default()
    }

    /// The text of several lines, whichever way the browser ends them.
    #[must_use]
    pub fn lines(&self, field: &str) -> String {
        self.text(field).replace("\r\n", "\n")
    }

    /// Whether a field was sent at all.
    #[must_use]
    pub fn is_on(&self, field: &str) -> bool {
        self.0.iter().any(|(name, _)| name == field)
    }

    /// Every value that was sent under one name: the ticked boxes of a list.
    #[must_use]
    pub fn all(&self, field: &str) -> Vec<String> {
        self.0.iter().filter(|(name, _)| name == field).map(|(_, value)| value.clone()).collect()
    }
}

/// Collects what is wrong.
#[derive(Default)]
pub struct Judge(pub Errors);

impl Judge {
    /// The value, or nothing and a message at its field.
    pub fn take<T>(&mut self, field: &str, value: Result<T, impl Into<String>>) -> Option<T> {
        value.map_err(|message| self.0.push((field.to_owned(), message.into()))).ok()
    }
}

/// The version of the row that the form was made from.
pub fn seen_version(posted: &Posted<'_>) -> Result<i64, AppError> {
    posted.text("row_version").parse().map_err(|_| AppError::Malformed)
}

/// A checkbox in words.
#[must_use]
pub fn yes_or_no(is: bool) -> String {
    if is { "Yes" } else { "No" }.to_owned()
}

/// The fields that are not the same.
#[must_use]
pub fn differences<const N: usize>(now: [(&str, String); N], typed: [(&str, String); N]) -> Vec<Change> {
    let pairs = now.into_iter().zip(typed).filter(|((_, now), (_, typed))| now != typed);
    pairs.map(|((field, before), (_, after))| Change { field: field.to_owned(), before, after }).collect()
}

/// Leads on to a page of ours that shows the line.
#[must_use]
pub fn on_to(visit: &Visit, page: &str, notice: String) -> Response {
    let left = Flash { notice: Some(notice), ..Flash::default() };
    let mut response = Redirect::to(page).into_response();
    if let Some(line) = flash::leave(&visit.state.flash_key, left) {
        response.headers_mut().append(SET_COOKIE, line);
    }
    // A redirect holds what its cookie says.
    response.headers_mut().insert("cache-control", HeaderValue::from_static("no-store"));
    response
}
