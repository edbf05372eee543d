//! The gateway as its clients meet it: a real socket, a real database of its own, a scripted upstream.
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "the configuration allows these in test functions; here all of it is tests"
)]

mod addresses;
mod canary;
mod crash;
mod disk;
mod drain;
mod edge;
mod failures;
mod faults;
mod happy;
mod harness;
mod kept;
mod leaving;
mod limits;
mod many_keys;
mod media;
mod metrics;
mod origin;
mod own;
mod own_permissions;
mod policy;
mod redis;
mod refusals;
mod revocation;
mod routes;
mod rules;
mod smuggling;
mod spending;
mod spool;
mod storm;
mod streaming;
mod streams;
mod tls;
#[cfg(feature = "opentelemetry")]
mod traces;
mod units;
mod upstreams;
mod wire;
