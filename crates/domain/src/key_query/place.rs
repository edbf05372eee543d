//! The order of the list of keys, and where in it a page begins.

use time::OffsetDateTime;

use crate::KeyId;

/// What the list is ordered by. Equal ones follow each other by their id.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Sort {
    /// By name.
    Name,
    /// When they were made.
    #[default]
    Created,
    /// When they were used last.
    Used,
    /// When they end.
    Expires,
    /// By state, the gravest first.
    State,
    /// By the share of their fullest limit that is used.
    Share,
}

impl Sort {
    /// Every one.
    pub const ALL: [Self; 6] =
        [Self::Name, Self::Created, Self::Used, Self::Expires, Self::State, Self::Share];

    /// The word in addresses.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::Created => "created",
            Self::Used => "used",
            Self::Expires => "expires",
            Self::State => "status",
            Self::Share => "share",
        }
    }

    /// Reads the word of an address.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|sort| sort.as_str() == text)
    }

    /// Whether one wants to see the greatest first: the newest, the fullest, the gravest, but names from A and ends
    /// from the next one.
    pub const fn usual_descending(self) -> bool {
        !matches!(self, Self::Name | Self::Expires)
    }
}

/// A key's place in the order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Cursor {
    /// What it is ordered by.
    pub value: CursorValue,
    /// Which of those that are equal in that.
    pub id: KeyId,
}

/// What a key is ordered by.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum CursorValue {
    /// Its name in lower case.
    Name(String),
    /// When; `None` is never.
    Moment(Option<OffsetDateTime>),
    /// State or share.
    Number(i16),
}

impl Cursor {
    /// Reads what `Display` wrote, for a list in the order of `sort`.
    pub fn parse(sort: Sort, text: &str) -> Option<Self> {
        let (id, value) = text.split_once('.')?;
        let value = match sort {
            Sort::Name => (value.chars().count() <= 100 && !value.contains('\0'))
                .then(|| value.to_owned())
                .map(CursorValue::Name)?,
            Sort::Created | Sort::Used | Sort::Expires if value == "never" => CursorValue::Moment(None),
            Sort::Created | Sort::Used | Sort::Expires => {
                let nanoseconds = value.parse::<i64>().ok().map(|micros| i128::from(micros) * 1_000)?;
                let moment = OffsetDateTime::from_unix_timestamp_nanos(nanoseconds).ok();
                // What a database holds, and a key can have.
                CursorValue::Moment(Some(moment.filter(|moment| (1..=9_999).contains(&moment.year()))?))
            }
            Sort::State | Sort::Share => CursorValue::Number(value.parse().ok()?),
        };
        Some(Self { value, id: id.parse().ok()? })
    }
}

impl std::fmt::Display for Cursor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.", self.id)?;
        match &self.value {
            CursorValue::Name(name) => f.write_str(name),
            CursorValue::Moment(None) => f.write_str("never"),
            CursorValue::Moment(Some(at)) => write!(f, "{}", at.unix_timestamp_nanos() / 1_000),
            CursorValue::Number(number) => write!(f, "{number}"),
        }
    }
}

/// Which part of the list is shown.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Page {
    /// Its beginning.
    #[default]
    First,
    /// What follows a key.
    After(Cursor),
    /// What comes before a key, nearest to it.
    Before(Cursor),
    /// Its end.
    Last,
}

impl Page {
    /// From the three parameters an address can name a page by.
    pub(super) fn parse(sort: Sort, after: &str, before: &str, page: &str) -> Self {
        if page == "last" {
            return Self::Last;
        }
        if let Some(cursor) = Cursor::parse(sort, after) {
            return Self::After(cursor);
        }
        Cursor::parse(sort, before).map_or(Self::First, Self::Before)
    }

    /// The parameter that names it.
    pub(super) fn parameter(&self) -> Option<(&'static str, String)> {
        match self {
            Self::First => None,
            Self::After(cursor) => Some(("after", cursor.to_string())),
            Self::Before(cursor) => Some(("before", cursor.to_string())),
            Self::Last => Some(("page", "last".to_owned())),
        }
    }

    /// Whether the rows are read from the end of the list towards its beginning.
    pub const fn is_backwards(&self) -> bool {
        matches!(self, Self::Before(_) | Self::Last)
    }

    /// The key the page begins or ends beside.
    pub const fn cursor(&self) -> Option<&Cursor> {
        match self {
            Self::After(cursor) | Self::Before(cursor) => Some(cursor),
            Self::First | Self::Last => None,
        }
    }
}
