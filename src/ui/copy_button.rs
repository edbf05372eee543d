//! Copying with one click, and the answer in place.

use std::time::Duration;

use leptos::prelude::*;

use super::browser;
use super::icon::{Icon, IconName};

const TICK: Duration = Duration::from_secs(2);

/// Copies the text of another element, named by its id, or a text of its own. The icon becomes a
/// tick for two seconds and a screen reader hears it; where the clipboard is refused, the text is
/// selected, or told, instead. Secrets are read from the page, never handed to the button.
///
/// Without scripts the button is not there and the text can be selected by hand.
#[island]
pub fn CopyButton(
    /// What it copies, as its name: `Copy the key`.
    label: String,
    /// The id of the element whose text is copied; empty to copy `text`.
    from: String,
    /// The text to copy if `from` is empty. Never a secret.
    text: String,
    /// Whether the words "Copy" stand beside the icon.
    wide: bool,
) -> impl IntoView {
    let copied = RwSignal::new(false);
    let name = label.clone();
    let copy = move |_| {
        let value = if from.is_empty() { text.clone() } else { browser::text_of(&from) };
        let shown = from.clone();
        let refused = if from.is_empty() {
            format!("{name}: your browser refused. Copy it by hand: {text}")
        } else {
            format!("{name}: your browser refused. Press Ctrl+C or ⌘C instead.")
        };
        browser::copy(&value, move |done| {
            if done {
                copied.set(true);
                browser::announce("Copied.");
                set_timeout(
                    move || {
                        copied.set(false);
                        // So that the next copy is heard as a change again.
                        browser::announce("");
                    },
                    TICK,
                );
            } else {
                browser::select_text_of(&shown);
                browser::show_toast(&refused);
            }
        });
    };
    let class =
        if wide { "btn btn-primary copy scripts-only" } else { "btn btn-ghost btn-icon copy scripts-only" };
    view! {
        <button
            type="button"
            class=class
            title=label.clone()
            aria-label=(!wide).then_some(label)
            data-copied=move || copied.get().then_some("")
            on:click=copy
        >
            <span class="copy-label copy-rest">
                <Icon name=IconName::Copy />
                {wide.then_some("Copy")}
            </span>
            <span class="copy-label copy-done" aria-hidden="true">
                <Icon name=IconName::Check />
                {wide.then_some("Copied")}
            </span>
        </button>
    }
}
