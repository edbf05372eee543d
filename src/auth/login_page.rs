//! `/login`: the address, step one.

use leptos::prelude::*;
use leptos::server_fn::ServerFn;

use super::{LoginView, RequestCode, load_login};
use crate::page::{PageTitle, loaded};
use crate::ui::{ButtonLook, Entry, Note, SubmitButton, TextField, Tone};

/// Asks for the address to send a code to.
#[component]
pub fn LoginPage() -> impl IntoView {
    loaded(load_login(), |view| view! { <Login view /> })
}

#[component]
fn Login(view: LoginView) -> impl IntoView {
    let LoginView { brand, flash } = view;
    let refused = flash.form_error("request_code", &["email"]);
    view! {
        <PageTitle text=format!("Sign in - {brand}") />
        <Entry brand=brand.clone()>
            <div>
                <h1 class="page-title">"Sign in to " {brand}</h1>
                <p class="page-lead">"We email you a one-time code."</p>
            </div>
            {refused.map(|text| view! { <Note tone=Tone::Bad>{text}</Note> })}
            {flash.notice.clone().map(|text| view! { <Note tone=Tone::Info>{text}</Note> })}
            <form class="form" method="post" action=RequestCode::PATH novalidate>
                <TextField
                    name="email"
                    label="Email address"
                    kind="email"
                    autocomplete="username"
                    placeholder="you@example.com"
                    maxlength=254
                    autofocus=true
                    value=flash.value("request_code", "email")
                    error=flash.field_error("request_code", "email")
                />
                <SubmitButton look=ButtonLook::Primary>"Email me a code"</SubmitButton>
            </form>
            <p class="meta">"New here? The same step makes your account."</p>
        </Entry>
    }
}
