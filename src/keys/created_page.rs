//! The answer to creating a key: its secret, shown once.

use leptos::prelude::*;

use super::{CreatedKeyView, Receipt, quick_start};
use crate::page::PageTitle;
use crate::ui::{ButtonLook, CopyButton, Frame, Icon, IconName, LinkButton, Note, PageHead, Snippets, Tone};

/// The new key. The copy buttons read the secret from the page: it is in no island's data.
#[component]
pub fn KeyCreatedPage(
    /// The key and, the first time, its secret.
    created: CreatedKeyView,
) -> impl IntoView {
    let CreatedKeyView { account, name, secret, mask, gateway_url, receipt, example_model, older } = created;
    let keys = format!("/a/{}/keys", account.slug);
    let shown = match secret {
        Some(secret) => view! { <Secret secret gateway_url receipt example_model /> }.into_any(),
        None => view! { <ShownBefore mask replaced=older.is_some() /> }.into_any(),
    };
    let title =
        if older.is_some() { format!("The new secret of {name}") } else { format!("Your new key: {name}") };
    view! {
        <PageTitle text=format!("Your new key - {}", account.name) />
        <Frame account narrow=true theme_choice=false>
            <PageHead title />
            {older.map(|words| view! { <p class="page-lead">{words}</p> })}
            {shown}
            <div class="form-actions form-end">
                <LinkButton href=keys.clone() look=ButtonLook::Primary>
                    "I stored it"
                </LinkButton>
                <LinkButton href=format!("{keys}/new")>"Create another"</LinkButton>
            </div>
        </Frame>
    }
}

#[component]
fn Secret(
    secret: String,
    gateway_url: String,
    receipt: Option<Receipt>,
    example_model: Option<String>,
) -> impl IntoView {
    let calls = quick_start::calls(&gateway_url, Some(&secret), example_model.as_deref());
    view! {
        <div class="secret">
            <code class="value" id="new-secret">
                {secret.clone()}
            </code>
            <CopyButton label="Copy the key".to_owned() from="new-secret".to_owned() text=String::new() wide=true />
        </div>
        <p class="once">
            <Icon name=IconName::TriangleAlert />
            "Store it now. After this page it cannot be shown again."
        </p>
        {receipt.map(|receipt| view! { <ReceiptLine receipt /> })}
        <section class="section" aria-labelledby="environment-title">
            <h2 class="section-title" id="environment-title">
                "Put it in the environment"
            </h2>
            <Snippets
                id="environment"
                label="Shell"
                snippets=quick_start::environment(&gateway_url, &secret)
            />
        </section>
        <section class="section" aria-labelledby="call-title">
            <h2 class="section-title" id="call-title">
                "Make the first call"
            </h2>
            <Snippets id="call" label="Language" snippets=calls />
        </section>
    }
}

#[component]
fn ReceiptLine(receipt: Receipt) -> impl IntoView {
    let icon = if receipt.complete { IconName::CircleCheck } else { IconName::TriangleAlert };
    view! {
        <p class="receipt" class:receipt-complete=receipt.complete>
            <Icon name=icon />
            {receipt.text}
        </p>
    }
}

/// The form was posted a second time, or the page reloaded.
#[component]
fn ShownBefore(mask: String, replaced: bool) -> impl IntoView {
    let words = if replaced {
        "This secret was shown a moment ago; a secret is shown only once. If you did not store it, rotate the key again."
    } else {
        "This key was created and its secret shown a moment ago; a secret is shown only once. If you did not store it, \
         create another key and revoke this one."
    };
    view! {
        <div class="secret">
            <code class="mono">{mask}</code>
        </div>
        <Note tone=Tone::Warn>
            {words}
        </Note>
    }
}
