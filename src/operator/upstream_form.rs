//! `/operator/upstreams/new` and `/operator/upstreams/{id}`: everything there is to say about an upstream.

use leptos::prelude::*;
use leptos_router::hooks::use_params_map;

use super::frame::OperatorForm;
use super::{FormOutcome, UpstreamFormView, UpstreamTyped, load_operator_upstream};
use crate::page::loaded;
use crate::ui::{
    ButtonLook, CheckBox, ErrorPage, LinkButton, NotSaved, Note, SubmitButton, TextField, Tone, error_of,
};

const LIST: &str = "/operator/upstreams";

/// The form on GET, empty or the named upstream's; after a POST the form with what was wrong with it.
#[component]
pub fn UpstreamRoute() -> impl IntoView {
    let id = use_params_map().read_untracked().get("id").unwrap_or_default();
    match use_context::<FormOutcome>() {
        Some(FormOutcome::Upstream(form)) => view! { <UpstreamForm form=*form /> }.into_any(),
        Some(FormOutcome::Failed(error)) => view! { <ErrorPage error /> }.into_any(),
        _ => loaded(load_operator_upstream(id), |form| view! { <UpstreamForm form /> }).into_any(),
    }
}

/// The form, with what was typed and what is wrong with it.
#[component]
pub fn UpstreamForm(
    /// What it shows.
    form: UpstreamFormView,
) -> impl IntoView {
    let UpstreamFormView { account, is_new, id, typed, used_by, row_version, errors, conflict } = form;
    let title = if is_new { "Add an upstream".to_owned() } else { format!("Edit {}", typed.name) };
    let stale = !conflict.is_empty();
    let action = if is_new { LIST.to_owned() } else { format!("{LIST}/{id}") };
    view! {
        <OperatorForm account back=(LIST, "Upstreams") title>
            <form class="form form-wide" method="post" action=action novalidate>
                <NotSaved errors=errors.clone() conflict stale />
                <input type="hidden" name="id" value=id />
                <input type="hidden" name="row_version" value=row_version.to_string() />
                <Fields is_new typed=typed.clone() errors />
                {(!used_by.is_empty())
                    .then(|| {
                        view! {
                            <Note tone=Tone::Info>
                                "What goes there: " {used_by.join(", ")}
                                ". Switched off, requests of models go to their next upstream; where there is none, and those of routes, fail."
                            </Note>
                        }
                    })}
                <CheckBox
                    name="enabled"
                    label="In use"
                    hint="Gateways send requests there, for the models and routes that name it."
                    checked=typed.enabled
                />
                <div class="form-actions">
                    <SubmitButton look=ButtonLook::Primary>
                        {if is_new { "Add upstream" } else { "Save upstream" }}
                    </SubmitButton>
                    <LinkButton href=LIST look=ButtonLook::Quiet>
                        "Cancel"
                    </LinkButton>
                </div>
            </form>
        </OperatorForm>
    }
}

#[component]
fn Fields(is_new: bool, typed: UpstreamTyped, errors: Vec<(String, String)>) -> impl IntoView {
    view! {
        <TextField
            name="name"
            label="Name"
            hint="What you call it."
            placeholder="europe"
            maxlength=100
            autofocus=is_new
            value=typed.name
            error=error_of(&errors, "name")
        />
        <TextField
            name="base_url"
            label="Base URL"
            hint="What stands before /chat/completions. https, but on this machine; no user or password in it."
            placeholder="https://api.example.com/v1"
            maxlength=500
            inputmode="url"
            value=typed.base_url
            error=error_of(&errors, "base_url")
        />
        <TextField
            name="secret_name"
            label="Variable with its key"
            hint="Set on every gateway, by value or, with _FILE added, by file. The key itself is never typed in here."
            placeholder="UPSTREAM_EUROPE_KEY"
            maxlength=100
            value=typed.secret_name
            error=error_of(&errors, "secret_name")
        />
        <TextField
            name="answer_seconds"
            label="Timeout in seconds"
            hint="Until an answer has begun, and once more until a body that is no stream is whole."
            inputmode="numeric"
            maxlength=4
            value=typed.answer_seconds
            error=error_of(&errors, "answer_seconds")
        />
    }
}
