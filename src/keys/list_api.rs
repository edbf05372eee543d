//! What the list of keys shows. Texts are ready to show, addresses ready to follow.

use leptos::prelude::*;
use serde::{Deserialize, Serialize};

use super::{AccountView, KeyRow};
use crate::auth::Flash;
use crate::error::AppError;

/// What `/a/{slug}/keys` shows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeysView {
    /// The account and the viewer.
    pub account: AccountView,
    /// The keys of the page.
    pub rows: Vec<ListRow>,
    /// How they were asked for, and how else they can be.
    pub finder: FinderView,
    /// The heads of the columns that are shown.
    pub heads: Vec<HeadView>,
    /// Which columns there are to choose from.
    pub columns: Vec<ColumnView>,
    /// Whether rows are low.
    pub compact: bool,
    /// Where the other pages are.
    pub pager: PagerView,
    /// How many keys match: `128 keys`, `1 000+ keys`.
    pub count_text: String,
    /// Whose secret was pasted: `This is build-bot, revoked 3 May 2026, 10:00 UTC.`
    pub found: Option<String>,
    /// Whether the account has any key at all; if not, the page teaches.
    pub any_keys: bool,
    /// Where clients send requests, with `/v1`: `http://localhost:8080/v1`.
    pub gateway_url: String,
    /// Gateways heard in the last 30 seconds; 0 is worth a banner.
    pub live_gateways: u32,
    /// A model to try a key with; `None` while the operator has set up none, and where there are keys already.
    pub example_model: Option<String>,
    /// What the last post led to.
    pub flash: Flash,
}

/// One row of the list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListRow {
    /// What every page shows of a key.
    pub key: KeyRow,
    /// How its state looks.
    pub look: StateLook,
    /// What its maker says of it; empty is nothing.
    pub note: String,
    /// Its environment.
    pub environment: Option<String>,
    /// Its group.
    pub group: String,
    /// Its limits, cost first; none is unlimited.
    pub limits: Vec<LimitView>,
    /// Its requests a minute: `600/min`.
    pub rate: Option<String>,
    /// The models it may use: how many, and which.
    pub models: Restriction,
    /// What it may do.
    pub permissions: Restriction,
    /// From where it may be used.
    pub addresses: Restriction,
    /// Who made it.
    pub maker: Option<String>,
    /// From where it was used last.
    pub last_address: Option<String>,
    /// Its end, RFC 3339 in UTC; `None` is never.
    pub expires_iso: Option<String>,
    /// Its end to show: `in 12 days`, `Never expires`.
    pub expires_text: String,
}

/// How a state looks beside its words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum StateLook {
    /// All is well.
    Good,
    /// Somebody should look.
    Warn,
    /// It does not work.
    Bad,
    /// Somebody has switched it off.
    Off,
}

/// What of a limit is left.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LimitView {
    /// What it counts: `Cost`, `Tokens`.
    pub name: String,
    /// What is left of how much: `37 200 000 of 50 000 000 credits left`.
    pub text: String,
    /// The same in another unit: `$74.40 of $100.00`.
    pub equivalent: Option<String>,
    /// How much is left, per mille.
    pub left: i16,
    /// When it starts anew: `resets in 9 days`.
    pub reset: Option<String>,
}

/// What a key is restricted to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restriction {
    /// `Unlimited`, the only entry, or how many there are.
    pub text: String,
    /// All entries where there are several.
    pub list: Vec<String>,
}

/// A shortcut above the list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TabView {
    /// Its words.
    pub label: String,
    /// Where it leads.
    pub href: String,
    /// How many keys are there.
    pub count: Option<String>,
    /// Whether it is what is shown.
    pub current: bool,
}

/// Search and filters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FinderView {
    /// The words that are searched for.
    pub search: String,
    /// The shortcuts.
    pub tabs: Vec<TabView>,
    /// What can be filtered by.
    pub selects: Vec<SelectView>,
    /// The filters in force: what each says, and where the list without it is.
    pub active: Vec<(String, String)>,
    /// The parameters of the address that are not filters (the order), which the forms carry along.
    pub order: Vec<(String, String)>,
    /// The filters in force as parameters, which the search carries along.
    pub filters: Vec<(String, String)>,
    /// Everything but the page, as it stands in the address.
    pub query: String,
    /// The viewer's named queries.
    pub saved: Vec<SavedViewRow>,
}

/// A filter with its choices.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SelectView {
    /// The parameter.
    pub name: String,
    /// What it filters by.
    pub label: String,
    /// Value and words of each choice; an empty value is no filter.
    pub options: Vec<(String, String)>,
    /// The value in force.
    pub value: String,
}

/// A named query.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedViewRow {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Where it leads.
    pub href: String,
}

/// A column's head.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeadView {
    /// Which column.
    pub id: String,
    /// Its words.
    pub label: String,
    /// Where the list ordered by it is, if it can be.
    pub href: Option<String>,
    /// Whether the list is ordered by it: `ascending`, `descending`.
    pub sorted: Option<String>,
}

/// A column that can be hidden.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ColumnView {
    /// Which.
    pub id: String,
    /// Its words.
    pub label: String,
    /// Whether it is shown.
    pub shown: bool,
}

/// Where the other pages of the list are; `None` where there is none that way.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PagerView {
    /// The first page.
    pub first: Option<String>,
    /// The page before.
    pub previous: Option<String>,
    /// The page after.
    pub next: Option<String>,
    /// The last page.
    pub last: Option<String>,
}

/// The list. `query` is what follows the `?` of its address; what it says that means nothing is left out.
#[server]
pub async fn load_keys(slug: String, query: String) -> Result<KeysView, AppError> {
    super::server::load_keys(slug, query).await
}
