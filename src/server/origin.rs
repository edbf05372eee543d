//! Who may send a mutation: pages of this console only.
//!
//! Server functions are plain form posts, so a foreign page could send one with the visitor's cookies.
//! Browsers say where a request comes from; a request that says nothing is no browser of ours.

use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::config::Origin;
use super::state::AppState;

/// Lets reads pass and mutations only from this console's own pages; everything else is 403.
pub async fn require_own_origin(State(state): State<AppState>, request: Request, next: Next) -> Response {
    if is_read(request.method()) || is_own(request.headers(), &state.config.public) {
        return next.run(request).await;
    }
    tracing::warn!(method = %request.method(), "refused a mutation from another origin");
    let text = "This request did not come from a page of this console. Open the console and try again.";
    (StatusCode::FORBIDDEN, text).into_response()
}

fn is_read(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}

/// `Origin` decides where it is sent; else `Sec-Fetch-Site` must say same-origin; neither is a refusal.
/// Two `Origin` lines are a forgery whatever they hold.
fn is_own(headers: &HeaderMap, public: &Origin) -> bool {
    let mut origins = headers.get_all(header::ORIGIN).iter();
    match (origins.next(), origins.next()) {
        (Some(origin), None) => origin.as_bytes() == public.as_str().as_bytes(),
        (Some(_), Some(_)) => false,
        (None, _) => {
            let mut sites = headers.get_all("sec-fetch-site").iter();
            sites.next().is_some_and(|site| site.as_bytes() == b"same-origin") && sites.next().is_none()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own(pairs: &[(&'static str, &'static str)]) -> bool {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, value.parse().unwrap());
        }
        is_own(&headers, &Origin::parse("https://keys.example.com").unwrap())
    }

    #[test]
    fn the_matrix() {
        assert!(own(&[("origin", "https://keys.example.com")]));
        assert!(own(&[("sec-fetch-site", "same-origin")]));
        for refused in [
            &[][..],
            &[("origin", "null")],
            &[("origin", "https://keys.example.com.evil.example")],
            &[("origin", "http://keys.example.com")],
            &[("origin", "https://keys.example.com:444")],
            &[("origin", "https://evil.example"), ("sec-fetch-site", "same-origin")],
            &[("origin", "https://keys.example.com"), ("origin", "https://evil.example")],
            &[("sec-fetch-site", "same-site")],
            &[("sec-fetch-site", "cross-site")],
            &[("sec-fetch-site", "none")],
            &[("referer", "https://keys.example.com/login")],
        ] {
            assert!(!own(refused), "{refused:?}");
        }
    }
}
