//! The gateway as its clients meet it: a real socket, a real database of its own, a scripted upstream.

mod canary;
mod edge;
mod failures;
mod happy;
mod harness;
mod policy;
mod refusals;
mod revocation;
mod streaming;
