//! `/operator/permissions`: what keys can be allowed, and the routes each permission guards; or the form of a new
//! permission that was refused.

use leptos::prelude::*;

use super::frame::{OperatorFrame, Place, State, Under};
use super::permission_form::PermissionForm;
use super::{FormOutcome, Health, Level, PermissionRow, PermissionsView, load_operator_permissions};
use crate::page::loaded;
use crate::ui::{ButtonLook, Column, DataTable, ErrorPage, IconName, LinkButton, Note, Tone};

const COLUMNS: &[Column] = &[
    Column { label: "Permission", class: "cell-name-head", hidden: false },
    Column { label: "Lets a key", class: "cell-wide", hidden: false },
    Column { label: "Routes it guards", class: "cell-wide", hidden: false },
];
const OWN_COLUMNS: &[Column] = &[
    Column { label: "Permission", class: "cell-name-head", hidden: false },
    Column { label: "State", class: "cell-status", hidden: false },
    Column { label: "Lets a key", class: "cell-wide", hidden: false },
    Column { label: "Routes it guards", class: "cell-wide", hidden: false },
];

/// The catalogue on GET; after a POST the form with what was wrong with it.
#[component]
pub fn PermissionsRoute() -> impl IntoView {
    match use_context::<FormOutcome>() {
        Some(FormOutcome::Permission(form)) => view! { <PermissionForm form=*form /> }.into_any(),
        Some(FormOutcome::Failed(error)) => view! { <ErrorPage error /> }.into_any(),
        _ => loaded(load_operator_permissions(), |view| view! { <Permissions view /> }).into_any(),
    }
}

#[component]
fn Permissions(view: PermissionsView) -> impl IntoView {
    let PermissionsView { account, own, built_in, flash } = view;
    let lead = "A route that no permission guards does not exist. A key has them all, later ones included, unless it lists some.";
    let add = || {
        view! {
            <LinkButton href="/operator/permissions/new" look=ButtonLook::Primary icon=IconName::Plus>
                "Add a permission"
            </LinkButton>
        }
    };
    let built_in = built_in.into_iter().map(|permission| view! { <Row permission /> }).collect_view();
    view! {
        <OperatorFrame account here=Place::Permissions title="Permissions" lead notice=flash.notice actions=add>
            <section class="section" aria-labelledby="own-title">
                <h2 class="section-title" id="own-title">
                    "Your own"
                </h2>
                <Own rows=own />
            </section>
            <section class="section" aria-labelledby="built-in-title">
                <h2 class="section-title" id="built-in-title">
                    "Built in"
                </h2>
                <DataTable label="Built-in permissions" columns=COLUMNS>
                    {built_in}
                </DataTable>
            </section>
            <div class="section">
                <Note tone=Tone::Info>
                    "Those built in belong to the gateways of this release and cannot be edited. " <code class="mono">
                        "GET /v1/key"
                    </code> " needs none: it tells a key about itself."
                </Note>
            </div>
        </OperatorFrame>
    }
}

#[component]
fn Own(rows: Vec<PermissionRow>) -> impl IntoView {
    if rows.is_empty() {
        return view! {
            <div class="panel empty-small">
                <p class="empty-title">"None yet"</p>
                <p class="page-lead">
                    "Add one to have calls of your own, such as GET /v1/characters/{id}, go through the gateway at a price \
                     per call."
                </p>
            </div>
        }
        .into_any();
    }
    let rows = rows.into_iter().map(|permission| view! { <Row permission /> }).collect_view();
    view! {
        <DataTable label="Your own permissions" columns=OWN_COLUMNS>
            {rows}
        </DataTable>
    }
    .into_any()
}

#[component]
fn Row(permission: PermissionRow) -> impl IntoView {
    let PermissionRow { name, allows, routes, own } = permission;
    let is_archived = own.as_ref().is_some_and(|own| !own.enabled);
    let state = own.as_ref().map(|own| {
        let (level, text) = if own.enabled { (Level::Good, "Served") } else { (Level::Off, "Archived") };
        let health = Health { level, text: text.to_owned(), detail: String::new() };
        view! {
            <td role="cell" class="cell-status">
                <State health />
            </td>
        }
    });
    let name = match own {
        Some(own) => view! {
            <a class="link" href=own.href>
                <code class="mono">{name}</code>
            </a>
        }
        .into_any(),
        None => view! { <code class="mono">{name}</code> }.into_any(),
    };
    let routes = routes.into_iter().map(|route| {
        view! {
            <li>
                <code class="mono">{route.route}</code>
                <Under text=route.detail />
            </li>
        }
    });
    view! {
        <tr role="row" class:row-revoked=is_archived>
            <th scope="row" role="rowheader" class="cell-name">
                {name}
            </th>
            {state}
            <td role="cell" class="cell-wide">
                {allows}
            </td>
            <td role="cell" class="cell-wide">
                <ul class="changes">{routes.collect_view()}</ul>
            </td>
        </tr>
    }
}
