//! Serves an admitted request from the upstream.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use domain::RequestId;
use domain::refusal::Refusal;
use http::header::{self, HeaderName};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use hyper::body::Incoming;

use super::{Admitted, Arrival};
use crate::answer::{self, AnswerBody};
use crate::metering::estimate;
use crate::metering::journal::{Entry, Outcome};
use crate::metering::reported::{Report, text_bytes};
use crate::prompt::Prompt;
use crate::refusal;
use crate::relay::{Relay, Terms};
use crate::router::Forwarded;
use crate::state::State;
use crate::upstream;

const ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// Sends the request on and turns what comes back into the client's answer.
pub(super) async fn forward(
    state: &Arc<State>,
    arrival: &Arrival,
    mut admitted: Admitted,
    route: Forwarded,
    headers: &HeaderMap,
    prompt: Prompt,
) -> Result<Response<AnswerBody>, Refusal> {
    let usage_is_injected = prompt.usage_is_injected();
    let body = match admitted.entry.upstream_model() {
        Some(model) => prompt.for_upstream(model),
        // The decision refuses a route with a body and without a model.
        None => return Err(Refusal::ModelNotFound { model: prompt.model().to_owned() }),
    };
    let id = arrival.id;
    admitted.entry.forwarding().await?;
    let asked = Instant::now();
    let sent = arrival.waits.during(state.upstream.send(route, headers, body)).await;
    state.metrics.upstream_took(asked.elapsed());
    let response = match sent {
        Ok(response) => response,
        Err(refusal) => return Err(failed(&mut admitted.entry, refusal)),
    };
    let (head, body) = response.into_parts();
    let passed = upstream::for_client(&head.headers);
    let mut response = match head.status {
        status if status.is_success() && is_events(&head.headers) => {
            stream(state, id, admitted, body, usage_is_injected, status)
        }
        status if status.is_success() => whole(state, arrival, admitted, body, status).await?,
        status => error(state, arrival, admitted, body, status).await?,
    };
    response.headers_mut().extend(passed);
    Ok(response)
}

fn is_events(headers: &HeaderMap) -> bool {
    let value = headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    value.get(..17).is_some_and(|start| start.eq_ignore_ascii_case(b"text/event-stream"))
}

/// The upstream has done nothing that anybody would have to pay for.
fn failed(entry: &mut Entry, refusal: Refusal) -> Refusal {
    entry.settle(Outcome::nothing(refusal.status()));
    refusal
}

fn stream(
    state: &Arc<State>,
    id: RequestId,
    mut admitted: Admitted,
    body: Incoming,
    usage_is_injected: bool,
    status: StatusCode,
) -> Response<AnswerBody> {
    admitted.entry.streaming();
    let terms = Terms {
        entry: admitted.entry,
        usage_is_injected,
        revocation: Box::pin(state.policy.clone().until_refused(admitted.digest, admitted.client)),
        idle_limit: state.limits.stream_idle,
        prefix: state.prefix.clone(),
    };
    let relay = AnswerBody::Stream(Box::pin(Relay::new(body, terms)));
    let content_type = HeaderValue::from_static("text/event-stream; charset=utf-8");
    let mut response = answer::with_body(status, content_type, relay, id);
    // Proxies between here and the client must not collect events either.
    response.headers_mut().insert(ACCEL_BUFFERING, HeaderValue::from_static("no"));
    response
}

/// A 2xx that is no stream. It must be JSON: anything else is some proxy's page, not an answer.
async fn whole(
    state: &State,
    arrival: &Arrival,
    mut admitted: Admitted,
    body: Incoming,
    status: StatusCode,
) -> Result<Response<AnswerBody>, Refusal> {
    let (id, entry) = (arrival.id, &mut admitted.entry);
    let bytes = match arrival.waits.during(state.upstream.receive(body)).await {
        Ok(bytes) => bytes,
        // It may well have generated everything, but nothing has reached the client.
        Err(refusal) => return Err(failed(entry, refusal)),
    };
    if serde_json::from_slice::<serde::de::IgnoredAny>(&bytes).is_err() {
        tracing::error!(request_id = %id, %status, "the upstream's answer is not JSON");
        return Err(failed(entry, Refusal::UpstreamFailed));
    }
    entry.first_byte();
    let reported = Report::read(&bytes).and_then(|report| report.usage);
    let usage = reported
        .unwrap_or_else(|| estimate::usage(entry.estimated_input(), estimate::output(0, text_bytes(&bytes))));
    entry.settle(Outcome {
        status: status.as_u16(),
        usage,
        estimated: reported.is_none(),
        interrupted: false,
    });
    Ok(answer::json(status, bytes, id))
}

/// The upstream says no. Its word on the request passes; its word on the operator's own key or bill does not.
async fn error(
    state: &State,
    arrival: &Arrival,
    mut admitted: Admitted,
    body: Incoming,
    status: StatusCode,
) -> Result<Response<AnswerBody>, Refusal> {
    let (id, entry) = (arrival.id, &mut admitted.entry);
    if matches!(status.as_u16(), 401..=403) {
        tracing::error!(request_id = %id, %status, "the upstream refuses this service's own key or account");
        return Err(failed(entry, Refusal::UpstreamFailed));
    }
    if !status.is_client_error() && !status.is_server_error() {
        tracing::error!(request_id = %id, %status, "the upstream answers with a redirect, which is not followed");
        return Err(failed(entry, Refusal::UpstreamFailed));
    }
    tracing::warn!(request_id = %id, %status, "the upstream answers with an error");
    let own = || refusal::body(&Refusal::UpstreamFailed, id, &state.prefix);
    let bytes: Bytes = arrival.waits.during(state.upstream.receive_error(body)).await.unwrap_or_else(own);
    entry.first_byte();
    entry.settle(Outcome::nothing(status.as_u16()));
    Ok(answer::json(status, bytes, id))
}
