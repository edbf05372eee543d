//! What every document's head holds besides the stylesheet and the scripts.

use leptos::prelude::*;

/// Icon, fonts and colours of the browser's own frame. The two fonts are loaded early, so that text
/// does not jump when they arrive.
#[component]
pub fn DocumentHead() -> impl IntoView {
    view! {
        <meta name="color-scheme" content="light dark" />
        <meta name="theme-color" content="#f9fafb" attr:media="(prefers-color-scheme: light)" />
        <meta name="theme-color" content="#0d1113" attr:media="(prefers-color-scheme: dark)" />
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
