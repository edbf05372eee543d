//! `/login/code`: the code, step two.

use leptos::prelude::*;
use leptos::server_fn::ServerFn;

use super::code_field::CodeField;
use super::resend_button::ResendButton;
use super::{CodeView, RedeemCode, RequestCode, load_code};
use crate::page::{PageTitle, loaded};
use crate::ui::{ButtonLook, Entry, FieldError, Note, SubmitButton, Tone};

/// Asks for the code that was mailed.
#[component]
pub fn CodePage() -> impl IntoView {
    loaded(load_code(), |view| view! { <Code view /> })
}

#[component]
fn Code(view: CodeView) -> impl IntoView {
    let CodeView { brand, email, resend_in_seconds, flash } = view;
    let wrong = flash.field_error("redeem_code", "code");
    let refused =
        flash.form_error("redeem_code", &["code"]).or_else(|| flash.form_error("request_code", &[]));
    view! {
        <PageTitle text=format!("Enter your code - {brand}") />
        <Entry brand>
            <div>
                <h1 class="page-title">"Check your mail"</h1>
                <p class="page-lead">
                    "We sent an 8-digit code to " <strong class="address">{email.clone()}</strong>
                    ". It works for 10 minutes, in this browser."
                </p>
            </div>
            {refused.map(|text| view! { <Note tone=Tone::Bad>{text}</Note> })}
            {flash.notice.map(|text| view! { <Note tone=Tone::Good>{text}</Note> })}
            <form class="form" method="post" action=RedeemCode::PATH novalidate>
                <div class="field">
                    <label class="field-label" for="code">
                        "Code"
                    </label>
                    <CodeField refused=wrong.is_some() />
                    <FieldError id="code-error" error=wrong />
                    <p class="field-hint" id="code-hint">
                        "You can paste it, with or without spaces."
                    </p>
                </div>
                <SubmitButton look=ButtonLook::Primary>"Sign in"</SubmitButton>
            </form>
            <div class="entry-links">
                <form method="post" action=RequestCode::PATH>
                    <input type="hidden" name="email" value=email />
                    <ResendButton seconds=resend_in_seconds />
                </form>
                <a class="link" href="/login">
                    "Use another address"
                </a>
            </div>
        </Entry>
    }
}
