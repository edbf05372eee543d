//! The frame of pages outside an account: signing in, and errors of those not signed in.

use leptos::prelude::*;

use super::mark::Mark;
use super::submit_guard::SubmitGuard;

/// One card in the middle, under the operator's name.
#[component]
pub fn Entry(
    /// The operator's name for this service.
    brand: String,
    /// The card's content, beginning with an `h1`.
    children: Children,
) -> impl IntoView {
    view! {
        <div class="entry">
            <main id="main" class="entry-main">
                <p class="entry-brand">
                    <Mark />
                    {brand}
                </p>
                <div class="panel entry-card">{children()}</div>
            </main>
        </div>
        <SubmitGuard />
    }
    .into_any()
}
