//! Buttons: what submits a form, and links that look like it.

use leptos::prelude::*;

use super::icon::{Icon, IconName};

/// How much a button asks to be pressed. A page has one `Primary`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ButtonLook {
    /// The act the page is for.
    Primary,
    /// Any other act.
    #[default]
    Plain,
    /// An act that must not draw the eye, such as a way back.
    Quiet,
    /// An act that destroys.
    Danger,
}

impl ButtonLook {
    /// The classes of a button of this look.
    #[must_use]
    pub const fn class(self) -> &'static str {
        match self {
            Self::Primary => "btn btn-primary",
            Self::Plain => "btn btn-plain",
            Self::Quiet => "btn btn-ghost",
            Self::Danger => "btn btn-error",
        }
    }
}

/// Submits the form it stands in.
#[component]
pub fn SubmitButton(
    /// How it looks.
    #[prop(optional)]
    look: ButtonLook,
    /// What it does, in words: "Revoke key".
    children: Children,
) -> impl IntoView {
    view! {
        <button type="submit" class=look.class()>
            {children()}
        </button>
    }
}

/// A link to a page, shown as a button.
#[component]
pub fn LinkButton(
    /// Where it leads.
    #[prop(into)]
    href: String,
    /// How it looks.
    #[prop(optional)]
    look: ButtonLook,
    /// An icon before the words.
    #[prop(optional, into)]
    icon: Option<IconName>,
    /// Where it leads, in words.
    children: Children,
) -> impl IntoView {
    view! {
        <a href=href class=look.class()>
            {icon.map(|name| view! { <Icon name /> })}
            {children()}
        </a>
    }
}
