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
    /// Whether it is prose and not a list of names.
    #[prop(optional)]
    prose: bool,
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
                class=if prose { "input input-lines" } else { "input input-lines mono" }
                id=name
                name=name
                rows="3"
                autocomplete="off"
                autocapitalize="off"
                spellcheck="false"
                aria-invalid=error.is_some().then_some("true")
                aria-describedby=described
                inner_html=text_of_area(&value)
            ></textarea>
            <FieldError id=error_id error />
            <p class="field-hint" id=hint_id>
                {hint}
            </p>
        </div>
    }
}

/// The content of a text area. An empty text node would become a space, and the first line break is not part of it.
fn text_of_area(text: &str) -> String {
    format!("\n{}", text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;"))
}

/// One of a few, in a list that opens.
#[component]
pub fn SelectField(
    /// The form field's name, also the element's id.
    name: &'static str,
    /// What is chosen, in a word or two.
    label: &'static str,
    /// What it is for.
    #[prop(optional, into)]
    hint: Option<&'static str>,
    /// Each choice's value and words.
    options: Vec<(String, String)>,
    /// The chosen value.
    value: String,
    /// What is wrong with it.
    #[prop(optional_no_strip)]
    error: Option<String>,
) -> impl IntoView {
    let hint_id = format!("{name}-hint");
    let error_id = format!("{name}-error");
    let described = [hint.map(|_| hint_id.as_str()), error.as_ref().map(|_| error_id.as_str())];
    let described = described.into_iter().flatten().collect::<Vec<_>>().join(" ");
    let options = options.into_iter().map(|(choice, words)| {
        view! {
            <option selected=choice == value value=choice>
                {words}
            </option>
        }
    });
    view! {
        <div class="field">
            <label class="field-label" for=name>
                {label}
            </label>
            <select
                class="input input-pick"
                id=name
                name=name
                autocomplete="off"
                aria-invalid=error.is_some().then_some("true")
                aria-describedby=(!described.is_empty()).then_some(described)
            >
                {options.collect_view()}
            </select>
            <FieldError id=error_id error />
            {hint.map(|text| view! { <p class="field-hint" id=hint_id>{text}</p> })}
        </div>
    }
}

/// One of a few, all of them in sight.
#[component]
pub fn RadioGroup(
    /// The form field's name.
    name: &'static str,
    /// What is chosen.
    label: &'static str,
    /// Each choice's value and words.
    options: Vec<(&'static str, &'static str)>,
    /// The chosen value.
    value: String,
) -> impl IntoView {
    let options = options.into_iter().map(|(choice, words)| {
        let id = format!("{name}-{choice}");
        view! {
            <label class="radio-choice">
                <input type="radio" id=id name=name value=choice checked=choice == value autocomplete="off" />
                {words}
            </label>
        }
    });
    view! {
        <fieldset class="radio-group">
            <legend class="field-label">{label}</legend>
            <div class="radio-choices">{options.collect_view()}</div>
        </fieldset>
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
