//! How a refusal looks on the wire. What it says is decided in the domain.

use bytes::Bytes;
use domain::RequestId;
use domain::decision::RateRoom;
use domain::refusal::Refusal;
use domain::secret::KeyPrefix;
use http::header::{self, HeaderName};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use serde::Serialize;

use crate::answer::{self, AnswerBody};
use crate::router::ErrorDialect;
use crate::sse::frame;

const SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");

/// What an error body says, in whichever shape.
#[derive(Clone, Copy, Debug)]
pub struct Said<'a> {
    /// The sentence.
    pub message: &'a str,
    /// OpenAI's class of error.
    pub kind: &'a str,
    /// The stable code.
    pub code: &'a str,
    /// The field at fault.
    pub param: Option<&'a str>,
    /// The status it comes with.
    pub status: u16,
}

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

#[derive(Serialize)]
struct AnthropicBody<'a> {
    r#type: &'a str,
    error: AnthropicError<'a>,
    request_id: RequestId,
}

#[derive(Serialize)]
struct AnthropicError<'a> {
    r#type: &'a str,
    message: &'a str,
}

/// An error in a stream of responses: OpenAI's event, with the object its libraries look for.
#[derive(Serialize)]
struct ErrorEvent<'a> {
    r#type: &'a str,
    code: &'a str,
    message: &'a str,
    param: Option<&'a str>,
    error: Error<'a>,
}

/// The answer to a refused request, as the clients of its route read it.
pub fn answer(
    refusal: &Refusal,
    id: RequestId,
    prefix: &KeyPrefix,
    dialect: ErrorDialect,
) -> Response<AnswerBody> {
    let status = StatusCode::from_u16(refusal.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = answer::json(status, body_in(refusal, id, prefix, dialect), id);
    add_headers(refusal, response.headers_mut());
    response
}

/// The JSON of a refusal whose client is not known any better, on one line.
pub fn body(refusal: &Refusal, id: RequestId, prefix: &KeyPrefix) -> Bytes {
    body_in(refusal, id, prefix, ErrorDialect::default())
}

/// The JSON of a refusal, on one line.
pub fn body_in(refusal: &Refusal, id: RequestId, prefix: &KeyPrefix, dialect: ErrorDialect) -> Bytes {
    with_said(refusal, prefix, |said| said.body(id, dialect))
}

/// The event that ends a stream which cannot go on.
pub fn event(refusal: &Refusal, id: RequestId, prefix: &KeyPrefix, dialect: ErrorDialect) -> Bytes {
    with_said(refusal, prefix, |said| match dialect {
        ErrorDialect::OpenAi => frame::event(None, &said.body(id, dialect)),
        ErrorDialect::Anthropic => frame::event(Some("error"), &said.body(id, dialect)),
        ErrorDialect::Responses => {
            let Said { code, message, param, .. } = *said;
            let event = ErrorEvent { r#type: "error", code, message, param, error: said.error(id) };
            frame::event(Some("error"), &json(&event))
        }
    })
}

fn with_said<T>(refusal: &Refusal, prefix: &KeyPrefix, take: impl FnOnce(&Said<'_>) -> T) -> T {
    take(&Said {
        message: &refusal.message(prefix),
        kind: refusal.kind(),
        code: refusal.code(),
        param: refusal.param(),
        status: refusal.status(),
    })
}

impl Said<'_> {
    /// As JSON on one line.
    pub fn body(&self, id: RequestId, dialect: ErrorDialect) -> Bytes {
        match dialect {
            ErrorDialect::OpenAi | ErrorDialect::Responses => json(&Body { error: self.error(id) }),
            ErrorDialect::Anthropic => json(&AnthropicBody {
                r#type: "error",
                error: AnthropicError { r#type: anthropic_kind(self.status), message: self.message },
                request_id: id,
            }),
        }
    }

    fn error(&self, request_id: RequestId) -> Error<'_> {
        Error { message: self.message, r#type: self.kind, code: self.code, param: self.param, request_id }
    }
}

/// Anthropic's class of error, which goes by the status alone.
const fn anthropic_kind(status: u16) -> &'static str {
    match status {
        401 => "authentication_error",
        402 => "billing_error",
        403 => "permission_error",
        404 => "not_found_error",
        408 | 504 => "timeout_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        503 | 529 => "overloaded_error",
        400..=499 => "invalid_request_error",
        _ => "api_error",
    }
}

fn json(body: &impl Serialize) -> Bytes {
    // Strings and an id always serialise.
    serde_json::to_vec(body).map(Bytes::from).unwrap_or_default()
}

fn add_headers(refusal: &Refusal, headers: &mut HeaderMap) {
    if refusal.status() == 401 {
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    if let Some(seconds) = refusal.retry_after() {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    if let Refusal::RateLimitExceeded { limit, next_slot_in } = *refusal {
        answer::tell_rate(headers, Some(RateRoom { limit, admitted: limit, next_slot_in }));
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

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn parsed(bytes: &[u8]) -> Value {
        serde_json::from_slice(bytes).unwrap()
    }

    #[test]
    fn every_dialect_has_its_own_shape() {
        let (id, prefix) = (RequestId(uuid::Uuid::nil()), KeyPrefix::parse("sk-lk-").unwrap());
        let refusal = Refusal::ModelNotFound { model: "m".to_owned() };
        let said = parsed(&body(&refusal, id, &prefix));
        let message = "The model 'm' does not exist here.";
        let error = json!({
            "message": message, "type": "invalid_request_error", "code": "model_not_found", "param": "model",
            "request_id": id.to_string(),
        });
        assert_eq!(said, json!({ "error": error }));
        let said = parsed(&body_in(&refusal, id, &prefix, ErrorDialect::Anthropic));
        let inner = json!({ "type": "not_found_error", "message": message });
        assert_eq!(said, json!({ "type": "error", "error": inner, "request_id": id.to_string() }));
        let event = event(&refusal, id, &prefix, ErrorDialect::Responses);
        let data = event.strip_prefix(b"event: error\ndata: ").unwrap();
        let expected = json!({
            "type": "error", "message": message, "code": "model_not_found", "param": "model", "error": error,
        });
        assert_eq!(parsed(data), expected);
    }

    #[test]
    fn anthropics_words_go_by_the_status() {
        for (status, word) in [
            (400, "invalid_request_error"),
            (401, "authentication_error"),
            (402, "billing_error"),
            (403, "permission_error"),
            (404, "not_found_error"),
            (405, "invalid_request_error"),
            (413, "request_too_large"),
            (415, "invalid_request_error"),
            (429, "rate_limit_error"),
            (502, "api_error"),
            (503, "overloaded_error"),
            (504, "timeout_error"),
        ] {
            assert_eq!(anthropic_kind(status), word, "{status}");
        }
    }
}
