//! Log lines: their form, and one for each request.
//!
//! A line never holds a code, a secret, an address or anything a person typed.

use std::io::IsTerminal;
use std::time::Instant;

use axum::extract::{MatchedPath, Request};
use axum::middleware::Next;
use axum::response::Response;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};

use super::config::LogFormat;

/// Starts logging. `filter` is what `RUST_LOG` says; a bad one falls back to `info`.
pub fn start(format: LogFormat, filter: &str) -> Result<(), TryInitError> {
    let filter = EnvFilter::try_new(filter).unwrap_or_else(|_| EnvFilter::new("info"));
    let registry = tracing_subscriber::registry().with(filter);
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    // Colours are for people who watch; the library itself leaves them out where NO_COLOR says so.
    let lines = if std::io::stderr().is_terminal() { lines } else { lines.with_ansi(false) };
    match format {
        LogFormat::Text => registry.with(lines).try_init(),
        LogFormat::Json => registry.with(lines.json()).try_init(),
    }
}

/// One line for each request: method, route (with its parameters' names, not their values), status, time.
pub async fn log_request(request: Request, next: Next) -> Response {
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned());
    let started = Instant::now();
    let response = next.run(request).await;
    let route = route.as_deref().unwrap_or("static or unknown");
    let milliseconds = started.elapsed().as_millis();
    tracing::info!(%method, route, status = response.status().as_u16(), milliseconds, "answered");
    response
}
