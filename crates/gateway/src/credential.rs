//! Finds the one credential of a request: `Authorization: Bearer`, or `x-api-key` where the route's clients send that.

use domain::refusal::Refusal;
use domain::secret::{KeyPrefix, PlainSecret};
use http::header::{self, HeaderName};
use http::request::Parts;

use crate::router::ErrorDialect;

/// Anthropic's clients send their key in this header.
const X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");
/// Headers that other gateways take keys from. Beside an Authorization header they make two credentials.
static OTHER_HEADERS: [HeaderName; 2] = [X_API_KEY, HeaderName::from_static("api-key")];

/// What a request presents.
#[derive(Debug)]
pub enum Presented {
    /// A text with the form and checksum of a secret.
    Secret(PlainSecret),
    /// Nothing, or something that cannot be a secret of this service.
    Nothing,
}

/// Reads the credential, as the clients of `dialect` send it. Two of them are refused: which one counts would be a
/// guess.
pub fn read(parts: &Parts, prefix: &KeyPrefix, dialect: ErrorDialect) -> Result<Presented, Refusal> {
    let in_query = parts.uri.query().is_some_and(|query| mentions(query, prefix));
    if in_query {
        tracing::warn!("an API key came in a query string: it is in somebody's logs now");
    }
    let bearers = count(parts, &header::AUTHORIZATION);
    let others: usize = OTHER_HEADERS.iter().map(|name| count(parts, name)).sum();
    if bearers + others + usize::from(in_query) > 1 {
        let message = "The request has two credentials. Send one, as 'Authorization: Bearer'.".to_owned();
        return Err(Refusal::InvalidRequest { message, param: None });
    }
    let takes_header = dialect == ErrorDialect::Anthropic;
    let text = bearer(parts).or_else(|| if takes_header { plain(parts) } else { None });
    let secret = text.and_then(|text| PlainSecret::parse(prefix, text).ok());
    Ok(secret.map_or(Presented::Nothing, Presented::Secret))
}

fn count(parts: &Parts, name: &HeaderName) -> usize {
    parts.headers.get_all(name).iter().count()
}

fn bearer(parts: &Parts) -> Option<&str> {
    let value = parts.headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, rest) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| rest.trim_matches(' '))
}

fn plain(parts: &Parts) -> Option<&str> {
    parts.headers.get(X_API_KEY)?.to_str().ok().map(|text| text.trim_matches(' '))
}

/// Whether a query string holds something that begins like a key, plain or percent-encoded.
fn mentions(query: &str, prefix: &KeyPrefix) -> bool {
    let decoded = percent_decoded(query.as_bytes());
    decoded.windows(prefix.as_str().len()).any(|window| window == prefix.as_str().as_bytes())
}

fn percent_decoded(text: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, after)) = rest.split_first() {
        let byte = (*first == b'%').then(|| after.get(..2)).flatten().and_then(hex_byte);
        decoded.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { &after[2..] } else { after };
    }
    decoded
}

fn hex_byte(digits: &[u8]) -> Option<u8> {
    // from_str_radix would take a sign.
    let digits =
        std::str::from_utf8(digits).ok().filter(|text| text.bytes().all(|b| b.is_ascii_hexdigit()))?;
    u8::from_str_radix(digits, 16).ok()
}

#[cfg(test)]
mod tests {
    use domain::secret::ENTROPY;
    use http::Request;

    use super::*;

    fn prefix() -> KeyPrefix {
        KeyPrefix::parse("sk-lk-").unwrap()
    }

    fn secret() -> String {
        PlainSecret::from_entropy(&prefix(), &[3; ENTROPY]).expose().to_owned()
    }

    fn read_from(uri: &str, headers: &[(&str, &str)]) -> Result<Presented, Refusal> {
        read_as(ErrorDialect::OpenAi, uri, headers)
    }

    fn read_as(dialect: ErrorDialect, uri: &str, headers: &[(&str, &str)]) -> Result<Presented, Refusal> {
        let request = headers
            .iter()
            .fold(Request::builder().uri(uri), |request, (name, value)| request.header(*name, *value));
        read(&request.body(()).unwrap().into_parts().0, &prefix(), dialect)
    }

    fn is_secret(headers: &[(&str, &str)]) -> bool {
        matches!(read_from("/v1/models", headers), Ok(Presented::Secret(_)))
    }

    #[test]
    fn only_a_bearer_secret_counts() {
        let (plain, secret) = (secret(), format!("Bearer {}", secret()));
        assert!(is_secret(&[("authorization", &secret)]));
        assert!(is_secret(&[("authorization", &secret.replace("Bearer", "bearer "))]));
        for wrong in [
            plain.as_str(),
            &format!("Basic {plain}"),
            "Bearer",
            "Bearer ",
            "Bearer sk-other-1",
            "Bearer\u{e4}",
        ] {
            assert!(!is_secret(&[("authorization", wrong)]), "{wrong}");
        }
        assert!(!is_secret(&[("x-api-key", &plain)]));
        assert!(!is_secret(&[("cookie", &secret)]));
        assert!(!is_secret(&[]));
    }

    #[test]
    fn anthropics_clients_may_use_their_header() {
        let (plain, secret) = (secret(), format!("Bearer {}", secret()));
        let read = |headers: &[(&str, &str)]| read_as(ErrorDialect::Anthropic, "/v1/messages", headers);
        for one in [("x-api-key", plain.as_str()), ("authorization", &secret)] {
            assert!(matches!(read(&[one]), Ok(Presented::Secret(_))), "{one:?}");
        }
        let elsewhere = [("api-key", plain.as_str()), ("x-api-key", "sk-ant-1"), ("x-api-key", &secret)];
        for one in elsewhere {
            assert!(matches!(read(&[one]), Ok(Presented::Nothing)), "{one:?}");
        }
        let both = [("authorization", secret.as_str()), ("x-api-key", &plain)];
        assert!(matches!(read(&both), Err(Refusal::InvalidRequest { .. })));
    }

    #[test]
    fn two_credentials_are_refused() {
        let (plain, secret) = (secret(), format!("Bearer {}", secret()));
        for two in [
            [("authorization", secret.as_str()), ("authorization", "Bearer x")],
            [("authorization", &secret), ("x-api-key", &plain)],
            [("x-api-key", &plain), ("api-key", "x")],
        ] {
            assert!(matches!(read_from("/v1/models", &two), Err(Refusal::InvalidRequest { .. })), "{two:?}");
        }
    }

    #[test]
    fn a_secret_in_the_query_counts_for_nothing_but_is_seen() {
        let secret = secret();
        let encoded = format!("/v1/models?key={}", secret.replace('-', "%2D"));
        for uri in [format!("/v1/models?api_key={secret}"), encoded] {
            assert!(matches!(read_from(&uri, &[]), Ok(Presented::Nothing)));
            let both = read_from(&uri, &[("authorization", &format!("Bearer {secret}"))]);
            assert!(matches!(both, Err(Refusal::InvalidRequest { .. })), "{uri}");
        }
        let harmless =
            read_from("/v1/models?limit=%+1%zz%", &[("authorization", &format!("Bearer {secret}"))]);
        assert!(matches!(harmless, Ok(Presented::Secret(_))));
    }
}
