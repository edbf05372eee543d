//! Code to copy, in several languages, behind tabs that are radio inputs: they work without scripts.

use leptos::prelude::*;

use super::copy_button::CopyButton;

/// One tab.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snippet {
    /// The tab's name: `curl`.
    pub label: &'static str,
    /// The code.
    pub code: String,
}

/// A row of tabs over code.
#[component]
pub fn Snippets(
    /// Unlike any other on the page: names the radio group and starts the ids.
    id: &'static str,
    /// What the tabs choose between, for screen readers.
    label: &'static str,
    /// The tabs; the first one is open.
    snippets: Vec<Snippet>,
) -> impl IntoView {
    let tabs = snippets.into_iter().enumerate().map(|(at, snippet)| {
        let code_id = format!("{id}-{at}");
        view! {
            <input type="radio" name=id class="tab" aria-label=snippet.label checked=at == 0 autocomplete="off" />
            <div class="tab-content">
                <div class="snippet">
                    <pre tabindex="0" aria-label=format!("{} code", snippet.label)>
                        <code id=code_id.clone()>{snippet.code}</code>
                    </pre>
                    <CopyButton
                        label=format!("Copy the {} code", snippet.label)
                        from=code_id
                        text=String::new()
                        wide=false
                    />
                </div>
            </div>
        }
    });
    view! {
        <div class="snippets">
            <div class="tabs" role="group" aria-label=label>
                {tabs.collect_view()}
            </div>
        </div>
    }
}
