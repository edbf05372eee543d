//! `/operator/gateways`: how each gateway is, and the question before what a silent one holds is released.

use leptos::prelude::*;
use leptos::server_fn::ServerFn;
use leptos_router::hooks::use_params_map;

use super::frame::{OperatorForm, OperatorFrame, Place, State, Under};
use super::{
    GatewayRow, GatewaysView, ReleaseGateway, ReleaseView, load_operator_gateways, load_operator_release,
};
use crate::page::loaded;
use crate::ui::{
    ButtonLook, Column, DataTable, Icon, IconName, LinkButton, Note, SubmitButton, TimeAgo, Tone,
};

const LIST: &str = "/operator/gateways";

const COLUMNS: &[Column] = &[
    Column { label: "Name", class: "cell-name-head", hidden: false },
    Column { label: "State", class: "cell-status", hidden: false },
    Column { label: "Last heard", class: "cell-requests", hidden: false },
    Column { label: "Started", class: "cell-created", hidden: false },
    Column { label: "Policy", class: "", hidden: false },
    Column { label: "Spool", class: "", hidden: false },
    Column { label: "Held of limits", class: "", hidden: false },
];

/// The gateways.
#[component]
pub fn OperatorGatewaysPage() -> impl IntoView {
    loaded(load_operator_gateways(), |view| view! { <Gateways view /> })
}

#[component]
fn Gateways(view: GatewaysView) -> impl IntoView {
    let GatewaysView { account, rows, policy_version, flash } = view;
    let refused = flash.error.map(|error| view! { <Note tone=Tone::Bad>{error.to_string()}</Note> });
    let list = if rows.is_empty() {
        view! {
            <div class="panel empty-small">
                <p class="empty-title">"No gateway has been heard from yet"</p>
                <p class="page-lead">"One shows up here as soon as it has reached the database."</p>
            </div>
        }
        .into_any()
    } else {
        let rows = rows.into_iter().map(|gateway| view! { <Row gateway /> }).collect_view();
        view! {
            <DataTable label="Gateways" columns=COLUMNS>
                {rows}
            </DataTable>
            <p class="meta after-table">
                "The policy is at version " <span class="number">{policy_version}</span>
                ". A gateway that has been silent for 30 seconds refuses every request by itself."
            </p>
        }
        .into_any()
    };
    let lead = "What each of them enforces, what it owes the ledger, and what it holds of limits.";
    view! {
        <OperatorFrame account here=Place::Gateways title="Gateways" lead notice=flash.notice>
            {refused}
            {list}
        </OperatorFrame>
    }
}

#[component]
fn Row(gateway: GatewayRow) -> impl IntoView {
    let held = gateway.held.iter().map(|held| view! { <li>{held.clone()}</li> }).collect_view();
    let nothing = gateway.held.is_empty().then_some("Nothing");
    let release = gateway.may_release.then(|| {
        view! {
            <span class="cell-under meta">"held: used by nobody. "</span>
            <a class="link" href=format!("{LIST}/{}/release", gateway.id)>
                "Release"
                <span class="sr-only">{format!(" what {} holds", gateway.name)}</span>
            </a>
        }
    });
    view! {
        <tr role="row">
            <th scope="row" role="rowheader" class="cell-name">
                {gateway.name.clone()}
                <Under text=gateway.address />
            </th>
            <td role="cell" class="cell-status">
                <State health=gateway.state />
            </td>
            <td role="cell" class="cell-requests" data-label="Last heard">
                <TimeAgo iso=Some(gateway.heard_iso) text=gateway.heard_text />
            </td>
            <td role="cell" class="cell-created" data-label="Started">
                <TimeAgo iso=Some(gateway.started_iso) text=gateway.started_text />
            </td>
            <td role="cell" data-label="Policy">
                <div>
                    <State health=gateway.policy />
                </div>
            </td>
            <td role="cell" data-label="Spool">
                <div>
                    <span class="number">{gateway.spool}</span>
                    <Under text=gateway.spool_oldest />
                </div>
            </td>
            <td role="cell" data-label="Held of limits">
                <div>
                    {nothing}
                    <ul class="changes">{held}</ul>
                    {release}
                </div>
            </td>
        </tr>
    }
}

/// Asks whether to release what a gateway holds.
#[component]
pub fn ReleasePage() -> impl IntoView {
    let id = use_params_map().read_untracked().get("id").unwrap_or_default();
    loaded(load_operator_release(id), |view| view! { <Release view /> })
}

#[component]
fn Release(view: ReleaseView) -> impl IntoView {
    let ReleaseView { account, gateway, flash } = view;
    let refused = flash.error.map(|error| view! { <Note tone=Tone::Bad>{error.to_string()}</Note> });
    let question = if gateway.may_release {
        view! { <Question gateway=gateway.clone() /> }.into_any()
    } else {
        view! {
            <Note tone=Tone::Info>
                "There is nothing to release: it holds nothing, or it was heard a moment ago and uses what it holds."
            </Note>
        }
        .into_any()
    };
    view! {
        <OperatorForm account back=(LIST, "Gateways") title=format!("Release what {} holds?", gateway.name)>
            {refused}
            {question}
        </OperatorForm>
    }
}

#[component]
fn Question(gateway: GatewayRow) -> impl IntoView {
    view! {
        <p class="page-lead">
            "Held: " <span class="number">{gateway.held.join(", ")}</span> ". Last heard: " {gateway.heard_text} "."
        </p>
        <ul class="facts">
            <li>
                <Icon name=IconName::Info />
                "The room goes back to the limits of every account, and their keys can use it again."
            </li>
            <li>
                <Icon name=IconName::TriangleAlert />
                "What the gateway has not told yet is booked when it comes back, beyond a limit where that is full by then."
            </li>
            <li>
                <Icon name=IconName::TriangleAlert />
                "Better than this is to start the gateway again: it tells what it owes and gives back the rest itself."
            </li>
        </ul>
        <form class="form-end" method="post" action=ReleaseGateway::PATH>
            <input type="hidden" name="gateway" value=gateway.id />
            <div class="form-actions">
                <SubmitButton look=ButtonLook::Danger>"Release"</SubmitButton>
                <LinkButton href=LIST>"Keep it held"</LinkButton>
            </div>
        </form>
    }
}
