//! A request as the gateway reads it: which model, how much output at most, streamed or not, and nothing it has no
//! need to know.

mod clamp;
mod fields;
mod form;
mod reading;
mod tools;

use std::ops::Range;

use bytes::Bytes;
use domain::refusal::Refusal;
use http::HeaderValue;

pub use self::clamp::{Asked, Clamp};
use self::fields::{invalid, read_flag, refusal_of};
use self::reading::{Reading, reading_of};
use crate::body::scan::{Embedded, Flaw, Object, unquote};
use crate::body::splice::{Edit, Pieces};
use crate::metering::estimate::{self, Sent};
use crate::router::{BodyDialect, Forwarded};

/// No model's name is longer.
const MAX_MODEL: usize = 200;
const MIB: usize = 1024 * 1024;

/// The largest body of a route, in bytes.
pub fn max_bytes(body: BodyDialect) -> usize {
    match body {
        BodyDialect::Images | BodyDialect::Transcriptions => 32 * MIB,
        _ => 10 * MIB,
    }
}

/// The content type a route takes.
pub fn content_type(body: BodyDialect) -> &'static str {
    match body {
        BodyDialect::Transcriptions => "multipart/form-data",
        _ => "application/json",
    }
}

/// A checked request.
#[derive(Debug)]
pub struct Prompt {
    body: Bytes,
    model: String,
    model_place: Range<usize>,
    model_form: ModelForm,
    /// The edit that asks the upstream for a usage event the client did not ask for.
    usage_edit: Option<Edit>,
    caps: clamp::Caps,
    unbounded: Option<&'static str>,
    embedded: Embedded,
}

/// How a model's name is written in the body.
#[derive(Clone, Copy, Debug)]
enum ModelForm {
    Json,
    Text,
}

impl Prompt {
    /// Checks a body for `route`. `content_type` is the request's, which a form needs to be read.
    pub async fn read(
        body: Bytes,
        route: Forwarded,
        content_type: Option<&HeaderValue>,
    ) -> Result<Self, Refusal> {
        match route.body {
            BodyDialect::Transcriptions => form::read(body, content_type).await,
            dialect => Self::read_json(body, reading_of(dialect)),
        }
    }

    fn read_json(body: Bytes, reading: &Reading) -> Result<Self, Refusal> {
        let object = Object::read(&body).map_err(refusal_of)?;
        if let Some(field) = object.fields().iter().find(|field| fields::is_forbidden(&field.name)) {
            return Err(fields::not_accepted(&field.name));
        }
        let (model, model_place) = read_model(&object)?;
        reading.check(&object)?;
        let usage_edit = if reading.asks_for_usage { read_usage_edit(&object)? } else { None };
        let caps = clamp::Caps::read(&object, reading)?;
        let embedded = object.embedded();
        let pointing = (embedded.remote > 0).then_some("a file or image that is somewhere else");
        let unbounded = reading.unbounded(&object)?.or(pointing);
        let model_form = ModelForm::Json;
        Ok(Self { body, model, model_place, model_form, usage_edit, caps, unbounded, embedded })
    }

    /// The model as the client named it.
    pub fn model(&self) -> &str {
        &self.model
    }

    /// Whether a usage event will come that the client has not asked for.
    pub fn usage_is_injected(&self) -> bool {
        self.usage_edit.is_some()
    }

    /// How much output the client asked for.
    pub fn asked(&self) -> Asked {
        self.caps.asked()
    }

    /// Why nobody can say beforehand what this may cost, whatever its output cap: earlier turns that are kept at the
    /// provider, tools that run there, files and pictures that are somewhere else. `None` where its bytes are all.
    pub fn unbounded(&self) -> Option<&'static str> {
        self.unbounded
    }

    /// Whether the route's upstreams obey an output cap: pictures and sound have none.
    pub fn can_be_clamped(&self) -> bool {
        self.caps.can_be_lowered()
    }

    /// Lowers what the client asked for, or sets what it left open. Only the last clamp counts.
    pub fn clamp(&mut self, to: Clamp) {
        self.caps.clamp(to);
    }

    /// What a clamp has changed, for a response header: `max_tokens=100, n=1`.
    pub fn clamped(&self) -> Option<String> {
        self.caps.told()
    }

    /// Bytes of the body.
    pub fn len(&self) -> usize {
        self.body.len()
    }

    /// Whether there is no body.
    pub fn is_empty(&self) -> bool {
        self.body.is_empty()
    }

    /// What to charge of it where the upstream does not say.
    pub fn sent(&self) -> Sent {
        match self.model_form {
            ModelForm::Json => Sent { tokens: estimate::input(self.len(), self.embedded), audio_ms: None },
            ModelForm::Text => Sent {
                tokens: estimate::speech_input(self.len(), self.embedded),
                audio_ms: Some(estimate::speech_ms(self.embedded)),
            },
        }
    }

    /// What of it is files.
    pub fn embedded(&self) -> Embedded {
        self.embedded
    }

    /// The body for an upstream that calls the model `upstream_model`: as received, but for the edits.
    pub fn for_upstream(&self, upstream_model: &str) -> Pieces {
        let mut edits = self.caps.edits();
        edits.extend(self.usage_edit.clone());
        if upstream_model != self.model {
            let name = match self.model_form {
                ModelForm::Json => serde_json::to_vec(upstream_model).unwrap_or_default(),
                ModelForm::Text => upstream_model.as_bytes().to_vec(),
            };
            edits.push(Edit::replace(self.model_place.clone(), name));
        }
        Pieces::splice(&self.body, edits)
    }
}

fn read_model(object: &Object<'_>) -> Result<(String, Range<usize>), Refusal> {
    let missing = || invalid("model", "The field 'model' is missing or not a string.".to_owned());
    let field = object.get("model").ok_or_else(missing)?;
    let name = unquote(field.value).filter(|name| !name.is_empty()).ok_or_else(missing)?;
    check_model(&name)?;
    Ok((name.into_owned(), field.place.clone()))
}

fn check_model(name: &str) -> Result<(), Refusal> {
    if name.len() > MAX_MODEL {
        return Err(invalid("model", "The model's name is too long.".to_owned()));
    }
    Ok(())
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

#[cfg(test)]
mod tests;
