//! What tests and the development command share. It knows neither the console nor the gateway.
#![warn(missing_docs)]

pub mod mail;
pub mod upstream;
