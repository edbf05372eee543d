//! Latchkey's own mark: a keyhole in a latch.

use leptos::prelude::*;

/// The mark, in the colour of the text around it. Decorative: the service's name stands beside it.
#[component]
pub fn Mark() -> impl IntoView {
    view! {
        <svg class="mark" viewBox="0 0 28 28" width="28" height="28" aria-hidden="true" fill="currentColor">
            <path
                fill-rule="evenodd"
                d="M8 3h9a5 5 0 0 1 5 5v12a5 5 0 0 1-5 5H8a5 5 0 0 1-5-5V8a5 5 0 0 1 5-5Zm4.5 6a3.2 3.2 0 0 0-1.7 5.9L9.9 19a.8.8 0 0 0 .8 1h3.6a.8.8 0 0 0 .8-1l-.9-4.1A3.2 3.2 0 0 0 12.5 9Z"
            ></path>
            <path d="M23.5 10.5h.7a1.6 1.6 0 0 1 1.6 1.6v3.800a1.6 1.6 0 0 1-1.6 1.6h-.7Z"></path>
        </svg>
    }
}
