//! The request body: received within bounds, read once and strictly, edited only by splices.
//!
//! What was checked is what goes upstream: the received bytes are forwarded, never a re-serialised copy.

pub mod receive;
pub mod scan;
pub mod splice;
