//! The routes of a permission in its form: one block each, and an empty one to spare, so that no script is needed.

use leptos::prelude::*;

use super::{RouteField, UpstreamChoice};
use crate::ui::{FieldError, error_of};

const METHODS: [&str; 5] = ["GET", "POST", "PUT", "PATCH", "DELETE"];

type Errors = Vec<(String, String)>;

/// All of them.
#[component]
pub fn RouteLines(
    /// What is in their fields.
    routes: Vec<RouteField>,
    /// What there is to choose from.
    upstreams: Vec<UpstreamChoice>,
    /// What is wrong: field and message.
    errors: Errors,
) -> impl IntoView {
    let lines = (1..).zip(routes).map(|(number, route)| {
        view! { <RouteLine number route upstreams=upstreams.clone() errors=errors.clone() /> }
    });
    view! {
        <fieldset class="group">
            <legend class="section-title">"Routes it guards"</legend>
            <p class="field-hint">
                "Paths below /v1, with values in braces: /v1/characters/{id}. They go to an upstream and cost a price per \
                 call. A route without a path is none; when all are filled, save to get room for more."
            </p>
            {upstreams
                .is_empty()
                .then(|| {
                    view! {
                        <p class="field-hint">
                            <a class="link" href="/operator/upstreams/new">
                                "Add an upstream"
                            </a>
                            " first: these routes go to one of those."
                        </p>
                    }
                })}
            <FieldError id="routes-error" error=error_of(&errors, "routes") />
            <div class="routes">{lines.collect_view()}</div>
        </fieldset>
    }
}

#[component]
fn RouteLine(
    number: usize,
    route: RouteField,
    upstreams: Vec<UpstreamChoice>,
    errors: Errors,
) -> impl IntoView {
    let name = |field: &str| format!("{field}-{number}");
    let error = |field: &str| error_of(&errors, &format!("{field}-{number}"));
    let methods = METHODS.map(|method| (method.to_owned(), method.to_owned()));
    let choices = upstreams.into_iter().map(|choice| (choice.id, choice.label));
    let choices = std::iter::once((String::new(), "Choose an upstream".to_owned())).chain(choices);
    view! {
        <div class="route" role="group" aria-label=format!("Route {number}")>
            <div class="route-row">
                <Pick
                    name=name("method")
                    label="Method"
                    chosen=route.method
                    options=methods.to_vec()
                    error=error("method")
                />
                <Line
                    name=name("path")
                    label="Path"
                    placeholder="/v1/characters/{id}"
                    value=route.path
                    error=error("path")
                />
            </div>
            <div class="route-row route-there">
                <Pick
                    name=name("upstream")
                    label="Upstream"
                    chosen=route.upstream
                    options=choices.collect()
                    error=error("upstream")
                />
                <Line
                    name=name("there")
                    label="Path there, if another"
                    placeholder="/characters/{id}"
                    value=route.there
                    error=error("there")
                />
                <Line
                    name=name("price")
                    label="Dollars per call"
                    placeholder="0.002"
                    value=route.price
                    error=error("price")
                />
            </div>
        </div>
    }
}

#[component]
fn Line(
    name: String,
    label: &'static str,
    placeholder: &'static str,
    value: String,
    error: Option<String>,
) -> impl IntoView {
    let error_id = format!("{name}-error");
    view! {
        <div class="field">
            <label class="field-label" for=name.clone()>
                {label}
            </label>
            <input
                class="input"
                id=name.clone()
                name=name
                type="text"
                value=value
                maxlength="200"
                autocomplete="off"
                autocapitalize="off"
                spellcheck="false"
                placeholder=placeholder
                aria-invalid=error.is_some().then_some("true")
                aria-describedby=error.is_some().then(|| error_id.clone())
            />
            <FieldError id=error_id error />
        </div>
    }
}

#[component]
fn Pick(
    name: String,
    label: &'static str,
    chosen: String,
    options: Vec<(String, String)>,
    error: Option<String>,
) -> impl IntoView {
    let error_id = format!("{name}-error");
    let options = options.into_iter().map(|(value, text)| {
        let selected = value == chosen;
        view! {
            <option value=value selected=selected>
                {text}
            </option>
        }
    });
    view! {
        <div class="field">
            <label class="field-label" for=name.clone()>
                {label}
            </label>
            <select
                class="input input-pick"
                id=name.clone()
                name=name
                autocomplete="off"
                aria-invalid=error.is_some().then_some("true")
                aria-describedby=error.is_some().then(|| error_id.clone())
            >
                {options.collect_view()}
            </select>
            <FieldError id=error_id error />
        </div>
    }
}
