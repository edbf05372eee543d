//! What requests consume: opened before they are forwarded, settled exactly once, written in batches.

pub mod estimate;
pub mod journal;
pub mod refusals;
pub mod reported;
pub mod writer;
