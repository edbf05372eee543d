//! Which headers cross the gateway. An allow list each way: what is not named here stays on its side.
//!
//! So no credential, cookie, hop-by-hop, forwarding or routing header of a caller can reach the provider, not even
//! one that some other gateway behind this one would obey, and nothing of the operator's account comes back.

use http::header::{self, HeaderName};
use http::{HeaderMap, HeaderValue};

/// Not `idempotency-key`: all accounts share one provider key, and the same word of two of them would be one request.
const TO_UPSTREAM: [HeaderName; 6] = [
    header::ACCEPT,
    header::CONTENT_TYPE,
    header::USER_AGENT,
    HeaderName::from_static("anthropic-beta"),
    HeaderName::from_static("anthropic-version"),
    HeaderName::from_static("openai-beta"),
];

const TO_CLIENT: [HeaderName; 5] = [
    header::RETRY_AFTER,
    HeaderName::from_static("retry-after-ms"),
    HeaderName::from_static("openai-model"),
    HeaderName::from_static("openai-processing-ms"),
    HeaderName::from_static("openai-version"),
];

/// What of a client's headers goes to the upstream. Not `accept-encoding`: a compressed answer could not be read for
/// its usage.
pub(super) fn for_upstream(client: &HeaderMap) -> HeaderMap {
    pick(client, &TO_UPSTREAM)
}

/// What of an upstream's headers goes to the client, beside the content type.
pub fn for_client(upstream: &HeaderMap) -> HeaderMap {
    pick(upstream, &TO_CLIENT)
}

/// A name that the Connection header lists belongs to that connection, whatever else it is.
fn pick(from: &HeaderMap, names: &[HeaderName]) -> HeaderMap {
    let names_some = from.contains_key(header::CONNECTION);
    let allowed = names.iter().filter(|name| !(names_some && is_listed(from, name)));
    allowed.filter_map(|name| from.get(name).map(|value| (name.clone(), value.clone()))).collect()
}

fn is_listed(headers: &HeaderMap, name: &HeaderName) -> bool {
    let lists =
        headers.get_all(header::CONNECTION).into_iter().filter_map(|value: &HeaderValue| value.to_str().ok());
    lists.flat_map(|list| list.split(',')).any(|listed| listed.trim().eq_ignore_ascii_case(name.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(list: &[(&'static str, &'static str)]) -> HeaderMap {
        list.iter().map(|(k, v)| (HeaderName::from_static(k), HeaderValue::from_static(v))).collect()
    }

    #[test]
    fn only_what_is_named_crosses() {
        let sent = for_upstream(&headers(&[
            ("authorization", "Bearer x"),
            ("cookie", "a=b"),
            ("x-forwarded-for", "1.2.3.4"),
            ("openai-organization", "org"),
            ("content-type", "application/json"),
            ("user-agent", "test"),
        ]));
        let names: Vec<_> = sent.keys().map(HeaderName::as_str).collect();
        assert_eq!(names.len(), 2, "{names:?}");
        let back = for_client(&headers(&[
            ("set-cookie", "a=b"),
            ("retry-after", "3"),
            ("openai-organization", "org"),
        ]));
        assert_eq!(back.keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["retry-after"]);
    }

    #[test]
    fn what_the_connection_header_lists_stays() {
        let sent = for_upstream(&headers(&[("user-agent", "test"), ("connection", "close, User-Agent")]));
        assert!(sent.is_empty());
    }
}
