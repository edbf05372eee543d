//! What is read of each dialect's body: one row each.

use domain::refusal::Refusal;

use super::fields::{check_size, check_text, given, read_count, read_flag};
use super::tools;
use crate::body::scan::Object;
use crate::router::BodyDialect;

/// What is read of a JSON body, beside its model.
#[derive(Debug)]
pub(super) struct Reading {
    /// Output caps, the one to set where none is given first.
    pub(super) caps: &'static [&'static str],
    /// How many answers `n` may ask for; none where there is no `n`.
    pub(super) most_answers: Option<u32>,
    /// `best_of` generates more answers than are shown.
    pub(super) best_of: bool,
    /// `prompt` may be several prompts, each with answers of its own.
    pub(super) many_prompts: bool,
    /// Streams tell their usage only if asked to by `stream_options`.
    pub(super) asks_for_usage: bool,
    checks: &'static [Check],
    tools: Option<tools::Provider>,
    /// Fields whose presence means that the cost cannot be bounded, and what they are.
    open_ended: &'static [(&'static str, &'static str)],
}

/// A field whose type or range is checked.
#[derive(Clone, Copy, Debug)]
enum Check {
    Flag(&'static str),
    Text(&'static str),
    Count(&'static str, u32, u32),
    Size(&'static str),
}

const PLAIN: Reading = Reading {
    caps: &[],
    most_answers: None,
    best_of: false,
    many_prompts: false,
    asks_for_usage: false,
    checks: &[],
    tools: None,
    open_ended: &[],
};

const CHAT: Reading = Reading {
    caps: &["max_completion_tokens", "max_tokens"],
    most_answers: Some(128),
    asks_for_usage: true,
    tools: Some(tools::Provider::OpenAi),
    open_ended: &[("web_search_options", "a search at the provider")],
    ..PLAIN
};

const COMPLETIONS: Reading = Reading {
    caps: &["max_tokens"],
    most_answers: Some(128),
    best_of: true,
    many_prompts: true,
    asks_for_usage: true,
    ..PLAIN
};

const RESPONSES: Reading = Reading {
    caps: &["max_output_tokens"],
    checks: &[Check::Flag("stream"), Check::Flag("background"), Check::Text("previous_response_id")],
    tools: Some(tools::Provider::OpenAi),
    open_ended: &[
        ("previous_response_id", "earlier turns that are kept at the provider"),
        ("conversation", "earlier turns that are kept at the provider"),
        ("prompt", "a prompt that is kept at the provider"),
    ],
    ..PLAIN
};

const MESSAGES: Reading = Reading {
    caps: &["max_tokens"],
    checks: &[Check::Flag("stream")],
    tools: Some(tools::Provider::Anthropic),
    open_ended: &[
        ("mcp_servers", "tools that run elsewhere"),
        ("container", "tools that run at the provider"),
    ],
    ..PLAIN
};

const EMBEDDINGS: Reading = Reading { checks: &[Check::Count("dimensions", 1, 65_536)], ..PLAIN };

const IMAGES: Reading = Reading {
    most_answers: Some(10),
    checks: &[
        Check::Flag("stream"),
        Check::Text("prompt"),
        Check::Text("quality"),
        Check::Size("size"),
        Check::Count("partial_images", 0, 3),
        Check::Count("output_compression", 0, 100),
    ],
    ..PLAIN
};

const SPEECH: Reading = Reading {
    checks: &[Check::Text("input"), Check::Text("response_format"), Check::Text("stream_format")],
    ..PLAIN
};

/// What is read of a dialect's JSON.
pub(super) fn reading_of(dialect: BodyDialect) -> &'static Reading {
    match dialect {
        BodyDialect::Chat => &CHAT,
        BodyDialect::Completions => &COMPLETIONS,
        BodyDialect::Responses => &RESPONSES,
        BodyDialect::Messages => &MESSAGES,
        BodyDialect::Embeddings => &EMBEDDINGS,
        BodyDialect::Images => &IMAGES,
        BodyDialect::Speech => &SPEECH,
        // A form is not read as JSON.
        BodyDialect::Transcriptions | BodyDialect::Moderations => &PLAIN,
    }
}

impl Reading {
    /// Checks the types and ranges of what is not read any further.
    pub(super) fn check(&self, object: &Object<'_>) -> Result<(), Refusal> {
        self.checks.iter().try_for_each(|check| match *check {
            Check::Flag(name) => read_flag(object, name, name).map(|_| ()),
            Check::Text(name) => check_text(object, name),
            Check::Count(name, min, max) => read_count(object, name, min, max).map(|_| ()),
            Check::Size(name) => check_size(object, name),
        })
    }

    /// Why the cost of this request cannot be bounded; refuses what would choose another model.
    pub(super) fn unbounded(&self, object: &Object<'_>) -> Result<Option<&'static str>, Refusal> {
        let hosted = match self.tools {
            Some(provider) => tools::hosted(object, provider)?,
            None => None,
        };
        let open_ended = self.open_ended.iter().find(|(name, _)| given(object, name).is_some());
        let in_background = object.get("background").is_some_and(|field| field.value == "true");
        let in_background = in_background.then_some("work that goes on in the background");
        Ok(open_ended.map(|(_, what)| *what).or(in_background).or(hosted))
    }
}
