//! `/operator/permissions`: what keys can be allowed, and the routes each permission guards.

use leptos::prelude::*;

use super::frame::{OperatorFrame, Place};
use super::{PermissionRow, PermissionsView, load_operator_permissions};
use crate::page::loaded;
use crate::ui::{Column, DataTable, Note, Tone};

const COLUMNS: &[Column] = &[
    Column { label: "Permission", class: "cell-name-head", hidden: false },
    Column { label: "Lets a key", class: "cell-wide", hidden: false },
    Column { label: "Routes it guards", class: "cell-wide", hidden: false },
];

/// The catalogue.
#[component]
pub fn PermissionsPage() -> impl IntoView {
    loaded(load_operator_permissions(), |view| view! { <Permissions view /> })
}

#[component]
fn Permissions(view: PermissionsView) -> impl IntoView {
    let PermissionsView { account, rows } = view;
    let rows = rows.into_iter().map(|permission| view! { <Row permission /> }).collect_view();
    let lead = "A route that no permission guards does not exist. A key has them all, later ones included, unless it lists some.";
    view! {
        <OperatorFrame account here=Place::Permissions title="Permissions" lead>
            <DataTable label="Permissions" columns=COLUMNS>
                {rows}
            </DataTable>
            <div class="section">
                <Note tone=Tone::Info>
                    "These are built into the gateways of this release and cannot be edited. " <code class="mono">
                        "GET /v1/key"
                    </code> " needs none: it tells a key about itself."
                </Note>
            </div>
        </OperatorFrame>
    }
}

#[component]
fn Row(permission: PermissionRow) -> impl IntoView {
    let routes = permission.routes.into_iter().map(|route| {
        view! {
            <li>
                <code class="mono">{route}</code>
            </li>
        }
    });
    view! {
        <tr role="row">
            <th scope="row" role="rowheader" class="cell-name">
                <code class="mono">{permission.name}</code>
            </th>
            <td role="cell" class="cell-wide">
                {permission.allows}
            </td>
            <td role="cell" class="cell-wide">
                <ul class="changes">{routes.collect_view()}</ul>
            </td>
        </tr>
    }
}
