//! The list of keys: what its address asks for, and what the page shows of it.

use domain::key_query::{Expiry, Idle, KeyQuery, Named, Page, Sort, StateFilter};
use store::keys::{self, COUNTED, Choices, GroupChoice, Hits, ListedKey, Tally};
use store::saved_views::{self, SavedView};
use store::{TenantTx, gateways, models};

use super::columns::{self, Columns};
use super::rows::{account_view, list_row, owner_text};
use crate::error::AppError;
use crate::keys::{FinderView, KeysView, PagerView, SavedViewRow, SelectView, TabView};
use crate::server::session::Role;
use crate::server::{receipt, respond_as, text};

const PAGE: usize = 50;

pub(in crate::keys) async fn load_keys(slug: String, address: String) -> Result<KeysView, AppError> {
    respond_as("load_keys", slug, Role::Viewer, async move |member| {
        let state = &member.visit.state;
        let query = parse(&address);
        let mut tx = TenantTx::begin(&state.pool, member.membership.account_id).await?;
        let tally = keys::tally(&mut tx).await?;
        let hits = keys::find_page(&mut tx, &query, PAGE).await?;
        let rows = keys::list_by_ids(&mut tx, &hits.keys).await?;
        let choices = keys::list_choices(&mut tx).await?;
        let groups = keys::list_groups(&mut tx).await?;
        let saved = saved_views::list(&mut tx, member.viewer.user).await?;
        let found = match &query.key {
            Some(public_id) => keys::find_by_public_id(&mut tx, public_id).await?,
            None => None,
        };
        tx.commit().await?;
        let live = gateways::list_live(&state.pool, receipt::SILENT_AFTER_SECONDS).await?;
        let any_keys = tally.active + tally.revoked > 0;
        // Only the page that teaches shows one.
        let example_model = if any_keys { None } else { models::find_example(&state.pool).await? };
        let shown = Columns::parse(member.visit.cookie(columns::COOKIE).unwrap_or_default());
        let list = Addresses { slug: &member.membership.slug };
        Ok(KeysView {
            account: account_view(&member),
            pager: list.pager(&query, &hits, &rows),
            heads: shown.heads(&query, |query| list.of(query)),
            columns: shown.choices(),
            compact: shown.compact,
            finder: list.finder(&query, tally, &choices, &groups, &saved),
            count_text: keys_text(hits.matching),
            found: found.map(|owner| owner_text(&owner)),
            rows: rows.iter().map(|row| list_row(row, state.config.credits)).collect(),
            any_keys,
            gateway_url: state.config.gateway_base_url(),
            live_gateways: u32::try_from(live.len()).unwrap_or(u32::MAX),
            example_model,
            flash: member.visit.take_flash(),
        })
    })
    .await
}

/// Reads what follows the `?` of the list's address.
pub(super) fn parse(address: &str) -> KeyQuery {
    let parameters: Vec<_> = form_urlencoded::parse(address.as_bytes()).into_owned().collect();
    KeyQuery::parse(parameters.iter().map(|(name, value)| (name.as_str(), value.as_str())))
}

/// Writes what [`parse`] reads.
pub(super) fn print(query: &KeyQuery) -> String {
    form_urlencoded::Serializer::new(String::new()).extend_pairs(query.parameters()).finish()
}

fn count_text(count: i64) -> String {
    if count > COUNTED { format!("{}+", text::count(COUNTED)) } else { text::count(count) }
}

fn keys_text(count: i64) -> String {
    if count == 1 { "1 key".to_owned() } else { format!("{} keys", count_text(count)) }
}

/// The addresses of one account's list.
struct Addresses<'a> {
    slug: &'a str,
}

