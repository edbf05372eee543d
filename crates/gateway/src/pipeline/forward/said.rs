//! An upstream's error in the shape its client reads.

use bytes::Bytes;
use domain::RequestId;
use domain::refusal::Refusal;
use domain::secret::KeyPrefix;
use serde_json::Value;

use crate::refusal::{self, Said};
use crate::router::ErrorDialect;

/// What the upstream said (`theirs`, where it may be repeated) as the clients of `dialect` read it. OpenAI's shape
/// passes unchanged to those who know it; of every other, the sentence is kept.
pub(super) fn in_dialect(
    theirs: Option<Bytes>,
    status: u16,
    id: RequestId,
    prefix: &KeyPrefix,
    dialect: ErrorDialect,
) -> Bytes {
    let parsed = theirs.as_deref().and_then(|bytes| serde_json::from_slice::<Value>(bytes).ok());
    let (Some(bytes), Some(parsed)) = (theirs, parsed) else {
        return ours(status, id, prefix, dialect);
    };
    if dialect != ErrorDialect::Anthropic && parsed["error"].is_object() {
        return bytes;
    }
    let sentence = [&parsed["error"]["message"], &parsed["error"], &parsed["message"], &parsed["detail"]]
        .into_iter()
        .find_map(Value::as_str);
    let Some(message) = sentence else { return ours(status, id, prefix, dialect) };
    Said { message, kind: kind(status), code: Refusal::UpstreamFailed.code(), param: None, status }
        .body(id, dialect)
}

/// The gateway's own words for an error that cannot be repeated.
fn ours(status: u16, id: RequestId, prefix: &KeyPrefix, dialect: ErrorDialect) -> Bytes {
    if dialect != ErrorDialect::Anthropic {
        return refusal::body(&Refusal::UpstreamFailed, id, prefix);
    }
    // Anthropic's class of error goes by the status, which is the upstream's.
    let refusal = Refusal::UpstreamFailed;
    let message = &refusal.message(prefix);
    Said { message, kind: refusal.kind(), code: refusal.code(), param: None, status }.body(id, dialect)
}

const fn kind(status: u16) -> &'static str {
    match status {
        429 => "rate_limit_error",
        400..=499 => "invalid_request_error",
        _ => "upstream_error",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn told(body: &Value, dialect: ErrorDialect) -> Value {
        let prefix = KeyPrefix::parse("sk-lk-").unwrap();
        let id = RequestId(uuid::Uuid::nil());
        let bytes = in_dialect(Some(Bytes::from(body.to_string())), 429, id, &prefix, dialect);
        serde_json::from_slice(&bytes).unwrap()
    }

    #[test]
    fn the_sentence_is_kept_whatever_shape_it_comes_in() {
        let message = "slow down";
        let openai = json!({ "error": { "message": message, "type": "x", "code": null } });
        let anthropic =
            json!({ "type": "error", "error": { "type": "rate_limit_error", "message": message } });
        assert_eq!(told(&openai, ErrorDialect::OpenAi), openai);
        assert_eq!(told(&anthropic, ErrorDialect::OpenAi), anthropic);
        let others = [
            json!({ "error": message }),
            json!({ "message": message, "x": 1 }),
            json!({ "detail": message }),
        ];
        for shape in others.iter().chain([&openai, &anthropic]) {
            let to_anthropic = told(shape, ErrorDialect::Anthropic);
            assert_eq!(to_anthropic["type"], "error");
            assert_eq!(
                to_anthropic["error"],
                json!({ "type": "rate_limit_error", "message": message }),
                "{shape}"
            );
            assert_eq!(told(shape, ErrorDialect::Responses)["error"]["message"], message, "{shape}");
        }
        let unknown = told(&json!({ "oops": 1 }), ErrorDialect::Anthropic);
        assert_eq!(unknown["error"]["message"], "The model's provider failed to answer.");
        assert_eq!(told(&json!([1]), ErrorDialect::OpenAi)["error"]["code"], "upstream_failed");
    }
}
