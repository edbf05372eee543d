//! The frame of every signed-in page: navigation, banners, the live region.

use leptos::prelude::*;
use leptos::server_fn::ServerFn;

use super::banner::{Banner, Tone};
use super::icon::{Icon, IconName};
use super::local_times::LocalTimes;
use super::mark::Mark;
use super::submit_guard::SubmitGuard;
use super::toaster::Toaster;
use crate::appearance::{Theme, ThemeChoice};
use crate::auth::SignOut;
use crate::keys::AccountView;

/// Where in the navigation a page is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Section {
    /// The account's API keys.
    #[default]
    Keys,
    /// What the operator sets up.
    Operator,
}

/// Navigation at the left (a bar at the bottom on phones), banners for what blocks work, the page.
#[component]
pub fn Frame(
    /// The account and who looks at it.
    account: AccountView,
    /// A line about what the last post led to.
    #[prop(optional_no_strip)]
    notice: Option<String>,
    /// Gateways heard lately, where the page knows.
    #[prop(optional)]
    live_gateways: Option<u32>,
    /// Where the page is.
    #[prop(optional)]
    section: Section,
    /// Whether the page is a form or a text rather than a table.
    #[prop(optional)]
    narrow: bool,
    /// Whether the theme may be changed here. Changing it loads the page anew, which must not
    /// happen to one that cannot be shown again.
    #[prop(default = true)]
    theme_choice: bool,
    /// The page, beginning with a `PageHead`.
    children: Children,
) -> impl IntoView {
    let billing = account.billing_active;
    let class = if narrow { "page page-narrow" } else { "page" };
    view! {
        <a class="skip-link" href="#main">
            "Skip to the page"
        </a>
        <div class="frame">
            <Navigation account section theme_choice />
            <div class="frame-body">
                <Banners billing_active=billing live_gateways />
                <main id="main" class=class tabindex="-1">
                    {children()}
                </main>
            </div>
        </div>
        <Toaster notice=notice.unwrap_or_default() />
        <LocalTimes />
        <SubmitGuard />
    }
    .into_any()
}

/// A page's title, what it is about, and its acts.
#[component]
pub fn PageHead(
    /// The page's name.
    #[prop(into)]
    title: String,
    /// One sentence under it.
    #[prop(optional, into)]
    lead: Option<String>,
    /// The buttons at the right.
    #[prop(optional)]
    children: Option<Children>,
) -> impl IntoView {
    view! {
        <header class="page-head">
            <div>
                <h1 class="page-title">{title}</h1>
                {lead.map(|text| view! { <p class="page-lead">{text}</p> })}
            </div>
            {children.map(|children| view! { <div class="actions">{children()}</div> })}
        </header>
    }
}

/// What blocks work in the whole account; nothing if nothing does.
#[component]
fn Banners(billing_active: bool, live_gateways: Option<u32>) -> impl IntoView {
    let unheard = live_gateways == Some(0);
    (unheard || !billing_active).then(|| {
        view! {
            <aside aria-label="Notices">
                {(!billing_active).then(|| view! { <BillingBanner /> })}
                {unheard.then(|| view! { <GatewayBanner /> })}
            </aside>
        }
    })
}

#[component]
fn BillingBanner() -> impl IntoView {
    view! {
        <Banner tone=Tone::Warn>
            "This account has no active billing method or is suspended, so the gateway refuses every request. \
             Keys can be created and changed meanwhile. Ask whoever runs this service to activate it."
        </Banner>
    }
}

#[component]
fn GatewayBanner() -> impl IntoView {
    view! {
        <Banner tone=Tone::Warn>
            "No gateway has been heard from in the last 30 seconds. Keys can be changed; requests are not \
             answered until one is back."
        </Banner>
    }
}

#[component]
fn Navigation(account: AccountView, section: Section, theme_choice: bool) -> impl IntoView {
    // An operator need not belong to any account.
    let keys = (!account.slug.is_empty()).then(|| format!("/a/{}/keys", account.slug));
    let item = move |of: Section, href: String, icon: IconName, words: &'static str| {
        view! {
            <li>
                <a class="nav-item" href=href aria-current=(of == section).then_some("page")>
                    <Icon name=icon />
                    {words}
                </a>
            </li>
        }
    };
    view! {
        <nav class="frame-nav" aria-label="Main">
            <div class="frame-account">
                <Mark />
                <div class="frame-account-text">
                    <span class="frame-account-name">{account.name}</span>
                    <span class="meta">{account.role}</span>
                </div>
            </div>
            <ul class="frame-links">
                {keys.map(|href| item(Section::Keys, href, IconName::KeyRound, "API keys"))}
                {account
                    .operator
                    .then(|| item(Section::Operator, "/operator".to_owned(), IconName::Wrench, "Operator"))}
            </ul>
            <div class="nav-foot">
                <PersonalMenu email=account.email theme_choice />
            </div>
        </nav>
    }
    .into_any()
}

/// Who is signed in, and the way out. A `details` element: it opens without scripts.
#[component]
fn PersonalMenu(email: String, theme_choice: bool) -> impl IntoView {
    let theme = use_context::<Theme>().unwrap_or_default();
    view! {
        <details class="menu">
            <summary class="nav-item">
                <Icon name=IconName::CircleUser />
                <span class="menu-name">{email.clone()}</span>
            </summary>
            <div class="menu-sheet">
                <p class="menu-head meta">"Signed in as " {email}</p>
                <div class="menu-rule"></div>
                {theme_choice
                    .then(|| {
                        view! {
                            <ThemeChoice current=theme />
                            <div class="menu-rule"></div>
                        }
                    })}
                <form method="post" action=SignOut::PATH>
                    <button type="submit" class="nav-item">
                        <Icon name=IconName::LogOut />
                        "Sign out"
                    </button>
                </form>
            </div>
        </details>
    }
    .into_any()
}
