//! A key's overview: one bar for each limit, and all that is set.

use leptos::prelude::*;

use super::LimitBar;
use crate::ui::{Icon, IconName};

/// The limits and the facts.
#[component]
pub fn Overview(
    /// Its limits.
    limits: Vec<LimitBar>,
    /// Name and value of all that is set.
    facts: Vec<(String, String)>,
) -> impl IntoView {
    let bars = if limits.is_empty() {
        view! {
            <p class="page-lead">
                "It has no quota of its own. What bounds it is its group\u{2019}s budget and the account\u{2019}s balance."
            </p>
        }
        .into_any()
    } else {
        limits.into_iter().map(|limit| view! { <Bar limit /> }).collect_view().into_any()
    };
    let facts = facts.into_iter().map(|(name, value)| {
        view! {
            <div>
                <dt>{name}</dt>
                <dd>{value}</dd>
            </div>
        }
    });
    view! {
        <div class="key-overview">
            <section class="panel key-part" aria-labelledby="limits-title">
                <h2 class="section-title" id="limits-title">
                    "Limits"
                </h2>
                {bars}
            </section>
            <section class="panel key-part" aria-labelledby="setup-title">
                <h2 class="section-title" id="setup-title">
                    "Set up"
                </h2>
                <dl class="key-setup">{facts.collect_view()}</dl>
            </section>
        </div>
    }
    .into_any()
}

/// One limit. The figures stand in words beside it; the bar alone says nothing.
#[component]
fn Bar(limit: LimitBar) -> impl IntoView {
    let LimitBar { label, text, detail, spent, used_up } = limit;
    let class = match spent {
        _ if used_up => "meter meter-bad",
        801.. => "meter meter-warn",
        _ => "meter",
    };
    view! {
        <div class="limit">
            <div class="limit-head">
                <span class="field-label">{label.clone()}</span>
                <span class="number">{text}</span>
            </div>
            <progress class=class max="1000" value=spent.to_string() aria-label=format!("{label} spent")></progress>
            <p class="meta limit-detail">
                {used_up.then(|| view! { <Icon name=IconName::CircleAlert /> })}
                {used_up.then_some("Used up: ")}
                {detail}
            </p>
        </div>
    }
}
