//! Which columns a person has chosen to see, remembered in a cookie. It is no secret and decides nothing, so it is not
//! signed; what it says that means nothing is left out.

use domain::key_query::{KeyQuery, Sort};

use crate::keys::{ColumnView, HeadView};

/// The cookie. It holds the hidden columns, and `compact` where rows are to be low, parted by points.
pub(super) const COOKIE: &str = "__Host-keys-view";
/// A year.
pub(super) const KEPT_SECONDS: i64 = 365 * 86_400;
const COMPACT: &str = "compact";

struct Column {
    id: &'static str,
    label: &'static str,
    sort: Option<Sort>,
    /// Whether it can be hidden.
    optional: bool,
    /// Whether it is hidden until somebody asks for it.
    extra: bool,
}

const fn column(id: &'static str, label: &'static str, sort: Option<Sort>) -> Column {
    Column { id, label, sort, optional: true, extra: false }
}

#[rustfmt::skip]
const COLUMNS: [Column; 15] = [
    Column { optional: false, ..column("name", "Name", Some(Sort::Name)) },
    column("environment", "Environment", None),
    Column { optional: false, ..column("status", "Status", Some(Sort::State)) },
    column("quota", "Remaining", Some(Sort::Share)),
    column("group", "Group", None),
    column("key", "Key", None),
    column("models", "Models", None),
    column("ips", "IPs", None),
    Column { extra: true, ..column("permissions", "Permissions", None) },
    column("created", "Created", Some(Sort::Created)),
    column("used", "Last used", Some(Sort::Used)),
    column("expires", "Expires", Some(Sort::Expires)),
    Column { extra: true, ..column("requests", "Requests", None) },
    Column { extra: true, ..column("cost", "Cost", None) },
    Column { optional: false, ..column("actions", "Actions", None) },
];

/// What is shown of a row, and how high it is.
pub(super) struct Columns {
    hidden: Vec<&'static str>,
    /// Whether rows are low.
    pub(super) compact: bool,
}

impl Columns {
    /// Reads the cookie; without one the columns that few need are hidden.
    pub(super) fn parse(cookie: &str) -> Self {
        let words: Vec<&str> = cookie.split('.').collect();
        let hides = |column: &&Column| {
            column.optional && if cookie.is_empty() { column.extra } else { words.contains(&column.id) }
        };
        let hidden = COLUMNS.iter().filter(hides).map(|column| column.id).collect();
        Self { hidden, compact: words.contains(&COMPACT) }
    }

    /// From a posted form: `column` for each one to be shown, and `density`.
    pub(super) fn posted(fields: &[(String, String)]) -> Self {
        let says = |name: &str, value: &str| fields.iter().any(|(own, is)| own == name && is == value);
        let hides = |column: &&Column| column.optional && !says("column", column.id);
        let hidden = COLUMNS.iter().filter(hides).map(|column| column.id).collect();
        Self { hidden, compact: says("density", COMPACT) }
    }

    /// The cookie that [`Columns::parse`] reads; never empty, for that is "as usual".
    pub(super) fn cookie(&self) -> String {
        let density = if self.compact { COMPACT } else { "comfortable" };
        [&[density], self.hidden.as_slice()].concat().join(".")
    }

    /// The heads of the columns that are shown.
    pub(super) fn heads(&self, query: &KeyQuery, address: impl Fn(&KeyQuery) -> String) -> Vec<HeadView> {
        let way = if query.is_descending() { "descending" } else { "ascending" };
        let shown = COLUMNS.iter().filter(|column| !self.hidden.contains(&column.id));
        shown
            .map(|column| HeadView {
                id: column.id.to_owned(),
                label: column.label.to_owned(),
                href: column.sort.map(|sort| address(&query.sorted_by(sort))),
                sorted: (column.sort == Some(query.sort)).then(|| way.to_owned()),
            })
            .collect()
    }

    /// The columns that can be hidden.
    pub(super) fn choices(&self) -> Vec<ColumnView> {
        let optional = COLUMNS.iter().filter(|column| column.optional);
        optional
            .map(|column| ColumnView {
                id: column.id.to_owned(),
                label: column.label.to_owned(),
                shown: !self.hidden.contains(&column.id),
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_choice_is_read_back_and_some_columns_cannot_be_hidden() {
        let fields = [("column", "group"), ("column", "cost"), ("density", "compact")];
        let fields: Vec<_> = fields.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        let again = Columns::parse(&Columns::posted(&fields).cookie());
        let ids = |columns: &Columns| {
            columns
                .heads(&KeyQuery::default(), |_| String::new())
                .into_iter()
                .map(|head| head.id)
                .collect::<Vec<_>>()
        };
        assert_eq!(ids(&again), ["name", "status", "group", "cost", "actions"]);
        assert!(again.compact);
        let usual = Columns::parse("");
        assert!(!ids(&usual).contains(&"cost".to_owned()) && ids(&usual).contains(&"ips".to_owned()));
        assert_eq!(ids(&Columns::parse("comfortable.name.<script>.ips")).len(), COLUMNS.len() - 1);
    }
}
