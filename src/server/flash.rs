//! What a plain form post leaves for the page after the redirect: a signed cookie, read once.
//!
//! Nothing travels in the address. The cookie holds which form, the error or the line to show, and what
//! was typed into fields that are no secret.

use axum::http::header::{COOKIE, SET_COOKIE};
use axum::http::{HeaderMap, HeaderValue};

use super::secrets::PurposeKey;
use crate::auth::Flash;

const NAME: &str = "__Host-flash";
/// Browsers drop cookies above 4 kB; beyond this the typed values are left out.
const LARGEST: usize = 3500;
/// Forms whose typed values are given back, and which of their fields. Codes and secrets are never listed.
const GIVEN_BACK: [(&str, &[&str]); 1] = [("request_code", &["email"])];

/// The value of one cookie of a request.
#[must_use]
pub fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let lines = headers.get_all(COOKIE).iter().filter_map(|line| line.to_str().ok());
    let mut pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(key, _)| *key == name).map(|(_, value)| value)
}

/// The fields of a posted form that its page may show again.
#[must_use]
pub fn values_to_give_back(form: &str, posted: &[(String, String)]) -> Vec<(String, String)> {
    let fields = GIVEN_BACK.iter().find(|(name, _)| *name == form).map_or(&[][..], |(_, fields)| fields);
    posted.iter().filter(|(name, _)| fields.contains(&name.as_str())).cloned().collect()
}

/// The cookie line that leaves `flash` for the next page.
#[must_use]
pub fn leave(key: &PurposeKey, mut flash: Flash) -> Option<HeaderValue> {
    let mut sealed = seal(key, &flash)?;
    if sealed.len() > LARGEST {
        flash.values.clear();
        sealed = seal(key, &flash)?;
    }
    let line = format!("{NAME}={sealed}; Path=/; Max-Age=120; Secure; HttpOnly; SameSite=Lax");
    HeaderValue::from_str(&line).ok()
}

fn seal(key: &PurposeKey, flash: &Flash) -> Option<String> {
    Some(key.seal(&serde_json::to_vec(flash).ok()?))
}

/// What the previous post left, and the cookie line that takes it away.
#[must_use]
pub fn take(key: &PurposeKey, headers: &HeaderMap) -> Option<(Flash, HeaderValue)> {
    let sealed = cookie(headers, NAME)?;
    let opened = key.open(sealed).and_then(|bytes| serde_json::from_slice(&bytes).ok());
    let gone = HeaderValue::from_static("__Host-flash=; Path=/; Max-Age=0; Secure; HttpOnly; SameSite=Lax");
    Some((opened.unwrap_or_default(), gone))
}

/// The path and filter of the page a form was on, if the browser named one of ours.
#[must_use]
pub fn page_before(headers: &HeaderMap, public: &str) -> Option<String> {
    let referer = headers.get(axum::http::header::REFERER)?.to_str().ok()?;
    let path = referer.strip_prefix(public)?;
    // `//host` would be an address of its own.
    let ours = path.starts_with('/') && !path.starts_with("//") && !path.starts_with("/\\");
    (ours && path.bytes().all(|byte| byte.is_ascii_graphic())).then(|| path.to_owned())
}

/// A session or flash cookie line.
#[must_use]
pub fn set_cookie(
    name: &str,
    value: &str,
    max_age_seconds: i64,
) -> Option<(axum::http::HeaderName, HeaderValue)> {
    let line = format!("{name}={value}; Path=/; Max-Age={max_age_seconds}; Secure; HttpOnly; SameSite=Lax");
    HeaderValue::from_str(&line).ok().map(|line| (SET_COOKIE, line))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::AppError;
    use crate::server::secrets::{Purpose, RootSecret};

    fn key() -> PurposeKey {
        RootSecret::new(b"0123456789abcdef0123456789abcdef").derive(Purpose::Flash)
    }

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| ((*name).parse().unwrap(), value.parse().unwrap())).collect()
    }

    #[test]
    fn what_is_left_is_taken_once() {
        let flash = Flash {
            form: "request_code".to_owned(),
            error: Some(AppError::invalid("email", "no")),
            notice: None,
            values: vec![("email".to_owned(), "ada@".to_owned())],
        };
        let line = leave(&key(), flash.clone()).unwrap();
        let pair = line.to_str().unwrap().split(';').next().unwrap().to_owned();
        let (read, gone) = take(&key(), &headers(&[("cookie", &format!("a=b; {pair}"))])).unwrap();
        assert_eq!(read, flash);
        assert!(gone.to_str().unwrap().contains("Max-Age=0"));
    }

    #[test]
    fn a_forged_cookie_is_an_empty_one() {
        let (read, _) = take(&key(), &headers(&[("cookie", "__Host-flash=e30.AAAA")])).unwrap();
        assert_eq!(read, Flash::default());
    }

    #[test]
    fn only_listed_fields_come_back() {
        let posted = [("email".to_owned(), "a@b.c".to_owned()), ("code".to_owned(), "12345678".to_owned())];
        assert_eq!(values_to_give_back("request_code", &posted), [posted[0].clone()]);
        assert!(values_to_give_back("redeem_code", &posted).is_empty());
    }

    #[test]
    fn only_pages_of_ours_are_gone_back_to() {
        let back = |referer: &str| page_before(&headers(&[("referer", referer)]), "https://keys.example.com");
        assert_eq!(back("https://keys.example.com/a/x/keys").as_deref(), Some("/a/x/keys"));
        assert_eq!(
            back("https://keys.example.com/a/x/keys?status=all").as_deref(),
            Some("/a/x/keys?status=all")
        );
        for refused in [
            "https://evil.example/a",
            "https://keys.example.com.evil.example/a",
            "https://keys.example.com//evil.example",
            "https://keys.example.com",
            "/a",
        ] {
            assert_eq!(back(refused), None, "{refused}");
        }
    }
}
