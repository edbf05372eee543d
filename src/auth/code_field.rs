//! Eight boxes that are one text field.

use leptos::html;
use leptos::prelude::*;

use crate::ui::browser;

/// Digits in a code.
const LENGTH: usize = 8;

/// The field for the mailed code. To the browser, password managers and screen readers it is one
/// ordinary input; the boxes are drawn behind it. With scripts, what is pasted loses everything but
/// its digits, and the eighth digit submits the form. Without them the server strips the spaces.
#[island]
pub fn CodeField(
    /// Whether the last code was refused; the element `code-error` says why.
    refused: bool,
) -> impl IntoView {
    let input = NodeRef::<html::Input>::new();
    let boxes = (0..LENGTH).map(|_| view! { <span class="code-box"></span> }).collect_view();
    let tidy = move |_| {
        let Some(element) = input.get_untracked() else { return };
        let typed = element.value();
        let digits = typed.chars().filter(char::is_ascii_digit).take(LENGTH).collect::<String>();
        if digits != typed {
            element.set_value(&digits);
        }
        if digits.len() == LENGTH {
            browser::submit_form_of(input);
        }
    };
    view! {
        <div class="code-boxes">
            {boxes}
            <input
                node_ref=input
                class="code-input"
                id="code"
                name="code"
                type="text"
                inputmode="numeric"
                autocomplete="one-time-code"
                // Room for the spaces of a pasted code.
                maxlength="24"
                required
                autofocus
                spellcheck="false"
                aria-invalid=refused.then_some("true")
                aria-describedby=if refused { "code-error code-hint" } else { "code-hint" }
                on:input=tidy
            />
        </div>
    }
}
