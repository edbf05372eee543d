//! One line at the bottom left: what a change led to.

use std::time::Duration;

use leptos::ev;
use leptos::prelude::*;

use super::browser;
use super::icon::{Icon, IconName};

const SHOWN_FOR: Duration = Duration::from_secs(8);

/// The page's one polite live region, there from the first render. It shows the line that the
/// server hands over, and those that islands send with `show_toast`. Never the only place of an
/// error.
#[island]
pub fn Toaster(
    /// A line from the server; empty if there is none.
    notice: String,
) -> impl IntoView {
    let line = RwSignal::new(notice);
    let shown = RwSignal::new(0_u32);
    let leave_later = move || {
        let turn = shown.get_untracked() + 1;
        shown.set(turn);
        let leave = move || {
            if shown.get_untracked() == turn {
                line.set(String::new());
            }
        };
        set_timeout(leave, SHOWN_FOR);
    };
    Effect::new(move |_| {
        leave_later();
        let listener = window_event_listener(ev::Custom::new(browser::TOAST_EVENT), move |event| {
            line.set(browser::toast_text(&event));
            leave_later();
        });
        on_cleanup(move || listener.remove());
    });
    view! {
        <div class="toasts" role="status" aria-live="polite" aria-atomic="true">
            <Show when=move || !line.read().is_empty()>
                <div class="toast-line">
                    <span>{move || line.get()}</span>
                    <button
                        type="button"
                        class="btn btn-ghost btn-icon scripts-only"
                        aria-label="Dismiss"
                        on:click=move |_| line.set(String::new())
                    >
                        <Icon name=IconName::X />
                    </button>
                </div>
            </Show>
            <span class="sr-only" id=browser::ANNOUNCER></span>
        </div>
    }
}
