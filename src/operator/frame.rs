//! What all the operator's pages share: the frame with their own navigation, and states.

use leptos::prelude::*;

use super::{Health, Level};
use crate::keys::AccountView;
use crate::page::PageTitle;
use crate::ui::{Frame, Icon, IconName, PageHead, Section};

/// The operator's pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The overview.
    Overview,
    /// Models.
    Models,
    /// Upstreams.
    Upstreams,
    /// Permissions.
    Permissions,
    /// Gateways.
    Gateways,
}

const PLACES: [(Place, &str, &str); 5] = [
    (Place::Overview, "/operator", "Overview"),
    (Place::Models, "/operator/models", "Models"),
    (Place::Upstreams, "/operator/upstreams", "Upstreams"),
    (Place::Permissions, "/operator/permissions", "Permissions"),
    (Place::Gateways, "/operator/gateways", "Gateways"),
];

/// A list or an overview: title, its acts, the navigation among the operator's pages.
#[component]
pub fn OperatorFrame(
    /// The frame's own.
    account: AccountView,
    /// Which page this is.
    here: Place,
    /// Its name.
    title: &'static str,
    /// One sentence under it.
    lead: &'static str,
    /// A line about what the last post led to.
    #[prop(optional_no_strip)]
    notice: Option<String>,
    /// The buttons at the right.
    #[prop(optional, into)]
    actions: ViewFn,
    /// The page.
    children: Children,
) -> impl IntoView {
    let links = PLACES.map(|(place, href, words)| {
        view! {
            <a class="filter" href=href aria-current=(place == here).then_some("page")>
                {words}
            </a>
        }
    });
    view! {
        <PageTitle text=format!("{title} - Operator") />
        <Frame account notice section=Section::Operator>
            <nav class="filters" aria-label="Operator">
                {links.collect_view()}
            </nav>
            <PageHead title lead>
                {actions.run()}
            </PageHead>
            {children()}
        </Frame>
    }
    .into_any()
}

/// A form or a question: the way back to its list, and its title.
#[component]
pub fn OperatorForm(
    /// The frame's own.
    account: AccountView,
    /// The list: address and name.
    back: (&'static str, &'static str),
    /// The page's name.
    title: String,
    /// The page.
    children: Children,
) -> impl IntoView {
    view! {
        <PageTitle text=format!("{title} - Operator") />
        <Frame account section=Section::Operator narrow=true>
            <a class="crumb" href=back.0>
                <Icon name=IconName::ArrowLeft />
                {back.1}
            </a>
            <PageHead title />
            {children()}
        </Frame>
    }
    .into_any()
}

/// How something is: icon, words, and more words under them.
#[component]
pub fn State(
    /// What to say.
    health: Health,
) -> impl IntoView {
    let (class, icon) = match health.level {
        Level::Good => ("state state-good", IconName::CircleCheck),
        Level::Off => ("state state-off", IconName::CirclePause),
        Level::Warn => ("state state-warn", IconName::TriangleAlert),
        Level::Bad => ("state state-bad", IconName::CircleAlert),
    };
    view! {
        <span class=class>
            <Icon name=icon />
            {health.text}
        </span>
        <Under text=health.detail />
    }
}

/// A small line under a cell's own; nothing if there is nothing to say.
#[component]
pub fn Under(
    /// What to say.
    text: String,
) -> impl IntoView {
    (!text.is_empty()).then(|| view! { <span class="cell-under meta">{text}</span> })
}
