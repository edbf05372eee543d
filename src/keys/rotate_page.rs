//! `/a/{slug}/keys/{id}/rotate`: a new secret for a key, with or without an overlap.

use leptos::prelude::*;
use leptos_router::hooks::use_params_map;

use super::created_page::KeyCreatedPage;
use super::{RotateView, SecretOutcome, load_rotate};
use crate::error::AppError;
use crate::page::{PageTitle, loaded};
use crate::ui::{
    ButtonLook, ErrorPage, Frame, Icon, IconName, LinkButton, Note, PageHead, RadioGroup, SubmitButton, Tone,
};

/// Asks how the secret is to be replaced.
#[component]
pub fn RotateKeyPage() -> impl IntoView {
    let params = use_params_map().read_untracked().clone();
    let (slug, key) = (params.get("slug").unwrap_or_default(), params.get("id").unwrap_or_default());
    loaded(load_rotate(slug, key), |view| view! { <Rotate view /> })
}

/// `/a/{slug}/keys/{id}/secret`: what a POST there led to. There is nothing to GET.
#[component]
pub fn SecretRoute() -> impl IntoView {
    match use_context::<SecretOutcome>() {
        Some(SecretOutcome::Replaced(created)) => view! { <KeyCreatedPage created=*created /> }.into_any(),
        Some(SecretOutcome::Refused(view)) => view! { <Rotate view=*view /> }.into_any(),
        Some(SecretOutcome::Failed(error)) => view! { <ErrorPage error /> }.into_any(),
        None => view! { <crate::page::NotFoundPage /> }.into_any(),
    }
}

#[component]
fn Rotate(view: RotateView) -> impl IntoView {
    let RotateView { account, key, form_id, overlap, retiring, error } = view;
    let back = format!("/a/{}/keys/{}", account.slug, key.id);
    let action = format!("{back}/secret");
    let running = retiring.is_some();
    let mut options = vec![("now", "Stop it at once")];
    if !running {
        options.extend([("1h", "1 hour"), ("24h", "24 hours"), ("7d", "7 days")]);
    }
    view! {
        <PageTitle text=format!("Rotate {} - {}", key.name, account.name) />
        <Frame account narrow=true>
            <a class="crumb" href=back.clone()>
                <Icon name=IconName::ArrowLeft />
                {key.name.clone()}
            </a>
            <PageHead title=format!("A new secret for {}", key.name) />
            {error.map(|error: AppError| view! { <Note tone=Tone::Bad>{error.to_string()}</Note> })}
            <p class="page-lead">
                "The key keeps its name, rules, limits and history. Its secret " <code class="mono">{key.mask}</code>
                " is replaced by a new one, which is shown once."
            </p>
            {retiring
                .map(|secret| {
                    view! {
                        <Note tone=Tone::Warn>
                            {format!(
                                "A rotation is under way: {} works {} longer. A new secret now stops both.",
                                secret.mask,
                                secret.ends_text.trim_start_matches("in "),
                            )}
                        </Note>
                    }
                })}
            <form class="form form-end" method="post" action=action>
                <input type="hidden" name="form_id" value=form_id />
                <input type="hidden" name="row_version" value=key.row_version.to_string() />
                <RadioGroup name="overlap" label="The present secret goes on working for" options value=overlap />
                <ul class="facts">
                    <li>
                        <Icon name=IconName::Info />
                        "With an overlap you can put the new secret in place before the old one stops. Both count towards \
                         the same limits; the overlap can be ended early or undone."
                    </li>
                    <li>
                        <Icon name=IconName::TriangleAlert />
                        "At once is for a secret that has leaked: the next request with it gets 401."
                    </li>
                </ul>
                <div class="form-actions">
                    <SubmitButton look=ButtonLook::Primary>"Create new secret"</SubmitButton>
                    <LinkButton href=back look=ButtonLook::Quiet>
                        "Cancel"
                    </LinkButton>
                </div>
            </form>
        </Frame>
    }
}
