//! The API key as the console shows it: its name, its status, the state derived from it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

/// What a person or a job has decided about a key. `expired` and `exhausted` are not statuses: they follow from
/// the clock and the counters ([`KeyState`]).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "sqlx", derive(sqlx::Type))]
#[cfg_attr(feature = "sqlx", sqlx(type_name = "text", rename_all = "lowercase"))]
#[serde(rename_all = "lowercase")]
pub enum KeyStatus {
    /// Works.
    Enabled,
    /// Switched off; can be switched on again.
    Disabled,
    /// Off for good. The row stays.
    Revoked,
    /// Off for good and out of every list; its usage stays in reports.
    Deleted,
}

impl KeyStatus {
    /// The word stored and shown.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Enabled => "enabled",
            Self::Disabled => "disabled",
            Self::Revoked => "revoked",
            Self::Deleted => "deleted",
        }
    }

    /// Whether a person may move a key from `self` to `to`. Nothing comes back from revoked or deleted.
    pub fn may_become(self, to: Self) -> bool {
        match self {
            Self::Enabled | Self::Disabled => true,
            Self::Revoked => to == Self::Deleted,
            Self::Deleted => false,
        }
    }
}

/// What is known of a key beside its status.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Signs {
    /// When it ends; `None` is never.
    pub expires_at: Option<OffsetDateTime>,
    /// How much of its fullest limit is used, per mille.
    pub share_used: i16,
    /// How much of the last 24 hours' requests was refused, per mille.
    pub share_refused: i16,
    /// It was refused for its rate lately.
    pub rate_limited: bool,
}

impl Signs {
    /// From here on, in per mille of a limit, a key is near it.
    pub const NEAR_LIMIT: i16 = 800;
    /// From here on, in per mille of its requests, a key is rejecting.
    pub const REJECTING: i16 = 100;
    /// So long before its end a key is expiring.
    pub const EXPIRING: time::Duration = time::Duration::DAY;
}

/// The status together with what the clock and the counters say: the gravest that is true. Ordered by gravity; the
/// numbers are those of `key_state` in the database.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[repr(i16)]
pub enum KeyState {
    /// Enabled and usable.
    Operational = 0,
    /// Ends within 24 hours.
    Expiring = 1,
    /// More than four fifths of a limit are used.
    NearLimit = 2,
    /// Refused lately for its rate.
    RateLimited = 3,
    /// More than a tenth of its requests were refused.
    Rejecting = 4,
    /// A limit is used up.
    Exhausted = 5,
    /// Past its expiry.
    Expired = 6,
    /// Switched off.
    Disabled = 7,
    /// Revoked (or deleted).
    Revoked = 8,
}

impl KeyState {
    /// The state of a key with `status` and `signs` at the moment `now`.
    pub fn of(status: KeyStatus, signs: Signs, now: OffsetDateTime) -> Self {
        let ends_by = |moment: OffsetDateTime| signs.expires_at.is_some_and(|end| end <= moment);
        match status {
            KeyStatus::Revoked | KeyStatus::Deleted => Self::Revoked,
            KeyStatus::Disabled => Self::Disabled,
            KeyStatus::Enabled if ends_by(now) => Self::Expired,
            KeyStatus::Enabled if signs.share_used >= 1_000 => Self::Exhausted,
            KeyStatus::Enabled if signs.share_refused > Signs::REJECTING => Self::Rejecting,
            KeyStatus::Enabled if signs.rate_limited => Self::RateLimited,
            KeyStatus::Enabled if signs.share_used > Signs::NEAR_LIMIT => Self::NearLimit,
            KeyStatus::Enabled if ends_by(now.saturating_add(Signs::EXPIRING)) => Self::Expiring,
            KeyStatus::Enabled => Self::Operational,
        }
    }

    /// The state in the console's words.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Operational => "Operational",
            Self::Expiring => "Expiring soon",
            Self::NearLimit => "Near limit",
            Self::RateLimited => "Rate limited",
            Self::Rejecting => "Rejecting",
            Self::Exhausted => "Exhausted",
            Self::Expired => "Expired",
            Self::Disabled => "Disabled",
            Self::Revoked => "Revoked",
        }
    }
}

/// A key's name: 1 to 100 characters after trimming, no control characters.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "sqlx", derive(sqlx::Type))]
#[cfg_attr(feature = "sqlx", sqlx(transparent))]
pub struct KeyName(String);

/// Why a name was refused. The texts are for the person who typed it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum KeyNameError {
    /// Nothing but spaces.
    #[error("Give the key a name, such as what will use it")]
    Empty,
    /// More than 100 characters.
    #[error("A name has at most 100 characters")]
    TooLong,
    /// A control or invisible formatting character, which could make two names look alike.
    #[error("A name cannot contain control or invisible characters")]
    Invisible,
}

