//! `/a/{slug}/keys/{id}/edit`: the form of an existing key.

use leptos::prelude::*;
use leptos_router::hooks::use_params_map;

use super::key_form::KeyForm;
use super::{EditOutcome, load_edit_key};
use crate::page::loaded;
use crate::ui::ErrorPage;

/// The key's form on GET; after a POST the form with what was wrong with it.
#[component]
pub fn EditKeyPage() -> impl IntoView {
    let params = use_params_map().read_untracked().clone();
    let (slug, key) = (params.get("slug").unwrap_or_default(), params.get("id").unwrap_or_default());
    match use_context::<EditOutcome>() {
        Some(EditOutcome::Again(form)) => view! { <KeyForm form=*form /> }.into_any(),
        Some(EditOutcome::Failed(error)) => view! { <ErrorPage error /> }.into_any(),
        None => loaded(load_edit_key(slug, key), |form| view! { <KeyForm form /> }).into_any(),
    }
}
