//! The console, tested over its real router, a real database and a real mail server, all in process.

mod guard;
mod keys;
mod mail;
mod safety;
mod sessions;
mod sign_in;
mod start;
mod support;
mod tenancy;
