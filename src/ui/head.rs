//! What every document's head holds besides the stylesheet and the scripts.

use leptos::nonce::use_nonce;
use leptos::prelude::*;

/// Lets the browser fade between documents. It must be known before the stylesheet has arrived:
/// Chromium decides at the first style of the new document and reports an error if it is late.
const TRANSITIONS: &str = "@media (prefers-reduced-motion:no-preference){@view-transition{navigation:auto}}";

/// Icon, fonts, and that both colour schemes are meant. The two fonts are loaded early, so that text
/// does not jump when they arrive.
#[component]
pub fn DocumentHead() -> impl IntoView {
    view! {
        <style nonce=use_nonce()>{TRANSITIONS}</style>
        <meta name="color-scheme" content="light dark" />
        <link rel="icon" href="/favicon.svg" type="image/svg+xml" />
        <link rel="preload" href="/fonts/inter.woff2" r#as="font" r#type="font/woff2" crossorigin="anonymous" />
        <link
            rel="preload"
            href="/fonts/jetbrains-mono.woff2"
            r#as="font"
            r#type="font/woff2"
            crossorigin="anonymous"
        />
    }
}
