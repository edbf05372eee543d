//! Serves an admitted request from the upstream.

pub(super) mod call;
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
use crate::telemetry::traces::Trace;
use crate::upstream::{self, Candidate, Upstream};

const ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");
/// Tells what a limit has made of the request's output cap and number of answers.
const CLAMPED: HeaderName = HeaderName::from_static("x-clamped");

/// What a request is served by.
#[derive(Clone, Copy, Debug)]
pub(super) struct Way<'a> {
    /// Time spent on others.
    pub(super) waits: &'a Waits,
    pub(super) id: RequestId,
    pub(super) errors: ErrorDialect,
    pub(super) headers: &'a HeaderMap,
    pub(super) trace: &'a Trace,
}

/// Sends the request on and turns what comes back into the client's answer.
pub(super) async fn forward(
    state: &Arc<State>,
    way: Way<'_>,
    route: Forwarded,
    mut admitted: Admitted,
    prompt: Prompt,
) -> Result<Response<AnswerBody>, Refusal> {
    let meter = Meter::new(route.usage, prompt.usage_is_injected());
    let clamped = prompt.clamped().and_then(|told| HeaderValue::try_from(told).ok());
    // The decision refuses a route with a body and without a model.
    let model =
        admitted.entry.model().ok_or_else(|| Refusal::ModelNotFound { model: prompt.model().to_owned() })?;
    let candidates = state.upstreams.of(model);
    admitted.entry.forwarding().await?;
    let asked = Instant::now();
    let waiting = way.waits.begin();
    let sent = ask(state, way, route, &prompt, candidates).await;
    drop(waiting);
    state.metrics.upstream_took(asked.elapsed());
    let (upstream, response) = match sent {
        Ok(sent) => sent,
        Err(refusal) => return Err(failed(&mut admitted.entry, refusal)),
    };
    let (head, body) = response.into_parts();
    let passed = upstream::for_client(&head.headers);
    let content_type = head.headers.get(header::CONTENT_TYPE);
    let answer = Answer { upstream: &upstream, status: head.status, content_type, body };
    let mut response = if !answer.status.is_success() {
        error(state, way, admitted, answer).await?
    } else if answer.media_type() == "text/event-stream" {
        stream(state, way, admitted, answer, meter, Kind::Events)
    } else if route.usage == UsageDialect::Speech {
        sound(state, way, admitted, answer, meter)?
    } else {
        whole(way, route, admitted, answer, meter).await?
    };
    response.headers_mut().extend(passed);
    response.headers_mut().extend(clamped.map(|told| (CLAMPED, told)));
    Ok(response)
}

/// Asks one provider after the other, until one answers or has got the request and may be at work on it. What the
/// last one says is the answer, whatever it is.
async fn ask(
    state: &State,
    way: Way<'_>,
    route: Forwarded,
    prompt: &Prompt,
    candidates: Vec<Candidate>,
) -> Result<(Arc<Upstream>, Response<Incoming>), Refusal> {
    let mut candidates = candidates.into_iter().peekable();
    while let Some(Candidate { upstream, model }) = candidates.next() {
        way.trace.sent_to(&upstream, route.path);
        let sent = upstream.send(route, way.headers, prompt.for_upstream(&model)).await;
        match &sent {
            Ok(response) => way.trace.upstream_answered(response.status()),
            Err(unanswered) => way.trace.upstream_failed(unanswered.refusal.code()),
        }
        let is_well = sent.as_ref().is_ok_and(|response| !is_failure(response.status()));
        upstream.answered(is_well);
        let may_go_on = match &sent {
            Ok(_) => !is_well,
            Err(unanswered) => unanswered.never_arrived,
        };
        match candidates.peek().filter(|_| may_go_on) {
            Some(next) => {
                let status = sent.map_or(0, |response| response.status().as_u16());
                tracing::warn!(
                    request_id = %way.id, upstream = upstream.name(), next = next.upstream.name(), status,
                    "the upstream failed before the first byte; the next one is asked"
                );
                state.metrics.failed_over();
            }
            None => return sent.map(|answer| (upstream, answer)).map_err(|unanswered| unanswered.refusal),
        }
    }
    tracing::error!(request_id = %way.id, model = prompt.model(), "no upstream of this model can be used");
    Err(Refusal::UpstreamFailed)
}

/// What another provider may do better: trouble there, too much to do there, or trouble with the operator's account.
fn is_failure(status: StatusCode) -> bool {
    // Not where it gave up waiting for its own model: that may have done the work.
    let gave_up = matches!(status.as_u16(), 504 | 524);
    status.is_server_error() && !gave_up || matches!(status.as_u16(), 401..=403 | 429)
}

/// What the upstream says.
struct Answer<'a> {
    upstream: &'a Upstream,
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
    entry.trace().cut(refusal.code(), true);
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
        status: answer.status.as_u16(),
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
    way: Way<'_>,
    route: Forwarded,
    mut admitted: Admitted,
    answer: Answer<'_>,
    mut meter: Meter,
) -> Result<Response<AnswerBody>, Refusal> {
    let entry = &mut admitted.entry;
    let media_type = answer.media_type();
    let waiting = way.waits.begin();
    let received = answer.upstream.receive(answer.body).await;
    drop(waiting);
    let bytes = match received {
        Ok(bytes) => bytes,
        // It may well have generated everything, but nothing has reached the client.
        Err(refusal) => return Err(failed(entry, refusal)),
    };
    let content_type = if route.usage == UsageDialect::Transcripts && is_transcript(&media_type, &bytes) {
        meter.count_bytes(&bytes);
        answer.content_type.cloned()
    } else if meter.read_whole(&bytes).is_ok() {
        None
    } else {
        tracing::error!(request_id = %way.id, status = %answer.status, "the upstream's answer is not JSON");
        return Err(failed(entry, Refusal::UpstreamFailed));
    };
    entry.first_byte();
    let Consumed { usage, units, estimated } = meter.consumed(entry.sent(), entry.tariff(), "");
    entry.settle(Outcome { status: answer.status.as_u16(), usage, units, estimated, interrupted: false });
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
        let upstream = answer.upstream.name();
        tracing::error!(request_id = %way.id, upstream, %status, "the upstream refuses this service's own key or account");
        return Err(failed(entry, Refusal::UpstreamFailed));
    }
    if !status.is_client_error() && !status.is_server_error() {
        tracing::error!(request_id = %way.id, %status, "the upstream answers with a redirect, which is not followed");
        return Err(failed(entry, Refusal::UpstreamFailed));
    }
    tracing::warn!(request_id = %way.id, %status, "the upstream answers with an error");
    let waiting = way.waits.begin();
    let theirs = answer.upstream.receive_error(answer.body).await;
    drop(waiting);
    let bytes = said::in_dialect(theirs, status.as_u16(), way.id, &state.prefix, way.errors);
    entry.first_byte();
    entry.settle(Outcome::nothing(status.as_u16()));
    Ok(answer::json(status, bytes, way.id))
}
