//! `/a/{slug}/keys/{id}/delete`: the question before deleting.

use leptos::prelude::*;
use leptos::server_fn::ServerFn;
use leptos_router::hooks::use_params_map;

use super::{DeleteKey, DeleteView, load_delete};
use crate::page::{PageTitle, loaded};
use crate::ui::{
    ButtonLook, Frame, Icon, IconName, LinkButton, Note, PageHead, SubmitButton, TextField, Tone,
};

/// Asks whether to delete.
#[component]
pub fn DeleteKeyPage() -> impl IntoView {
    let params = use_params_map().read_untracked().clone();
    let (slug, key) = (params.get("slug").unwrap_or_default(), params.get("id").unwrap_or_default());
    loaded(load_delete(slug, key), |view| view! { <Delete view /> })
}

#[component]
fn Delete(view: DeleteView) -> impl IntoView {
    let DeleteView { account, key, type_name, flash } = view;
    let back = format!("/a/{}/keys/{}", account.slug, key.id);
    let slug = account.slug.clone();
    let name_error = flash.error.as_ref().and_then(|error| error.for_field("name").map(str::to_owned));
    let other_error = flash.error.filter(|_| name_error.is_none());
    view! {
        <PageTitle text=format!("Delete {} - {}", key.name, account.name) />
        <Frame account narrow=true notice=flash.notice>
            <a class="crumb" href=back.clone()>
                <Icon name=IconName::ArrowLeft />
                {key.name.clone()}
            </a>
            <PageHead title=format!("Delete {}?", key.name) />
            {other_error.map(|error| view! { <Note tone=Tone::Bad>{error.to_string()}</Note> })}
            <p class="page-lead">
                <code class="mono">{key.mask}</code> ", last used: " {key.last_used_text} ", requests so far: "
                <span class="number">{key.requests_text}</span>
            </p>
            <ul class="facts">
                <li>
                    <Icon name=IconName::Ban />
                    "It stops working at once, and its row leaves every list."
                </li>
                <li>
                    <Icon name=IconName::TriangleAlert />
                    "This cannot be undone. To pause a key, switch it off; to keep its row, revoke it."
                </li>
                <li>
                    <Icon name=IconName::Info />
                    "Its usage stays in reports under the name it has now, and what was done to it stays in the audit log."
                </li>
            </ul>
            <form class="form form-end" method="post" action=DeleteKey::PATH>
                <input type="hidden" name="slug" value=slug />
                <input type="hidden" name="key" value=key.id />
                {if type_name {
                    view! {
                        <TextField
                            name="name"
                            label="Its name"
                            hint="It was used within the last 30 days. Type its name to show that you mean this one."
                            error=name_error
                        />
                    }
                        .into_any()
                } else {
                    view! { <input type="hidden" name="name" value=key.name /> }.into_any()
                }}
                <div class="form-actions">
                    <SubmitButton look=ButtonLook::Danger>"Delete key"</SubmitButton>
                    <LinkButton href=back>"Keep key"</LinkButton>
                </div>
            </form>
        </Frame>
    }
}
