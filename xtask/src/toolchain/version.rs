//! Version numbers as programs print them.

use std::fmt;

/// Major, minor and patch; a missing part is 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(u32, u32, u32);

impl Version {
    pub const fn new(major: u32, minor: u32) -> Self {
        Self(major, minor, 0)
    }

    /// The first thing in `text` that looks like one: `rustc 1.96.0 (…)`, `v20.20.2`, `postgres (…) 15.18`.
    pub fn in_text(text: &str) -> Option<Self> {
        text.split([' ', '\n', '(', ')']).find_map(|word| Self::parse(word.trim_start_matches('v')))
    }

    fn parse(word: &str) -> Option<Self> {
        // What follows a hyphen or plus is no number: 1.98.0-nightly.
        let numbers = word.split(['-', '+']).next()?;
        let mut parts = numbers.split('.').map(str::parse::<u32>);
        let (major, minor) = (parts.next()?.ok()?, parts.next()?.ok()?);
        Some(Self(major, minor, parts.next().and_then(Result::ok).unwrap_or(0)))
    }

    pub fn major(self) -> u32 {
        self.0
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_found_in_what_programs_print() {
        let told = |text| Version::in_text(text).map(|v| v.to_string()).unwrap_or_default();
        assert_eq!(told("rustc 1.96.0 (ac68faa20 2026-06-01) (built from a source tarball)"), "1.96.0");
        assert_eq!(told("rustc 1.98.0-nightly (1a2b 2026-07-01)"), "1.98.0");
        assert_eq!(told("v20.20.2"), "20.20.2");
        assert_eq!(told("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)"), "15.18.0");
        assert_eq!(told("command not found"), "");
    }

    #[test]
    fn versions_compare_by_number_not_by_text() {
        assert!(Version::in_text("1.100.0") > Version::in_text("1.96.0"));
        assert!(Version::new(1, 94) <= Version(1, 94, 0));
    }
}
