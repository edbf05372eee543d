//! The document around every page and the route table. Nothing else.

use leptos::prelude::*;
use leptos_meta::{HashedStylesheet, MetaTags, provide_meta_context};
use leptos_router::SsrMode;
use leptos_router::components::{FlatRoutes, Route, Router};
use leptos_router::path;

use crate::appearance::Theme;
use crate::auth::{CodePage, LoginPage};
use crate::keys::{
    DeleteKeyPage, EditKeyPage, KeyPage, KeysRoute, NewKeyPage, RevokeKeyPage, RotateKeyPage, SecretRoute,
};
use crate::operator::{
    ModelRoute, ModelsRoute, OperatorGatewaysPage, OperatorPage, PermissionRoute, PermissionsRoute,
    ReleasePage, UpstreamRoute, UpstreamsRoute,
};
use crate::page::NotFoundPage;
use crate::ui::DocumentHead;

/// The HTML document: head, scripts for the islands, and the app.
#[must_use]
pub fn shell(options: LeptosOptions) -> impl IntoView {
    let theme = use_context::<Theme>().unwrap_or_default();
    view! {
        <!DOCTYPE html>
        <html lang="en" data-theme=theme.data_theme()>
            <head>
                <meta charset="utf-8" />
                <meta name="viewport" content="width=device-width, initial-scale=1" />
                <DocumentHead />
                <HashedStylesheet options=options.clone() id="leptos" />
                <AutoReload options=options.clone() />
                <HydrationScripts options islands=true />
                <MetaTags />
            </head>
            <body>
                <App />
            </body>
        </html>
    }
}

/// The route table. Every page is rendered whole before its first byte leaves, so that status,
/// redirect and cookies are known.
#[component]
pub fn App() -> impl IntoView {
    provide_meta_context();
    view! {
        <Router>
            <FlatRoutes fallback=NotFoundPage>
                <Route path=path!("/login") view=LoginPage ssr=SsrMode::Async />
                <Route path=path!("/login/code") view=CodePage ssr=SsrMode::Async />
                <Route path=path!("/a/:slug/keys") view=KeysRoute ssr=SsrMode::Async />
                <Route path=path!("/a/:slug/keys/new") view=NewKeyPage ssr=SsrMode::Async />
                <Route path=path!("/a/:slug/keys/:id") view=KeyPage ssr=SsrMode::Async />
                <Route path=path!("/a/:slug/keys/:id/rotate") view=RotateKeyPage ssr=SsrMode::Async />
                <Route path=path!("/a/:slug/keys/:id/secret") view=SecretRoute ssr=SsrMode::Async />
                <Route path=path!("/a/:slug/keys/:id/delete") view=DeleteKeyPage ssr=SsrMode::Async />
                <Route path=path!("/a/:slug/keys/:id/edit") view=EditKeyPage ssr=SsrMode::Async />
                <Route path=path!("/a/:slug/keys/:id/revoke") view=RevokeKeyPage ssr=SsrMode::Async />
                <Route path=path!("/operator") view=OperatorPage ssr=SsrMode::Async />
                <Route path=path!("/operator/models") view=ModelsRoute ssr=SsrMode::Async />
                <Route path=path!("/operator/models/new") view=ModelRoute ssr=SsrMode::Async />
                <Route path=path!("/operator/models/edit") view=ModelRoute ssr=SsrMode::Async />
                <Route path=path!("/operator/upstreams") view=UpstreamsRoute ssr=SsrMode::Async />
                <Route path=path!("/operator/upstreams/new") view=UpstreamRoute ssr=SsrMode::Async />
                <Route path=path!("/operator/upstreams/:id") view=UpstreamRoute ssr=SsrMode::Async />
                <Route path=path!("/operator/permissions") view=PermissionsRoute ssr=SsrMode::Async />
                <Route path=path!("/operator/permissions/new") view=PermissionRoute ssr=SsrMode::Async />
                <Route path=path!("/operator/permissions/edit") view=PermissionRoute ssr=SsrMode::Async />
                <Route path=path!("/operator/gateways") view=OperatorGatewaysPage ssr=SsrMode::Async />
                <Route path=path!("/operator/gateways/:id/release") view=ReleasePage ssr=SsrMode::Async />
            </FlatRoutes>
        </Router>
    }
}
