//! The form of a key: basics in sight, limits and access in sections that open.

use leptos::prelude::*;

use super::key_form_access::AccessFields;
use super::key_form_limits::LimitFields;
use super::{KeyFormOf, KeyFormView, KeyTyped};
use crate::page::PageTitle;
use crate::ui::{
    ButtonLook, Frame, Icon, IconName, LinkButton, NotSaved, PageHead, RadioGroup, SelectField, SubmitButton,
    TextArea, TextField, error_of,
};

/// The fields of each section, so that it stands open where one of them is wrong.
const LIMITS: [&str; 3] = ["cost", "tokens", "rate"];
const ACCESS: [&str; 4] = ["models", "permissions", "addresses", "addresses_sure"];

/// The form, empty or with what was typed and what is wrong with it. Only the name is asked for.
#[component]
pub fn KeyForm(
    /// What it shows.
    form: KeyFormView,
) -> impl IntoView {
    let KeyFormView { account, of, typed, choices, limits_text, access_text, errors, conflict } = form;
    let keys = format!("/a/{}/keys", account.slug);
    let (title, action, verb) = match &of {
        KeyFormOf::New { .. } => ("Create an API key".to_owned(), keys.clone(), "Create"),
        KeyFormOf::Edit { id, name, .. } => (format!("Edit {name}"), format!("{keys}/{id}/edit"), "Save key"),
    };
    let stale = !conflict.is_empty();
    let open = |fields: &[&str]| errors.iter().any(|(field, _)| fields.contains(&field.as_str()));
    // An address that was just added is seen.
    let (limits_open, access_open) = (open(&LIMITS), open(&ACCESS) || !typed.addresses.is_empty());
    let groups = choices.groups.iter().map(|choice| (choice.value.clone(), choice.label.clone())).collect();
    let basics = view! {
        <Basics typed=typed.clone() groups environments=choices.environments.clone() errors=errors.clone() />
    };
    let not_saved = view! { <NotSaved errors=errors.clone() conflict stale /> };
    let limits = (typed.clone(), choices.credits_per_dollar.clone(), errors.clone());
    view! {
        <PageTitle text=format!("{title} - {}", account.name) />
        <Frame account narrow=true>
            <a class="crumb" href=keys.clone()>
                <Icon name=IconName::ArrowLeft />
                "API keys"
            </a>
            <PageHead title />
            <form class="form form-wide" method="post" action=action novalidate>
                // What Enter in a field presses: the first button of the form, and not the one that adds an address.
                <button type="submit" class="sr-only" tabindex="-1" aria-hidden="true">
                    {verb}
                </button>
                {not_saved}
                <Hidden of />
                {basics}
                <FormSection id="limits" title="Quota and limits" words=limits_text open=limits_open>
                    <LimitFields typed=limits.0 credits_per_dollar=limits.1 errors=limits.2 />
                </FormSection>
                <FormSection id="access" title="Access" words=access_text open=access_open>
                    <AccessFields typed choices errors />
                </FormSection>
                <div class="form-actions">
                    <SubmitButton look=ButtonLook::Primary>{verb}</SubmitButton>
                    <LinkButton href=keys look=ButtonLook::Quiet>
                        "Cancel"
                    </LinkButton>
                </div>
            </form>
        </Frame>
    }
    .into_any()
}

#[component]
fn Hidden(of: KeyFormOf) -> impl IntoView {
    let (name, value) = match of {
        KeyFormOf::New { form_id } => ("form_id", form_id),
        KeyFormOf::Edit { row_version, .. } => ("row_version", row_version.to_string()),
    };
    view! { <input type="hidden" name=name value=value /> }
}

/// A part of the form that opens; closed, it says what it holds.
#[component]
fn FormSection(
    id: &'static str,
    title: &'static str,
    words: String,
    open: bool,
    children: Children,
) -> impl IntoView {
    view! {
        <details class="form-section panel" id=id open=open>
            <summary class="form-section-head">
                <Icon name=IconName::ChevronRight />
                <span class="section-title">{title}</span>
                <span class="form-section-words">{words}</span>
            </summary>
            <div class="form-section-body">{children()}</div>
        </details>
    }
}

#[component]
fn Basics(
    typed: KeyTyped,
    groups: Vec<(String, String)>,
    environments: Vec<String>,
    errors: Vec<(String, String)>,
) -> impl IntoView {
    let group_error = error_of(&errors, "group");
    view! {
        <TextField
            name="name"
            label="Name"
            hint="What it is for, such as the program or the machine that uses it."
            placeholder="build-bot"
            maxlength=100
            autofocus=true
            value=typed.name.clone()
            error=error_of(&errors, "name")
        />
        <TextArea
            name="note"
            label="Note"
            hint="Anything else worth knowing, such as who to ask. Optional."
            prose=true
            value=typed.note.clone()
            error=error_of(&errors, "note")
        />
        <div class="group-row">
            <SelectField name="group" label="Group" options=groups value=typed.group.clone() error=group_error />
            <Environment value=typed.environment.clone() known=environments error=error_of(&errors, "environment") />
        </div>
        <Expiry typed error=error_of(&errors, "expires_at") />
    }
}

/// Free text, with the names that are in use already for the picking.
#[component]
fn Environment(value: String, known: Vec<String>, error: Option<String>) -> impl IntoView {
    let described = error.is_some().then_some("environment-error");
    view! {
        <div class="field">
            <label class="field-label" for="environment">
                "Environment"
                <span class="field-optional">" optional"</span>
            </label>
            <input
                class="input"
                id="environment"
                name="environment"
                list="environments"
                value=value
                maxlength="40"
                placeholder="production"
                autocomplete="off"
                autocapitalize="off"
                spellcheck="false"
                aria-invalid=error.is_some().then_some("true")
                aria-describedby=described
            />
            <datalist id="environments">
                {known.into_iter().map(|name| view! { <option value=name></option> }).collect_view()}
            </datalist>
            <crate::ui::FieldError id="environment-error" error />
        </div>
    }
}

#[component]
fn Expiry(typed: KeyTyped, error: Option<String>) -> impl IntoView {
    let options = vec![
        ("never", "Never"),
        ("hour", "In 1 hour"),
        ("day", "In 1 day"),
        ("month", "In 1 month"),
        ("at", "At a time"),
    ];
    let described = if error.is_some() { "expires_at-error expires_at-hint" } else { "expires_at-hint" };
    view! {
        <div class="reveal">
            <RadioGroup name="expires" label="Expires" options value=typed.expires />
            <div class="field reveal-at">
                <label class="field-label" for="expires_at">
                    "Date and time, UTC"
                </label>
                <input
                    class="input input-time"
                    id="expires_at"
                    name="expires_at"
                    type="datetime-local"
                    value=typed.expires_at
                    autocomplete="off"
                    aria-invalid=error.is_some().then_some("true")
                    aria-describedby=described
                />
                <crate::ui::FieldError id="expires_at-error" error />
                <p class="field-hint" id="expires_at-hint">
                    "From this moment on requests are refused. The key can be given more time later."
                </p>
            </div>
        </div>
    }
}
