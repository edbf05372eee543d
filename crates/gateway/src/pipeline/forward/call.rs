//! Calls of the operator's own routes: sent on as they came, answered as they are answered, charged once.
//!
//! The price is due when the upstream says 2xx, whatever becomes of the answer then, and where nobody can know whether it
//! would have, for the client has left or this process has ended. What it refuses, fails or does not answer in time costs
//! nothing, as with models.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use domain::refusal::Refusal;
use http::{HeaderValue, Method, Response, StatusCode, header};
use http_body::Body;
use uuid::Uuid;

use super::super::Admitted;
use super::{Answer, Way, error, failed, stream};
use crate::answer::{self, AnswerBody};
use crate::metering::journal::Outcome;
use crate::relay::Kind;
use crate::router::UsageDialect;
use crate::sse::meter::Meter;
use crate::state::State;
use crate::upstream;

/// What to send where.
pub(in crate::pipeline) struct Call<'a> {
    pub(in crate::pipeline) method: &'a Method,
    /// The route's template, for traces: what is sent holds text of the client's.
    pub(in crate::pipeline) path: &'static str,
    /// Path and query below the upstream's base URL.
    pub(in crate::pipeline) there: String,
    pub(in crate::pipeline) upstream: Uuid,
    pub(in crate::pipeline) body: Bytes,
}

/// Makes the call and turns what comes back into the client's answer.
pub(in crate::pipeline) async fn call(
    state: &Arc<State>,
    way: Way<'_>,
    mut admitted: Admitted,
    call: Call<'_>,
) -> Result<Response<AnswerBody>, Refusal> {
    let Some(upstream) = state.upstreams.find(call.upstream) else {
        tracing::error!(request_id = %way.id, upstream = %call.upstream, "the upstream of an own route cannot be used");
        return Err(failed(&mut admitted.entry, Refusal::UpstreamFailed));
    };
    admitted.entry.forwarding().await?;
    let asked = Instant::now();
    way.trace.sent_to(&upstream, call.path);
    let waiting = way.waits.begin();
    let sent = upstream.call(call.method, &call.there, way.headers, call.body).await;
    drop(waiting);
    match &sent {
        Ok(response) => way.trace.upstream_answered(response.status()),
        Err(unanswered) => way.trace.upstream_failed(unanswered.refusal.code()),
    }
    state.metrics.upstream_took(asked.elapsed());
    if sent.as_ref().is_err_and(|unanswered| unanswered.never_arrived) {
        // What it does at one path tells nothing of how it serves models; that it is not there does.
        upstream.answered(false);
    }
    let (head, body) = match sent {
        Ok(response) => response.into_parts(),
        Err(unanswered) => return Err(failed(&mut admitted.entry, unanswered.refusal)),
    };
    admitted.entry.answered(head.status.is_success());
    let unknown = HeaderValue::from_static("application/octet-stream");
    let content_type = head.headers.get(header::CONTENT_TYPE).or(Some(&unknown));
    let answer = Answer { upstream: &upstream, status: head.status, content_type, body };
    let mut response = if !answer.status.is_success() {
        error(state, way, admitted, answer).await?
    } else if answer.status == StatusCode::NO_CONTENT || answer.body.is_end_stream() {
        empty(way, admitted, &answer)
    } else {
        let is_encoded = head.headers.contains_key(header::CONTENT_ENCODING);
        passed_on(state, way, admitted, answer, is_encoded)
    };
    // What the bytes are, as their type is.
    if response.status().is_success()
        && let Some(encoding) = head.headers.get(header::CONTENT_ENCODING)
    {
        response.headers_mut().insert(header::CONTENT_ENCODING, encoding.clone());
    }
    response.headers_mut().extend(upstream::for_client(&head.headers));
    Ok(response)
}

fn passed_on(
    state: &Arc<State>,
    way: Way<'_>,
    admitted: Admitted,
    answer: Answer<'_>,
    is_encoded: bool,
) -> Response<AnswerBody> {
    let media_type = answer.media_type();
    // Nobody can see where an encoded event ends.
    let kind =
        if media_type == "text/event-stream" && !is_encoded { Kind::Events } else { Kind::Bytes(media_type) };
    stream(state, way, admitted, answer, Meter::new(UsageDialect::Uncounted, false), kind)
}

fn empty(way: Way<'_>, mut admitted: Admitted, answer: &Answer<'_>) -> Response<AnswerBody> {
    admitted.entry.first_byte();
    admitted.entry.settle(Outcome::nothing(answer.status.as_u16()));
    let content_type = answer.content_type.cloned().unwrap_or(HeaderValue::from_static("text/plain"));
    let mut response =
        answer::with_body(answer.status, content_type, AnswerBody::Whole(Bytes::new()), way.id);
    if answer.status == StatusCode::NO_CONTENT {
        response.headers_mut().remove(header::CONTENT_TYPE);
    }
    response
}
