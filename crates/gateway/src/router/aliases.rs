//! Prefixes that stand for `/v1`, for clients whose base URL cannot be changed.

/// More are a mistake.
const MAX: usize = 16;
const MAX_LENGTH: usize = 200;

/// Checked prefixes, such as `/api/openai/v1`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Aliases(Vec<Box<str>>);

/// Why a list of prefixes cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AliasError {
    /// More than any service needs.
    #[error("has more than {MAX} prefixes")]
    TooMany,
    /// Not a prefix of a path as it is written in a request.
    #[error(
        "'{0}' is no prefix such as /api/openai/v1 (it begins with a slash, does not end with one, and has letters, \
         digits, '-', '_', '.' and '~' between them)"
    )]
    NotAPrefix(String),
    /// It would hide a path of the gateway's own.
    #[error("'{0}' is a path of the gateway itself")]
    Taken(String),
}

impl Aliases {
    /// Reads a list separated by commas; empty is none.
    pub fn parse(list: &str) -> Result<Self, AliasError> {
        let prefixes = list.split(',').map(str::trim).filter(|prefix| !prefix.is_empty());
        let mut aliases: Vec<Box<str>> = Vec::new();
        for prefix in prefixes {
            if !is_prefix(prefix) {
                return Err(AliasError::NotAPrefix(prefix.to_owned()));
            }
            let first = prefix.split('/').nth(1).unwrap_or_default();
            if matches!(first, "v1" | "healthz" | "readyz") {
                return Err(AliasError::Taken(prefix.to_owned()));
            }
            if !aliases.iter().any(|other| **other == *prefix) {
                aliases.push(prefix.into());
            }
        }
        if aliases.len() > MAX { Err(AliasError::TooMany) } else { Ok(Self(aliases)) }
    }

    /// What of `path` stands below `base` or one of its aliases, compared byte by byte.
    pub(super) fn below<'p>(&self, base: &'static str, path: &'p str) -> impl Iterator<Item = &'p str> {
        let bases = std::iter::once(base).chain(self.0.iter().map(|alias| &**alias));
        bases.filter_map(move |base| path.strip_prefix(base).filter(|below| below.starts_with('/')))
    }
}

fn is_prefix(text: &str) -> bool {
    let Some(rest) = text.strip_prefix('/') else { return false };
    let is_segment = |segment: &str| {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
        !matches!(segment, "" | "." | "..") && segment.bytes().all(plain)
    };
    text.len() <= MAX_LENGTH && rest.split('/').all(is_segment)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_prefixes_are_taken() {
        assert_eq!(Aliases::parse("").unwrap(), Aliases::default());
        let two = Aliases::parse(" /api/openai/v1, /proxy,/proxy,").unwrap();
        assert_eq!(two.0.iter().map(|alias| &**alias).collect::<Vec<_>>(), ["/api/openai/v1", "/proxy"]);
        for wrong in ["api", "/", "/api/", "/a//b", "/a/../b", "/a b", "/a%2Fb", "/a?x", "/ä", "/a;b"] {
            assert!(matches!(Aliases::parse(wrong), Err(AliasError::NotAPrefix(_))), "{wrong}");
        }
        for taken in ["/v1", "/v1/models", "/healthz"] {
            assert!(matches!(Aliases::parse(taken), Err(AliasError::Taken(_))), "{taken}");
        }
        let many: Vec<String> = (0..17).map(|n| format!("/p{n}")).collect();
        assert_eq!(Aliases::parse(&many.join(",")), Err(AliasError::TooMany));
    }
}
