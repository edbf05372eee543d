//! Reads single fields, and knows which may not be there at all.

use domain::refusal::Refusal;

use crate::body::scan::{Field, Flaw, Object, unquote};

/// Fields by which a request could choose a model or a host past the checks, here or in a gateway behind this one.
/// Compared without regard to case. No API of this gateway has one of these names at its top level.
const FORBIDDEN: [&str; 46] = [
    "adapter_id",
    "api_base",
    "api_host",
    "api_key",
    "api_provider",
    "api_type",
    "api_url",
    "api_version",
    "azure_deployment",
    "azure_endpoint",
    "base_model",
    "base_url",
    "content_policy_fallbacks",
    "context_window_fallbacks",
    "custom_llm_provider",
    "deployment",
    "deployment_id",
    "draft_model",
    "endpoint",
    "engine",
    "extra_body",
    "extra_headers",
    "extra_query",
    "fallback",
    "fallback_model",
    "fallback_models",
    "fallbacks",
    "host",
    "litellm_params",
    "lora_request",
    "model_id",
    "model_list",
    "model_name",
    "models",
    "organization",
    "plugins",
    "preset",
    "provider",
    "providers",
    "route",
    "router",
    "speculative_model",
    "target_model",
    "upstream",
    "user_config",
    "vertex_project",
];

pub(super) fn is_forbidden(name: &str) -> bool {
    FORBIDDEN.iter().any(|forbidden| forbidden.eq_ignore_ascii_case(name))
}

pub(super) fn not_accepted(name: &str) -> Refusal {
    invalid(name, format!("The field '{}' is not accepted here.", shown(name)))
}

/// The field, unless it is missing or null, which mean the same everywhere.
pub(super) fn given<'o, 'a>(object: &'o Object<'a>, name: &str) -> Option<&'o Field<'a>> {
    object.get(name).filter(|field| field.value != "null")
}

pub(super) fn read_flag(object: &Object<'_>, name: &str, param: &str) -> Result<bool, Refusal> {
    match given(object, name).map(|field| field.value) {
        Some("true") => Ok(true),
        Some("false") | None => Ok(false),
        Some(_) => Err(invalid(param, format!("The field '{name}' must be true or false."))),
    }
}

/// A whole number within bounds, written as one: no fraction, no exponent.
pub(super) fn read_count(
    object: &Object<'_>,
    name: &str,
    min: u32,
    max: u32,
) -> Result<Option<u32>, Refusal> {
    let Some(field) = given(object, name) else { return Ok(None) };
    let count = field.value.parse::<u32>().ok().filter(|count| (min..=max).contains(count));
    match count {
        Some(count) => Ok(Some(count)),
        None => Err(invalid(name, format!("The field '{name}' must be a whole number from {min} to {max}."))),
    }
}

pub(super) fn check_text(object: &Object<'_>, name: &str) -> Result<(), Refusal> {
    match given(object, name) {
        Some(field) if !field.value.starts_with('"') => {
            Err(invalid(name, format!("The field '{name}' must be a string.")))
        }
        _ => Ok(()),
    }
}

/// An image's size: `1024x1536`, or `auto`.
pub(super) fn check_size(object: &Object<'_>, name: &str) -> Result<(), Refusal> {
    const MAX_SIDE: u32 = 8_192;
    let Some(field) = given(object, name) else { return Ok(()) };
    let fits_side = |side: &str| side.parse().is_ok_and(|side: u32| (1..=MAX_SIDE).contains(&side));
    let is_known = |text: &str| {
        text == "auto"
            || text.split_once('x').is_some_and(|(width, height)| fits_side(width) && fits_side(height))
    };
    if unquote(field.value).is_some_and(|text| is_known(&text)) {
        return Ok(());
    }
    let message =
        format!("The field '{name}' must be a size such as 1024x1024 (at most {MAX_SIDE} a side) or auto.");
    Err(invalid(name, message))
}

pub(super) fn refusal_of(flaw: Flaw) -> Refusal {
    let message = flaw.to_string();
    let param = if let Flaw::Duplicate { field } = flaw { Some(shown(&field)) } else { None };
    Refusal::InvalidRequest { message, param }
}

/// A name from the request, fit for a message.
pub(super) fn shown(name: &str) -> String {
    name.chars().take(64).collect()
}

pub(super) fn invalid(param: &str, message: String) -> Refusal {
    Refusal::InvalidRequest { message, param: Some(shown(param)) }
}
