//! What must be known before going on: banners above a page, notes inside one.

use leptos::prelude::*;

use super::icon::{Icon, IconName};

/// What a banner or note is about. The words say it; colour and icon only repeat it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// Worth knowing.
    Info,
    /// Something works less than it should, or cannot be taken back.
    Warn,
    /// Something was refused or failed.
    Bad,
    /// Something worked.
    Good,
}

impl Tone {
    const fn icon(self) -> IconName {
        match self {
            Self::Info => IconName::Info,
            Self::Warn => IconName::TriangleAlert,
            Self::Bad => IconName::CircleAlert,
            Self::Good => IconName::CircleCheck,
        }
    }
}

/// A thin line above the page for what blocks work in the whole account.
#[component]
pub fn Banner(
    /// What it is about.
    tone: Tone,
    /// What happened, why, what to do.
    children: Children,
) -> impl IntoView {
    let class = match tone {
        Tone::Info | Tone::Good => "banner banner-info",
        Tone::Warn | Tone::Bad => "banner banner-warn",
    };
    view! {
        <div class=class>
            <Icon name=tone.icon() />
            <div>{children()}</div>
        </div>
    }
    .into_any()
}

/// A boxed line inside a page. A refusal is an alert, so that a screen reader starts with it.
#[component]
pub fn Note(
    /// What it is about.
    tone: Tone,
    /// What happened, why, what to do.
    children: Children,
) -> impl IntoView {
    let class = match tone {
        Tone::Info => "note",
        Tone::Warn => "note note-warn",
        Tone::Bad => "note note-bad",
        Tone::Good => "note note-good",
    };
    view! {
        <div class=class role=(tone == Tone::Bad).then_some("alert")>
            <Icon name=tone.icon() />
            <div>{children()}</div>
        </div>
    }
    .into_any()
}
