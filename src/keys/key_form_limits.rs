//! The form's limits: what the key may consume.

use leptos::prelude::*;

use super::KeyTyped;
use crate::ui::{CheckBox, RadioGroup, SelectField, TextField, error_of};

/// Cost, tokens, requests per minute; each off by default.
#[component]
pub fn LimitFields(
    /// What is in the fields.
    typed: KeyTyped,
    /// Credits of a dollar: `500 000`.
    credits_per_dollar: String,
    /// What is wrong.
    errors: Vec<(String, String)>,
) -> impl IntoView {
    let periods = [
        ("never", "Never: it is used up once"),
        ("daily", "Every day"),
        ("weekly", "Every week, on Monday"),
        ("monthly", "Every month, on the first"),
    ];
    let periods = periods.map(|(value, words)| (value.to_owned(), words.to_owned())).to_vec();
    let fits = vec![("clamp", "Shorten its answer to what fits"), ("strict", "Refuse it")];
    view! {
        <CostField typed=typed.clone() credits_per_dollar error=error_of(&errors, "cost") />
        <div class="reveal">
            <CheckBox
                name="tokens_on"
                label="Limit tokens"
                hint="Input and output together, in each period."
                checked=typed.tokens_on
            />
            <div class="reveal-on">
                <TextField
                    name="tokens"
                    label="Tokens"
                    placeholder="1000000"
                    inputmode="numeric"
                    maxlength=24
                    value=typed.tokens
                    error=error_of(&errors, "tokens")
                />
            </div>
        </div>
        <div class="group-row">
            <SelectField
                name="period"
                label="Cost and tokens start anew"
                hint="In the account\u{2019}s time zone. Another period begins with nothing spent."
                options=periods
                value=typed.period
            />
        </div>
        <RadioGroup
            name="fit"
            label="A request that could exceed what is left"
            options=fits
            value=typed.fit
        />
        <div class="reveal">
            <CheckBox
                name="rate_on"
                label="Limit requests per minute"
                hint="In any 60 seconds, whatever the period above."
                checked=typed.rate_on
            />
            <div class="reveal-on">
                <TextField
                    name="rate"
                    label="Requests per minute"
                    placeholder="60"
                    inputmode="numeric"
                    maxlength=12
                    value=typed.rate
                    error=error_of(&errors, "rate")
                />
            </div>
        </div>
    }
    .into_any()
}

/// The quota: an amount and its unit, so that it works without scripts.
#[component]
fn CostField(typed: KeyTyped, credits_per_dollar: String, error: Option<String>) -> impl IntoView {
    let units = [("usd", "US dollars"), ("credits", "credits")];
    let units = units.map(|(value, words)| (value.to_owned(), words.to_owned())).to_vec();
    view! {
        <div class="reveal">
            <CheckBox
                name="cost_on"
                label="Limit cost"
                hint="What its requests may cost in each period. Off, only its group and the account bound it."
                checked=typed.cost_on
            />
            <div class="reveal-on">
                <div class="group-row">
                    <TextField
                        name="cost"
                        label="Amount"
                        placeholder="100"
                        inputmode="decimal"
                        maxlength=30
                        value=typed.cost
                        error
                    />
                    <SelectField name="cost_unit" label="Unit" options=units value=typed.cost_unit />
                </div>
                <p class="field-hint">{format!("$1 is {credits_per_dollar} credits.")}</p>
            </div>
        </div>
    }
}
