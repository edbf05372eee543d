//! API keys: listing, creating, switching, revoking. Enforcement lives in the gateway.

mod api;
mod created_page;
mod delete_page;
mod edit_page;
mod find_bar;
mod form_api;
mod key_form;
mod key_form_access;
mod key_form_limits;
mod key_page;
mod key_page_overview;
mod key_page_requests;
mod key_switch;
mod key_table;
mod list_api;
mod list_page;
mod new_page;
mod page_api;
mod quick_start;
mod revoke_dialog;
mod revoke_facts;
mod revoke_page;
mod rotate_page;
#[cfg(feature = "ssr")]
pub mod server;

pub use api::*;
pub use created_page::KeyCreatedPage;
pub use delete_page::DeleteKeyPage;
pub use edit_page::EditKeyPage;
pub use form_api::*;
pub use key_form::KeyForm;
pub use key_page::KeyPage;
pub use list_api::*;
pub use list_page::KeyListPage;
pub use new_page::NewKeyPage;
pub use page_api::*;
pub use revoke_page::RevokeKeyPage;
pub use rotate_page::{RotateKeyPage, SecretRoute};

use leptos::prelude::*;

/// `/a/{slug}/keys`: the list on GET; after a POST the new key's secret, or the form with what was
/// wrong with it. The handler of the POST says which by context.
#[component]
pub fn KeysRoute() -> impl IntoView {
    match use_context::<CreateOutcome>() {
        Some(CreateOutcome::Created(created)) => view! { <KeyCreatedPage created=*created /> }.into_any(),
        Some(CreateOutcome::Unfinished(form) | CreateOutcome::Refused(form)) => {
            view! { <KeyForm form=*form /> }.into_any()
        }
        Some(CreateOutcome::Failed(error)) => view! { <crate::ui::ErrorPage error /> }.into_any(),
        None => view! { <KeyListPage /> }.into_any(),
    }
}
