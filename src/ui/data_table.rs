//! Tables that turn into cards on phones.

use leptos::prelude::*;

/// One column's head.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    /// What stands in it; read by screen readers only where `hidden`.
    pub label: &'static str,
    /// The class its cells have too: it decides alignment and what gives way on narrow screens.
    pub class: &'static str,
    /// Whether the head is left blank to the eye.
    pub hidden: bool,
}

/// A table in a panel. The roles are spelled out, because the styles for phones turn rows into
/// grids and browsers then forget that they are rows.
#[component]
pub fn DataTable(
    /// What the table lists, for screen readers.
    label: &'static str,
    /// The heads, one for each cell of a row.
    columns: &'static [Column],
    /// The rows: `<tr role="row">` with `<td role="cell">`, each cell with its column's class.
    children: Children,
) -> impl IntoView {
    let heads = columns.iter().map(|column| {
        let class = if column.hidden { "sr-only" } else { "" };
        view! {
            <th scope="col" role="columnheader" class=column.class>
                <span class=class>{column.label}</span>
            </th>
        }
    });
    view! {
        <div class="panel data-panel">
            <table class="data" role="table" aria-label=label>
                <thead role="rowgroup">
                    <tr role="row">{heads.collect_view()}</tr>
                </thead>
                <tbody role="rowgroup">{children()}</tbody>
            </table>
        </div>
    }
}
