//! Latchkey's gateway: between the API keys a team hands out and the model provider they lead to.
//!
//! | module | owns |
//! |---|---|
//! | [`config`] | the environment, checked as a whole |
//! | [`server`] | start and orderly stop |
//! | [`edge`] | connections and their limits |
//! | [`router`] | every path there is |
//! | [`pipeline`] | the order of things for one request; what it does is decided in `domain` |
//! | [`credential`], [`body`], [`prompt`] | what a request presents and asks for |
//! | [`policy`] | what is enforced, in memory, and how fresh it is |
//! | [`upstream`], [`relay`], [`sse`] | the provider, and streams on their way back |
//! | [`limits`] | what may still be consumed: leases and reservations |
//! | [`metering`] | what requests consume, on its way to the ledger |
//! | [`metrics`] | what an operator may count |
//! | [`telemetry`] | log lines; traces, where a collector is named |
//! | [`answer`], [`about`], [`mod@refusal`] | what a client gets |
#![warn(missing_docs, unreachable_pub)]

pub mod about;
pub mod answer;
pub mod body;
pub mod config;
pub mod credential;
pub mod edge;
pub mod limits;
pub mod metering;
pub mod metrics;
pub mod pipeline;
pub mod policy;
pub mod prompt;
pub mod refusal;
pub mod relay;
pub mod router;
pub mod server;
pub mod spool;
pub mod sse;
pub mod state;
pub mod telemetry;
pub mod upstream;
