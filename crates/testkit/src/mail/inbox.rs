//! The HTTP side: the inbox page for people, `/api` for tests.

mod page;

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::{Path, Query, State},
    http::{StatusCode, header},
    response::{Html, IntoResponse, Response},
    routing::{get, put},
};
use serde::Deserialize;
use tokio::net::TcpListener;

use super::{Behaviour, Mail, mailbox::Mailbox};

/// Mail is foreign text: pages run no script and load nothing.
const PAGE_POLICY: &str =
    "default-src 'none'; style-src 'unsafe-inline'; frame-src 'self'; form-action 'none'";
/// A shown message may keep its inline styles and inline images, and gets an origin of its own.
const MESSAGE_POLICY: &str = "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:";

pub(super) async fn serve(listener: TcpListener, mailbox: Arc<Mailbox>) {
    if let Err(error) = axum::serve(listener, router(mailbox)).await {
        tracing::error!(%error, "the inbox page stopped");
    }
}

fn router(mailbox: Arc<Mailbox>) -> Router {
    Router::new()
        .route("/", get(inbox))
        .route("/messages/{id}", get(message))
        .route("/messages/{id}/html", get(message_html))
        .route("/healthz", get(async || "ok"))
        .route("/api/messages", get(list).delete(clear))
        .route("/api/behaviour", put(behave))
        .with_state(mailbox)
}

async fn inbox(State(mailbox): State<Arc<Mailbox>>) -> Response {
    guarded(PAGE_POLICY, page::inbox(&mailbox.messages(None)))
}

async fn message(State(mailbox): State<Arc<Mailbox>>, Path(id): Path<u64>) -> Response {
    match mailbox.find(id) {
        Some(mail) => guarded(PAGE_POLICY, page::message(&mail)),
        None => (StatusCode::NOT_FOUND, guarded(PAGE_POLICY, page::gone())).into_response(),
    }
}

async fn message_html(State(mailbox): State<Arc<Mailbox>>, Path(id): Path<u64>) -> Response {
    match mailbox.find(id).and_then(|mail| mail.html) {
        Some(html) => guarded(MESSAGE_POLICY, html),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

fn guarded(policy: &'static str, html: String) -> Response {
    let headers = [(header::CONTENT_SECURITY_POLICY, policy), (header::CACHE_CONTROL, "no-store")];
    (headers, Html(html)).into_response()
}

#[derive(Deserialize)]
struct Wanted {
    to: Option<String>,
}

/// Newest first, those to `?to=` only if it is given.
async fn list(State(mailbox): State<Arc<Mailbox>>, Query(wanted): Query<Wanted>) -> Json<Vec<Mail>> {
    Json(mailbox.messages(wanted.to.as_deref()))
}

async fn clear(State(mailbox): State<Arc<Mailbox>>) -> StatusCode {
    mailbox.clear();
    StatusCode::NO_CONTENT
}

async fn behave(State(mailbox): State<Arc<Mailbox>>, Json(behaviour): Json<Behaviour>) -> StatusCode {
    mailbox.behave(behaviour);
    StatusCode::NO_CONTENT
}
