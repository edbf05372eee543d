//! `/operator/models/new` and `/operator/models/edit?model=…`: everything there is to say about a model.

use leptos::prelude::*;
use leptos_router::hooks::use_query_map;

use super::frame::OperatorForm;
use super::{FormOutcome, ModelFormView, ModelTyped, WayField, load_operator_model};
use crate::page::loaded;
use crate::ui::{
    ButtonLook, CheckBox, ErrorPage, FieldError, LinkButton, NotSaved, SubmitButton, TextArea, TextField,
    error_of,
};

const LIST: &str = "/operator/models";

/// The form on GET, empty or the named model's; after a POST the form with what was wrong with it.
#[component]
pub fn ModelRoute() -> impl IntoView {
    let model = use_query_map().read_untracked().get("model").unwrap_or_default();
    match use_context::<FormOutcome>() {
        Some(FormOutcome::Model(form)) => view! { <ModelForm form=*form /> }.into_any(),
        Some(FormOutcome::Failed(error)) => view! { <ErrorPage error /> }.into_any(),
        _ => loaded(load_operator_model(model), |form| view! { <ModelForm form /> }).into_any(),
    }
}

/// The form, with what was typed and what is wrong with it.
#[component]
pub fn ModelForm(
    /// What it shows.
    form: ModelFormView,
) -> impl IntoView {
    let ModelFormView { account, is_new, typed, ways, row_version, errors, conflict } = form;
    let title = if is_new { "Add a model".to_owned() } else { format!("Edit {}", typed.id) };
    // Nobody saves what differs in nothing: an empty list of differences with no error is no conflict either.
    let stale = !conflict.is_empty();
    // A form posts to where it is; the address of an edit names its model.
    let action = if is_new { LIST } else { "" };
    view! {
        <OperatorForm account back=(LIST, "Models") title>
            <form class="form form-wide" method="post" action=action novalidate>
                <NotSaved errors=errors.clone() conflict stale />
                <input type="hidden" name="row_version" value=row_version.to_string() />
                <Names is_new typed=typed.clone() errors=errors.clone() />
                <Prices typed=typed.clone() errors=errors.clone() />
                <Caps typed=typed.clone() errors=errors.clone() />
                <Ways own_name=typed.upstream_model ways errors />
                <CheckBox
                    name="enabled"
                    label="Offered"
                    hint="Keys may use it and see it in the list of models. Off, calls are answered with 404; rules, \
                          prices and past usage stay."
                    checked=typed.enabled
                />
                <div class="form-actions">
                    <SubmitButton look=ButtonLook::Primary>
                        {if is_new { "Add model" } else { "Save model" }}
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
fn Names(is_new: bool, typed: ModelTyped, errors: Vec<(String, String)>) -> impl IntoView {
    view! {
        {is_new
            .then(|| {
                view! {
                    <TextField
                        name="id"
                        label="Name"
                        hint="What clients ask for. It cannot be changed later: rules and usage know the model by it."
                        placeholder="gpt-4o-mini"
                        maxlength=200
                        autofocus=true
                        value=typed.id
                        error=error_of(&errors, "id")
                    />
                }
            })}
        <TextArea
            name="aliases"
            label="Other names"
            hint="One a line. Clients may ask for these too; the usage goes under the model\u{2019}s own name."
            value=typed.aliases
            error=error_of(&errors, "aliases")
        />
    }
}

#[component]
fn Prices(typed: ModelTyped, errors: Vec<(String, String)>) -> impl IntoView {
    let field = |name: &'static str, label: &'static str, value: String| {
        view! {
            <TextField
                name
                label
                inputmode="decimal"
                optional=true
                maxlength=30
                value
                error=error_of(&errors, name)
            />
        }
    };
    view! {
        <fieldset class="group">
            <legend class="section-title">"Prices"</legend>
            <p class="field-hint">
                "US dollars per million tokens, such as 0.15. Leave all three empty where they are unknown: to keys with a \
                 cost limit such a model is refused, but for what it is charged by below. A price of 0 always passes."
            </p>
            <div class="group-row">
                {field("input_price", "Input", typed.input_price)}
                {field("cached_input_price", "Cached input", typed.cached_input_price)}
                {field("output_price", "Output", typed.output_price)}
            </div>
            <UnitPrices
                per_image=typed.price_per_image
                per_second=typed.price_per_second
                errors=errors.clone()
            />
        </fieldset>
    }
}

#[component]
fn UnitPrices(per_image: String, per_second: String, errors: Vec<(String, String)>) -> impl IntoView {
    view! {
        <div class="group-row">
            <TextField
                name="price_per_image"
                label="Per image"
                hint="US dollars for each generated image, such as 0.04. Charged beside its tokens."
                inputmode="decimal"
                optional=true
                maxlength=30
                value=per_image
                error=error_of(&errors, "price_per_image")
            />
            <TextField
                name="price_per_second"
                label="Per second of sound"
                hint="US dollars for each second heard or spoken, such as 0.0001. Charged beside its tokens. Speech \
                      generated at a price per second is refused to keys with a cost limit."
                inputmode="decimal"
                optional=true
                maxlength=30
                value=per_second
                error=error_of(&errors, "price_per_second")
            />
        </div>
    }
}

#[component]
fn Caps(typed: ModelTyped, errors: Vec<(String, String)>) -> impl IntoView {
    view! {
        <fieldset class="group">
            <legend class="section-title">"Size in tokens"</legend>
            <div class="group-row">
                <TextField
                    name="context_window"
                    label="Context window"
                    hint="What it reads and writes together."
                    inputmode="numeric"
                    optional=true
                    maxlength=20
                    value=typed.context_window
                    error=error_of(&errors, "context_window")
                />
                <TextField
                    name="max_output"
                    label="Output cap"
                    hint="What it writes at most, and where a request names no cap."
                    inputmode="numeric"
                    maxlength=20
                    value=typed.max_output
                    error=error_of(&errors, "max_output")
                />
            </div>
        </fieldset>
    }
}

#[component]
fn Ways(own_name: String, ways: Vec<WayField>, errors: Vec<(String, String)>) -> impl IntoView {
    let places = ways.len();
    let lines =
        ways.into_iter().map(|way| view! { <WayLine way places errors=errors.clone() /> }).collect_view();
    let hint = if places == 0 {
        "There are no upstreams yet, so requests go to the one of the gateways\u{2019} own settings (UPSTREAM_URL)."
    } else {
        "The first is asked first, the next when it fails before it has answered. Without any, requests go to the one of \
         the gateways\u{2019} own settings (UPSTREAM_URL)."
    };
    view! {
        <fieldset class="group">
            <legend class="section-title">"Upstreams"</legend>
            <p class="field-hint">{hint}</p>
            {(places > 0).then(|| view! { <div class="ways">{lines}</div> })}
            <TextField
                name="upstream_model"
                label="Name at UPSTREAM_URL"
                hint="If it is called differently there."
                optional=true
                maxlength=200
                value=own_name
                error=error_of(&errors, "upstream_model")
            />
        </fieldset>
    }
}

#[component]
fn WayLine(way: WayField, places: usize, errors: Vec<(String, String)>) -> impl IntoView {
    let (rank, name) = (format!("rank-{}", way.upstream), format!("name-{}", way.upstream));
    let rank_error = error_of(&errors, &rank);
    let name_error = error_of(&errors, &name);
    let described = |id: &str, error: &Option<String>| error.as_ref().map(|_| format!("{id}-error"));
    let options = (1..=places).map(|place| {
        let place = place.to_string();
        let selected = place == way.rank;
        view! {
            <option value=place.clone() selected=selected>
                {format!("Place {place}")}
            </option>
        }
    });
    view! {
        <div class="way">
            <span class="way-name">{way.label.clone()}</span>
            <select
                class="input input-pick"
                id=rank.clone()
                name=rank.clone()
                autocomplete="off"
                aria-label=format!("Place of {} in the order", way.label)
                aria-invalid=rank_error.is_some().then_some("true")
                aria-describedby=described(&rank, &rank_error)
            >
                <option value="" selected=way.rank.is_empty()>
                    "Not used"
                </option>
                {options.collect_view()}
            </select>
            <input
                class="input"
                id=name.clone()
                name=name.clone()
                type="text"
                value=way.upstream_model
                maxlength="200"
                autocomplete="off"
                autocapitalize="off"
                spellcheck="false"
                placeholder="Same name there"
                aria-label=format!("Its name at {}", way.label)
                aria-invalid=name_error.is_some().then_some("true")
                aria-describedby=described(&name, &name_error)
            />
            <FieldError id=format!("{rank}-error") error=rank_error />
            <FieldError id=format!("{name}-error") error=name_error />
        </div>
    }
}
