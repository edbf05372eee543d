//! What a client gets: bodies, and the headers every answer carries.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use domain::RequestId;
use domain::decision::RateRoom;
use http::header::{self, HeaderName};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};

use crate::relay::Relay;
use crate::router::ErrorDialect;

/// The header that names the request, in every answer.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The header by which Anthropic's libraries name the request.
const ANTHROPIC_REQUEST_ID: HeaderName = HeaderName::from_static("request-id");

/// What a rate limit is and leaves: the names of draft-ietf-httpapi-ratelimit-headers-10, and OpenAI's.
const RATE_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const RATE: HeaderName = HeaderName::from_static("ratelimit");
const RATE_LIMIT: HeaderName = HeaderName::from_static("x-ratelimit-limit-requests");
const RATE_REMAINING: HeaderName = HeaderName::from_static("x-ratelimit-remaining-requests");
const RATE_RESET: HeaderName = HeaderName::from_static("x-ratelimit-reset-requests");

/// The body of an answer. What goes wrong in a stream of events is said inside it; other streams can only break off.
#[derive(Debug)]
pub enum AnswerBody {
    /// All of it.
    Whole(Bytes),
    /// Events or bytes as the upstream sends them.
    Stream(Pin<Box<Relay>>),
}

/// The stream ends before its time, and its client must not take what it has for all of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the stream is cut off")]
pub struct CutOff;

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = CutOff;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, CutOff>>> {
        match &mut *self {
            Self::Whole(bytes) if bytes.is_empty() => Poll::Ready(None),
            Self::Whole(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            Self::Stream(relay) => {
                relay.as_mut().poll_next(context).map(|next| next.map(|bytes| bytes.map(Frame::data)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Whole(bytes) if bytes.is_empty())
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(u64::try_from(bytes.len()).unwrap_or(u64::MAX)),
            Self::Stream(_) => SizeHint::default(),
        }
    }
}

/// An answer whose headers are complete but for those of its content.
pub fn with_body(
    status: StatusCode,
    content_type: HeaderValue,
    body: AnswerBody,
    id: RequestId,
) -> Response<AnswerBody> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, content_type);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    name_request(headers, id);
    response
}

/// Tells what a key's requests per minute are and leave; of a key without such a limit, nothing. The reset is when
/// the next request would pass, or when all of the limit is there again.
pub fn tell_rate(headers: &mut HeaderMap, rate: Option<RateRoom>) {
    let Some(RateRoom { limit, admitted, next_slot_in }) = rate else { return };
    let left = limit.saturating_sub(admitted);
    let reset = if left == 0 { next_slot_in.as_secs().max(1) } else { 60 };
    let told = [
        (RATE_POLICY, format!("\"requests\";q={limit};w=60")),
        (RATE, format!("\"requests\";r={left};t={reset}")),
        (RATE_LIMIT, limit.to_string()),
        (RATE_REMAINING, left.to_string()),
        (RATE_RESET, format!("{reset}s")),
    ];
    let told = told.into_iter().filter_map(|(name, text)| Some((name, HeaderValue::try_from(text).ok()?)));
    headers.extend(told);
}

/// An answer of JSON.
pub fn json(status: StatusCode, body: Bytes, id: RequestId) -> Response<AnswerBody> {
    with_body(status, HeaderValue::from_static("application/json"), AnswerBody::Whole(body), id)
}

/// An answer of plain text.
pub fn text(status: StatusCode, body: &'static str, id: RequestId) -> Response<AnswerBody> {
    let content_type = HeaderValue::from_static("text/plain; charset=utf-8");
    with_body(status, content_type, AnswerBody::Whole(Bytes::from_static(body.as_bytes())), id)
}

fn name_request(headers: &mut HeaderMap, id: RequestId) {
    if let Ok(id) = HeaderValue::from_str(id.0.hyphenated().encode_lower(&mut uuid::Uuid::encode_buffer())) {
        headers.insert(REQUEST_ID, id);
    }
}

/// Names the request as the clients of `dialect` look for it, too.
pub fn name_for(headers: &mut HeaderMap, dialect: ErrorDialect) {
    if dialect == ErrorDialect::Anthropic
        && let Some(id) = headers.get(REQUEST_ID).cloned()
    {
        headers.insert(ANTHROPIC_REQUEST_ID, id);
    }
}
