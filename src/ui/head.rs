//! What every document's head holds besides the stylesheet and the scripts.

use leptos::prelude::*;

/// Icon, fonts, and that both colour schemes are meant. The two fonts are loaded early, so that text
/// does not jump when they arrive.
#[component]
pub fn DocumentHead() -> impl IntoView {
    view! {
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
