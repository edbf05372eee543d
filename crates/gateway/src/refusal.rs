//! How a refusal looks on the wire. What it says is decided in the domain.

use bytes::Bytes;
use domain::RequestId;
use domain::refusal::Refusal;
use domain::secret::KeyPrefix;
use http::header::{self, HeaderName};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use serde::Serialize;

use crate::answer::{self, AnswerBody};

const SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");

#[derive(Serialize)]
struct Body<'a> {
    error: Error<'a>,
}

#[derive(Serialize)]
struct Error<'a> {
    message: &'a str,
    r#type: &'a str,
    code: &'a str,
    param: Option<&'a str>,
    request_id: RequestId,
}

/// The answer to a refused request.
pub fn answer(refusal: &Refusal, id: RequestId, prefix: &KeyPrefix) -> Response<AnswerBody> {
    let status = StatusCode::from_u16(refusal.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = answer::json(status, body(refusal, id, prefix), id);
    add_headers(refusal, response.headers_mut());
    response
}

/// The JSON of a refusal, on one line.
pub fn body(refusal: &Refusal, id: RequestId, prefix: &KeyPrefix) -> Bytes {
    let error = Error {
        message: &refusal.message(prefix),
        r#type: refusal.kind(),
        code: refusal.code(),
        param: refusal.param(),
        request_id: id,
    };
    // Strings and an id always serialise.
    serde_json::to_vec(&Body { error }).map(Bytes::from).unwrap_or_default()
}

fn add_headers(refusal: &Refusal, headers: &mut HeaderMap) {
    if refusal.status() == 401 {
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    if let Some(seconds) = refusal.retry_after() {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    if ends_connection(refusal) {
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    if let Some(retry) = refusal.should_retry() {
        headers.insert(SHOULD_RETRY, HeaderValue::from_static(if retry { "true" } else { "false" }));
    }
}

/// Whether a connection is of no further use after a refusal: nothing on it can be trusted or in time.
fn ends_connection(refusal: &Refusal) -> bool {
    matches!(
        refusal,
        Refusal::HttpsRequired | Refusal::RequestTimeout | Refusal::HeadersTooLarge | Refusal::UriTooLong
    )
}
