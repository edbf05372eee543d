//! A form with a file: read as strictly as JSON, forwarded byte by byte as received.
//!
//! Programs differ in what they make of an odd form: of text before its first part, of a name given twice, of a header
//! with two boundaries. Each of these is refused. `multer` reads the parts; where they stand is found apart from it,
//! and where the two disagree the form is refused too.

mod disposition;
mod places;

use std::convert::Infallible;
use std::ops::Range;

use bytes::Bytes;
use domain::refusal::Refusal;
use futures_util::stream;
use http::{HeaderValue, header};
use multer::{Field, Multipart};

use self::disposition::Disposition;
use super::clamp::Caps;
use super::fields::{invalid, is_forbidden, not_accepted, shown};
use super::{ModelForm, Prompt, check_model};
use crate::body::scan::Embedded;

/// More parts than any API has.
const MAX_PARTS: usize = 64;
/// A part that is no file.
const MAX_TEXT: usize = 256 * 1024;
/// How much of the body is looked at before others get a turn.
const CHUNK: usize = 64 * 1024;

/// A part as its reader sees it.
#[derive(Debug)]
struct Part {
    name: String,
    is_file: bool,
    length: usize,
    /// The text, where it is no file.
    text: Vec<u8>,
}

/// Checks a form with exactly one `file` and one `model`.
pub(super) async fn read(body: Bytes, content_type: Option<&HeaderValue>) -> Result<Prompt, Refusal> {
    let boundary = boundary_of(content_type)?;
    let places = places::find(&body, &boundary).ok_or_else(malformed)?;
    if places.len() > MAX_PARTS {
        return Err(whole_form("The form has too many parts."));
    }
    let parts = read_parts(&body, &boundary).await?;
    let agree = parts.len() == places.len()
        && parts.iter().zip(&places).all(|(part, place)| part.length == place.len());
    if !agree {
        return Err(malformed());
    }
    check(&parts)?;
    let (model, model_place) = find_model(&body, &parts, &places)?;
    let files = parts.iter().filter(|part| part.is_file);
    let embedded = files.fold(Embedded::default(), |sum, file| Embedded {
        count: sum.count + 1,
        bytes: sum.bytes + file.length,
        remote: 0,
    });
    Ok(Prompt {
        body,
        model,
        model_place,
        model_form: ModelForm::Text,
        usage_edit: None,
        caps: Caps::default(),
        unbounded: None,
        embedded,
    })
}

/// The boundary, if the header leaves no doubt about it.
fn boundary_of(content_type: Option<&HeaderValue>) -> Result<String, Refusal> {
    let text = content_type.and_then(|value| value.to_str().ok()).unwrap_or_default();
    let mentions = text.to_ascii_lowercase().matches("boundary=").count();
    let boundary = multer::parse_boundary(text).ok().filter(|_| mentions == 1);
    let is_plain = |text: &String| {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"'()+_,-./:=?".contains(&byte);
        (1..=70).contains(&text.len()) && text.bytes().all(plain)
    };
    boundary.filter(is_plain).ok_or_else(|| whole_form("The form's boundary is missing or malformed."))
}

async fn read_parts(body: &Bytes, boundary: &str) -> Result<Vec<Part>, Refusal> {
    let chunks = stream::unfold((body.clone(), true), |(mut rest, is_first)| async move {
        if rest.is_empty() {
            return None;
        }
        // The first chunk comes at once: multer wants to see where the form begins.
        if !is_first {
            tokio::task::yield_now().await;
        }
        let chunk = rest.split_to(rest.len().min(CHUNK));
        Some((Ok::<_, Infallible>(chunk), (rest, false)))
    });
    let mut form = Multipart::new(chunks, boundary);
    let mut parts = Vec::new();
    while let Some(field) = form.next_field().await.map_err(|_| malformed())? {
        parts.push(read_part(field).await?);
    }
    Ok(parts)
}

async fn read_part(mut field: Field<'_>) -> Result<Part, Refusal> {
    let dispositions: Vec<&HeaderValue> =
        field.headers().get_all(header::CONTENT_DISPOSITION).iter().collect();
    let [disposition] = dispositions[..] else { return Err(malformed()) };
    let Disposition { name, is_file } = Disposition::parse(disposition).ok_or_else(malformed)?;
    let is_encoded = field.headers().contains_key("content-transfer-encoding");
    if field.name() != Some(name.as_str()) || is_encoded {
        return Err(malformed());
    }
    let mut part = Part { name, is_file, length: 0, text: Vec::new() };
    while let Some(chunk) = field.chunk().await.map_err(|_| malformed())? {
        part.length += chunk.len();
        if part.is_file {
            continue;
        }
        if part.length > MAX_TEXT {
            return Err(invalid(&part.name, format!("The field '{}' is too long.", shown(&part.name))));
        }
        part.text.extend_from_slice(&chunk);
    }
    Ok(part)
}

fn check(parts: &[Part]) -> Result<(), Refusal> {
    for (index, Part { name, .. }) in parts.iter().enumerate() {
        if is_forbidden(name.trim_end_matches("[]")) {
            return Err(not_accepted(name));
        }
        // A name that ends in brackets is a list, which is written by repeating it.
        if !name.ends_with("[]") && parts[..index].iter().any(|other| other.name == *name) {
            return Err(invalid(name, "The field is given twice.".to_owned()));
        }
    }
    let file = parts.iter().find(|part| part.name == "file").filter(|part| part.is_file && part.length > 0);
    if file.is_none() {
        return Err(invalid("file", "The file is missing or empty.".to_owned()));
    }
    if let Some(other) = parts.iter().find(|part| part.is_file && part.name != "file") {
        return Err(invalid(&other.name, "Only the field 'file' may be a file.".to_owned()));
    }
    match parts.iter().find(|part| part.name == "stream").map(|part| part.text.as_slice()) {
        None | Some(b"true" | b"false") => Ok(()),
        Some(_) => Err(invalid("stream", "The field 'stream' must be true or false.".to_owned())),
    }
}

fn find_model(
    body: &Bytes,
    parts: &[Part],
    places: &[Range<usize>],
) -> Result<(String, Range<usize>), Refusal> {
    let missing = || invalid("model", "The field 'model' is missing or not a text.".to_owned());
    let index = parts.iter().position(|part| part.name == "model").ok_or_else(missing)?;
    let (part, place) = (&parts[index], &places[index]);
    if body.get(place.clone()) != Some(&part.text) {
        return Err(missing());
    }
    let name = std::str::from_utf8(&part.text).map_err(|_| missing())?;
    if name.is_empty() || name.chars().any(char::is_control) {
        return Err(missing());
    }
    check_model(name)?;
    Ok((name.to_owned(), place.clone()))
}

fn malformed() -> Refusal {
    whole_form("The request body is not a well-formed form (multipart/form-data).")
}

fn whole_form(message: &str) -> Refusal {
    Refusal::InvalidRequest { message: message.to_owned(), param: None }
}

#[cfg(test)]
mod tests;
