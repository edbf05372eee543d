//! Forms that are plain routes: read, judged field by field, given back whole with what is wrong, or left for a page.

use axum::http::HeaderValue;
use axum::http::header::SET_COOKIE;
use axum::response::{IntoResponse, Redirect, Response};

use super::flash;
use super::respond::Visit;
use crate::auth::Flash;
use crate::error::AppError;
use crate::ui::Change;

/// The fields of a posted form, in their order.
pub type Fields = Vec<(String, String)>;
/// What is wrong: field and message.
pub type Errors = Vec<(String, String)>;

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
