//! API keys: listing, creating, switching, revoking. Enforcement lives in the gateway.

mod api;
mod created_page;
mod key_switch;
mod key_table;
mod list_page;
mod new_page;
mod quick_start;
mod revoke_dialog;
mod revoke_facts;
mod revoke_page;
#[cfg(feature = "ssr")]
pub mod server;

pub use api::*;
pub use created_page::KeyCreatedPage;
pub use list_page::KeyListPage;
pub use new_page::{NewKeyForm, NewKeyPage};
pub use revoke_page::RevokeKeyPage;

use leptos::prelude::*;

/// `/a/{slug}/keys`: the list on GET; after a POST the new key's secret, or the form with what was
/// wrong with it. The handler of the POST says which by context.
#[component]
pub fn KeysRoute() -> impl IntoView {
    match use_context::<CreateOutcome>() {
        Some(CreateOutcome::Created(created)) => view! { <KeyCreatedPage created=*created /> }.into_any(),
        Some(CreateOutcome::Refused(form)) => view! { <NewKeyForm form=*form /> }.into_any(),
        Some(CreateOutcome::Failed(error)) => view! { <crate::ui::ErrorPage error /> }.into_any(),
        None => view! { <KeyListPage /> }.into_any(),
    }
}
