//! The server build's stand-in: nothing here ever runs.

use leptos::ev::CustomEvent;
use leptos::html;
use leptos::prelude::*;

/// Does nothing on the server.
pub fn announce(_text: &str) {}

/// Does nothing on the server.
pub fn copy(_text: &str, _done: impl FnOnce(bool) + 'static) {}

/// Does nothing on the server.
pub fn open_dialog_from(
    _dialog: NodeRef<html::Dialog>,
    _trigger: &'static str,
    _fill: impl Fn(&dyn Fn(&str) -> String) + 'static,
) {
}

/// Does nothing on the server.
pub fn hold_second_submits() {}

/// Does nothing on the server.
pub fn localise_times() {}

/// Does nothing on the server.
pub fn select_text_of(_id: &str) {}

/// Does nothing on the server.
pub fn show_toast(_text: &str) {}

/// Does nothing on the server.
pub fn submit_form_of(_input: NodeRef<html::Input>) {}

/// Empty on the server.
#[must_use]
pub fn text_of(_id: &str) -> String {
    String::new()
}

/// Empty on the server.
#[must_use]
pub fn toast_text(_event: &CustomEvent) -> String {
    String::new()
}
