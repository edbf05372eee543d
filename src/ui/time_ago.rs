//! Points in time: relative in words, the exact one on hover and focus.

use leptos::prelude::*;

/// A time whose words come from the server. `LocalTimes` replaces the exact one by the reader's own
/// time zone where scripts run.
#[component]
pub fn TimeAgo(
    /// The time, RFC 3339 in UTC; without it there are only the words.
    iso: Option<String>,
    /// What to show: `2 min ago`, `Never`.
    text: String,
    /// The exact time in words: `21 Nov 2026, 08:05 UTC`; the RFC 3339 form if absent.
    #[prop(optional, into)]
    exact: Option<String>,
) -> impl IntoView {
    let Some(iso) = iso else {
        return view! { <span>{text}</span> }.into_any();
    };
    let exact = exact.unwrap_or_else(|| iso.clone());
    view! {
        <time class="time" datetime=iso tabindex="0">
            <span>{text}</span>
            <span class="time-exact">
                <span class="sr-only">", "</span>
                <span data-exact="">{exact}</span>
            </span>
        </time>
    }
    .into_any()
}
