//! The console, tested over its real router, a real database and a real mail server, all in process.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests fail the test; the lint knows only the tests themselves"
)]

mod edit;
mod guard;
mod key_page;
mod keys;
mod list;
mod mail;
mod operator;
mod safety;
mod sessions;
mod sign_in;
mod start;
mod support;
mod tenancy;
