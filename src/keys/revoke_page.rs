//! `/a/{slug}/keys/{id}/revoke`: the question before revoking, as a page of its own.

use leptos::prelude::*;
use leptos::server_fn::ServerFn;
use leptos_router::hooks::use_params_map;

use super::revoke_facts::RevokeFacts;
use super::{KeyStatus, RevokeKey, RevokeView, load_revoke};
use crate::page::{PageTitle, loaded};
use crate::ui::{ButtonLook, Frame, Icon, IconName, LinkButton, Note, PageHead, SubmitButton, Tone};

/// Asks whether to revoke.
#[component]
pub fn RevokeKeyPage() -> impl IntoView {
    let params = use_params_map().read_untracked().clone();
    let (slug, key) = (params.get("slug").unwrap_or_default(), params.get("id").unwrap_or_default());
    loaded(load_revoke(slug, key), |view| view! { <Revoke view /> })
}

#[component]
fn Revoke(view: RevokeView) -> impl IntoView {
    let RevokeView { account, key, flash } = view;
    let keys = format!("/a/{}/keys", account.slug);
    let slug = account.slug.clone();
    let revoked = key.status == KeyStatus::Revoked;
    let title = if revoked { format!("{} is revoked", key.name) } else { format!("Revoke {}?", key.name) };
    view! {
        <PageTitle text=format!("Revoke {} - {}", key.name, account.name) />
        <Frame account narrow=true notice=flash.notice>
            <a class="crumb" href=keys.clone()>
                <Icon name=IconName::ArrowLeft />
                "API keys"
            </a>
            <PageHead title />
            {flash.error.map(|error| view! { <Note tone=Tone::Bad>{error.to_string()}</Note> })}
            <p class="page-lead">
                <code class="mono">{key.mask}</code> ", last used: " {key.last_used_text} ", requests so far: "
                <span class="number">{key.requests_text}</span>
            </p>
            {(!revoked).then(|| view! { <Question slug id=key.id row_version=key.row_version keys /> })}
        </Frame>
    }
}

#[component]
fn Question(slug: String, id: String, row_version: i64, keys: String) -> impl IntoView {
    view! {
        <RevokeFacts />
        <form class="form-end" method="post" action=RevokeKey::PATH>
            <input type="hidden" name="slug" value=slug />
            <input type="hidden" name="key" value=id />
            <input type="hidden" name="row_version" value=row_version.to_string() />
            <div class="form-actions">
                <SubmitButton look=ButtonLook::Danger>"Revoke key"</SubmitButton>
                <LinkButton href=keys>"Keep key"</LinkButton>
            </div>
        </form>
    }
}
