//! A part's `Content-Disposition`, read so that no two programs can read it differently.

use http::HeaderValue;

/// What the header says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Disposition {
    pub(super) name: String,
    pub(super) is_file: bool,
}

impl Disposition {
    /// `form-data; name="…"`, perhaps with one file name; anything else is refused: another parameter, one twice, an
    /// escape, a value that ends early.
    pub(super) fn parse(value: &HeaderValue) -> Option<Self> {
        let text = std::str::from_utf8(value.as_bytes()).ok()?;
        let mut rest = text.strip_prefix("form-data")?;
        let (mut name, mut is_file, mut extended) = (None, false, false);
        while !rest.is_empty() {
            rest = rest.strip_prefix(';')?.trim_start_matches(' ');
            let (parameter, after) = rest.split_once('=')?;
            let (value, after) = read_value(after)?;
            rest = after;
            match parameter {
                "name" if name.is_none() && !value.is_empty() => name = Some(value.to_owned()),
                "filename" if !is_file => is_file = true,
                "filename*" if !extended => extended = true,
                _ => return None,
            }
        }
        Some(Self { name: name?, is_file: is_file || extended })
    }
}

/// A quoted text or a plain word, and what follows it.
fn read_value(text: &str) -> Option<(&str, &str)> {
    if let Some(inside) = text.strip_prefix('"') {
        let (value, after) = inside.split_once('"')?;
        return (!value.contains('\\')).then_some((value, after));
    }
    let end = text.find(';').unwrap_or(text.len());
    let (value, after) = text.split_at(end);
    (!value.is_empty() && !value.contains(['"', ' ', '='])).then_some((value, after))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Option<(String, bool)> {
        let parsed = Disposition::parse(&HeaderValue::from_str(text).unwrap())?;
        Some((parsed.name, parsed.is_file))
    }

    #[test]
    fn only_plain_dispositions_are_read() {
        assert_eq!(parse("form-data; name=\"model\""), Some(("model".to_owned(), false)));
        assert_eq!(parse("form-data; name=model"), Some(("model".to_owned(), false)));
        let file = Some(("file".to_owned(), true));
        assert_eq!(parse("form-data; name=\"file\"; filename=\"a; name=b.mp3\""), file);
        assert_eq!(parse("form-data; name=\"file\"; filename=\"a\"; filename*=UTF-8''%c3%a4"), file);
        for wrong in [
            "form-data",
            "form-data; name=\"\"",
            "attachment; name=\"a\"",
            "form-data; name=\"a\"; name=\"model\"",
            "form-data; name=\"a",
            "form-data; name=\"a\\\"; name=\\\"model\"",
            "form-data; name*=utf-8''model; name=\"a\"",
            "form-data; Name=\"a\"",
            "form-data; name=\"a\" filename=\"b\"",
            "form-data; name=\"a\"; filename=\"b\"; filename=\"c\"",
        ] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }
}
