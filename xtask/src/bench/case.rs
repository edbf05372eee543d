//! What is measured: which load, on which targets.

use std::fmt;

/// One kind of load.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Case {
    Plain,
    Stream,
    Long,
    UnknownKey,
    RevokedKey,
    /// At a rate that keeps nobody busy.
    PlainCalm,
    /// At 70 % of what the slowest target takes.
    PlainBusy,
    PacedStream,
}

/// How fast requests come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// As fast as they are answered.
    Closed,
    Calm,
    Busy,
}

impl Case {
    /// In the order in which they run. The first one says how fast "busy" is.
    pub const ALL: [Self; 8] = [
        Self::Plain,
        Self::Stream,
        Self::Long,
        Self::UnknownKey,
        Self::RevokedKey,
        Self::PlainCalm,
        Self::PlainBusy,
        Self::PacedStream,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Stream => "stream",
            Self::Long => "100 kB prompt",
            Self::UnknownKey => "unknown key",
            Self::RevokedKey => "revoked key",
            Self::PlainCalm => "plain, 50/s",
            Self::PlainBusy => "plain, busy",
            Self::PacedStream => "paced stream, 50/s",
        }
    }

    /// The load generator's word for it.
    pub fn kind(self) -> &'static str {
        match self {
            Self::Stream => "stream",
            Self::Long => "long",
            Self::PacedStream => "paced",
            _ => "plain",
        }
    }

    pub fn pace(self) -> Pace {
        match self {
            Self::PlainCalm | Self::PacedStream => Pace::Calm,
            Self::PlainBusy => Pace::Busy,
            _ => Pace::Closed,
        }
    }

    /// The gateway answers these itself; a proxy without keys has nothing of the kind.
    pub fn is_refusal(self) -> bool {
        matches!(self, Self::UnknownKey | Self::RevokedKey)
    }

    /// What the proxies do that a refusal is compared with.
    pub fn compared_with(self) -> Self {
        if self.is_refusal() { Self::Plain } else { self }
    }

    pub fn expected_status(self) -> u16 {
        if self.is_refusal() { 401 } else { 200 }
    }
}

/// Who answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Target {
    /// The upstream itself.
    Direct,
    Nginx,
    Floor,
    /// The gateway, keys without rules and limits.
    Bare,
    /// The gateway, every rule and limit.
    Full,
    /// A gateway that knows a million keys, all of them in use.
    Million,
}

impl Target {
    pub fn is_gateway(self) -> bool {
        matches!(self, Self::Bare | Self::Full | Self::Million)
    }

    /// Refusals do not depend on what other keys may do.
    pub fn runs(self, case: Case) -> bool {
        !case.is_refusal() || matches!(self, Self::Bare | Self::Million)
    }

    /// Whose secrets are sent.
    pub fn secrets(self, case: Case) -> &'static str {
        match (case, self) {
            (Case::UnknownKey, _) => "unknown.secrets",
            (Case::RevokedKey, _) => "revoked.secrets",
            (_, Self::Full) => "full.secrets",
            _ => "bare.secrets",
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Direct => "direct",
            Self::Nginx => "nginx",
            Self::Floor => "floor",
            Self::Bare => "gateway, no limits",
            Self::Full => "gateway, every rule and limit",
            Self::Million => "gateway, 1 000 000 keys",
        })
    }
}
