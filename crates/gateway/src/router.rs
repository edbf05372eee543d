//! Every path the gateway serves. A path that is not here does not exist, whoever asks.
//!
//! | method | path | permission | upstream |
//! |---|---|---|---|
//! | POST | `/v1/chat/completions` | `chat:read` | yes |
//! | POST | `/v1/embeddings` | `embeddings:read` | yes |
//! | GET | `/v1/models` | `models:list` | no: the gateway's own list |
//!
//! Beside the pipeline, without a key and without anything secret: GET `/healthz` (the process is up) and GET
//! `/readyz` (it can decide requests).

use domain::rule::Permission;
use http::Method;

/// A route of the pipeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// Chat, plain and streamed.
    ChatCompletions,
    /// Embeddings.
    Embeddings,
    /// What the key may use.
    Models,
}

/// Routes that take a body and go to the upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forwarded {
    /// Chat, plain and streamed.
    ChatCompletions,
    /// Embeddings.
    Embeddings,
}

/// What a path and method lead to. Only a request with a good key learns more than that it has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// A route.
    Route(Route),
    /// The path exists for another method, this one.
    OtherMethod(&'static str),
    /// No such path.
    Nothing,
}

/// A probe's question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Probe {
    /// Is the process up?
    Health,
    /// Can it decide requests?
    Readiness,
}

/// The route at a raw path: no decoding, no normalising, never the Host header.
pub fn target(method: &Method, path: &str) -> Target {
    let route = match path {
        "/v1/chat/completions" => Route::ChatCompletions,
        "/v1/embeddings" => Route::Embeddings,
        "/v1/models" => Route::Models,
        _ => return Target::Nothing,
    };
    if method.as_str() == route.method() { Target::Route(route) } else { Target::OtherMethod(route.method()) }
}

/// The probe at a path.
pub fn probe(method: &Method, path: &str) -> Option<Probe> {
    match (method, path) {
        (&Method::GET | &Method::HEAD, "/healthz") => Some(Probe::Health),
        (&Method::GET | &Method::HEAD, "/readyz") => Some(Probe::Readiness),
        _ => None,
    }
}

impl Route {
    /// Its one method.
    pub const fn method(self) -> &'static str {
        match self {
            Self::ChatCompletions | Self::Embeddings => "POST",
            Self::Models => "GET",
        }
    }

    /// Its path, as usage records and logs name it.
    pub const fn path(self) -> &'static str {
        match self {
            Self::ChatCompletions => "/v1/chat/completions",
            Self::Embeddings => "/v1/embeddings",
            Self::Models => "/v1/models",
        }
    }

    /// The permission that guards it.
    pub const fn permission(self) -> &'static str {
        match self {
            Self::ChatCompletions => Permission::CHAT,
            Self::Embeddings => Permission::EMBEDDINGS,
            Self::Models => Permission::MODELS,
        }
    }
}

impl Forwarded {
    /// The path below the upstream's base URL.
    pub const fn upstream_path(self) -> &'static str {
        match self {
            Self::ChatCompletions => "/chat/completions",
            Self::Embeddings => "/embeddings",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_exact_path_is_a_route() {
        assert_eq!(target(&Method::POST, "/v1/embeddings"), Target::Route(Route::Embeddings));
        assert_eq!(target(&Method::GET, "/v1/embeddings"), Target::OtherMethod("POST"));
        for other in [
            "/",
            "/v1",
            "/v1/",
            "/v1/models/",
            "/v1//models",
            "/V1/models",
            "/v1/%6dodels",
            "/v1/models;a",
            "/x/../v1/models",
        ] {
            assert_eq!(target(&Method::GET, other), Target::Nothing, "{other}");
        }
    }

    #[test]
    fn probes_are_no_routes() {
        assert_eq!(probe(&Method::GET, "/readyz"), Some(Probe::Readiness));
        assert_eq!(probe(&Method::POST, "/readyz"), None);
        assert_eq!(target(&Method::GET, "/healthz"), Target::Nothing);
    }
}
