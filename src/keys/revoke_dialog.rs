//! The question before revoking, as a dialog over the list. Without scripts the link it answers to
//! leads to the page that asks the same.

use leptos::html;
use leptos::prelude::*;
use leptos::server_fn::ServerFn;

use super::RevokeKey;
use super::revoke_facts::RevokeFacts;
use crate::ui::{ButtonLook, Dialog, SubmitButton, browser};

/// The links it answers to. They carry `data-key`, `data-name` and `data-row-version`.
const TRIGGER: &str = "a[data-revoke]";

/// One dialog for all rows: the link that was followed says which key it is about. Its form posts as
/// any form does, so the answer is the list with a line on what happened.
#[island]
pub fn RevokeDialog(
    /// The account's part of the address.
    slug: String,
) -> impl IntoView {
    let dialog = NodeRef::<html::Dialog>::new();
    let (key, name, row_version) =
        (RwSignal::new(String::new()), RwSignal::new(String::new()), RwSignal::new(String::new()));
    Effect::new(move |_| {
        browser::open_dialog_from(dialog, TRIGGER, move |attribute| {
            key.set(attribute("data-key"));
            name.set(attribute("data-name"));
            row_version.set(attribute("data-row-version"));
        });
    });
    let close = move |_| {
        if let Some(dialog) = dialog.get_untracked() {
            dialog.close();
        }
    };
    view! {
        <Dialog node_ref=dialog id="revoke-title" title=Signal::derive(move || format!("Revoke {}?", name.get()))>
            <RevokeFacts />
            <form method="post" action=RevokeKey::PATH>
                <input type="hidden" name="slug" value=slug />
                <input type="hidden" name="key" prop:value=key />
                <input type="hidden" name="row_version" prop:value=row_version />
                <div class="dialog-actions">
                    <button type="button" class=ButtonLook::Plain.class() on:click=close>
                        "Keep key"
                    </button>
                    <SubmitButton look=ButtonLook::Danger>"Revoke key"</SubmitButton>
                </div>
            </form>
        </Dialog>
    }
}
