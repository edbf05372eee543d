//! What the list of keys is asked for: words, filters, order, page. Read from an address and written back into one; what
//! an address says that means nothing is as if it said nothing.

mod filter;
mod place;

use crate::{GroupId, UserId};

pub use filter::{Expiry, Idle, Named, StateFilter};
pub use place::{Cursor, CursorValue, Page, Sort};

/// The longest text that is searched for, in characters.
const LONGEST: usize = 200;

/// One question to the list of keys. The default asks for the newest keys that are not revoked.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct KeyQuery {
    /// Words: each must begin a word of the key's name or note, its public id or its last four characters.
    pub search: String,
    /// The public id of the one key that is meant, whatever its state.
    pub key: Option<String>,
    /// In which state.
    pub state: StateFilter,
    /// Of which group.
    pub group: Option<GroupId>,
    /// Of which environment.
    pub environment: Option<Named>,
    /// Restricted to which models.
    pub model: Option<Named>,
    /// Restricted to which permissions.
    pub permission: Option<Named>,
    /// Whether restricted to addresses.
    pub addresses: Option<bool>,
    /// When it ends.
    pub expiry: Option<Expiry>,
    /// For how long nobody has used it.
    pub idle: Option<Idle>,
    /// Whether it has a limit of any kind.
    pub limits: Option<bool>,
    /// Who made it.
    pub creator: Option<UserId>,
    /// In which order.
    pub sort: Sort,
    /// The other way round than [`Sort::usual_descending`] says.
    pub reversed: bool,
    /// Which page.
    pub page: Page,
}

impl KeyQuery {
    /// Reads the parameters of an address. Of several with one name the last counts.
    pub fn parse<'a>(parameters: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let mut query = Self::default();
        let (mut after, mut before, mut page) = ("", "", "");
        for (name, value) in parameters {
            match name {
                "q" => query.search = clean(value),
                "key" => query.key = public_id(value),
                "status" => query.state = StateFilter::parse(value).unwrap_or_default(),
                "group" => query.group = value.parse().ok(),
                "env" => query.environment = Named::parse(value),
                "model" => query.model = Named::parse(value),
                "permission" => query.permission = Named::parse(value),
                "ip" => query.addresses = yes_or_no(value),
                "expires" => query.expiry = Expiry::parse(value),
                "idle" => query.idle = Idle::parse(value),
                "limits" => query.limits = yes_or_no(value),
                "by" => query.creator = value.parse().ok(),
                "sort" => query.sort = Sort::parse(value).unwrap_or_default(),
                "order" => query.reversed = value == "reversed",
                "after" => after = value,
                "before" => before = value,
                "page" => page = value,
                _ => {}
            }
        }
        query.page = Page::parse(query.sort, after, before, page);
        query
    }

    /// The parameters [`KeyQuery::parse`] reads this from; what is as usual is left out.
    pub fn parameters(&self) -> Vec<(&'static str, String)> {
        let mut all = self.filters();
        if !self.search.is_empty() {
            all.insert(0, ("q", self.search.clone()));
        }
        if self.sort != Sort::default() {
            all.push(("sort", self.sort.as_str().to_owned()));
        }
        if self.reversed {
            all.push(("order", "reversed".to_owned()));
        }
        all.extend(self.page.parameter());
        all
    }

    /// The filters among the parameters: each can be taken away by itself.
    pub fn filters(&self) -> Vec<(&'static str, String)> {
        let word = |yes: bool| if yes { "yes" } else { "no" }.to_owned();
        let state = Some(self.state).filter(|state| *state != StateFilter::default());
        [
            ("key", self.key.clone()),
            ("status", state.map(|state| state.as_str().to_owned())),
            ("group", self.group.map(|group| group.to_string())),
            ("env", self.environment.as_ref().map(Named::to_text)),
            ("model", self.model.as_ref().map(Named::to_text)),
            ("permission", self.permission.as_ref().map(Named::to_text)),
            ("ip", self.addresses.map(word)),
            ("expires", self.expiry.map(|expiry| expiry.as_str().to_owned())),
            ("idle", self.idle.map(|idle| idle.as_str().to_owned())),
            ("limits", self.limits.map(word)),
            ("by", self.creator.map(|creator| creator.to_string())),
        ]
        .into_iter()
        .filter_map(|(name, value)| value.map(|value| (name, value)))
        .collect()
    }

    /// The same question without one of its parameters, from its first page on.
    #[must_use]
    pub fn without(&self, name: &str) -> Self {
        let kept = self.first_page().parameters();
        Self::parse(kept.iter().filter(|(own, _)| *own != name).map(|(own, value)| (*own, value.as_str())))
    }

    /// The same question, its first page.
    #[must_use]
    pub fn first_page(&self) -> Self {
        Self { page: Page::First, ..self.clone() }
    }

    /// The same question in another order; asked for the order it has already, that one reversed.
    #[must_use]
    pub fn sorted_by(&self, sort: Sort) -> Self {
        let reversed = self.sort == sort && !self.reversed;
        Self { sort, reversed, ..self.first_page() }
    }

    /// Whether the first row is the one with the greatest value.
    pub const fn is_descending(&self) -> bool {
        self.sort.usual_descending() != self.reversed
    }

    /// Whether anything narrows the list.
    pub fn is_narrowed(&self) -> bool {
        !self.search.is_empty() || !self.filters().is_empty()
    }
}

/// What was typed, without what no word contains. Of a mask such as `sk-lk-••••9f3K` its end is meant.
fn clean(text: &str) -> String {
    let end = text.rsplit('•').next().unwrap_or_default();
    end.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(LONGEST)
        .collect::<String>()
        .trim()
        .to_owned()
}

fn public_id(text: &str) -> Option<String> {
    let possible = (4..=40).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric());
    possible.then(|| text.to_owned())
}

fn yes_or_no(text: &str) -> Option<bool> {
    match text {
        "yes" => Some(true),
        "no" => Some(false),
        _ => None,
    }
}

/// Whether a text looks like the secret of some service, which has no place in an address, a log or a history: one long
/// run of letters and digits, as no name has it.
pub fn looks_like_secret(text: &str) -> bool {
    const SHORTEST: usize = 24;
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let is_mixed =
        |run: &&str| run.bytes().any(|b| b.is_ascii_digit()) && run.bytes().any(|b| b.is_ascii_alphabetic());
    text.split(|c| !is_part(c)).filter(is_mixed).any(|run| run.len() >= SHORTEST)
}

#[cfg(test)]
mod tests;
