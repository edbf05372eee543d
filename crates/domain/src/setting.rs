//! Settings that both programs have, read by one rule: the same text must give both the same pepper and the same
//! prefix, and start both or neither.

use std::path::Path;

use crate::secret::{InvalidPrefix, KeyPrefix};

/// What API keys begin with where the operator says nothing.
pub const DEFAULT_KEY_PREFIX: &str = "sk-lk-";
/// A secret of the operator's own making has at least this many bytes.
pub const SHORTEST_SECRET: usize = 32;

/// Words of documentation and habit, not of secrets. They are compared in lower case.
const SAMPLES: [&str; 11] = [
    "changeme",
    "change-me",
    "change_me",
    "replace-me",
    "replace_me",
    "example",
    "sample",
    "placeholder",
    "your-",
    "insecure",
    "0123456789",
];

/// Where a secret stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Source<'a> {
    /// In the variable itself.
    Value(&'a str),
    /// In the file that the variable with `_FILE` at its end names.
    File(&'a Path),
}

/// Why a secret cannot be used. None of these repeats it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum BadSecret {
    /// Neither way in is set.
    #[error("is missing (set it, or the same name with _FILE to a file that holds it)")]
    Missing,
    /// Both ways in are set.
    #[error("is set, and so is the same name with _FILE; keep one")]
    Twice,
    /// The file has nothing in it.
    #[error("is empty")]
    Empty,
    /// It could be guessed.
    #[error("has {has} bytes and needs at least {least} (try: openssl rand -hex 32)")]
    Short {
        /// How long it is.
        has: usize,
        /// How long it must be.
        least: usize,
    },
    /// It stands in some documentation, or repeats a few characters.
    #[error("is a sample value; make your own (try: openssl rand -hex 32)")]
    Sample,
}

/// What a setting says, without the white space that files and shells leave around it. `None` if that is nothing: an
/// empty setting counts as not set, as in a file of settings that nobody has filled in.
pub fn given(text: &str) -> Option<&str> {
    Some(text.trim()).filter(|text| !text.is_empty())
}

/// Where to take a secret from: exactly one of the two ways in.
pub fn source<'a>(value: Option<&'a str>, file: Option<&'a Path>) -> Result<Source<'a>, BadSecret> {
    match (value.and_then(given), file.filter(|path| !path.as_os_str().is_empty())) {
        (Some(value), None) => Ok(Source::Value(value)),
        (None, Some(file)) => Ok(Source::File(file)),
        (None, None) => Err(BadSecret::Missing),
        (Some(_), Some(_)) => Err(BadSecret::Twice),
    }
}

/// A secret out of its file's text.
pub fn from_file(text: &str) -> Result<&str, BadSecret> {
    given(text).ok_or(BadSecret::Empty)
}

/// Refuses a secret of fewer than `least` bytes, and one that is no secret.
pub fn require_strong(text: &str, least: usize) -> Result<(), BadSecret> {
    if text.len() < least {
        return Err(BadSecret::Short { has: text.len(), least });
    }
    let lower = text.to_ascii_lowercase();
    let mut distinct = text.as_bytes().to_vec();
    distinct.sort_unstable();
    distinct.dedup();
    if distinct.len() < least / 4 || SAMPLES.iter().any(|sample| lower.contains(sample)) {
        return Err(BadSecret::Sample);
    }
    Ok(())
}

/// The operator's prefix; an empty setting is the default.
pub fn key_prefix(text: &str) -> Result<KeyPrefix, InvalidPrefix> {
    KeyPrefix::parse(given(text).unwrap_or(DEFAULT_KEY_PREFIX))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GOOD: &str = "b2f7c1d09e6a48358fd2c4e17ab0936d";

    #[test]
    fn a_secret_has_one_way_in_and_an_empty_one_counts_as_none() {
        let file = Path::new("/run/secrets/pepper");
        assert_eq!(source(Some(" x \n"), None), Ok(Source::Value("x")));
        assert_eq!(source(None, Some(file)), Ok(Source::File(file)));
        assert_eq!(source(Some(""), Some(file)), Ok(Source::File(file)));
        assert_eq!(source(Some("x"), Some(Path::new(""))), Ok(Source::Value("x")));
        assert_eq!(source(Some("x"), Some(file)), Err(BadSecret::Twice));
        assert_eq!(source(Some(" "), Some(Path::new(""))), Err(BadSecret::Missing));
        assert_eq!(from_file("\n"), Err(BadSecret::Empty));
    }

    #[test]
    fn weak_secrets_are_refused() {
        assert_eq!(require_strong(GOOD, SHORTEST_SECRET), Ok(()));
        assert_eq!(
            require_strong(&GOOD[1..], SHORTEST_SECRET),
            Err(BadSecret::Short { has: 31, least: SHORTEST_SECRET })
        );
        for sample in [
            &"a".repeat(64),
            &"abcdefg".repeat(5),
            "Change-Me-please-change-me-please-cm",
            "0123456789abcdef0123456789abcdef",
            "an example of a secret with 40 characters",
        ] {
            assert_eq!(require_strong(sample, SHORTEST_SECRET), Err(BadSecret::Sample), "{sample}");
        }
        // What a provider gives is shorter, and not of the operator's making.
        assert_eq!(require_strong("sk-local", 8), Ok(()));
    }

    #[test]
    fn a_prefix_is_trimmed_and_has_a_default() {
        assert_eq!(key_prefix(" sk-srt-\n").unwrap().as_str(), "sk-srt-");
        assert_eq!(key_prefix("").unwrap().as_str(), DEFAULT_KEY_PREFIX);
        assert!(key_prefix("SK").is_err());
    }

    proptest! {
        #[test]
        fn by_value_or_by_file_a_secret_is_the_same(text in "\\PC{0,60}", before in "[ \t\r\n]{0,3}", after in "[ \t\r\n]{0,3}") {
            let around = format!("{before}{text}{after}");
            let value = match source(Some(&around), None) {
                Ok(Source::Value(value)) => Some(value),
                _ => None,
            };
            prop_assert_eq!(value, from_file(&around).ok());
        }
    }
}
