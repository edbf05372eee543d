//! The form's rules: which models, which permissions, from where.

use leptos::prelude::*;

use super::{Choice, KeyChoices, KeyTyped};
use crate::ui::{CheckBox, FieldError, RadioGroup, TextArea, error_of};

/// Models, permissions, addresses; each "any" by default.
#[component]
pub fn AccessFields(
    /// What is in the fields.
    typed: KeyTyped,
    /// What there is to choose from.
    choices: KeyChoices,
    /// What is wrong.
    errors: Vec<(String, String)>,
) -> impl IntoView {
    let access = vec![
        ("all", "Everything"),
        ("read", "Read only, such as listing models"),
        ("some", "Only what is ticked"),
    ];
    view! {
        <fieldset class="group">
            <legend class="field-label">"Models"</legend>
            <p class="field-hint">"Tick none for all of them, later ones included."</p>
            <Ticks name="models" choices=choices.models ticked=typed.models.clone() />
            <FieldError id="models-error" error=error_of(&errors, "models") />
        </fieldset>
        <div class="reveal">
            <RadioGroup name="access" label="Permissions" options=access value=typed.access.clone() />
            <div class="reveal-some">
                <Ticks name="permissions" choices=choices.permissions ticked=typed.permissions.clone() />
                <FieldError id="permissions-error" error=error_of(&errors, "permissions") />
            </div>
        </div>
        <Addresses typed your_address=choices.your_address errors />
    }
    .into_any()
}

/// A list to tick, scrolling where it is long.
#[component]
fn Ticks(name: &'static str, choices: Vec<Choice>, ticked: Vec<String>) -> impl IntoView {
    if choices.is_empty() {
        return view! { <p class="field-hint">"There is nothing to choose from yet."</p> }.into_any();
    }
    let ticks = choices.into_iter().map(|choice| {
        let id = format!("{name}-{}", choice.value);
        let checked = ticked.contains(&choice.value);
        view! {
            <li>
                <label class="tick">
                    <input type="checkbox" id=id name=name value=choice.value checked=checked autocomplete="off" />
                    <span>
                        <span class="mono">{choice.label}</span>
                        {(!choice.hint.is_empty()).then(|| view! { <span class="tick-hint">{choice.hint}</span> })}
                    </span>
                </label>
            </li>
        }
    });
    view! { <ul class="ticks">{ticks.collect_view()}</ul> }.into_any()
}

#[component]
fn Addresses(typed: KeyTyped, your_address: String, errors: Vec<(String, String)>) -> impl IntoView {
    let sure = error_of(&errors, "addresses_sure");
    let ask = sure.is_some() || typed.addresses_sure;
    view! {
        <div class="addresses">
            <TextArea
                name="addresses"
                label="Allowed addresses"
                hint="IPv4 or IPv6 addresses and networks, one a line; none is any. Behind proxies that do not overwrite \
                      X-Forwarded-For an address can be forged, so do not rely on this alone."
                value=typed.addresses
                error=error_of(&errors, "addresses")
            />
            <button class="btn btn-plain btn-small" type="submit" name="add_address" value="yes">
                {format!("Add {your_address} (you)")}
            </button>
            {ask
                .then(|| {
                    view! {
                        <FieldError id="addresses_sure-error" error=sure />
                        <CheckBox
                            name="addresses_sure"
                            label="Leave it out all the same"
                            hint="Requests from there are refused as soon as this is saved."
                            checked=typed.addresses_sure
                        />
                    }
                })}
        </div>
    }
}
