//! The list's table: one row a key; a card each on phones.

use leptos::prelude::*;

use super::key_switch::KeySwitch;
use super::{KeyRow, KeyStatus};
use crate::ui::{Column, CopyButton, DataTable, Icon, IconName, TimeAgo};

const COLUMNS: &[Column] = &[
    Column { label: "Name", class: "cell-name-head", hidden: false },
    Column { label: "Status", class: "cell-status", hidden: false },
    Column { label: "Key", class: "cell-key-head", hidden: false },
    Column { label: "Created", class: "cell-created", hidden: false },
    Column { label: "Last used", class: "cell-used", hidden: false },
    Column { label: "Requests", class: "cell-number cell-requests", hidden: false },
    Column { label: "Cost", class: "cell-number", hidden: false },
    Column { label: "Actions", class: "cell-end", hidden: true },
];

/// The keys, in the order they are given.
#[component]
pub fn KeyTable(
    /// The account's part of the address.
    slug: String,
    /// Whether the viewer may switch and revoke.
    may_edit: bool,
    /// The keys.
    rows: Vec<KeyRow>,
) -> impl IntoView {
    let rows = rows.into_iter().map(|key| view! { <Row slug=slug.clone() may_edit key /> }).collect_view();
    view! {
        <DataTable label="API keys" columns=COLUMNS>
            {rows}
        </DataTable>
    }
}

#[component]
fn Row(slug: String, may_edit: bool, key: KeyRow) -> impl IntoView {
    let revoked = matches!(key.status, KeyStatus::Revoked | KeyStatus::Deleted);
    let may_act = may_edit && !revoked;
    view! {
        <tr role="row" class:row-revoked=revoked>
            <th scope="row" role="rowheader" class="cell-name">
                {key.name.clone()}
            </th>
            <td role="cell" class="cell-status">
                <Status slug=slug.clone() may_act key=key.clone() />
            </td>
            <td role="cell" class="cell-key-cell">
                <MaskedKey mask=key.mask public_id=key.public_id name=key.name.clone() revoked />
            </td>
            <td role="cell" class="cell-created" data-label="Created">
                <TimeAgo iso=Some(key.created_iso) text=day_of(&key.created_text) exact=key.created_text />
            </td>
            <td role="cell" class="cell-used" data-label="Last used">
                <TimeAgo iso=key.last_used_iso text=key.last_used_text />
            </td>
            <td role="cell" class="cell-number cell-requests" data-label="Requests">
                {key.requests_text}
            </td>
            <td role="cell" class="cell-number" data-label="Cost">
                {key.cost_text}
            </td>
            <td role="cell" class="cell-end">
                {may_act
                    .then(|| view! { <RevokeLink slug id=key.id name=key.name row_version=key.row_version /> })}
            </td>
        </tr>
    }
}

/// The day of a time such as `21 Nov 2026, 08:05 UTC`.
fn day_of(text: &str) -> String {
    text.split_once(',').map_or(text, |(day, _)| day).to_owned()
}

/// The switch where the viewer may use it, the words alone where not.
#[component]
fn Status(slug: String, may_act: bool, key: KeyRow) -> impl IntoView {
    let enabled = key.status == KeyStatus::Enabled;
    if may_act {
        return view! {
            <KeySwitch
                slug
                id=key.id
                name=key.name
                enabled
                words=key.state_text
                row_version=key.row_version
            />
        }
        .into_any();
    }
    let (class, icon) = match key.status {
        KeyStatus::Enabled => ("state state-good", IconName::CircleCheck),
        KeyStatus::Disabled => ("state state-off", IconName::CirclePause),
        KeyStatus::Revoked | KeyStatus::Deleted => ("state state-bad", IconName::Ban),
    };
    view! {
        <span class=class>
            <Icon name=icon />
            {key.state_text}
        </span>
    }
    .into_any()
}

/// The mask, which nobody can use, and a button for the public id, which support can.
#[component]
fn MaskedKey(mask: String, public_id: String, name: String, revoked: bool) -> impl IntoView {
    view! {
        <span class="cell-key">
            <code class="mono">{mask}</code>
            {(!revoked)
                .then(|| {
                    view! {
                        <CopyButton
                            label=format!("Copy the public id of {name}")
                            from=String::new()
                            text=public_id.clone()
                            wide=false
                        />
                    }
                })}
        </span>
        <span class="cell-public-id no-scripts-only meta">"Public id " <code class="value">{public_id}</code></span>
    }
}

/// Leads to the page that asks; with scripts the dialog asks instead.
#[component]
fn RevokeLink(slug: String, id: String, name: String, row_version: i64) -> impl IntoView {
    view! {
        <a
            class="btn btn-ghost btn-row"
            href=format!("/a/{slug}/keys/{id}/revoke")
            aria-label=format!("Revoke key {name}")
            data-revoke=""
            data-key=id
            data-name=name
            data-row-version=row_version.to_string()
        >
            "Revoke"
        </a>
    }
}
