//! `/a/{slug}/keys/{id}`: one key, its limits, its requests, what was done to it.

use leptos::prelude::*;
use leptos::server_fn::ServerFn;
use leptos_router::hooks::{use_params_map, use_query_map};

use super::key_page_overview::Overview;
use super::key_page_requests::{Events, Requests};
use super::key_switch::KeySwitch;
use super::{
    EndRotation, KeyPart, KeyRow, KeyStatus, KeyTab, KeyView, RetiringSecret, UndoRotation, load_key,
};
use crate::page::{PageTitle, loaded};
use crate::ui::{
    ButtonLook, CopyButton, Frame, Icon, IconName, LinkButton, Note, PageHead, SubmitButton, TimeAgo, Tone,
};

/// One key.
#[component]
pub fn KeyPage() -> impl IntoView {
    let params = use_params_map().read_untracked().clone();
    let query = use_query_map().read_untracked().clone();
    let (slug, key) = (params.get("slug").unwrap_or_default(), params.get("id").unwrap_or_default());
    let tab = KeyTab::parse(&query.get("tab").unwrap_or_default());
    let before = query.get("before").unwrap_or_default();
    loaded(load_key(slug, key, tab, before), |view| view! { <Key view /> })
}

#[component]
fn Key(view: KeyView) -> impl IntoView {
    let KeyView { account, key, note, retiring, part, flash } = view;
    let (slug, name) = (account.slug.clone(), key.name.clone());
    let keys = format!("/a/{slug}/keys");
    let live = matches!(key.status, KeyStatus::Enabled | KeyStatus::Disabled);
    let may_act = account.may_edit && live;
    let here = match &part {
        KeyPart::Overview { .. } => KeyTab::Overview,
        KeyPart::Requests { .. } => KeyTab::Requests,
        KeyPart::Audit { .. } => KeyTab::Audit,
    };
    let refused = flash.error.map(|error| view! { <Note tone=Tone::Bad>{error.to_string()}</Note> });
    let address = format!("{keys}/{}", key.id);
    let actions = account.may_edit.then(|| view! { <Actions address=address.clone() live /> });
    let rotation =
        retiring.map(|secret| view! { <Rotation slug=slug.clone() key=key.id.clone() row_version=key.row_version secret may_act /> });
    view! {
        <PageTitle text=format!("{name} - {}", account.name) />
        <Frame account notice=flash.notice>
            <a class="crumb" href=keys>
                <Icon name=IconName::ArrowLeft />
                "API keys"
            </a>
            <PageHead title=name>{actions}</PageHead>
            {refused}
            <Facts slug=slug.clone() key note may_act />
            {rotation}
            <Tabs address here />
            {match part {
                KeyPart::Overview { limits, facts } => view! { <Overview limits facts /> }.into_any(),
                KeyPart::Requests { served, refused, older } => {
                    view! { <Requests served refused older /> }.into_any()
                }
                KeyPart::Audit { events } => view! { <Events events /> }.into_any(),
            }}
        </Frame>
    }
    .into_any()
}

#[component]
fn Actions(address: String, live: bool) -> impl IntoView {
    view! {
        {live
            .then(|| {
                view! {
                    <LinkButton href=format!("{address}/edit") look=ButtonLook::Primary>
                        "Edit"
                    </LinkButton>
                    <LinkButton href=format!("{address}/rotate")>"Rotate"</LinkButton>
                    <LinkButton href=format!("{address}/revoke")>"Revoke"</LinkButton>
                }
            })}
        <LinkButton href=format!("{address}/delete")>"Delete"</LinkButton>
    }
}

/// The line under the name: state, mask, use.
#[component]
fn Facts(slug: String, key: KeyRow, note: String, may_act: bool) -> impl IntoView {
    let state = if may_act {
        view! {
            <KeySwitch
                slug
                id=key.id
                name=key.name.clone()
                enabled=key.status == KeyStatus::Enabled
                words=key.state_text
                row_version=key.row_version
            />
        }
        .into_any()
    } else {
        view! { <span class="state">{key.state_text}</span> }.into_any()
    };
    view! {
        {(!note.is_empty()).then(|| view! { <p class="page-lead key-note">{note}</p> })}
        <div class="key-facts">
            {state}
            <span class="cell-key">
                <code class="mono">{key.mask}</code>
                <CopyButton
                    label=format!("Copy the public id of {}", key.name)
                    from=String::new()
                    text=key.public_id
                    wide=false
                />
            </span>
            <span>
                "Last used " <TimeAgo iso=key.last_used_iso text=key.last_used_text />
            </span>
            <span>
                <span class="number">{key.requests_text}</span> " requests, " <span class="number">{key.cost_text}</span>
            </span>
        </div>
    }
}

/// Two secrets live: how the older one is used, and the two ways out.
#[component]
fn Rotation(
    slug: String,
    key: String,
    row_version: i64,
    secret: RetiringSecret,
    may_act: bool,
) -> impl IntoView {
    let form = move |action: &'static str, words: &'static str, slug: String, key: String| {
        view! {
            <form method="post" action=action>
                <input type="hidden" name="slug" value=slug />
                <input type="hidden" name="key" value=key />
                <input type="hidden" name="row_version" value=row_version.to_string() />
                <SubmitButton>{words}</SubmitButton>
            </form>
        }
    };
    view! {
        <section class="panel rotation" aria-labelledby="rotation-title">
            <div>
                <h2 class="section-title" id="rotation-title">
                    "Rotation under way"
                </h2>
                <p>
                    "The old secret " <code class="mono">{secret.mask}</code> " stops "
                    <TimeAgo iso=Some(secret.ends_iso) text=secret.ends_text exact=secret.ends_exact /> "."
                </p>
                <p class=if secret.in_use { "rotation-used" } else { "meta" }>{secret.use_text} "."</p>
            </div>
            {may_act
                .then(|| {
                    view! {
                        <div class="actions">
                            {form(EndRotation::PATH, "End now", slug.clone(), key.clone())}
                            {form(UndoRotation::PATH, "Undo", slug, key)}
                        </div>
                    }
                })}
        </section>
    }
}

#[component]
fn Tabs(address: String, here: KeyTab) -> impl IntoView {
    let tabs = [(KeyTab::Overview, "Overview"), (KeyTab::Requests, "Requests"), (KeyTab::Audit, "Audit")];
    let links = tabs.map(|(tab, words)| {
        view! {
            <a
                class="filter"
                href=format!("{address}?tab={}", tab.as_str())
                aria-current=(tab == here).then_some("page")
            >
                {words}
            </a>
        }
    });
    view! {
        <nav class="filters" aria-label="Parts of this key">
            {links.collect_view()}
        </nav>
    }
}
