//! `/operator/models`: what is on offer, or the form of a new model that was refused.

use leptos::prelude::*;

use super::frame::{OperatorFrame, Place, State, Under};
use super::model_form::ModelForm;
use super::{FormOutcome, Health, Level, ModelRow, ModelsView, load_operator_models};
use crate::page::loaded;
use crate::ui::{ButtonLook, Column, DataTable, ErrorPage, IconName, LinkButton};

const COLUMNS: &[Column] = &[
    Column { label: "Name", class: "cell-name-head", hidden: false },
    Column { label: "State", class: "cell-status", hidden: false },
    Column { label: "Upstreams", class: "", hidden: false },
    Column { label: "Context", class: "cell-number cell-created", hidden: false },
    Column { label: "Output cap", class: "cell-number cell-created", hidden: false },
    Column { label: "Input", class: "cell-number", hidden: false },
    Column { label: "Cached", class: "cell-number cell-requests", hidden: false },
    Column { label: "Output", class: "cell-number", hidden: false },
];

/// The list on GET; after a POST the form with what was wrong with it.
#[component]
pub fn ModelsRoute() -> impl IntoView {
    match use_context::<FormOutcome>() {
        Some(FormOutcome::Model(form)) => view! { <ModelForm form=*form /> }.into_any(),
        Some(FormOutcome::Failed(error)) => view! { <ErrorPage error /> }.into_any(),
        _ => loaded(load_operator_models(), |view| view! { <Models view /> }).into_any(),
    }
}

#[component]
fn Models(view: ModelsView) -> impl IntoView {
    let ModelsView { account, rows, flash } = view;
    let lead = "Prices are in US dollars per million tokens where they name no other unit.";
    let add = || {
        view! {
            <LinkButton href="/operator/models/new" look=ButtonLook::Primary icon=IconName::Plus>
                "Add a model"
            </LinkButton>
        }
    };
    let list = if rows.is_empty() {
        view! {
            <div class="panel empty-small">
                <p class="empty-title">"No models yet"</p>
                <p class="page-lead">"Until there is one, every call is answered with 404."</p>
            </div>
        }
        .into_any()
    } else {
        let rows = rows.into_iter().map(|model| view! { <Row model /> }).collect_view();
        view! {
            <DataTable label="Models" columns=COLUMNS>
                {rows}
            </DataTable>
        }
        .into_any()
    };
    view! {
        <OperatorFrame account here=Place::Models title="Models" lead notice=flash.notice actions=add>
            {list}
        </OperatorFrame>
    }
}

#[component]
fn Row(model: ModelRow) -> impl IntoView {
    let (level, text) = match (model.enabled, model.reachable) {
        (false, _) => (Level::Off, "Disabled"),
        (true, false) => (Level::Bad, "No upstream"),
        (true, true) => (Level::Good, "Offered"),
    };
    let health = Health { level, text: text.to_owned(), detail: String::new() };
    let unknown = || ["Unknown".to_owned(), "Unknown".to_owned(), "Unknown".to_owned()];
    let [input, cached, output] = model.prices.unwrap_or_else(unknown);
    let aliases = if model.aliases.is_empty() { String::new() } else { format!("also {}", model.aliases) };
    let upstreams = model.upstreams.into_iter().map(|name| view! { <li>{name}</li> }).collect_view();
    let unit_prices = model.unit_prices.into_iter().map(|text| view! { <Under text /> }).collect_view();
    view! {
        <tr role="row" class:row-revoked=!model.enabled>
            <th scope="row" role="rowheader" class="cell-name">
                <a class="link" href=model.href>
                    {model.id}
                </a>
                <Under text=aliases />
            </th>
            <td role="cell" class="cell-status">
                <State health />
            </td>
            <td role="cell" data-label="Upstreams">
                <ol class="in-order">{upstreams}</ol>
            </td>
            <td role="cell" class="cell-number cell-created" data-label="Context">
                {model.context}
            </td>
            <td role="cell" class="cell-number cell-created" data-label="Output cap">
                {model.output_cap}
            </td>
            <td role="cell" class="cell-number" data-label="Input">
                {input}
            </td>
            <td role="cell" class="cell-number cell-requests" data-label="Cached input">
                {cached}
            </td>
            <td role="cell" class="cell-number" data-label="Output">
                {output}
                {unit_prices}
            </td>
        </tr>
    }
}
