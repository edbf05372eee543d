//! One strict pass over a JSON object: its grammar to the last byte, its top-level fields with their places.
//!
//! Stricter than a parser that builds values: a field given twice is a flaw, because two programs may each believe
//! another of the two. Nothing is interpreted here but the names.

mod cursor;

use std::borrow::Cow;
use std::ops::Range;

use serde_json::value::RawValue;

use self::cursor::Cursor;

/// Objects and arrays may nest this deep.
pub const MAX_DEPTH: u32 = 64;
/// More top-level fields than any API has, few enough that comparing all of them costs nothing.
const MAX_FIELDS: usize = 128;

/// What makes a body unacceptable.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Flaw {
    /// Bytes that are not UTF-8.
    #[error("The request body is not valid UTF-8.")]
    NotUtf8,
    /// Not JSON, or something after the JSON.
    #[error("The request body is not valid JSON (at byte {at}).")]
    NotJson {
        /// Offset of the first byte that does not fit.
        at: usize,
    },
    /// JSON, but not an object.
    #[error("The request body must be a JSON object.")]
    NotAnObject,
    /// Nested deeper than [`MAX_DEPTH`].
    #[error("The request body is nested more than {MAX_DEPTH} levels deep.")]
    TooDeep,
    /// A top-level field twice.
    #[error("The field is given twice.")]
    Duplicate {
        /// Its name.
        field: String,
    },
    /// More than [`MAX_FIELDS`].
    #[error("The request body has more than {MAX_FIELDS} fields.")]
    TooManyFields,
}

/// A top-level field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field<'a> {
    /// Its name with escapes resolved.
    pub name: Cow<'a, str>,
    /// The value as written.
    pub value: &'a str,
    /// Where the value stands in the text.
    pub place: Range<usize>,
}

/// What of a body is no text: files that travel in it, and things it only points at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Embedded {
    /// How many files are in it: `data:` URLs and base64 sources.
    pub count: usize,
    /// Their bytes in all.
    pub bytes: usize,
    /// How many files, pictures and earlier items it names that are somewhere else. Nobody here knows their size.
    pub remote: usize,
}

impl Embedded {
    fn see_file(&mut self, string: &[u8]) {
        self.count += 1;
        self.bytes += string.len();
    }

    /// A string that is a value in an object, with its name and the name its object has.
    fn see(&mut self, string: &[u8], name: &[u8], parent: &[u8]) {
        if string.starts_with(b"data:") {
            return self.see_file(string);
        }
        match name {
            b"url"
                if matches!(parent, b"image_url" | b"source" | b"video_url" | b"audio_url" | b"file_url") =>
            {
                self.remote += 1;
            }
            b"image_url" | b"file_url" | b"video_url" | b"audio_url" | b"file_id" => self.remote += 1,
            b"data" if matches!(parent, b"source" | b"input_audio") => self.see_file(string),
            b"type" if string == b"item_reference" => self.remote += 1,
            _ => {}
        }
    }
}

/// The fields of an object, in their order.
#[derive(Debug)]
pub struct Object<'a> {
    fields: Vec<Field<'a>>,
    inside: usize,
    embedded: Embedded,
}

impl<'a> Object<'a> {
    /// Reads a whole body.
    pub fn read(bytes: &'a [u8]) -> Result<Self, Flaw> {
        let text = std::str::from_utf8(bytes).map_err(|_| Flaw::NotUtf8)?;
        Self::read_text(text)
    }

    /// Reads the text of an object, for example a field's value.
    pub fn read_text(text: &'a str) -> Result<Self, Flaw> {
        let mut cursor = Cursor::new(text);
        cursor.whitespace();
        if cursor.peek() != Some(b'{') {
            // Broken JSON is told apart from JSON of another kind.
            cursor.value(&(0..0))?;
            cursor.end()?;
            return Err(Flaw::NotAnObject);
        }
        cursor.bump();
        let inside = cursor.at();
        let fields = read_fields(&mut cursor, text)?;
        cursor.end()?;
        Ok(Self { fields, inside, embedded: cursor.embedded() })
    }

    /// The field called `name`.
    pub fn get(&self, name: &str) -> Option<&Field<'a>> {
        self.fields.iter().find(|field| field.name == name)
    }

    /// All fields.
    pub fn fields(&self) -> &[Field<'a>] {
        &self.fields
    }

    /// What of it is files, not text.
    pub fn embedded(&self) -> Embedded {
        self.embedded
    }

    /// The place just after the opening brace.
    pub fn inside(&self) -> usize {
        self.inside
    }
}

fn read_fields<'a>(cursor: &mut Cursor<'a>, text: &'a str) -> Result<Vec<Field<'a>>, Flaw> {
    let mut fields: Vec<Field<'a>> = Vec::with_capacity(8);
    cursor.whitespace();
    if cursor.eat(b'}') {
        return Ok(fields);
    }
    loop {
        let (name, inside) = read_name(cursor, text)?;
        cursor.whitespace();
        let start = cursor.at();
        cursor.value(&inside)?;
        let place = start..cursor.at();
        if fields.iter().any(|field| field.name == name) {
            return Err(Flaw::Duplicate { field: name.into_owned() });
        }
        if fields.len() == MAX_FIELDS {
            return Err(Flaw::TooManyFields);
        }
        fields.push(Field { name, value: &text[place.clone()], place });
        cursor.whitespace();
        if cursor.eat(b'}') {
            return Ok(fields);
        }
        cursor.expect(b',')?;
    }
}

/// A field's name, and where it stands inside its quotes.
fn read_name<'a>(cursor: &mut Cursor<'a>, text: &'a str) -> Result<(Cow<'a, str>, Range<usize>), Flaw> {
    cursor.whitespace();
    let start = cursor.at();
    cursor.string()?;
    let end = cursor.at();
    cursor.whitespace();
    cursor.expect(b':')?;
    let name = unquote(&text[start..end]).ok_or(Flaw::NotJson { at: start })?;
    Ok((name, start + 1..end - 1))
}

/// The items of an array's text, which has been read before as part of its object; `None` where it is no array.
pub fn items(array: &str) -> Option<Vec<&RawValue>> {
    serde_json::from_str(array).ok()
}

/// The text of a JSON string literal, escapes resolved; `None` where it is not a string.
pub fn unquote(literal: &str) -> Option<Cow<'_, str>> {
    let inner = literal.strip_prefix('"')?.strip_suffix('"')?;
    if inner.contains('\\') {
        return serde_json::from_str::<String>(literal).ok().map(Cow::Owned);
    }
    Some(Cow::Borrowed(inner))
}

#[cfg(test)]
mod tests;
