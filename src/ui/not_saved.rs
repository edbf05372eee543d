//! What a form that was not saved says: what is wrong, and what somebody else has changed meanwhile.

use leptos::prelude::*;
use serde::{Deserialize, Serialize};

use super::banner::{Note, Tone};
use super::data_table::{Column, DataTable};

/// A value that is another one now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// Which.
    pub field: String,
    /// What it was; empty where there was nothing.
    pub before: String,
    /// What it is; empty where there is nothing.
    pub after: String,
}

/// Why a form was not saved, above its fields; nothing if nothing is wrong.
#[component]
pub fn NotSaved(
    /// What is wrong at fields.
    errors: Vec<(String, String)>,
    /// What somebody else changed meanwhile.
    conflict: Vec<Change>,
    /// Whether the row was changed at all since it was read.
    stale: bool,
) -> impl IntoView {
    let fields = match errors.len() {
        1 => "Nothing was saved: one field needs another look.".to_owned(),
        count => format!("Nothing was saved: {count} fields need another look."),
    };
    let differing = conflict.into_iter().map(|change| {
        view! {
            <tr role="row">
                <th scope="row" role="rowheader" class="cell-name">
                    {change.field}
                </th>
                <td role="cell" data-label="Now">
                    {or_nothing(change.before)}
                </td>
                <td role="cell" data-label="Yours">
                    {or_nothing(change.after)}
                </td>
            </tr>
        }
    });
    view! {
        {(!errors.is_empty()).then(|| view! { <Note tone=Tone::Bad>{fields}</Note> })}
        {stale
            .then(|| {
                view! {
                    <Note tone=Tone::Bad>
                        "Somebody else has saved this meanwhile, so nothing was saved. Save again to put your values \
                         in the place of theirs."
                    </Note>
                    <DataTable label="What differs" columns=DIFFERENCES>
                        {differing.collect_view()}
                    </DataTable>
                }
            })}
    }
    .into_any()
}

const DIFFERENCES: &[Column] = &[
    Column { label: "Field", class: "cell-name-head", hidden: false },
    Column { label: "Now", class: "", hidden: false },
    Column { label: "Yours", class: "", hidden: false },
];

/// A value, or a word for none.
pub fn or_nothing(text: String) -> String {
    if text.is_empty() { "none".to_owned() } else { text }
}

/// The message of a field, if something is wrong with it.
pub fn error_of(errors: &[(String, String)], field: &str) -> Option<String> {
    errors.iter().find(|(name, _)| name == field).map(|(_, message)| message.clone())
}
