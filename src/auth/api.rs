//! Signing in: server functions and what they carry. No logic.

use leptos::prelude::*;
use serde::{Deserialize, Serialize};

use crate::error::AppError;

/// What a form on the previous page led to, shown once on the next one.
///
/// After a plain form post the server puts this into a short-lived signed cookie and redirects; the
/// next page takes it out. It never holds a secret or a code.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flash {
    /// The server function's name, such as `request_code`: which form this belongs to.
    pub form: String,
    /// What went wrong, if it did.
    pub error: Option<AppError>,
    /// What went right, as a line to show.
    pub notice: Option<String>,
    /// What was typed, to be given back: field name and value.
    pub values: Vec<(String, String)>,
}

impl Flash {
    /// What was typed into `field` of `form`, to prefill it; empty if nothing.
    #[must_use]
    pub fn value(&self, form: &str, field: &str) -> String {
        let found = self.values.iter().find(|(name, _)| self.form == form && name == field);
        found.map(|(_, value)| value.clone()).unwrap_or_default()
    }

    /// The error of this form's `field`, as text to show beside it.
    #[must_use]
    pub fn field_error(&self, form: &str, field: &str) -> Option<String> {
        let error = self.error.as_ref().filter(|_| self.form == form)?;
        error.for_field(field).map(str::to_owned)
    }

    /// The error of this form that belongs to no single field of `fields`.
    #[must_use]
    pub fn form_error(&self, form: &str, fields: &[&str]) -> Option<String> {
        let error = self.error.as_ref().filter(|_| self.form == form)?;
        let beside = fields.iter().any(|field| error.for_field(field).is_some());
        (!beside).then(|| error.to_string())
    }
}

/// The answer of a mutation that shows no row: a line to show and where to go next.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done {
    /// A line for the person, empty if the next page says it all.
    pub notice: String,
    /// The path to go to next.
    pub next: String,
}

/// What `/login` shows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoginView {
    /// The operator's name for this service.
    pub brand: String,
    /// What the last post led to.
    pub flash: Flash,
}

/// What `/login/code` shows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CodeView {
    /// The operator's name for this service.
    pub brand: String,
    /// The address the code was sent to.
    pub email: String,
    /// Seconds until another code may be asked for; 0 when it may be now.
    pub resend_in_seconds: u32,
    /// What the last post led to.
    pub flash: Flash,
}

/// `/login`: what the page needs. A browser that is signed in already is sent to its keys.
#[server]
pub async fn load_login() -> Result<LoginView, AppError> {
    super::server::load_login().await
}

/// `/login/code`: what the page needs. A browser that asked for no code is sent to `/login`.
#[server]
pub async fn load_code() -> Result<CodeView, AppError> {
    super::server::load_code().await
}

/// Any other address: answers that it does not exist.
#[server]
pub async fn load_unknown() -> Result<(), AppError> {
    super::server::load_unknown().await
}

/// Step one: asks for a code. Answers alike for every well-formed address. Then `/login/code`.
#[server]
pub async fn request_code(email: String) -> Result<Done, AppError> {
    super::server::request_code(email).await
}

/// Step two: gives the code back and starts a session. Then the account's keys.
#[server]
pub async fn redeem_code(code: String) -> Result<Done, AppError> {
    super::server::redeem_code(code).await
}

/// Ends this session. Then `/login`.
#[server]
pub async fn sign_out() -> Result<Done, AppError> {
    super::server::sign_out().await
}
