//! How a page comes to be: its one loader, its title, the pages for what went wrong.

use std::future::Future;

use leptos::prelude::*;
use leptos_meta::Title;

use crate::error::AppError;
use crate::ui::ErrorPage;

/// Renders what the page's one loader brought, or the page for its refusal.
///
/// The loader is a server function called in process: it has set the response's status (or the
/// redirect to sign in) by the time `view` runs.
pub fn loaded<T, V>(
    load: impl Future<Output = Result<T, AppError>> + Send + 'static,
    view: impl FnOnce(T) -> V + Send + 'static,
) -> impl IntoView
where
    T: 'static,
    V: IntoView + 'static,
{
    Suspend::new(async move {
        match load.await {
            Ok(value) => view(value).into_any(),
            Err(error) => view! { <ErrorPage error /> }.into_any(),
        }
    })
}

/// The document's title. Titles hold user text and the library writes them unescaped, so this is
/// the only way to set one.
#[component]
pub fn PageTitle(#[prop(into)] text: String) -> impl IntoView {
    let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    view! { <Title text /> }
}

/// The page for an address that leads nowhere.
#[component]
pub fn NotFoundPage() -> impl IntoView {
    loaded(crate::auth::load_unknown(), |()| ())
}
