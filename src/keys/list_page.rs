//! `/a/{slug}/keys`: the list, and what it shows when there is nothing to list.

use leptos::prelude::*;
use leptos_router::hooks::{use_location, use_params_map};

use super::find_bar::FindBar;
use super::key_table::KeyTable;
use super::revoke_dialog::RevokeDialog;
use super::{FinderView, KeysView, PagerView, load_keys, quick_start};
use crate::page::{PageTitle, loaded};
use crate::ui::{ButtonLook, Frame, Icon, IconName, LinkButton, Note, PageHead, Snippets, Tone};

/// The keys of an account.
#[component]
pub fn KeyListPage() -> impl IntoView {
    let slug = use_params_map().read_untracked().get("slug").unwrap_or_default();
    let query = use_location().search.get_untracked();
    loaded(load_keys(slug, query), |view| view! { <KeyList view /> })
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
            {view.found.clone().map(|text| view! { <Note tone=Tone::Info>{text}</Note> })}
            <Keys view />
        </Frame>
    }
}

#[component]
fn Keys(view: KeysView) -> impl IntoView {
    if !view.any_keys {
        return view! { <NoKeysYet view /> }.into_any();
    }
    let KeysView { account, rows, finder, heads, columns, compact, pager, count_text, .. } = view;
    let (slug, may_edit) = (account.slug, account.may_edit);
    let list = if rows.is_empty() {
        view! { <NoMatch slug=slug.clone() finder=finder.clone() /> }.into_any()
    } else {
        view! { <KeyTable slug=slug.clone() may_edit rows heads compact /> }.into_any()
    };
    view! {
        <FindBar slug=slug.clone() finder columns compact count_text />
        {list}
        <Pager pager />
        {may_edit.then(|| view! { <RevokeDialog slug /> })}
    }
    .into_any()
}

#[component]
fn Pager(pager: PagerView) -> impl IntoView {
    let link = |href: Option<String>, label: &'static str| {
        href.map(|href| view! { <LinkButton href>{label}</LinkButton> })
    };
    let any = pager != PagerView::default();
    any.then(|| {
        view! {
            <nav class="pager" aria-label="Pages">
                {link(pager.first, "First")}
                {link(pager.previous, "Previous")}
                {link(pager.next, "Next")}
                {link(pager.last, "Last")}
            </nav>
        }
        .into_any()
    })
}

/// The account has keys, the list as it is asked for shows none of them.
#[component]
fn NoMatch(slug: String, finder: FinderView) -> impl IntoView {
    let searched = Some(finder.search).filter(|search| !search.is_empty());
    let filters: Vec<String> = finder.active.into_iter().map(|(says, _)| says).collect();
    let title = match searched {
        Some(search) => format!("No key matches “{search}”"),
        None => "No key matches".to_owned(),
    };
    let words = if filters.is_empty() {
        "The words must begin words of a key’s name or note, or be its public id or its last four characters."
            .to_owned()
    } else {
        format!("Filtered by {}.", filters.join(", "))
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
    .into_any()
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
