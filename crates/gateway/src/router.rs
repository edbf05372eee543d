//! Every path the gateway serves: one row in [`ROUTES`] each, and what the operator has added ([`own`]). A path that is in
//! neither does not exist, whoever asks.
//!
//! Beside the pipeline, without a key and without anything secret: GET `/healthz` (the process is up) and GET
//! `/readyz` (it can decide requests).

mod aliases;
pub mod own;

use std::borrow::Cow;
use std::sync::Arc;

use domain::rule::Permission;
use http::Method;

pub use self::aliases::Aliases;
use self::own::OwnRoute;

/// What stands before every path; an operator may configure others for it.
const BASE: &str = "/v1";
/// Stands for the rest of a path in a template.
const TAIL: &str = "{id}";

/// A route of the pipeline.
#[derive(Debug, PartialEq, Eq)]
pub struct Route {
    /// Its one method.
    pub method: &'static str,
    /// Its path template, as usage records and logs name it.
    pub path: &'static str,
    /// The permission that guards it.
    pub guard: Guard,
    /// How errors look to its clients.
    pub errors: ErrorDialect,
    /// Who answers.
    pub served: Served,
}

/// What a key needs for a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guard {
    /// An entry of the catalogue.
    Permission(&'static str),
    /// Nothing but to be a key: the question is about itself.
    Itself,
}

/// Who answers a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Served {
    /// The gateway, from what it knows.
    Here(Own),
    /// The upstream.
    Upstream(Forwarded),
}

/// What the gateway answers by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Own {
    /// The models the key may use.
    Models,
    /// One of them.
    Model,
    /// The key.
    Key,
}

/// How a route's request goes to the upstream and comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forwarded {
    /// The path below the upstream's base URL.
    pub path: &'static str,
    /// How its request is read.
    pub body: BodyDialect,
    /// How its answer is read.
    pub usage: UsageDialect,
}

/// How a request is read: its fields, their bounds, its size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyDialect {
    /// OpenAI's chat.
    Chat,
    /// OpenAI's older completions.
    Completions,
    /// OpenAI's responses.
    Responses,
    /// Anthropic's messages.
    Messages,
    /// Embeddings.
    Embeddings,
    /// Generated images.
    Images,
    /// Text to speech.
    Speech,
    /// Speech to text: a form with a file.
    Transcriptions,
    /// Judgements of harm.
    Moderations,
}

/// How an answer tells what it cost, and what of it is output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UsageDialect {
    /// `usage` beside `choices`; streams end with `[DONE]`.
    Choices,
    /// `usage` in a response; streams carry it in their last `response`.
    Responses,
    /// `usage` of a message; streams carry it in `message_start` and `message_delta`.
    Messages,
    /// `usage` of what has no output to count.
    InputOnly,
    /// `usage` beside images, where the model reports it.
    Images,
    /// Of the operator's own: it costs a price per call, and no tokens.
    Uncounted,
    /// Sound, which says nothing; its event stream does.
    Speech,
    /// `usage` beside a transcript, where the model reports tokens.
    Transcripts,
}

/// Whose error shape a client understands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ErrorDialect {
    /// `{"error":{…}}`
    #[default]
    OpenAi,
    /// The same; in a stream, an `error` event.
    Responses,
    /// `{"type":"error","error":{…}}`
    Anthropic,
}

use BodyDialect as Body;
use ErrorDialect::{Anthropic, OpenAi, Responses};
use UsageDialect as Usage;

/// The routes. To add one is to add a row.
#[rustfmt::skip]
pub static ROUTES: [Route; 12] = [
    //   path                        permission                   errors     upstream's path         body                  usage
    post("/v1/chat/completions",     Permission::CHAT,            OpenAi,    "/chat/completions",     Body::Chat,           Usage::Choices),
    post("/v1/completions",          Permission::COMPLETIONS,     OpenAi,    "/completions",          Body::Completions,    Usage::Choices),
    post("/v1/responses",            Permission::RESPONSES,       Responses, "/responses",            Body::Responses,      Usage::Responses),
    post("/v1/messages",             Permission::MESSAGES,        Anthropic, "/messages",             Body::Messages,       Usage::Messages),
    post("/v1/embeddings",           Permission::EMBEDDINGS,      OpenAi,    "/embeddings",           Body::Embeddings,     Usage::InputOnly),
    post("/v1/images/generations",   Permission::IMAGES,          OpenAi,    "/images/generations",   Body::Images,         Usage::Images),
    post("/v1/audio/speech",         Permission::SPEECH,          OpenAi,    "/audio/speech",         Body::Speech,         Usage::Speech),
    post("/v1/audio/transcriptions", Permission::TRANSCRIPTIONS,  OpenAi,    "/audio/transcriptions", Body::Transcriptions, Usage::Transcripts),
    post("/v1/moderations",          Permission::MODERATIONS,     OpenAi,    "/moderations",          Body::Moderations,    Usage::InputOnly),
    get("/v1/models",                Guard::Permission(Permission::MODELS), Own::Models),
    get("/v1/models/{id}",           Guard::Permission(Permission::MODELS), Own::Model),
    get("/v1/key",                   Guard::Itself,                         Own::Key),
];

