//! Serves an admitted request from the upstream.

mod said;

use std::sync::Arc;
use std::time::Instant;

use domain::RequestId;
use domain::refusal::Refusal;
use http::header::{self, HeaderName};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use hyper::body::Incoming;

use super::Admitted;
use crate::answer::{self, AnswerBody};
use crate::metering::journal::{Entry, Outcome};
use crate::metrics::Waits;
use crate::prompt::Prompt;
use crate::relay::{Kind, Relay, Terms};
use crate::router::{ErrorDialect, Forwarded, UsageDialect};
use crate::sse::meter::{Consumed, Meter};
use crate::state::State;
use crate::upstream;

const ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");
/// Tells what a limit has made of the request's output cap and number of answers.
const CLAMPED: HeaderName = HeaderName::from_static("x-clamped");

/// What a request is served by.
#[derive(Clone, Copy, Debug)]
pub(super) struct Way<'a> {
    /// Time spent on others.
    pub(super) waits: &'a Waits,
    pub(super) id: RequestId,
    pub(super) route: Forwarded,
    pub(super) errors: ErrorDialect,
    pub(super) headers: &'a HeaderMap,
}

/// Sends the request on and turns what comes back into the client's answer.
pub(super) async fn forward(
    state: &Arc<State>,
    way: Way<'_>,
    mut admitted: Admitted,
    prompt: Prompt,
) -> Result<Response<AnswerBody>, Refusal> {
    let meter = Meter::new(way.route.usage, prompt.usage_is_injected());
    let clamped = prompt.clamped().and_then(|told| HeaderValue::try_from(told).ok());
    let body = match admitted.entry.upstream_model() {
        Some(model) => prompt.for_upstream(model),
        // The decision refuses a route with a body and without a model.
        None => return Err(Refusal::ModelNotFound { model: prompt.model().to_owned() }),
    };
    admitted.entry.forwarding().await?;
    let asked = Instant::now();
    let sent = way.waits.during(state.upstream.send(way.route, way.headers, body)).await;
    state.metrics.upstream_took(asked.elapsed());
    let response = match sent {
        Ok(response) => response,
        Err(refusal) => return Err(failed(&mut admitted.entry, refusal)),
    };
    let (head, body) = response.into_parts();
    let passed = upstream::for_client(&head.headers);
    let answer = Answer { status: head.status, content_type: head.headers.get(header::CONTENT_TYPE), body };
    let mut response = if !answer.status.is_success() {
        error(state, way, admitted, answer).await?
    } else if answer.media_type() == "text/event-stream" {
        stream(state, way, admitted, answer, meter, Kind::Events)
    } else if way.route.usage == UsageDialect::Speech {
        sound(state, way, admitted, answer, meter)?
    } else {
        whole(state, way, admitted, answer, meter).await?
    };
    response.headers_mut().extend(passed);
    response.headers_mut().extend(clamped.map(|told| (CLAMPED, told)));
    Ok(response)
}

/// What the upstream says.
struct Answer<'a> {
    status: StatusCode,
    content_type: Option<&'a HeaderValue>,
    body: Incoming,
}

impl Answer<'_> {
    /// The type without its parameters, in lower case; empty where there is none.
    fn media_type(&self) -> String {
        let text = self.content_type.and_then(|value| value.to_str().ok()).unwrap_or_default();
        text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
    }
}

/// The upstream has done nothing that anybody would have to pay for.
fn failed(entry: &mut Entry, refusal: Refusal) -> Refusal {
    entry.settle(Outcome::nothing(refusal.status()));
    refusal
}

fn stream(
    state: &Arc<State>,
    way: Way<'_>,
    mut admitted: Admitted,
    answer: Answer<'_>,
    meter: Meter,
    kind: Kind,
) -> Response<AnswerBody> {
    let content_type = if let (Kind::Bytes(_), Some(value)) = (&kind, answer.content_type) {
        value.clone()
    } else {
        admitted.entry.streaming();
        HeaderValue::from_static("text/event-stream; charset=utf-8")
    };
    let drawn_on = admitted.entry.drawn_on();
    let terms = Terms {
        entry: admitted.entry,
        meter,
        kind,
        revocation: Box::pin(state.policy.clone().until_refused(admitted.digest, admitted.client, drawn_on)),
        idle_limit: state.limits.stream_idle,
        prefix: state.prefix.clone(),
        errors: way.errors,
    };
    let relay = AnswerBody::Stream(Box::pin(Relay::new(answer.body, terms)));
    let mut response = answer::with_body(answer.status, content_type, relay, way.id);
    // Proxies between here and the client must not collect events either.
    response.headers_mut().insert(ACCEL_BUFFERING, HeaderValue::from_static("no"));
    response
}

