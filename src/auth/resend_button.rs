//! Asking for another code, once the wait is over.

use std::time::Duration;

use leptos::prelude::*;

/// Submits the form that asks for another code. With scripts it counts the wait down and stays
/// disabled until then; without them it can be pressed at once, and the server answers as ever but
/// sends nothing before the wait is over.
#[island]
pub fn ResendButton(
    /// Seconds until another code may be asked for.
    seconds: u32,
) -> impl IntoView {
    let left = RwSignal::new(seconds);
    let counting = RwSignal::new(false);
    Effect::new(move |_| {
        counting.set(true);
        let tick = move || left.update(|left| *left = left.saturating_sub(1));
        // The browser refuses timers only where there is no window.
        if let Ok(timer) = set_interval_with_handle(tick, Duration::from_secs(1)) {
            on_cleanup(move || timer.clear());
        }
    });
    let waiting = move || counting.get() && left.get() > 0;
    let wait = move || match left.get() {
        0 => String::new(),
        seconds => format!(" in {seconds} s"),
    };
    view! {
        <button type="submit" class="link-button number" disabled=waiting>
            "Send another code"
            {wait}
        </button>
    }
}
