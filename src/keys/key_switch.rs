//! The switch of a row: on at once, back again if the server refuses.

use leptos::ev::MouseEvent;
use leptos::prelude::*;

use super::{KeyStatus, SetKeyEnabled};
use crate::error::AppError;
use crate::ui::{Icon, IconName, browser};

/// The part of a row that a change can alter.
#[derive(Clone, PartialEq)]
struct Shown {
    enabled: bool,
    words: String,
    row_version: i64,
}

/// Enables or disables a key and says its state in words. It flips at once, is marked busy until the
/// server answers, and flips back with the reason if the server refuses. Without scripts it is a
/// button that posts its form.
#[island]
pub fn KeySwitch(
    /// The account's part of the address.
    slug: String,
    /// The key's id.
    id: String,
    /// The key's name.
    name: String,
    /// Whether it is enabled.
    enabled: bool,
    /// Its state in words.
    words: String,
    /// The version of the row this was read at.
    row_version: i64,
) -> impl IntoView {
    let action = ServerAction::<SetKeyEnabled>::new();
    let first = Shown { enabled, words, row_version };
    let confirmed = Memo::new(move |before: Option<&Shown>| match action.value().get() {
        Some(Ok(change)) => Shown {
            enabled: change.key.status == KeyStatus::Enabled,
            words: change.key.state_text,
            row_version: change.key.row_version,
        },
        _ => before.unwrap_or(&first).clone(),
    });
    let wanted = move || action.input().read().as_ref().map(|sent| sent.enabled);
    let on = Signal::derive(move || wanted().unwrap_or_else(|| confirmed.read().enabled));
    let words = move || match wanted() {
        Some(true) => "Enabling…".to_owned(),
        Some(false) => "Disabling…".to_owned(),
        None => confirmed.read().words.clone(),
    };
    let refusal = move || {
        action.value().read().as_ref().and_then(|result| result.as_ref().err().map(AppError::to_string))
    };
    let once = move |event: MouseEvent| {
        if action.pending().get_untracked() {
            event.prevent_default();
        }
    };
    tell_outcome(action, name.clone());
    view! {
        <ActionForm action=action attr:class="key-status">
            <input type="hidden" name="slug" value=slug />
            <input type="hidden" name="key" value=id />
            <input type="hidden" name="enabled" value=move || (!confirmed.read().enabled).to_string() />
            <input type="hidden" name="row_version" value=move || confirmed.read().row_version.to_string() />
            <button
                type="submit"
                class="switch"
                role="switch"
                aria-label=format!("Enable key {name}")
                aria-checked=move || on.get().to_string()
                aria-busy=move || action.pending().get().then_some("true")
                on:click=once
            ></button>
            <StateWords on words=Signal::derive(words) />
        </ActionForm>
        {move || refusal().map(|text| view! { <p class="key-status-refused">{text}</p> })}
    }
}

/// The state's icon and words beside the switch.
#[component]
fn StateWords(on: Signal<bool>, words: Signal<String>) -> impl IntoView {
    view! {
        <span class="state" class:state-good=on class:state-off=move || !on.get()>
            <Show when=move || on.get() fallback=|| view! { <Icon name=IconName::CirclePause /> }>
                <Icon name=IconName::CircleCheck />
            </Show>
            {words}
        </span>
    }
}

/// Shows what the server answered as a line at the bottom left.
fn tell_outcome(action: ServerAction<SetKeyEnabled>, name: String) {
    Effect::new(move |_| match action.value().get() {
        Some(Ok(change)) => browser::show_toast(&change.notice),
        Some(Err(error)) => browser::show_toast(&format!("{name} was not changed. {error}")),
        None => {}
    });
}
