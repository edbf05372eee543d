//! Form fields besides one line of text: several lines, and yes or no.

use leptos::prelude::*;

use super::field::FieldError;

/// Several lines of text.
#[component]
pub fn TextArea(
    /// The form field's name, also the element's id.
    name: &'static str,
    /// What to type, in a word or two.
    label: &'static str,
    /// What it is for, or what it may hold.
    hint: &'static str,
    /// What was typed before.
    value: String,
    /// What is wrong with it.
    error: Option<String>,
) -> impl IntoView {
    let hint_id = format!("{name}-hint");
    let error_id = format!("{name}-error");
    let described = if error.is_some() { format!("{hint_id} {error_id}") } else { hint_id.clone() };
    view! {
        <div class="field">
            <label class="field-label" for=name>
                {label}
            </label>
            <textarea
                class="input input-lines mono"
                id=name
                name=name
                rows="3"
                autocomplete="off"
                autocapitalize="off"
                spellcheck="false"
                aria-invalid=error.is_some().then_some("true")
                aria-describedby=described
            >
                {value}
            </textarea>
            <FieldError id=error_id error />
            <p class="field-hint" id=hint_id>
                {hint}
            </p>
        </div>
    }
}

/// Yes or no. It is sent where it is on.
#[component]
pub fn CheckBox(
    /// The form field's name, also the element's id.
    name: &'static str,
    /// What is so where it is on.
    label: &'static str,
    /// What that means.
    hint: &'static str,
    /// Whether it is on.
    checked: bool,
) -> impl IntoView {
    let hint_id = format!("{name}-hint");
    view! {
        <div class="check">
            <input
                type="checkbox"
                id=name
                name=name
                value="on"
                checked=checked
                autocomplete="off"
                aria-describedby=hint_id.clone()
            />
            <div>
                <label class="field-label" for=name>
                    {label}
                </label>
                <p class="field-hint" id=hint_id>
                    {hint}
                </p>
            </div>
        </div>
    }
}
