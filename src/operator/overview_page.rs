//! `/operator`: what there is, and who changed what.

use leptos::prelude::*;

use super::frame::{OperatorFrame, Place};
use super::{EventRow, OverviewView, load_operator};
use crate::page::loaded;
use crate::ui::{Column, DataTable, TimeAgo, or_nothing};

const COLUMNS: &[Column] = &[
    Column { label: "What", class: "cell-name-head", hidden: false },
    Column { label: "Change", class: "cell-wide", hidden: false },
    Column { label: "Who", class: "cell-who", hidden: false },
    Column { label: "When", class: "cell-when", hidden: false },
];

/// The overview.
#[component]
pub fn OperatorPage() -> impl IntoView {
    loaded(load_operator(), |view| view! { <Overview view /> })
}

#[component]
fn Overview(view: OverviewView) -> impl IntoView {
    let OverviewView { account, models, upstreams, permissions, gateways, events } = view;
    let card = |href: &'static str, name: &'static str, count: String| {
        view! {
            <li>
                <a class="panel card" href=href>
                    <span class="card-name">{name}</span>
                    <span class="meta number">{count}</span>
                </a>
            </li>
        }
    };
    let lead = "What this service offers, from whom, at which price, and how its gateways are.";
    view! {
        <OperatorFrame account here=Place::Overview title="Operator" lead>
            <ul class="cards">
                {card("/operator/models", "Models", models)}
                {card("/operator/upstreams", "Upstreams", upstreams)}
                {card("/operator/permissions", "Permissions", permissions)}
                {card("/operator/gateways", "Gateways", gateways)}
            </ul>
            <section class="section" aria-labelledby="changes-title">
                <h2 class="section-title" id="changes-title">
                    "Latest changes"
                </h2>
                <Events events />
            </section>
        </OperatorFrame>
    }
}

#[component]
fn Events(events: Vec<EventRow>) -> impl IntoView {
    if events.is_empty() {
        return view! { <p class="page-lead">"Nothing has been changed yet."</p> }.into_any();
    }
    let rows = events.into_iter().map(|event| view! { <Event event /> }).collect_view();
    view! {
        <DataTable label="Latest changes" columns=COLUMNS>
            {rows}
        </DataTable>
    }
    .into_any()
}

#[component]
fn Event(event: EventRow) -> impl IntoView {
    let changes = event.changes.into_iter().map(|change| {
        let from = (!change.before.is_empty()).then(|| format!("{} \u{2192} ", change.before));
        view! {
            <li>
                <span class="change-field">{change.field}</span>
                " "
                {from}
                {or_nothing(change.after)}
            </li>
        }
    });
    view! {
        <tr role="row">
            <th scope="row" role="rowheader" class="cell-name">
                {event.act}
                " "
                {event.target}
            </th>
            <td role="cell" class="cell-wide">
                <ul class="event-changes">{changes.collect_view()}</ul>
            </td>
            <td role="cell" class="cell-who" data-label="Who">
                {event.actor}
            </td>
            <td role="cell" class="cell-when" data-label="When">
                <TimeAgo iso=Some(event.at_iso) text=event.at_text exact=event.at_exact />
            </td>
        </tr>
    }
}
