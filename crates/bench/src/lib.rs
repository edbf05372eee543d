//! What `cargo xtask bench` runs beside the gateway, in processes of their own: a provider that answers at once, a bare
//! proxy as the floor of what forwarding costs, a load generator with a clock of its own, and a maker of API keys.
//!
//! Nothing here is shipped. Starting, measuring and comparing is `xtask`'s; of our own this knows `domain` only, for keys
//! that the gateway takes.

pub mod answers;
pub mod floor;
pub mod keys;
pub mod listen;
pub mod load;
pub mod upstream;

/// Anything that went wrong on a connection; it is only ever shown.
pub type Fault = Box<dyn std::error::Error + Send + Sync>;
