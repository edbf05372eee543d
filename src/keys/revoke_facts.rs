//! What revoking does, told before it is done.

use leptos::prelude::*;

use crate::ui::{Icon, IconName};

/// The three facts, the same in the dialog and on the page.
#[component]
pub fn RevokeFacts() -> impl IntoView {
    view! {
        <ul class="facts">
            <li>
                <Icon name=IconName::Ban />
                "It stops working at once: the next request with it gets 401."
            </li>
            <li>
                <Icon name=IconName::TriangleAlert />
                "This cannot be undone. To pause a key, switch it off instead."
            </li>
            <li>
                <Icon name=IconName::Info />
                "Its usage and its row stay, under Revoked."
            </li>
        </ul>
    }
}
