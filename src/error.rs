//! What a browser may be told when something goes wrong. No foreign text, no secret, no echo of
//! input ever enters [`AppError`]; the server keeps the cause in its log.

use leptos::server_fn::codec::JsonEncoding;
use leptos::server_fn::error::{FromServerFnError, ServerFnErrorErr};
use serde::{Deserialize, Serialize};

/// The closed list of refusals and faults that leave the server.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum AppError {
    /// No live session.
    #[error("Sign in to continue.")]
    Unauthenticated,
    /// Signed in, but the role does not allow this.
    #[error("Your role in this account does not allow that. An owner or admin can change it.")]
    Forbidden,
    /// Does not exist, or belongs to someone else: the two are told alike.
    #[error("This does not exist, or you have no access to it.")]
    NotFound,
    /// One field holds something that cannot be taken; `message` says what to do.
    #[error("{message}")]
    Invalid {
        /// The form field's name.
        field: String,
        /// A whole sentence for the person who filled it in.
        message: String,
    },
    /// The thing was changed by someone else meanwhile.
    #[error("{message}")]
    Conflict {
        /// What it is now, and what to do.
        message: String,
    },
    /// Sent something that no form of ours sends.
    #[error("The form could not be read. Reload the page and try again.")]
    Malformed,
    /// The database or another part cannot be reached; nothing was changed.
    #[error("Latchkey cannot reach its database right now. Nothing was changed; try again in a moment.")]
    Unavailable,
    /// A fault of ours; `reference` finds it in the log.
    #[error("Something went wrong on our side. Nothing was changed. Reference: {reference}")]
    Internal {
        /// The log line's reference.
        reference: String,
    },
    /// The browser could not reach the server.
    #[error("The server cannot be reached. Check your connection and try again.")]
    Transport,
}

impl AppError {
    /// An [`AppError::Invalid`] for one field.
    pub fn invalid(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Invalid { field: field.into(), message: message.into() }
    }

    /// The message, if it belongs to this form field.
    #[must_use]
    pub fn for_field(&self, name: &str) -> Option<&str> {
        match self {
            Self::Invalid { field, message } if field == name => Some(message),
            _ => None,
        }
    }

    /// The HTTP status that goes with it.
    #[must_use]
    pub const fn status(&self) -> u16 {
        match self {
            Self::Unauthenticated => 401,
            Self::Forbidden => 403,
            Self::NotFound => 404,
            Self::Invalid { .. } => 422,
            Self::Conflict { .. } => 409,
            Self::Malformed => 400,
            Self::Unavailable | Self::Transport => 503,
            Self::Internal { .. } => 500,
        }
    }
}

impl FromServerFnError for AppError {
    type Encoder = JsonEncoding;

    fn from_server_fn_error(cause: ServerFnErrorErr) -> Self {
        match cause {
            ServerFnErrorErr::Args(_)
            | ServerFnErrorErr::MissingArg(_)
            | ServerFnErrorErr::Deserialization(_)
            | ServerFnErrorErr::UnsupportedRequestMethod(_) => Self::Malformed,
            _ => Self::Transport,
        }
    }
}
