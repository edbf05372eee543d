//! `/a/{slug}/keys`: the list, and what it shows when there is nothing to list.

use leptos::prelude::*;
use leptos_router::hooks::{use_params_map, use_query_map};

use super::key_table::KeyTable;
use super::revoke_dialog::RevokeDialog;
use super::{KeyFilter, KeysView, load_keys, quick_start};
use crate::page::{PageTitle, loaded};
use crate::ui::{ButtonLook, Frame, Icon, IconName, LinkButton, Note, PageHead, Snippets, Tone};

/// The keys of an account.
#[component]
pub fn KeyListPage() -> impl IntoView {
    let slug = use_params_map().read_untracked().get("slug").unwrap_or_default();
    let query = use_query_map().read_untracked().clone();
    let filter = KeyFilter::parse(&query.get("status").unwrap_or_default());
    let after = query.get("after").unwrap_or_default();
    loaded(load_keys(slug, filter, after), |view| view! { <KeyList view /> })
}

#[component]
fn KeyList(view: KeysView) -> impl IntoView {
    let account = view.account.clone();
    let new_key = format!("/a/{}/keys/new", account.slug);
    let may_create = account.may_edit && view.any_keys;
    let refused = view.flash.error.as_ref().map(ToString::to_string);
    let notice = view.flash.notice.clone();
    view! {
        <PageTitle text=format!("API keys - {}", account.name) />
        <Frame account notice live_gateways=view.live_gateways>
            <PageHead title="API keys">
                {may_create
                    .then(|| {
                        view! {
                            <LinkButton href=new_key look=ButtonLook::Primary icon=IconName::Plus>
                                "Create an API key"
                            </LinkButton>
                        }
                    })}
            </PageHead>
            {refused.map(|text| view! { <Note tone=Tone::Bad>{text}</Note> })}
            <Keys view />
        </Frame>
    }
}

#[component]
fn Keys(view: KeysView) -> impl IntoView {
    if !view.any_keys {
        return view! { <NoKeysYet view /> }.into_any();
    }
    let KeysView { account, rows, filter, active_count, revoked_count, next_page, .. } = view;
    let (slug, may_edit) = (account.slug, account.may_edit);
    let list = if rows.is_empty() {
        view! { <NoMatch slug=slug.clone() filter /> }.into_any()
    } else {
        view! { <KeyTable slug=slug.clone() may_edit rows /> }.into_any()
    };
    view! {
        <Filters slug=slug.clone() filter active_count revoked_count />
        {list}
        {next_page
            .map(|href| {
                view! {
                    <nav class="pager" aria-label="Pages">
                        <LinkButton href>"Older keys"</LinkButton>
                    </nav>
                }
            })}
        {may_edit.then(|| view! { <RevokeDialog slug /> })}
    }
    .into_any()
}

#[component]
fn Filters(slug: String, filter: KeyFilter, active_count: String, revoked_count: String) -> impl IntoView {
    let link = move |to: KeyFilter, label: &'static str, count: Option<String>| {
        view! {
            <a
                class="filter"
                href=format!("/a/{slug}/keys?status={}", to.as_str())
                aria-current=(to == filter).then_some("page")
            >
                {label}
                {count.map(|count| view! { <span class="filter-count number">{count}</span> })}
            </a>
        }
    };
    view! {
        <nav class="filters" aria-label="Filter by status">
            {link(KeyFilter::Active, "Active", Some(active_count))}
            {link(KeyFilter::Revoked, "Revoked", Some(revoked_count))}
            {link(KeyFilter::All, "All", None)}
        </nav>
    }
}

/// The account has keys, the filter shows none of them.
#[component]
fn NoMatch(slug: String, filter: KeyFilter) -> impl IntoView {
    let (title, words) = match filter {
        KeyFilter::Active => ("No active keys", "Every key of this account is revoked."),
        KeyFilter::Revoked => ("No revoked keys", "Keys you revoke are kept here with their usage."),
        KeyFilter::All => ("No more keys", "This page lies behind the last key."),
    };
    view! {
        <div class="panel empty-small">
            <Icon name=IconName::SearchX />
            <p class="empty-title">{title}</p>
            <p class="page-lead">{words}</p>
            <a class="link" href=format!("/a/{slug}/keys?status=all")>
                "Show all keys"
            </a>
        </div>
    }
}

/// The first visit: what a key is for, how a call looks, one button.
#[component]
fn NoKeysYet(view: KeysView) -> impl IntoView {
    let href = format!("/a/{}/keys/new", view.account.slug);
    let start = if view.account.may_edit {
        view! {
            <div class="actions">
                <LinkButton href look=ButtonLook::Primary icon=IconName::Plus>
                    "Create an API key"
                </LinkButton>
            </div>
        }
        .into_any()
    } else {
        view! { <p class="page-lead">"An owner, admin or developer of this account can create one."</p> }
            .into_any()
    };
    view! {
        <section class="panel empty" aria-labelledby="empty-title">
            <div>
                <h2 class="empty-title" id="empty-title">
                    "Create your first key"
                </h2>
                <p class="page-lead">
                    "Give it a name, store the secret, and point any OpenAI client at "
                    <code class="value mono">{view.gateway_url.clone()}</code> "."
                </p>
            </div>
            {start}
            <Snippets
                id="first-call"
                label="Example call"
                snippets=quick_start::calls(&view.gateway_url, None, view.example_model.as_deref())
            />
        </section>
    }
}
