//! `/a/{slug}/keys/new`: the form for a new key.

use leptos::prelude::*;
use leptos_router::hooks::use_params_map;

use super::key_form::KeyForm;
use super::load_new_key;
use crate::page::loaded;

/// The empty form.
#[component]
pub fn NewKeyPage() -> impl IntoView {
    let slug = use_params_map().read_untracked().get("slug").unwrap_or_default();
    loaded(load_new_key(slug), |form| view! { <KeyForm form /> })
}