const fn post(
    path: &'static str,
    permission: &'static str,
    errors: ErrorDialect,
    upstream: &'static str,
    body: BodyDialect,
    usage: UsageDialect,
) -> Route {
    let served = Served::Upstream(Forwarded { path: upstream, body, usage });
    Route { method: "POST", path, guard: Guard::Permission(permission), errors, served }
}

const fn get(path: &'static str, guard: Guard, own: Own) -> Route {
    Route { method: "GET", path, guard, errors: OpenAi, served: Served::Here(own) }
}

/// What a path and method lead to. Only a request with a good key learns more than that it has one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target<'a> {
    /// A route, and what stands in the place of its `{id}`.
    Route(&'static Route, Cow<'a, str>),
    /// The path exists for another method.
    OtherMethod(&'static Route),
    /// A route of the operator's own, and the path at its upstream.
    Own(Arc<OwnRoute>, String),
    /// The path is the operator's own, and exists for these methods.
    OtherMethodOfOwn(String),
    /// No such path.
    Nothing,
}

impl Target<'_> {
    /// How the client at this path reads errors.
    pub fn errors(&self) -> ErrorDialect {
        match self {
            Self::Route(route, _) | Self::OtherMethod(route) => route.errors,
            Self::Own(..) | Self::OtherMethodOfOwn(_) | Self::Nothing => ErrorDialect::default(),
        }
    }
}

/// A probe's question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Probe {
    /// Is the process up?
    Health,
    /// Can it decide requests?
    Readiness,
}

/// The route at a raw path: no normalising, never the Host header, nothing decoded but what [`Route`]s with an `{id}`
/// say. `aliases` are prefixes that stand for `/v1`.
pub fn target<'a>(method: &Method, path: &'a str, aliases: &Aliases) -> Target<'a> {
    for below in aliases.below(BASE, path) {
        let found = ROUTES.iter().find_map(|route| route.tail_in(below).map(|tail| (route, tail)));
        let Some((route, tail)) = found else { continue };
        if method.as_str() == route.method {
            return Target::Route(route, tail);
        }
        return Target::OtherMethod(route);
    }
    Target::Nothing
}

/// The probe at a path.
pub fn probe(method: &Method, path: &str) -> Option<Probe> {
    match (method, path) {
        (&Method::GET | &Method::HEAD, "/healthz") => Some(Probe::Health),
        (&Method::GET | &Method::HEAD, "/readyz") => Some(Probe::Readiness),
        _ => None,
    }
}

impl Guard {
    /// The permission it asks for; empty where the question is about the key itself.
    pub const fn permission(self) -> &'static str {
        match self {
            Self::Permission(permission) => permission,
            Self::Itself => "",
        }
    }
}

impl Route {
    /// The permission it takes; empty where the question is about the key itself.
    pub const fn permission(&self) -> &'static str {
        self.guard.permission()
    }

    /// Whether `below`, a path without its base, is this route's; if so, what stands for its `{id}`.
    fn tail_in<'a>(&self, below: &'a str) -> Option<Cow<'a, str>> {
        let template = self.path.strip_prefix(BASE)?;
        match template.strip_suffix(TAIL) {
            Some(start) => below.strip_prefix(start).and_then(read_tail),
            None => (below == template).then_some(Cow::Borrowed("")),
        }
    }
}

/// The rest of a path as one name: a `%2F` in it is a slash, as client libraries write it; nothing else is decoded.
/// What a proxy or file server would take for another path is no name.
fn read_tail(tail: &str) -> Option<Cow<'_, str>> {
    let tail = if tail.contains('%') {
        Cow::Owned(tail.replace("%2F", "/").replace("%2f", "/"))
    } else {
        Cow::Borrowed(tail)
    };
    let is_plain = tail.split('/').all(|segment| !matches!(segment, "" | "." | ".."));
    (is_plain && !tail.contains([';', '\\'])).then_some(tail)
}

#[cfg(test)]
mod tests;
