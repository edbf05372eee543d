//! The server side of the console: settings, router, the one door into server functions, mail.
//!
//! Knows no feature's rules; those are in `auth/server.rs`, `keys/server.rs`, and so on.

pub mod clientaddr;
pub mod config;
pub mod documents;
pub mod flash;
pub mod forms;
pub mod functions;
pub mod headers;
pub mod housekeeping;
pub mod mailer;
pub mod origin;
pub mod receipt;
pub mod respond;
pub mod router;
pub mod secrets;
pub mod serve;
pub mod session;
pub mod start;
pub mod state;
pub mod telemetry;
pub mod text;

pub use respond::{Failure, Member, Visit, respond, respond_as};
pub use state::AppState;
