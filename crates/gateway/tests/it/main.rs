//! The gateway as its clients meet it: a real socket, a real database of its own, a scripted upstream.
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "the configuration allows these in test functions; here all of it is tests"
)]

mod canary;
mod edge;
mod failures;
mod happy;
mod harness;
mod media;
mod own;
mod policy;
mod refusals;
mod revocation;
mod routes;
mod streaming;
mod streams;
