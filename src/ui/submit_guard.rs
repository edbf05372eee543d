//! A form is sent once, however often its button is pressed.

use leptos::prelude::*;

use super::browser;

/// Holds back a second submit of any plain form on the page while the first is on its way: the
/// browser would drop the first one's answer, and with it what only that answer holds. The server
/// copes with a second one all the same.
#[island]
pub fn SubmitGuard() -> impl IntoView {
    Effect::new(|_| browser::hold_second_submits());
}
