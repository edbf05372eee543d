//! The cookie of the choice.

use axum::http::request::Parts;
use leptos::prelude::use_context;

use super::Theme;
use crate::auth::Done;
use crate::error::AppError;
use crate::server::{flash, respond};

const COOKIE: &str = "__Host-theme";
const YEAR_SECONDS: i64 = 365 * 24 * 60 * 60;

/// Open to anybody: it changes nothing but a cookie of the browser that asks.
pub(super) async fn set_theme(theme: Theme) -> Result<Done, AppError> {
    respond("set_theme", async move |visit| {
        let life = if theme == Theme::System { 0 } else { YEAR_SECONDS };
        visit.set_cookie(COOKIE, theme.as_str(), life);
        Ok(Done { notice: String::new(), next: String::new() })
    })
    .await
}

/// The choice of the browser whose request is being answered.
#[must_use]
pub fn theme_of_request() -> Theme {
    let parts = use_context::<Parts>();
    let cookie = parts.as_ref().and_then(|parts| flash::cookie(&parts.headers, COOKIE));
    Theme::parse(cookie.unwrap_or_default())
}
