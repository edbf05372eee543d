//! Exact times in the reader's own time zone.

use leptos::prelude::*;

use super::browser;

/// Rewrites the exact form of every `TimeAgo` on the page from UTC to local time, once. One island
/// for the page, because one in each row would cost far more than it shows.
#[island]
pub fn LocalTimes() -> impl IntoView {
    Effect::new(|_| browser::localise_times());
}