/// Sound, which is played while it comes.
fn sound(
    state: &Arc<State>,
    way: Way<'_>,
    mut admitted: Admitted,
    answer: Answer<'_>,
    meter: Meter,
) -> Result<Response<AnswerBody>, Refusal> {
    let media_type = answer.media_type();
    if !media_type.starts_with("audio/") && media_type != "application/octet-stream" {
        tracing::error!(request_id = %way.id, status = %answer.status, "the upstream's answer is no sound");
        return Err(failed(&mut admitted.entry, Refusal::UpstreamFailed));
    }
    Ok(stream(state, way, admitted, answer, meter, Kind::Bytes(media_type)))
}

/// A 2xx that is no stream. It must be JSON, or for a transcript plain text: anything else is some proxy's page, not
/// an answer.
async fn whole(
    state: &State,
    way: Way<'_>,
    mut admitted: Admitted,
    answer: Answer<'_>,
    mut meter: Meter,
) -> Result<Response<AnswerBody>, Refusal> {
    let entry = &mut admitted.entry;
    let media_type = answer.media_type();
    let bytes = match way.waits.during(state.upstream.receive(answer.body)).await {
        Ok(bytes) => bytes,
        // It may well have generated everything, but nothing has reached the client.
        Err(refusal) => return Err(failed(entry, refusal)),
    };
    let content_type = if way.route.usage == UsageDialect::Transcripts && is_transcript(&media_type, &bytes) {
        meter.count_bytes(&bytes);
        answer.content_type.cloned()
    } else if serde_json::from_slice::<serde::de::IgnoredAny>(&bytes).is_ok() {
        meter.read_whole(&bytes);
        None
    } else {
        tracing::error!(request_id = %way.id, status = %answer.status, "the upstream's answer is not JSON");
        return Err(failed(entry, Refusal::UpstreamFailed));
    };
    entry.first_byte();
    let Consumed { usage, estimated } = meter.consumed(entry.estimated_input(), "");
    entry.settle(Outcome { status: answer.status.as_u16(), usage, estimated, interrupted: false });
    let content_type = content_type.unwrap_or(HeaderValue::from_static("application/json"));
    Ok(answer::with_body(answer.status, content_type, AnswerBody::Whole(bytes), way.id))
}

/// The forms a transcript has beside JSON: text and two kinds of subtitles.
fn is_transcript(media_type: &str, bytes: &[u8]) -> bool {
    let is_text = matches!(media_type, "text/plain" | "text/vtt" | "text/srt" | "application/x-subrip");
    is_text && std::str::from_utf8(bytes).is_ok()
}

/// The upstream says no. Its word on the request passes; its word on the operator's own key or bill does not.
async fn error(
    state: &State,
    way: Way<'_>,
    mut admitted: Admitted,
    answer: Answer<'_>,
) -> Result<Response<AnswerBody>, Refusal> {
    let (entry, status) = (&mut admitted.entry, answer.status);
    if matches!(status.as_u16(), 401..=403) {
        tracing::error!(request_id = %way.id, %status, "the upstream refuses this service's own key or account");
        return Err(failed(entry, Refusal::UpstreamFailed));
    }
    if !status.is_client_error() && !status.is_server_error() {
        tracing::error!(request_id = %way.id, %status, "the upstream answers with a redirect, which is not followed");
        return Err(failed(entry, Refusal::UpstreamFailed));
    }
    tracing::warn!(request_id = %way.id, %status, "the upstream answers with an error");
    let theirs = way.waits.during(state.upstream.receive_error(answer.body)).await;
    let bytes = said::in_dialect(theirs, status.as_u16(), way.id, &state.prefix, way.errors);
    entry.first_byte();
    entry.settle(Outcome::nothing(status.as_u16()));
    Ok(answer::json(status, bytes, way.id))
}
