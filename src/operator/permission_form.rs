//! `/operator/permissions/new` and `/operator/permissions/edit?permission=…`: a permission of the operator's own.

use leptos::prelude::*;
use leptos_router::hooks::use_query_map;

use super::frame::OperatorForm;
use super::route_lines::RouteLines;
use super::{FormOutcome, PermissionFormView, load_operator_permission};
use crate::page::loaded;
use crate::ui::{ButtonLook, CheckBox, ErrorPage, LinkButton, NotSaved, SubmitButton, TextField, error_of};

const LIST: &str = "/operator/permissions";

/// The form on GET, empty or the named permission's; after a POST the form with what was wrong with it.
#[component]
pub fn PermissionRoute() -> impl IntoView {
    let name = use_query_map().read_untracked().get("permission").unwrap_or_default();
    match use_context::<FormOutcome>() {
        Some(FormOutcome::Permission(form)) => view! { <PermissionForm form=*form /> }.into_any(),
        Some(FormOutcome::Failed(error)) => view! { <ErrorPage error /> }.into_any(),
        _ => loaded(load_operator_permission(name), |form| view! { <PermissionForm form /> }).into_any(),
    }
}

/// The form, with what was typed and what is wrong with it.
#[component]
pub fn PermissionForm(
    /// What it shows.
    form: PermissionFormView,
) -> impl IntoView {
    let PermissionFormView { account, is_new, typed, routes, upstreams, row_version, errors, conflict } =
        form;
    let title = if is_new { "Add a permission".to_owned() } else { format!("Edit {}", typed.name) };
    let stale = !conflict.is_empty();
    // A form posts to where it is; the address of an edit names its permission.
    let action = if is_new { LIST } else { "" };
    view! {
        <OperatorForm account back=(LIST, "Permissions") title>
            <form class="form form-wide" method="post" action=action novalidate>
                <NotSaved errors=errors.clone() conflict stale />
                <input type="hidden" name="row_version" value=row_version.to_string() />
                {is_new
                    .then(|| {
                        view! {
                            <TextField
                                name="name"
                                label="Name"
                                hint="What rules of keys and groups call it. It cannot be changed later."
                                placeholder="character_info"
                                maxlength=64
                                autofocus=true
                                value=typed.name.clone()
                                error=error_of(&errors, "name")
                            />
                        }
                    })}
                <TextField
                    name="allows"
                    label="Lets a key"
                    hint="One line, for whoever gives it to a key."
                    placeholder="Read characters"
                    maxlength=200
                    value=typed.allows
                    error=error_of(&errors, "allows")
                />
                <RouteLines routes upstreams errors />
                <CheckBox
                    name="enabled"
                    label="Served"
                    hint="Off, the permission is archived: its routes are answered with 404, keys and groups that name it keep \
                          it, and past usage stays."
                    checked=typed.enabled
                />
                <div class="form-actions">
                    <SubmitButton look=ButtonLook::Primary>
                        {if is_new { "Add permission" } else { "Save permission" }}
                    </SubmitButton>
                    <LinkButton href=LIST look=ButtonLook::Quiet>
                        "Cancel"
                    </LinkButton>
                </div>
            </form>
        </OperatorForm>
    }
}
