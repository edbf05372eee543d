//! Form fields: label, hint, input, and the error at the input it belongs to.

use leptos::prelude::*;

use super::icon::{Icon, IconName};

/// The line that says what is wrong with a field; nothing if nothing is.
#[component]
pub fn FieldError(
    /// The element's id, which the input names in `aria-describedby`.
    #[prop(into)]
    id: String,
    /// What is wrong and what to do.
    error: Option<String>,
) -> impl IntoView {
    error.map(|text| {
        view! {
            <p class="field-error" id=id>
                <Icon name=IconName::CircleAlert />
                <span>{text}</span>
            </p>
        }
    })
}

/// One line of text. A browser without scripts gets the same field; the server checks it.
#[component]
pub fn TextField(
    /// The form field's name, also the input's id.
    name: &'static str,
    /// What to type, in a word or two.
    label: &'static str,
    /// What it is for, or what it may hold.
    #[prop(optional, into)]
    hint: Option<&'static str>,
    /// What was typed before.
    #[prop(optional, into)]
    value: String,
    /// What is wrong with it.
    #[prop(optional_no_strip)]
    error: Option<String>,
    /// The input's type.
    #[prop(default = "text")]
    kind: &'static str,
    /// What the browser may fill in.
    #[prop(default = "off")]
    autocomplete: &'static str,
    /// An example.
    #[prop(optional, into)]
    placeholder: Option<&'static str>,
    /// The most characters it takes.
    #[prop(optional)]
    maxlength: Option<u16>,
    /// Whether typing may begin at once.
    #[prop(optional)]
    autofocus: bool,
    /// Whether it may stay empty.
    #[prop(optional)]
    optional: bool,
    /// Which keys a phone shows: `decimal`, `numeric`, `url`.
    #[prop(optional, into)]
    inputmode: Option<&'static str>,
) -> impl IntoView {
    let hint_id = format!("{name}-hint");
    let error_id = format!("{name}-error");
    let described = [hint.map(|_| hint_id.as_str()), error.as_ref().map(|_| error_id.as_str())];
    let described = described.into_iter().flatten().collect::<Vec<_>>().join(" ");
    view! {
        <div class="field">
            <label class="field-label" for=name>
                {label}
                {optional.then(|| view! { <span class="field-optional">" optional"</span> })}
            </label>
            <input
                class="input"
                id=name
                name=name
                type=kind
                value=value
                autocomplete=autocomplete
                autocapitalize="off"
                spellcheck="false"
                placeholder=placeholder
                maxlength=maxlength.map(|most| most.to_string())
                autofocus=autofocus
                inputmode=inputmode
                required=!optional
                aria-invalid=error.is_some().then_some("true")
                aria-describedby=(!described.is_empty()).then_some(described)
            />
            <FieldError id=error_id error />
            {hint.map(|text| view! { <p class="field-hint" id=hint_id>{text}</p> })}
        </div>
    }
}
