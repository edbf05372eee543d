//! Server-sent events as they pass: cut into frames without being changed, read for what they cost.

pub mod frame;
pub mod meter;
mod scout;
pub mod splitter;
