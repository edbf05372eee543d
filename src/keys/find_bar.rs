//! Search, shortcuts, filters, columns, saved views: everything above the list. Forms and links only.

use leptos::prelude::*;

use super::{ColumnView, FinderView, SavedViewRow, SelectView, TabView};
use crate::ui::{Icon, IconName, SubmitButton};

/// What the list is asked for, and how to ask for something else.
#[component]
pub fn FindBar(
    /// The account's part of the address.
    slug: String,
    /// Search and filters.
    finder: FinderView,
    /// The columns to choose from.
    columns: Vec<ColumnView>,
    /// Whether rows are low.
    compact: bool,
    /// How many keys match.
    count_text: String,
) -> impl IntoView {
    let keys = format!("/a/{slug}/keys");
    let FinderView { search, tabs, selects, active, order, filters, query, saved } = finder;
    let carried = [filters, order.clone()].concat();
    view! {
        <div class="find">
            <Search keys=keys.clone() search=search.clone() carried />
            <Filters keys=keys.clone() selects search order />
            <ColumnMenu keys=keys.clone() columns compact query=query.clone() />
            <ViewMenu keys saved query />
        </div>
        <Active active />
        <div class="find-line">
            <Tabs tabs />
            <p class="find-count number">{count_text}</p>
        </div>
    }
    .into_any()
}

/// A POST, so that a pasted secret ends in no address.
#[component]
fn Search(keys: String, search: String, carried: Vec<(String, String)>) -> impl IntoView {
    view! {
        <form class="find-search" role="search" method="post" action=format!("{keys}/find")>
            <Carried pairs=carried />
            <label class="sr-only" for="q">
                "Search name, note, id or last four characters, or paste a key"
            </label>
            <input
                class="input"
                type="search"
                id="q"
                name="q"
                value=search
                placeholder="Search name, note, id, last 4, or paste a key…"
                autocomplete="off"
                autocapitalize="off"
                spellcheck="false"
                maxlength="200"
            />
            <SubmitButton>"Search"</SubmitButton>
        </form>
    }
    .into_any()
}

/// Parameters that a form keeps as they are.
#[component]
fn Carried(pairs: Vec<(String, String)>) -> impl IntoView {
    pairs
        .into_iter()
        .map(|(name, value)| view! { <input type="hidden" name=name value=value /> })
        .collect_view()
}

#[component]
fn Menu(label: &'static str, children: Children) -> impl IntoView {
    view! {
        <details class="find-menu">
            <summary class="btn btn-plain">{label}</summary>
            <div class="find-panel panel">{children()}</div>
        </details>
    }
    .into_any()
}

#[component]
fn Filters(
    keys: String,
    selects: Vec<SelectView>,
    search: String,
    order: Vec<(String, String)>,
) -> impl IntoView {
    let selects = selects.into_iter().map(|select| view! { <Select select /> }).collect_view();
    view! {
        <Menu label="Filters">
            <form class="find-form" method="get" action=keys>
                {(!search.is_empty()).then(|| view! { <input type="hidden" name="q" value=search /> })}
                <Carried pairs=order />
                {selects}
                <SubmitButton>"Apply filters"</SubmitButton>
            </form>
        </Menu>
    }
    .into_any()
}

#[component]
fn Select(select: SelectView) -> impl IntoView {
    let SelectView { name, label, options, value } = select;
    let id = format!("filter-{name}");
    let options = options
        .into_iter()
        .map(|(option, words)| {
            let selected = option == value;
            view! {
                <option value=option selected=selected>
                    {words}
                </option>
            }
        })
        .collect_view();
    view! {
        <div class="find-field">
            <label class="field-label" for=id.clone()>
                {label}
            </label>
            <select class="input" id=id name=name>
                {options}
            </select>
        </div>
    }
    .into_any()
}

/// The filters in force; each is a link to the list without it.
#[component]
fn Active(active: Vec<(String, String)>) -> impl IntoView {
    let links = active
        .into_iter()
        .map(|(says, href)| {
            view! {
                <li>
                    <a class="chip" href=href>
                        {says}
                        <Icon name=IconName::X />
                        <span class="sr-only">"(clear this filter)"</span>
                    </a>
                </li>
            }
        })
        .collect::<Vec<_>>();
    (!links.is_empty()).then(|| {
        view! {
            <ul class="chips" aria-label="Filters in force">
                {links}
            </ul>
        }
    })
}

#[component]
fn Tabs(tabs: Vec<TabView>) -> impl IntoView {
    let tabs = tabs
        .into_iter()
        .map(|tab| {
            view! {
                <a class="filter" href=tab.href aria-current=tab.current.then_some("page")>
                    {tab.label}
                    {tab.count.map(|count| view! { <span class="filter-count number">{count}</span> })}
                </a>
            }
        })
        .collect_view();
    view! {
        <nav class="filters" aria-label="Filter by status">
            {tabs}
        </nav>
    }
    .into_any()
}

#[component]
fn ColumnMenu(keys: String, columns: Vec<ColumnView>, compact: bool, query: String) -> impl IntoView {
    let boxes = columns
        .into_iter()
        .map(|column| {
            let id = format!("column-{}", column.id);
            view! {
                <div class="find-check">
                    <input type="checkbox" id=id.clone() name="column" value=column.id checked=column.shown />
                    <label for=id>{column.label}</label>
                </div>
            }
        })
        .collect_view();
    view! {
        <Menu label="Columns">
            <form class="find-form" method="post" action=format!("{keys}/columns")>
                <input type="hidden" name="query" value=query />
                <fieldset class="find-boxes">
                    <legend class="field-label">"Columns"</legend>
                    {boxes}
                </fieldset>
                <div class="find-check">
                    <input type="checkbox" id="density" name="density" value="compact" checked=compact />
                    <label for="density">"Compact rows"</label>
                </div>
                <SubmitButton>"Show these columns"</SubmitButton>
            </form>
        </Menu>
    }
    .into_any()
}

#[component]
fn ViewMenu(keys: String, saved: Vec<SavedViewRow>, query: String) -> impl IntoView {
    let action = format!("{keys}/views");
    let rows = saved
        .into_iter()
        .map(|saved| {
            view! {
                <li class="find-view">
                    <a class="link" href=saved.href>
                        {saved.name.clone()}
                    </a>
                    <button
                        type="submit"
                        class="btn btn-ghost btn-icon"
                        name="forget"
                        value=saved.id
                        aria-label=format!("Forget the view {}", saved.name)
                    >
                        <Icon name=IconName::X />
                    </button>
                </li>
            }
        })
        .collect::<Vec<_>>();
    let some = !rows.is_empty();
    view! {
        <Menu label="Saved views">
            {some
                .then(|| {
                    view! {
                        <form method="post" action=action.clone()>
                            <input type="hidden" name="query" value=query.clone() />
                            <ul class="find-views" aria-label="Saved views">
                                {rows}
                            </ul>
                        </form>
                    }
                })}
            <form class="find-form" method="post" action=action>
                <input type="hidden" name="query" value=query />
                <div class="find-field">
                    <label class="field-label" for="view-name">
                        "Save what is shown as"
                    </label>
                    <input class="input" id="view-name" name="name" maxlength="60" autocomplete="off" required />
                </div>
                <SubmitButton>"Save view"</SubmitButton>
            </form>
        </Menu>
    }
    .into_any()
}
