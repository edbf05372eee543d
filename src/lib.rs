//! The console: a Leptos app in islands mode, rendered on the server.
//!
//! The crate is compiled twice: for the host with `ssr` (all of it) and for the browser with
//! `hydrate` (wire types, components, islands). What may touch the database sits behind `ssr`.

pub mod app;
pub mod appearance;
pub mod auth;
pub mod error;
pub mod keys;
pub mod operator;
pub mod page;
#[cfg(feature = "ssr")]
pub mod server;
pub mod ui;

/// Wakes the islands of a page that the server has rendered.
#[cfg(feature = "hydrate")]
#[wasm_bindgen::prelude::wasm_bindgen]
pub fn hydrate() {
    leptos::mount::hydrate_islands();
}
