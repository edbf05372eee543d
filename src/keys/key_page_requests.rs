//! A key's last requests, and what was done to it.

use leptos::prelude::*;

use super::{KeyEvent, RefusedRow, ServedRow};
use crate::ui::{Column, DataTable, LinkButton, TimeAgo, or_nothing};

const SERVED: &[Column] = &[
    Column { label: "Time", class: "cell-name-head", hidden: false },
    Column { label: "Model", class: "", hidden: false },
    Column { label: "Status", class: "", hidden: false },
    Column { label: "Tokens", class: "", hidden: false },
    Column { label: "Cost", class: "cell-number", hidden: false },
    Column { label: "Took", class: "cell-number", hidden: false },
    Column { label: "From", class: "", hidden: false },
];
const REFUSED: &[Column] = &[
    Column { label: "Time", class: "cell-name-head", hidden: false },
    Column { label: "Code", class: "", hidden: false },
    Column { label: "Why", class: "cell-wide", hidden: false },
    Column { label: "Model", class: "", hidden: false },
    Column { label: "From", class: "", hidden: false },
];
const EVENTS: &[Column] = &[
    Column { label: "Time", class: "cell-name-head", hidden: false },
    Column { label: "Act", class: "", hidden: false },
    Column { label: "What", class: "cell-wide", hidden: false },
    Column { label: "Who", class: "", hidden: false },
];

/// Admitted and refused ones, each in a table of its own.
#[component]
pub fn Requests(
    /// The admitted ones.
    served: Vec<ServedRow>,
    /// The refused ones.
    refused: Vec<RefusedRow>,
    /// Where older admitted ones are.
    older: Option<String>,
) -> impl IntoView {
    let none = served.is_empty();
    let served = served.into_iter().map(|row| view! { <Served row /> }).collect_view();
    let none_refused = refused.is_empty();
    let refused = refused.into_iter().map(|row| view! { <Refused row /> }).collect_view();
    view! {
        <section class="key-list" aria-labelledby="served-title">
            <h2 class="section-title" id="served-title">
                "Admitted"
            </h2>
            {if none {
                view! { <p class="page-lead">"No request was admitted with this key yet."</p> }.into_any()
            } else {
                view! {
                    <DataTable label="Admitted requests" columns=SERVED>
                        {served}
                    </DataTable>
                }
                    .into_any()
            }}
            {older
                .map(|href| {
                    view! {
                        <nav class="pager" aria-label="Pages">
                            <LinkButton href>"Older requests"</LinkButton>
                        </nav>
                    }
                })}
        </section>
        <section class="key-list" aria-labelledby="refused-title">
            <h2 class="section-title" id="refused-title">
                "Refused in the last 7 days"
            </h2>
            {if none_refused {
                view! { <p class="page-lead">"None."</p> }.into_any()
            } else {
                view! {
                    <DataTable label="Refused requests" columns=REFUSED>
                        {refused}
                    </DataTable>
                }
                    .into_any()
            }}
        </section>
    }
    .into_any()
}

#[component]
fn Served(row: ServedRow) -> impl IntoView {
    view! {
        <tr role="row">
            <th scope="row" role="rowheader" class="cell-name">
                <TimeAgo iso=Some(row.at_iso) text=row.at_text exact=row.at_exact />
                <span class="cell-under meta mono">{row.id}</span>
            </th>
            <td role="cell" data-label="Model">
                <span>{row.model}</span>
                <span class="cell-under meta">{row.route}</span>
            </td>
            <td role="cell" data-label="Status" class:status-failed=row.failed>
                {row.status}
            </td>
            <td role="cell" data-label="Tokens">
                {row.tokens}
            </td>
            <td role="cell" class="cell-number" data-label="Cost">
                {row.cost}
            </td>
            <td role="cell" class="cell-number" data-label="Took">
                {row.latency}
            </td>
            <td role="cell" data-label="From">
                {row.client}
            </td>
        </tr>
    }
}

#[component]
fn Refused(row: RefusedRow) -> impl IntoView {
    view! {
        <tr role="row">
            <th scope="row" role="rowheader" class="cell-name">
                <TimeAgo iso=Some(row.at_iso) text=row.at_text exact=row.at_exact />
                <span class="cell-under meta mono">{row.id}</span>
            </th>
            <td role="cell" data-label="Code">
                <code class="mono">{row.code}</code>
            </td>
            <td role="cell" class="cell-wide" data-label="Why">
                {row.why}
            </td>
            <td role="cell" data-label="Model">
                {or_nothing(row.model)}
            </td>
            <td role="cell" data-label="From">
                {row.client}
            </td>
        </tr>
    }
}

/// What was done to the key, newest first.
#[component]
pub fn Events(
    /// The events.
    events: Vec<KeyEvent>,
) -> impl IntoView {
    let rows = events.into_iter().map(|event| {
        let changes = event.changes.into_iter().map(|change| {
            view! {
                <li>
                    <span class="change-field">{change.field}": "</span>
                    {or_nothing(change.before)}
                    " \u{2192} "
                    {or_nothing(change.after)}
                </li>
            }
        });
        view! {
            <tr role="row">
                <th scope="row" role="rowheader" class="cell-name">
                    <TimeAgo iso=Some(event.at_iso) text=event.at_text exact=event.at_exact />
                </th>
                <td role="cell" data-label="Act">
                    {event.act}
                </td>
                <td role="cell" class="cell-wide" data-label="What">
                    <ul class="event-list">{changes.collect_view()}</ul>
                </td>
                <td role="cell" data-label="Who">
                    {event.actor}
                </td>
            </tr>
        }
    });
    view! {
        <DataTable label="What was done to this key" columns=EVENTS>
            {rows.collect_view()}
        </DataTable>
    }
    .into_any()
}
