//! Tools a request brings along: those its client runs itself, and those that run at the provider and are paid for
//! there, by a measure nobody here can know beforehand.

use domain::refusal::Refusal;

use super::fields::{given, invalid};
use crate::body::scan::{Flaw, Object, items, unquote};

/// Whose list of tools it is.
#[derive(Clone, Copy, Debug)]
pub(super) enum Provider {
    OpenAi,
    Anthropic,
}

impl Provider {
    /// Whether the client itself runs tools of this type.
    fn leaves_to_client(self, kind: Option<&str>) -> bool {
        match self {
            Self::OpenAi => matches!(kind, Some("function" | "custom")),
            // Anthropic's own names carry a date.
            Self::Anthropic => kind.is_none_or(|kind| {
                const CLIENTS: [&str; 5] = ["custom", "bash_", "text_editor_", "computer_", "memory_"];
                CLIENTS.iter().any(|start| kind.starts_with(start))
            }),
        }
    }
}

/// Why the tools of a request make its cost unknowable. A tool that names a model of its own is refused: it would
/// pass the check of models.
pub(super) fn hosted(object: &Object<'_>, provider: Provider) -> Result<Option<&'static str>, Refusal> {
    let Some(field) = given(object, "tools") else { return Ok(None) };
    let wrong = || invalid("tools", "The field 'tools' must be a list of objects.".to_owned());
    let mut found = None;
    for item in items(field.value).ok_or_else(wrong)? {
        let tool = Object::read_text(item.get()).map_err(|flaw| match flaw {
            Flaw::NotAnObject => wrong(),
            _ => invalid("tools", flaw.to_string()),
        })?;
        if given(&tool, "model").is_some() {
            return Err(invalid("tools", "A tool may not choose a model of its own here.".to_owned()));
        }
        let kind = tool.get("type").and_then(|field| unquote(field.value));
        if !provider.leaves_to_client(kind.as_deref()) {
            found = Some("tools that run at the provider");
        }
    }
    Ok(found)
}
