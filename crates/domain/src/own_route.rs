//! The operator's own permissions and routes: how they are called, what their templates look like, where they lead.
//!
//! A template is `/v1/` and up to eight segments, each a word as it is or one value in braces: `/v1/characters/{id}`.
//! Requests are compared raw; nothing is decoded and nothing made anew, so what was judged is what the upstream gets.

mod table;
mod value;

use std::fmt;

pub use self::table::{Found, Table};
pub use self::value::{is_query, is_value};
use crate::catalogue::CATALOGUE;

/// What stands before every path of the gateway.
const BASE: &str = "/v1";
/// The longest template, in bytes.
pub const MAX_PATH: usize = 200;
/// The most routes of one permission.
pub const MAX_ROUTES: usize = 20;
/// The longest name of a permission, in bytes.
pub const MAX_NAME: usize = 64;
const MAX_SEGMENTS: usize = 8;
/// What the gateway says about the key itself, now and later: `/v1/key` and all below it, and no permission.
const ABOUT_THE_KEY: &str = "key";

/// A method an own route can have.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Method {
    /// `GET`; its requests have no body.
    Get,
    /// `POST`
    Post,
    /// `PUT`
    Put,
    /// `PATCH`
    Patch,
    /// `DELETE`
    Delete,
}

impl Method {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Get, Self::Post, Self::Put, Self::Patch, Self::Delete];

    /// Its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }

    /// The method of this name, as it is written in a request.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|method| method.as_str() == name)
    }
}

/// Why a text is no name of an own permission. The texts are for the person who typed it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NameError {
    /// Not one or two words.
    #[error("Write a name such as character_info or characters:read: small letters, digits and underscores")]
    Form,
    /// Too long to be shown anywhere.
    #[error("A name has at most {MAX_NAME} characters")]
    TooLong,
    /// It begins like a built-in one, so it would be taken for one, or be one some day.
    #[error("Names that begin with {0} are built in: choose another word")]
    BuiltIn(&'static str),
}

/// Judges the name of an own permission: a word of small letters, digits and underscores, perhaps a colon and another
/// one; the first word is of no built-in permission.
pub fn check_name(name: &str) -> Result<(), NameError> {
    if name.len() > MAX_NAME {
        return Err(NameError::TooLong);
    }
    let (first, rest) = name.split_once(':').map_or((name, None), |(first, rest)| (first, Some(rest)));
    if !is_word(first) || !rest.is_none_or(is_word) {
        return Err(NameError::Form);
    }
    let built_in = CATALOGUE.iter().filter_map(|entry| entry.permission.split(':').next());
    match built_in.chain([ABOUT_THE_KEY]).find(|word| *word == first) {
        Some(word) => Err(NameError::BuiltIn(word)),
        None => Ok(()),
    }
}

/// `[a-z][a-z0-9_]*`
fn is_word(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
}

/// One segment of a template.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Segment {
    /// Itself.
    Literal(Box<str>),
    /// Anything that [`is_value`], under this name.
    Value(Box<str>),
}

/// Why a text is no path of an own route. The texts are for the person who typed it.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum TemplateError {
    /// Not below the base.
    #[error("A path begins with /v1/")]
    Base,
    /// It begins with anything.
    #[error("Behind /v1/ comes a word, such as /v1/characters/{{id}}")]
    First,
    /// The place at the upstream is not below its base URL.
    #[error("A path begins with /")]
    Root,
    /// Neither a word nor a value.
    #[error("Between slashes stand letters, digits and - . _ ~, or one name in braces such as {{id}}")]
    Segment,
    /// Longer than anybody needs.
    #[error("A path has at most {MAX_PATH} characters and {MAX_SEGMENTS} parts")]
    TooLong,
    /// Two values of one name.
    #[error("{{{0}}} is here twice")]
    Twice(String),
    /// The place at the upstream has a value that no request brings.
    #[error("The path clients use has no {{{0}}}")]
    Unknown(String),
    /// A path of the gateway's own would be matched.
    #[error("{0} is a path of the gateway itself")]
    BuiltIn(&'static str),
}

/// The path of an own route.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Template(Vec<Segment>);

