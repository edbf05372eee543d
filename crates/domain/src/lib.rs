//! Latchkey's rules, pure: the secret format, the policy decision, refusals, money, names.
//!
//! Nothing here reads a clock, a socket or a random source; whoever calls passes them in. So the gateway can
//! enforce these rules, the console can explain them, and property tests can hold them. Compiles to WASM.
#![warn(missing_docs, unreachable_pub)]

pub mod address_list;
pub mod base62;
pub mod catalogue;
pub mod client;
pub mod credits;
pub mod decision;
pub mod dial;
pub mod dollars;
pub mod email;
pub mod ids;
pub mod key;
pub mod key_query;
pub mod limit;
pub mod money;
pub mod own_route;
pub mod rate;
pub mod refusal;
pub mod rule;
pub mod secret;
pub mod setting;
pub mod sign_in;
pub mod tariff;
pub mod usage;

pub use ids::{AccountId, GroupId, KeyId, LimitId, RequestId, SecretId, UserId};
