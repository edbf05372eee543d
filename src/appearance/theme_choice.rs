//! The three buttons in the personal menu.

use leptos::prelude::*;
use leptos::server_fn::ServerFn;

use super::{SetTheme, Theme};
use crate::ui::{Icon, IconName};

/// Lets the reader choose; the document that comes back has the colours.
#[component]
pub fn ThemeChoice(
    /// What is chosen now.
    current: Theme,
) -> impl IntoView {
    let choices = Theme::ALL.map(|theme| {
        let (icon, words) = match theme {
            Theme::System => (IconName::Monitor, "System"),
            Theme::Light => (IconName::Sun, "Light"),
            Theme::Dark => (IconName::Moon, "Dark"),
        };
        view! {
            <button type="submit" name="theme" value=theme.as_str() aria-pressed=(theme == current).to_string()>
                <Icon name=icon />
                {words}
            </button>
        }
    });
    view! {
        <p class="menu-label" id="theme-label">
            "Theme"
        </p>
        <form class="choice" method="post" action=SetTheme::PATH aria-labelledby="theme-label">
            {choices.into_iter().collect_view()}
        </form>
    }
}
