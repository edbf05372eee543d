//! The browser itself.

use std::time::Duration;

use js_sys::{Function, Object, Reflect};
use leptos::ev::CustomEvent;
use leptos::html;
use leptos::prelude::*;
use wasm_bindgen::closure::Closure;
use wasm_bindgen::{JsCast, JsValue};
use web_sys::{CustomEventInit, Element};

use super::{ANNOUNCER, TOAST_EVENT};

/// Marks a form that is on its way.
const SENT: &str = "data-sent";
/// After this long an answer is not coming, and the form may be sent again.
const SENT_FOR: Duration = Duration::from_secs(10);

/// Lets a screen reader say `text` when it has a moment.
pub fn announce(text: &str) {
    if let Some(element) = document().get_element_by_id(ANNOUNCER) {
        element.set_text_content(Some(text));
    }
}

/// Puts `text` on the clipboard, then tells `done` whether that worked.
pub fn copy(text: &str, done: impl FnOnce(bool) + 'static) {
    // Absent where a browser or its policy takes it away, whatever the type says.
    let clipboard = Reflect::get(&window().navigator(), &JsValue::from_str("clipboard"));
    let Some(clipboard) = clipboard.ok().and_then(|found| found.dyn_into::<web_sys::Clipboard>().ok()) else {
        done(false);
        return;
    };
    let answered = std::rc::Rc::new(std::cell::Cell::new(Some(done)));
    let tell = move |worked: bool| {
        let answered = std::rc::Rc::clone(&answered);
        Closure::once(move |_: JsValue| {
            if let Some(done) = answered.take() {
                done(worked);
            }
        })
    };
    let (kept, refused) = (tell(true), tell(false));
    let _promise = clipboard.write_text(text).then2(&kept, &refused);
    kept.forget();
    refused.forget();
}

/// Opens `dialog` instead of following a link that matches the selector `trigger`. Before that,
/// `fill` gets a function that reads the link's attributes by name.
pub fn open_dialog_from(
    dialog: NodeRef<html::Dialog>,
    trigger: &'static str,
    fill: impl Fn(&dyn Fn(&str) -> String) + 'static,
) {
    let listener = window_event_listener(leptos::ev::click, move |event| {
        let plain = event.button() == 0 && !event.ctrl_key() && !event.meta_key() && !event.shift_key();
        let target = event.target().and_then(|target| target.dyn_into::<Element>().ok());
        let link = target.and_then(|element| element.closest(trigger).ok().flatten());
        let (true, Some(link), Some(dialog)) = (plain, link, dialog.get_untracked()) else { return };
        event.prevent_default();
        fill(&|name| link.get_attribute(name).unwrap_or_default());
        // Fails only if it is open already.
        let _ = dialog.show_modal();
    });
    on_cleanup(move || listener.remove());
}

/// Cancels a plain form's submit while an earlier one of the same form is on its way.
pub fn hold_second_submits() {
    let listener = window_event_listener(leptos::ev::submit, |event| {
        let target = event.target().and_then(|target| target.dyn_into::<Element>().ok());
        let form = target.filter(|form| form.get_attribute("method").as_deref() == Some("post"));
        // What an island sends by itself is its own business, and no navigation.
        let (Some(form), false) = (form, event.default_prevented()) else { return };
        if form.has_attribute(SENT) {
            event.prevent_default();
        } else if form.set_attribute(SENT, "").is_ok() {
            let free = move || {
                let _ = form.remove_attribute(SENT);
            };
            set_timeout(free, SENT_FOR);
        }
    });
    on_cleanup(move || listener.remove());
}

/// Writes the exact form of each time on the page in the reader's own zone and language.
pub fn localise_times() {
    let Ok(found) = document().query_selector_all("time [data-exact]") else { return };
    let options = Object::new();
    for (name, value) in [("dateStyle", "medium"), ("timeStyle", "long")] {
        let _ = Reflect::set(&options, &JsValue::from_str(name), &JsValue::from_str(value));
    }
    for at in 0..found.length() {
        let Some(element) = found.item(at).and_then(|node| node.dyn_into::<Element>().ok()) else { continue };
        let iso = element.closest("time").ok().flatten().and_then(|time| time.get_attribute("datetime"));
        let date = js_sys::Date::new(&JsValue::from_str(&iso.unwrap_or_default()));
        if !date.get_time().is_nan() {
            let text = locale_text(&date, &options);
            element.set_text_content(text.as_deref());
        }
    }
}

fn locale_text(date: &js_sys::Date, options: &Object) -> Option<String> {
    // Through the object, because the typed binding insists on naming a language.
    let format =
        Reflect::get(date, &JsValue::from_str("toLocaleString")).ok()?.dyn_into::<Function>().ok()?;
    format.call2(date, &JsValue::UNDEFINED, options).ok()?.as_string()
}

/// Selects the text of an element, ready for Ctrl+C.
pub fn select_text_of(id: &str) {
    let Some(element) = document().get_element_by_id(id) else { return };
    if let Ok(Some(selection)) = window().get_selection() {
        let _ = selection.select_all_children(&element);
    }
}

/// Shows a line at the bottom left.
pub fn show_toast(text: &str) {
    let init = CustomEventInit::new();
    init.set_detail(&JsValue::from_str(text));
    if let Ok(event) = CustomEvent::new_with_event_init_dict(TOAST_EVENT, &init) {
        let _ = window().dispatch_event(&event);
    }
}

/// Submits the form an input stands in, as its button would.
pub fn submit_form_of(input: NodeRef<html::Input>) {
    if let Some(form) = input.get_untracked().and_then(|input| input.form()) {
        let _ = form.request_submit();
    }
}

/// The text of an element; empty if there is none.
#[must_use]
pub fn text_of(id: &str) -> String {
    document().get_element_by_id(id).and_then(|element| element.text_content()).unwrap_or_default()
}

/// The line that an event carries.
#[must_use]
pub fn toast_text(event: &CustomEvent) -> String {
    event.detail().as_string().unwrap_or_default()
}