impl KeyName {
    /// Reads what a person typed; runs of white space become one space.
    pub fn parse(text: &str) -> Result<Self, KeyNameError> {
        let name = text.split_whitespace().collect::<Vec<_>>().join(" ");
        if name.is_empty() {
            return Err(KeyNameError::Empty);
        }
        if name.chars().count() > 100 {
            return Err(KeyNameError::TooLong);
        }
        if name.chars().any(is_invisible) {
            return Err(KeyNameError::Invisible);
        }
        Ok(Self(name))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Why a note or an environment was refused. The texts are for the person who typed it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum LabelError {
    /// More than this many characters.
    #[error("At most {0} characters fit here")]
    TooLong(usize),
    /// A control or invisible formatting character.
    #[error("Control and invisible characters cannot stand here")]
    Invisible,
}

/// Reads a note: at most 500 characters, line breaks among them.
pub fn parse_note(text: &str) -> Result<String, LabelError> {
    let note = text.trim();
    if note.chars().count() > 500 {
        return Err(LabelError::TooLong(500));
    }
    if note.chars().any(|c| c != '\n' && is_invisible(c)) {
        Err(LabelError::Invisible)
    } else {
        Ok(note.to_owned())
    }
}

/// Reads the name of an environment: at most 40 characters; an empty text is none.
pub fn parse_environment(text: &str) -> Result<Option<String>, LabelError> {
    let name = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if name.chars().count() > 40 {
        return Err(LabelError::TooLong(40));
    }
    if name.chars().any(is_invisible) {
        Err(LabelError::Invisible)
    } else {
        Ok(Some(name).filter(|name| !name.is_empty()))
    }
}

/// Control characters, zero-width ones and bidirectional overrides (Unicode's Cc and the Cf that hide or reorder).
fn is_invisible(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

impl fmt::Display for KeyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for KeyName {
    type Err = KeyNameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[test]
    fn names() {
        assert_eq!(KeyName::parse("  build \t bot ").unwrap().as_str(), "build bot");
        assert!(KeyName::parse("Über-Bot 🤖").is_ok());
        assert_eq!(KeyName::parse(" \n "), Err(KeyNameError::Empty));
        assert_eq!(KeyName::parse(&"x".repeat(101)), Err(KeyNameError::TooLong));
        assert!(KeyName::parse(&"ü".repeat(100)).is_ok());
        for hidden in ["a\u{0}b", "a\u{202e}b", "a\u{200b}b", "\u{feff}a"] {
            assert_eq!(KeyName::parse(hidden), Err(KeyNameError::Invisible));
        }
    }

    #[test]
    fn notes_and_environments() {
        assert_eq!(parse_note(" CI\nfor the web ").unwrap(), "CI\nfor the web");
        assert_eq!(parse_note(&"x".repeat(501)), Err(LabelError::TooLong(500)));
        assert_eq!(parse_note("a\u{202e}b"), Err(LabelError::Invisible));
        assert_eq!(parse_environment("  ").unwrap(), None);
        assert_eq!(parse_environment(" pre  production ").unwrap().as_deref(), Some("pre production"));
        assert_eq!(parse_environment(&"x".repeat(41)), Err(LabelError::TooLong(40)));
    }

    #[test]
    fn nothing_comes_back_from_revoked() {
        use KeyStatus::{Deleted, Disabled, Enabled, Revoked};
        assert!(Enabled.may_become(Disabled) && Disabled.may_become(Enabled) && Disabled.may_become(Revoked));
        assert!(!Revoked.may_become(Enabled) && !Revoked.may_become(Disabled) && Revoked.may_become(Deleted));
        assert!(!Deleted.may_become(Revoked));
    }

    #[test]
    fn a_key_expires_at_its_instant() {
        let end = datetime!(2026-11-21 12:00 UTC);
        let of = |status, now| KeyState::of(status, Signs { expires_at: Some(end), ..Signs::default() }, now);
        let (second, day) = (time::Duration::SECOND, time::Duration::DAY);
        assert_eq!(of(KeyStatus::Enabled, end - day - second), KeyState::Operational);
        assert_eq!(of(KeyStatus::Enabled, end - day), KeyState::Expiring);
        assert_eq!(of(KeyStatus::Enabled, end - second), KeyState::Expiring);
        assert_eq!(of(KeyStatus::Enabled, end), KeyState::Expired);
        assert_eq!(of(KeyStatus::Disabled, end), KeyState::Disabled);
    }

    #[test]
    fn the_gravest_state_is_shown() {
        let now = datetime!(2026-11-21 12:00 UTC);
        let all = Signs { expires_at: Some(now), share_used: 1_000, share_refused: 101, rate_limited: true };
        let of = |signs| KeyState::of(KeyStatus::Enabled, signs, now);
        assert_eq!(of(all), KeyState::Expired);
        let soon = Signs { expires_at: Some(now + time::Duration::HOUR), ..all };
        assert_eq!(of(soon), KeyState::Exhausted);
        assert_eq!(of(Signs { share_used: 999, ..soon }), KeyState::Rejecting);
        assert_eq!(of(Signs { share_used: 999, share_refused: 100, ..soon }), KeyState::RateLimited);
        let near = Signs { share_used: 801, share_refused: 100, rate_limited: false, ..soon };
        assert_eq!(of(near), KeyState::NearLimit);
        assert_eq!(of(Signs { share_used: 800, ..near }), KeyState::Expiring);
        assert!(KeyState::Revoked > KeyState::Expired && KeyState::Expiring > KeyState::Operational);
    }
}