impl Template {
    /// Reads a template such as `/v1/characters/{id}`. One that could match a path of the gateway's own is none.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        let below = text.strip_prefix(BASE).filter(|below| below.starts_with('/'));
        let segments = parse_segments(below.ok_or(TemplateError::Base)?, text.len())?;
        let mut names = segments.iter().filter_map(Segment::name);
        while let Some(name) = names.next() {
            if names.clone().any(|other| other == name) {
                return Err(TemplateError::Twice(name.to_owned()));
            }
        }
        if !matches!(segments.first(), Some(Segment::Literal(_))) {
            return Err(TemplateError::First);
        }
        let template = Self(segments);
        template.built_in().map_or(Ok(()), |path| Err(TemplateError::BuiltIn(path)))?;
        Ok(template)
    }

    /// Whether two templates match the same paths: values may be called differently.
    pub fn has_shape_of(&self, other: &Self) -> bool {
        let pairs = self.0.iter().zip(&other.0);
        self.0.len() == other.0.len()
            && pairs.into_iter().all(|pair| match pair {
                (Segment::Value(_), Segment::Value(_)) => true,
                (one, other) => one == other,
            })
    }

    /// What the values are at which this template is `segments`, in their order; `None` where it is not.
    fn values<'p>(&self, segments: &[&'p str]) -> Option<Vec<&'p str>> {
        if self.0.len() != segments.len() {
            return None;
        }
        let mut values = Vec::new();
        for (segment, text) in self.0.iter().zip(segments) {
            match segment {
                Segment::Literal(word) if **word == **text => {}
                Segment::Value(_) if is_value(text) => values.push(*text),
                Segment::Literal(_) | Segment::Value(_) => return None,
            }
        }
        Some(values)
    }

    /// The path of the gateway's own that it could match.
    fn built_in(&self) -> Option<&'static str> {
        let fits = |place: usize, word: &str| match self.0.get(place) {
            Some(Segment::Literal(own)) => **own == *word,
            Some(Segment::Value(_)) => true,
            None => false,
        };
        if fits(0, ABOUT_THE_KEY) {
            return Some("/v1/key");
        }
        let mut paths = CATALOGUE.iter().flat_map(|entry| entry.routes).map(|(_, path)| *path);
        paths.find(|path| {
            let words: Vec<&str> = path.split('/').skip(2).collect();
            // A value at the end of a built-in path takes the whole rest.
            let tail = words.last().is_some_and(|word| word.starts_with('{'));
            let literal = words.len() - usize::from(tail);
            let is_as_long = if tail { self.0.len() > literal } else { self.0.len() == literal };
            is_as_long && words[..literal].iter().enumerate().all(|(place, word)| fits(place, word))
        })
    }

    /// How it is chosen among several that match: whichever has a word where the other has a value, from the left.
    fn rank(&self) -> Vec<bool> {
        self.0.iter().map(|segment| matches!(segment, Segment::Value(_))).collect()
    }

    fn first_word(&self) -> &str {
        match self.0.first() {
            Some(Segment::Literal(word)) => word,
            Some(Segment::Value(_)) | None => "",
        }
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(BASE)?;
        self.0.iter().try_for_each(|segment| match segment {
            Segment::Literal(word) => write!(f, "/{word}"),
            Segment::Value(name) => write!(f, "/{{{name}}}"),
        })
    }
}

impl Segment {
    fn parse(text: &str) -> Result<Self, TemplateError> {
        if let Some(name) = text.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) {
            let name = Some(name).filter(|name| is_word(name)).ok_or(TemplateError::Segment)?;
            return Ok(Self::Value(name.into()));
        }
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
        if matches!(text, "" | "." | "..") || !text.bytes().all(is_plain) {
            return Err(TemplateError::Segment);
        }
        Ok(Self::Literal(text.into()))
    }

    fn name(&self) -> Option<&str> {
        match self {
            Self::Literal(_) => None,
            Self::Value(name) => Some(name),
        }
    }
}

fn parse_segments(path: &str, length: usize) -> Result<Vec<Segment>, TemplateError> {
    let rest = path.strip_prefix('/').ok_or(TemplateError::Root)?;
    if length > MAX_PATH || rest.split('/').count() > MAX_SEGMENTS {
        return Err(TemplateError::TooLong);
    }
    rest.split('/').map(Segment::parse).collect()
}

/// Where an own route's requests go, below the upstream's base URL.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UpstreamPath(Vec<Piece>);

#[derive(Clone, PartialEq, Eq, Debug)]
enum Piece {
    Literal(Box<str>),
    /// The value at this place among those of the template.
    Value(usize),
}

impl UpstreamPath {
    /// Reads a path such as `/people/{id}`, whose values are some of `template`'s.
    pub fn parse(text: &str, template: &Template) -> Result<Self, TemplateError> {
        let names: Vec<&str> = template.0.iter().filter_map(Segment::name).collect();
        let piece = |segment: Segment| match segment {
            Segment::Literal(word) => Ok(Piece::Literal(word)),
            Segment::Value(name) => {
                let place = names.iter().position(|known| **known == *name);
                place.map(Piece::Value).ok_or_else(|| TemplateError::Unknown(name.into()))
            }
        };
        parse_segments(text, text.len())?.into_iter().map(piece).collect::<Result<_, _>>().map(Self)
    }

    /// The path with the values of a request in it, byte by byte as they came.
    pub fn fill(&self, values: &[&str]) -> String {
        let mut path = String::new();
        for piece in &self.0 {
            path.push('/');
            path.push_str(match piece {
                Piece::Literal(word) => word,
                // Every place was found in the template whose values these are.
                Piece::Value(place) => values.get(*place).copied().unwrap_or_default(),
            });
        }
        path
    }
}

/// The path at an upstream where none is named: the template itself, below the base URL instead of `/v1`.
pub fn same_path_there(template: &str) -> &str {
    template.strip_prefix(BASE).unwrap_or(template)
}

#[cfg(test)]
mod tests;
