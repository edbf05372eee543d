//! `/a/{slug}/keys/new`: the form for a new key.

use leptos::prelude::*;
use leptos_router::hooks::use_params_map;

use super::{NewKeyView, load_new_key};
use crate::page::{PageTitle, loaded};
use crate::ui::{
    ButtonLook, Frame, Icon, IconName, LinkButton, Note, PageHead, SubmitButton, TextField, Tone,
};

/// The empty form.
#[component]
pub fn NewKeyPage() -> impl IntoView {
    let slug = use_params_map().read_untracked().get("slug").unwrap_or_default();
    loaded(load_new_key(slug), |form| view! { <NewKeyForm form /> })
}

/// The form, empty or with what was typed and what was wrong with it. Only the name is asked for.
#[component]
pub fn NewKeyForm(
    /// What it shows.
    form: NewKeyView,
) -> impl IntoView {
    let NewKeyView { account, form_id, name, error } = form;
    let keys = format!("/a/{}/keys", account.slug);
    let action = keys.clone();
    let name_error = error.as_ref().and_then(|error| error.for_field("name").map(str::to_owned));
    let other_error = error.filter(|_| name_error.is_none()).map(|error| error.to_string());
    view! {
        <PageTitle text=format!("Create an API key - {}", account.name) />
        <Frame account narrow=true>
            <a class="crumb" href=keys.clone()>
                <Icon name=IconName::ArrowLeft />
                "API keys"
            </a>
            <PageHead title="Create an API key" />
            <form class="form" method="post" action=action novalidate>
                {other_error.map(|text| view! { <Note tone=Tone::Bad>{text}</Note> })}
                <input type="hidden" name="form_id" value=form_id />
                <TextField
                    name="name"
                    label="Name"
                    hint="What it is for, such as the program or the machine that uses it."
                    placeholder="build-bot"
                    maxlength=100
                    autofocus=true
                    value=name
                    error=name_error
                />
                <Defaults />
                <div class="form-actions">
                    <SubmitButton look=ButtonLook::Primary>"Create"</SubmitButton>
                    <LinkButton href=keys look=ButtonLook::Quiet>
                        "Cancel"
                    </LinkButton>
                </div>
            </form>
        </Frame>
    }
}

/// What a key made of a name alone may do.
#[component]
fn Defaults() -> impl IntoView {
    view! {
        <dl class="defaults panel">
            <div>
                <dt>"Expires"</dt>
                <dd>"Never"</dd>
            </div>
            <div>
                <dt>"Limits"</dt>
                <dd>"None of its own"</dd>
            </div>
            <div>
                <dt>"Access"</dt>
                <dd>"All models, from any address"</dd>
            </div>
        </dl>
    }
}
