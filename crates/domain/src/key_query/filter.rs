//! What narrows the list of keys.

use crate::key::KeyState;

/// In which state. States overlap where a key is in several: one that is near its limit and ends within the day is found
/// under both, though the list shows the graver one.
///
/// A state whose data comes later (a retiring secret, a legacy key) gets a variant here, a condition in the store, a
/// word in `label`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum StateFilter {
    /// Enabled or disabled: what is not revoked.
    #[default]
    Active,
    /// Everything, revoked keys too.
    All,
    /// Enabled, with nothing to say about it.
    Operational,
    /// Switched off.
    Disabled,
    /// Ends within 24 hours.
    Expiring,
    /// Past its end.
    Expired,
    /// More than four fifths of a limit are used.
    NearLimit,
    /// A limit is used up.
    Exhausted,
    /// Refused lately for its rate.
    RateLimited,
    /// More than a tenth of its requests of the last day were refused.
    Rejecting,
    /// Revoked.
    Revoked,
}

impl StateFilter {
    /// Every one, in the order they are offered.
    pub const ALL: [Self; 11] = [
        Self::Active,
        Self::Operational,
        Self::Expiring,
        Self::NearLimit,
        Self::RateLimited,
        Self::Rejecting,
        Self::Exhausted,
        Self::Expired,
        Self::Disabled,
        Self::Revoked,
        Self::All,
    ];

    /// The word in addresses.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::All => "all",
            Self::Operational => "operational",
            Self::Disabled => "disabled",
            Self::Expiring => "expiring",
            Self::Expired => "expired",
            Self::NearLimit => "near-limit",
            Self::Exhausted => "exhausted",
            Self::RateLimited => "rate-limited",
            Self::Rejecting => "rejecting",
            Self::Revoked => "revoked",
        }
    }

    /// The words for people.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Active => "Active",
            Self::All => "All",
            Self::Operational => KeyState::Operational.words(),
            Self::Disabled => KeyState::Disabled.words(),
            Self::Expiring => KeyState::Expiring.words(),
            Self::Expired => KeyState::Expired.words(),
            Self::NearLimit => KeyState::NearLimit.words(),
            Self::Exhausted => KeyState::Exhausted.words(),
            Self::RateLimited => KeyState::RateLimited.words(),
            Self::Rejecting => KeyState::Rejecting.words(),
            Self::Revoked => KeyState::Revoked.words(),
        }
    }

    /// Reads the word of an address.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }
}

/// One of many by its name, or those that name none.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Named {
    /// Those without: no environment, any model, every permission.
    None,
    /// This one.
    One(String),
}

impl Named {
    /// Names are never longer.
    const LONGEST: usize = 200;
    /// In addresses: those without.
    pub const NONE: &str = "-";

    /// Reads an address's text; an empty one is no filter.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "" => None,
            Self::NONE => Some(Self::None),
            name if name.chars().count() > Self::LONGEST || name.chars().any(char::is_control) => None,
            name => Some(Self::One(name.to_owned())),
        }
    }

    /// The text in addresses.
    pub fn to_text(&self) -> String {
        match self {
            Self::None => Self::NONE.to_owned(),
            Self::One(name) => name.clone(),
        }
    }
}

/// An enumeration with a word in addresses and words for people.
macro_rules! choice {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal, $label:literal;)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)+
        }

        impl $name {
            /// Every one, in the order they are offered.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// The word in addresses.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }

            /// The words for people.
            pub const fn label(self) -> &'static str {
                match self { $(Self::$variant => $label,)+ }
            }

            /// Reads the word of an address.
            pub fn parse(text: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|one| one.as_str() == text)
            }
        }
    };
}

choice! {
    /// When a key ends.
    Expiry {
        /// It does not.
        Never = "never", "Never expires";
        /// Within 24 hours.
        Day = "24h", "Within 24 hours";
        /// Within 7 days.
        Week = "7d", "Within 7 days";
        /// Within 30 days.
        Month = "30d", "Within 30 days";
        /// It has ended.
        Past = "past", "Past";
    }
}

choice! {
    /// For how long nobody has used a key that is at least as old.
    Idle {
        /// 30 days.
        Month = "30", "Idle 30 days";
        /// 90 days.
        Quarter = "90", "Idle 90 days";
    }
}

impl Idle {
    /// As a number of days.
    pub const fn days(self) -> i32 {
        match self {
            Self::Month => 30,
            Self::Quarter => 90,
        }
    }
}
