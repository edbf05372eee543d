//! The browser's own dialog: it holds the focus, closes on Escape and gives the focus back.

use leptos::html;
use leptos::prelude::*;

/// A dialog with a title. Whoever opens it does so through `node_ref`; a click beside it closes it.
#[component]
pub fn Dialog(
    /// The element, for opening and closing.
    node_ref: NodeRef<html::Dialog>,
    /// The id of the title's element.
    id: &'static str,
    /// What it asks.
    title: Signal<String>,
    /// Its text and its buttons.
    children: Children,
) -> impl IntoView {
    view! {
        <dialog class="modal" node_ref=node_ref aria-labelledby=id>
            <div class="modal-box">
                <h2 class="dialog-title" id=id>
                    {title}
                </h2>
                {children()}
            </div>
            <form method="dialog" class="modal-backdrop">
                <button tabindex="-1" aria-label="Close"></button>
            </form>
        </dialog>
    }
}
