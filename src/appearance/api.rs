//! The choice of a theme: the server function and what it carries. No logic.

use leptos::prelude::*;
use serde::{Deserialize, Serialize};

use crate::auth::Done;
use crate::error::AppError;

/// What decides the colours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Theme {
    /// The operating system.
    #[default]
    System,
    /// Always light.
    Light,
    /// Always dark.
    Dark,
}

impl Theme {
    /// All of them, in the order they are offered.
    pub const ALL: [Self; 3] = [Self::System, Self::Light, Self::Dark];

    /// The value of the form field and of the cookie.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::Light => "light",
            Self::Dark => "dark",
        }
    }

    /// Reads a cookie's value; what it does not know follows the system.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        Self::ALL.into_iter().find(|theme| theme.as_str() == text).unwrap_or_default()
    }

    /// The `data-theme` of the document; none lets the stylesheet follow the system.
    #[must_use]
    pub const fn data_theme(self) -> Option<&'static str> {
        match self {
            Self::System => None,
            Self::Light => Some("latchkey"),
            Self::Dark => Some("latchkey-dark"),
        }
    }
}

/// Keeps the choice for this browser. Form field: `theme`. Then the page it came from.
#[server]
pub async fn set_theme(theme: Theme) -> Result<Done, AppError> {
    super::server::set_theme(theme).await
}