impl Addresses<'_> {
    fn of(&self, query: &KeyQuery) -> String {
        let parameters = print(query);
        let path = format!("/a/{}/keys", self.slug);
        if parameters.is_empty() { path } else { format!("{path}?{parameters}") }
    }

    fn pager(&self, query: &KeyQuery, hits: &Hits, rows: &[ListedKey]) -> PagerView {
        let at = |row: Option<&ListedKey>, page: fn(domain::key_query::Cursor) -> Page| {
            row.map(|row| self.of(&KeyQuery { page: page(row.cursor(query.sort)), ..query.clone() }))
        };
        let whole = |page: Page| Some(self.of(&KeyQuery { page, ..query.clone() }));
        PagerView {
            first: whole(Page::First).filter(|_| hits.before),
            previous: at(rows.first(), Page::Before).filter(|_| hits.before),
            next: at(rows.last(), Page::After).filter(|_| hits.after),
            last: whole(Page::Last).filter(|_| hits.after),
        }
    }

    fn finder(
        &self,
        query: &KeyQuery,
        tally: Tally,
        choices: &Choices,
        groups: &[GroupChoice],
        saved: &[SavedView],
    ) -> FinderView {
        let selects = selects(query, choices, groups);
        let active = query.filters().into_iter().map(|(name, value)| {
            let without = self.of(&query.without(name));
            (says(&selects, name, &value), without)
        });
        let owned = |pairs: Vec<(&'static str, String)>| -> Vec<(String, String)> {
            pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
        };
        let first = query.first_page();
        let order =
            first.parameters().into_iter().filter(|(name, _)| matches!(*name, "sort" | "order")).collect();
        FinderView {
            search: query.search.clone(),
            tabs: self.tabs(query, tally),
            active: active.collect(),
            order: owned(order),
            filters: owned(query.filters()),
            query: print(&first),
            saved: saved.iter().map(|view| self.saved(view)).collect(),
            selects,
        }
    }

    fn saved(&self, view: &SavedView) -> SavedViewRow {
        SavedViewRow { id: view.id.to_string(), name: view.name.clone(), href: self.of(&parse(&view.query)) }
    }

    fn tabs(&self, query: &KeyQuery, tally: Tally) -> Vec<TabView> {
        let state = |state: StateFilter| KeyQuery { state, ..KeyQuery::default() };
        let idle = KeyQuery { idle: Some(Idle::Quarter), ..KeyQuery::default() };
        let now =
            KeyQuery { search: String::new(), sort: Sort::default(), reversed: false, ..query.first_page() };
        [
            ("Active", state(StateFilter::Active), Some(tally.active)),
            ("Near limit", state(StateFilter::NearLimit), Some(tally.near_limit)),
            ("Expiring", state(StateFilter::Expiring), Some(tally.expiring)),
            ("Idle 90 days", idle, Some(tally.idle)),
            ("Revoked", state(StateFilter::Revoked), Some(tally.revoked)),
            ("All", state(StateFilter::All), None),
        ]
        .into_iter()
        .map(|(label, to, count)| TabView {
            label: label.to_owned(),
            current: to == now,
            href: self.of(&to),
            count: count.map(count_text),
        })
        .collect()
    }
}

/// What a filter in force says: `Group: team 7`.
fn says(selects: &[SelectView], name: &str, value: &str) -> String {
    let Some(select) = selects.iter().find(|select| select.name == name) else {
        return format!("Key: {value}");
    };
    let words = select.options.iter().find(|(option, _)| option == value).map_or(value, |(_, words)| words);
    format!("{}: {words}", select.label)
}

fn selects(query: &KeyQuery, choices: &Choices, groups: &[GroupChoice]) -> Vec<SelectView> {
    let value_of = |name: &str| {
        let filters = query.filters();
        filters.into_iter().find(|(own, _)| *own == name).map(|(_, value)| value).unwrap_or_default()
    };
    let select = |name: &str, label: &str, any: &str, options: Vec<(String, String)>| {
        let value = value_of(name);
        let mut all = vec![(String::new(), any.to_owned())];
        all.extend(options);
        // What an address asks for can be chosen, even if nothing has it any more.
        if all.iter().all(|(option, _)| *option != value) {
            all.push((value.clone(), value.clone()));
        }
        SelectView { name: name.to_owned(), label: label.to_owned(), options: all, value }
    };
    let named = |none: &str, names: &[String]| {
        let mut options = vec![(Named::NONE.to_owned(), none.to_owned())];
        options.extend(names.iter().map(|name| (name.clone(), name.clone())));
        options
    };
    let pair = |value: &str, words: &str| (value.to_owned(), words.to_owned());
    let states = StateFilter::ALL.into_iter().filter(|state| *state != StateFilter::default());
    let yes_or_no = |yes: &str, no: &str| vec![pair("yes", yes), pair("no", no)];
    vec![
        select(
            "status",
            "Status",
            "Active",
            states.map(|state| pair(state.as_str(), state.label())).collect(),
        ),
        select(
            "group",
            "Group",
            "Any",
            groups.iter().map(|group| (group.id.to_string(), group.name.clone())).collect(),
        ),
        select("env", "Environment", "Any", named("None", &choices.environments)),
        select("model", "Model", "Any", named("Unlimited", &choices.models)),
        select("permission", "Permission", "Any", named("All permissions", &choices.permissions)),
        select(
            "expires",
            "Expires",
            "Any time",
            Expiry::ALL.iter().map(|e| pair(e.as_str(), e.label())).collect(),
        ),
        select(
            "idle",
            "Use",
            "Any",
            Idle::ALL.iter().map(|idle| pair(idle.as_str(), idle.label())).collect(),
        ),
        select("ip", "IP restriction", "Any", yes_or_no("Restricted", "Unlimited")),
        select("limits", "Limits", "Any", yes_or_no("With a limit", "No limit")),
        select(
            "by",
            "Created by",
            "Anybody",
            choices.people.iter().map(|(id, email)| (id.to_string(), email.clone())).collect(),
        ),
    ]
}
