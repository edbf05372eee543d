//! Whole pages for what went wrong: not found, not allowed, a fault.

use leptos::prelude::*;
use leptos_meta::Title;

use super::button::{ButtonLook, LinkButton};
use super::mark::Mark;
use crate::error::AppError;

/// Says what happened and offers the way on. Stands alone: what failed may be the account itself.
#[component]
pub fn ErrorPage(
    /// What happened.
    error: AppError,
) -> impl IntoView {
    let title = headline(&error);
    let signed_out = error == AppError::Unauthenticated;
    let (href, words) = if signed_out { ("/login", "Sign in") } else { ("/", "Go to your keys") };
    view! {
        <Title text=title />
        <main id="main" class="plain plain-alone">
            <Mark />
            <p class="meta number">{format!("Error {}", error.status())}</p>
            <h1 class="page-title">{title}</h1>
            <p class="page-lead">{error.to_string()}</p>
            <div class="actions">
                <LinkButton href=href look=ButtonLook::Primary>
                    {words}
                </LinkButton>
                {(error.status() >= 500)
                    .then(|| view! { <LinkButton href="">"Try again"</LinkButton> })}
            </div>
        </main>
    }
}

const fn headline(error: &AppError) -> &'static str {
    match error {
        AppError::Unauthenticated => "You are signed out",
        AppError::Forbidden => "You may not do that here",
        AppError::NotFound => "There is nothing here",
        AppError::Invalid { .. } | AppError::Malformed => "That could not be read",
        AppError::Conflict { .. } => "Someone else changed this",
        AppError::Unavailable | AppError::Transport => "Not reachable right now",
        AppError::Internal { .. } => "Something went wrong",
    }
}
