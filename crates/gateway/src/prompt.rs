//! A JSON request as the gateway reads it: which model, streamed or not, and nothing it has no need to know.

use bytes::Bytes;
use domain::refusal::Refusal;
use std::ops::Range;

use crate::body::scan::{Embedded, Flaw, Object, unquote};
use crate::body::splice::{Edit, Pieces};
use crate::router::Forwarded;

/// Fields by which a request could choose a model or a host past the checks, here or in a gateway behind this one.
/// Compared without regard to case.
const FORBIDDEN: [&str; 26] = [
    "api_base",
    "api_key",
    "api_type",
    "api_url",
    "api_version",
    "azure_endpoint",
    "base_url",
    "content_policy_fallbacks",
    "context_window_fallbacks",
    "custom_llm_provider",
    "deployment_id",
    "endpoint",
    "engine",
    "extra_body",
    "extra_headers",
    "fallback",
    "fallback_models",
    "fallbacks",
    "host",
    "model_list",
    "models",
    "organization",
    "provider",
    "route",
    "router",
    "user_config",
];
/// No model's name is longer.
const MAX_MODEL: usize = 200;

/// A checked request.
#[derive(Debug)]
pub struct Prompt {
    body: Bytes,
    model: String,
    model_place: Range<usize>,
    /// The edit that asks the upstream for a usage event the client did not ask for.
    usage_edit: Option<Edit>,
    embedded: Embedded,
}

impl Prompt {
    /// Checks a body for `route`.
    pub fn read(body: Bytes, route: Forwarded) -> Result<Self, Refusal> {
        let object = Object::read(&body).map_err(refusal_of)?;
        if let Some(field) = object.fields().iter().find(|field| is_forbidden(&field.name)) {
            return Err(invalid(
                &field.name,
                format!("The field '{}' is not accepted here.", shown(&field.name)),
            ));
        }
        let (model, model_place) = read_model(&object)?;
        let usage_edit = match route {
            Forwarded::ChatCompletions => read_usage_edit(&object)?,
            Forwarded::Embeddings => None,
        };
        let embedded = object.embedded();
        Ok(Self { body, model, model_place, usage_edit, embedded })
    }

    /// The model as the client named it.
    pub fn model(&self) -> &str {
        &self.model
    }

    /// Whether a usage event will come that the client has not asked for.
    pub fn usage_is_injected(&self) -> bool {
        self.usage_edit.is_some()
    }

    /// Bytes of the body.
    pub fn len(&self) -> usize {
        self.body.len()
    }

    /// Whether there is no body.
    pub fn is_empty(&self) -> bool {
        self.body.is_empty()
    }

    /// What of it is files.
    pub fn embedded(&self) -> Embedded {
        self.embedded
    }

    /// The body for an upstream that calls the model `upstream_model`: as received, but for the edits.
    pub fn for_upstream(self, upstream_model: &str) -> Pieces {
        let mut edits = Vec::from_iter(self.usage_edit);
        if upstream_model != self.model {
            let name = serde_json::to_vec(upstream_model).unwrap_or_default();
            edits.push(Edit::replace(self.model_place, name));
        }
        Pieces::splice(&self.body, edits)
    }
}

fn read_model(object: &Object<'_>) -> Result<(String, Range<usize>), Refusal> {
    let missing = || invalid("model", "The field 'model' is missing or not a string.".to_owned());
    let field = object.get("model").ok_or_else(missing)?;
    let name = unquote(field.value).filter(|name| !name.is_empty()).ok_or_else(missing)?;
    if name.len() > MAX_MODEL {
        return Err(invalid("model", "The model's name is too long.".to_owned()));
    }
    Ok((name.into_owned(), field.place.clone()))
}

/// What to change so that a streamed answer ends with its usage; nothing where it does already or is not streamed.
fn read_usage_edit(object: &Object<'_>) -> Result<Option<Edit>, Refusal> {
    let is_streamed = read_flag(object, "stream", "stream")?;
    let options = object.get("stream_options").filter(|field| field.value != "null");
    let Some(options) = options else {
        return Ok(is_streamed.then(|| ask_for_usage(object)));
    };
    let wrong = || invalid("stream_options", "The field 'stream_options' must be an object.".to_owned());
    let inner = Object::read_text(options.value).map_err(|flaw| match flaw {
        Flaw::Duplicate { .. } => invalid("stream_options", flaw.to_string()),
        _ => wrong(),
    })?;
    if read_flag(&inner, "include_usage", "stream_options")? || !is_streamed {
        return Ok(None);
    }
    let start = options.place.start;
    Ok(Some(match inner.get("include_usage") {
        Some(flag) => Edit::replace(start + flag.place.start..start + flag.place.end, "true"),
        None if inner.fields().is_empty() => Edit::insert(start + inner.inside(), "\"include_usage\":true"),
        None => Edit::insert(start + inner.inside(), "\"include_usage\":true,"),
    }))
}

fn ask_for_usage(object: &Object<'_>) -> Edit {
    match object.get("stream_options") {
        Some(null) => Edit::replace(null.place.clone(), "{\"include_usage\":true}"),
        // The object has a model, so something follows.
        None => Edit::insert(object.inside(), "\"stream_options\":{\"include_usage\":true},"),
    }
}

fn read_flag(object: &Object<'_>, name: &str, param: &str) -> Result<bool, Refusal> {
    match object.get(name).map(|field| field.value) {
        Some("true") => Ok(true),
        Some("false" | "null") | None => Ok(false),
        Some(_) => Err(invalid(param, format!("The field '{name}' must be true or false."))),
    }
}

fn is_forbidden(name: &str) -> bool {
    FORBIDDEN.iter().any(|forbidden| forbidden.eq_ignore_ascii_case(name))
}

fn refusal_of(flaw: Flaw) -> Refusal {
    let message = flaw.to_string();
    let param = if let Flaw::Duplicate { field } = flaw { Some(shown(&field)) } else { None };
    Refusal::InvalidRequest { message, param }
}

/// A name from the request, fit for a message.
fn shown(name: &str) -> String {
    name.chars().take(64).collect()
}

fn invalid(param: &str, message: String) -> Refusal {
    Refusal::InvalidRequest { message, param: Some(shown(param)) }
}

#[cfg(test)]
mod tests;
