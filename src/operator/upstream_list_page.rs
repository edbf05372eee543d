//! `/operator/upstreams`: the model providers, or the form of a new one that was refused.

use leptos::prelude::*;

use super::frame::{OperatorFrame, Place, State, Under};
use super::upstream_form::UpstreamForm;
use super::{FormOutcome, UpstreamRow, UpstreamsView, load_operator_upstreams};
use crate::page::loaded;
use crate::ui::{ButtonLook, Column, DataTable, ErrorPage, IconName, LinkButton};

const COLUMNS: &[Column] = &[
    Column { label: "Name", class: "cell-name-head", hidden: false },
    Column { label: "State", class: "cell-status", hidden: false },
    Column { label: "Base URL", class: "cell-wide", hidden: false },
    Column { label: "Timeout", class: "cell-number", hidden: false },
    Column { label: "Models and routes", class: "cell-created", hidden: false },
];

/// The list on GET; after a POST the form with what was wrong with it.
#[component]
pub fn UpstreamsRoute() -> impl IntoView {
    match use_context::<FormOutcome>() {
        Some(FormOutcome::Upstream(form)) => view! { <UpstreamForm form=*form /> }.into_any(),
        Some(FormOutcome::Failed(error)) => view! { <ErrorPage error /> }.into_any(),
        _ => loaded(load_operator_upstreams(), |view| view! { <Upstreams view /> }).into_any(),
    }
}

#[component]
fn Upstreams(view: UpstreamsView) -> impl IntoView {
    let UpstreamsView { account, rows, flash } = view;
    let lead = "Where requests go. Keys of upstreams are in the gateways\u{2019} environment, never here.";
    let add = || {
        view! {
            <LinkButton href="/operator/upstreams/new" look=ButtonLook::Primary icon=IconName::Plus>
                "Add an upstream"
            </LinkButton>
        }
    };
    let list = if rows.is_empty() {
        view! {
            <div class="panel empty-small">
                <p class="empty-title">"No upstreams here"</p>
                <p class="page-lead">
                    "Every model goes to the upstream of the gateways\u{2019} own settings (UPSTREAM_URL). Add one here for a \
                     second provider, or for one to fall back on."
                </p>
            </div>
        }
        .into_any()
    } else {
        let rows = rows.into_iter().map(|upstream| view! { <Row upstream /> }).collect_view();
        view! {
            <DataTable label="Upstreams" columns=COLUMNS>
                {rows}
            </DataTable>
        }
        .into_any()
    };
    view! {
        <OperatorFrame account here=Place::Upstreams title="Upstreams" lead notice=flash.notice actions=add>
            {list}
        </OperatorFrame>
    }
}

#[component]
fn Row(upstream: UpstreamRow) -> impl IntoView {
    let used_by = if upstream.used_by.is_empty() { "None".to_owned() } else { upstream.used_by.join(", ") };
    view! {
        <tr role="row" class:row-revoked=!upstream.enabled>
            <th scope="row" role="rowheader" class="cell-name">
                <a class="link" href=upstream.href>
                    {upstream.name}
                </a>
            </th>
            <td role="cell" class="cell-status">
                <State health=upstream.health />
            </td>
            <td role="cell" class="cell-wide" data-label="Base URL">
                <div>
                    <code class="mono">{upstream.base_url}</code>
                    <Under text=format!("its key in {}", upstream.secret_name) />
                </div>
            </td>
            <td role="cell" class="cell-number" data-label="Timeout">
                {upstream.timeout}
            </td>
            <td role="cell" class="cell-created" data-label="Models and routes">
                <span>{used_by}</span>
            </td>
        </tr>
    }
}
