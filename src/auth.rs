//! Signing in by emailed code, sessions, signing out.

mod api;
mod code_field;
mod code_page;
mod login_page;
mod resend_button;
#[cfg(feature = "ssr")]
pub mod server;

pub use api::*;
pub use code_page::CodePage;
pub use login_page::LoginPage;
