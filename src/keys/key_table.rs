//! The list's table: one row a key; a card each on phones.

use leptos::prelude::*;

use super::key_switch::KeySwitch;
use super::{HeadView, KeyRow, KeyStatus, LimitView, ListRow, Restriction, StateLook};
use crate::ui::{CopyButton, Icon, IconName, TimeAgo};

/// The keys, in the order they are given.
#[component]
pub fn KeyTable(
    /// The account's part of the address.
    slug: String,
    /// Whether the viewer may switch and revoke.
    may_edit: bool,
    /// The keys.
    rows: Vec<ListRow>,
    /// The heads of the columns that are shown, in their order.
    heads: Vec<HeadView>,
    /// Whether rows are low.
    compact: bool,
) -> impl IntoView {
    let ids: Vec<String> = heads.iter().map(|head| head.id.clone()).collect();
    let rows = rows
        .into_iter()
        .map(|row| {
            let revoked = matches!(row.key.status, KeyStatus::Revoked | KeyStatus::Deleted);
            let cells = ids.iter().map(|id| cell(id, &row, &slug, may_edit && !revoked)).collect_view();
            view! {
                <tr role="row" class:row-revoked=revoked>
                    {cells}
                </tr>
            }
        })
        .collect_view();
    let heads = heads.into_iter().map(|head| view! { <Head head /> }).collect_view();
    // The roles are spelled out, because the styles for phones turn rows into grids and browsers then forget that they
    // are rows.
    view! {
        <div class="panel data-panel">
            <div class="data-scroll">
                <table class="data" class:data-compact=compact role="table" aria-label="API keys">
                    <thead role="rowgroup">
                        <tr role="row">{heads}</tr>
                    </thead>
                    <tbody role="rowgroup">{rows}</tbody>
                </table>
            </div>
        </div>
    }
    .into_any()
}

#[component]
fn Head(head: HeadView) -> impl IntoView {
    let HeadView { id, label, href, sorted } = head;
    let name = match href {
        Some(href) => view! {
            <a class="sort" href=href>
                {label}
            </a>
        }
        .into_any(),
        None if id == "actions" => view! { <span class="sr-only">{label}</span> }.into_any(),
        None => view! { <span>{label}</span> }.into_any(),
    };
    view! {
        <th scope="col" role="columnheader" class=format!("cell-{id}-head") aria-sort=sorted>
            {name}
        </th>
    }
}

/// The cell of a row in a column.
fn cell(column: &str, row: &ListRow, slug: &str, may_act: bool) -> AnyView {
    let key = &row.key;
    let plain = |class: &'static str, label: &'static str, inner: AnyView| {
        view! {
            <td role="cell" class=class data-label=label>
                {inner}
            </td>
        }
        .into_any()
    };
    match column {
        "name" => view! { <Name slug=slug.to_owned() row=row.clone() /> }.into_any(),
        "status" => view! {
            <td role="cell" class="cell-status">
                <Status slug=slug.to_owned() may_act key=key.clone() look=row.look />
            </td>
        }
        .into_any(),
        "key" => view! {
            <td role="cell" class="cell-key-cell">
                <MaskedKey key=key.clone() />
            </td>
        }
        .into_any(),
        "actions" => view! {
            <td role="cell" class="cell-end">
                {may_act.then(|| view! { <Acts slug=slug.to_owned() key=key.clone() /> })}
            </td>
        }
        .into_any(),
        "quota" => plain("cell-quota", "Remaining", view! { <Quota row=row.clone() /> }.into_any()),
        "environment" => plain(
            "cell-environment",
            "Environment",
            row.environment.clone().unwrap_or_else(|| "–".to_owned()).into_any(),
        ),
        "group" => plain("cell-group", "Group", row.group.clone().into_any()),
        "models" => plain("cell-list", "Models", restriction(&row.models)),
        "ips" => plain("cell-list", "IPs", restriction(&row.addresses)),
        "permissions" => plain("cell-list", "Permissions", restriction(&row.permissions)),
        "created" => plain("cell-created", "Created", view! { <Created row=row.clone() /> }.into_any()),
        "used" => plain("cell-used", "Last used", view! { <Used row=row.clone() /> }.into_any()),
        "expires" => {
            let (iso, text) = (row.expires_iso.clone(), row.expires_text.clone());
            plain("cell-expires", "Expires", view! { <TimeAgo iso text /> }.into_any())
        }
        "requests" => plain("cell-number", "Requests", key.requests_text.clone().into_any()),
        "cost" => plain("cell-number", "Cost", key.cost_text.clone().into_any()),
        _ => ().into_any(),
    }
}

#[component]
fn Name(slug: String, row: ListRow) -> impl IntoView {
    let href = format!("/a/{slug}/keys/{}", row.key.id);
    view! {
        <th scope="row" role="rowheader" class="cell-name">
            <a class="cell-link" href=href>
                {row.key.name}
            </a>
            {(!row.note.is_empty()).then(|| view! { <span class="cell-note">{row.note}</span> })}
        </th>
    }
    .into_any()
}

/// What is left of each limit, as a bar and in words.
#[component]
fn Quota(row: ListRow) -> impl IntoView {
    let ListRow { limits, rate, .. } = row;
    let rate = rate.map(|rate| view! { <span class="quota-more">{rate}</span> });
    if limits.is_empty() {
        return view! {
            <span>"Unlimited"</span>
            {rate}
        }
        .into_any();
    }
    let bars = limits
        .into_iter()
        .map(|limit| {
            let LimitView { name, text, equivalent, left, reset } = limit;
            let more = equivalent.into_iter().chain(reset).collect::<Vec<_>>().join(" · ");
            view! {
                <span class="quota">
                    <progress class="quota-bar" max="1000" value=left.to_string() aria-label=format!("{name} left")></progress>
                    <span>{text}</span>
                    <span class="quota-more">{more}</span>
                </span>
            }
        })
        .collect_view();
    view! {
        {bars}
        {rate}
    }
    .into_any()
}

/// How many there are; which ones unfolds.
fn restriction(of: &Restriction) -> AnyView {
    let Restriction { text, list } = of.clone();
    if list.is_empty() {
        return text.into_any();
    }
    view! {
        <details class="cell-more">
            <summary>{text}</summary>
            <span>{list.join(", ")}</span>
        </details>
    }
    .into_any()
}

#[component]
fn Created(row: ListRow) -> impl IntoView {
    let ListRow { key, maker, .. } = row;
    let day = key.created_text.split_once(',').map_or(key.created_text.as_str(), |(day, _)| day).to_owned();
    let exact = match &maker {
        Some(maker) => format!("{} by {maker}", key.created_text),
        None => key.created_text,
    };
    view! {
        <TimeAgo iso=Some(key.created_iso) text=day exact />
        {maker.map(|maker| view! { <span class="cell-note">"by " {maker}</span> })}
    }
    .into_any()
}

/// When, and from where.
#[component]
fn Used(row: ListRow) -> impl IntoView {
    let ListRow { key, last_address, .. } = row;
    view! {
        <TimeAgo iso=key.last_used_iso text=key.last_used_text />
        {last_address.map(|address| view! { <span class="cell-note">"from " {address}</span> })}
    }
    .into_any()
}

/// The switch where the viewer may use it, the words alone where not. A key that is enabled and yet does not work, or
/// soon will not, says so beside its switch.
#[component]
fn Status(slug: String, may_act: bool, key: KeyRow, look: StateLook) -> impl IntoView {
    if may_act && matches!(look, StateLook::Good | StateLook::Off) {
        return view! { <Switch slug key /> }.into_any();
    }
    let (class, icon) = match look {
        StateLook::Good => ("state state-good", IconName::CircleCheck),
        StateLook::Warn => ("state state-warn", IconName::TriangleAlert),
        StateLook::Bad if key.status == KeyStatus::Revoked => ("state state-bad", IconName::Ban),
        StateLook::Bad => ("state state-bad", IconName::CircleAlert),
        StateLook::Off => ("state state-off", IconName::CirclePause),
    };
    let words = view! {
        <span class=class>
            <Icon name=icon />
            {key.state_text.clone()}
        </span>
    };
    if may_act {
        let key = KeyRow { state_text: "Enabled".to_owned(), ..key };
        return view! {
            <Switch slug key />
            {words}
        }
        .into_any();
    }
    words.into_any()
}

#[component]
fn Switch(slug: String, key: KeyRow) -> impl IntoView {
    view! {
        <KeySwitch
            slug
            id=key.id
            name=key.name
            enabled=key.status == KeyStatus::Enabled
            words=key.state_text
            row_version=key.row_version
        />
    }
    .into_any()
}

/// The mask, which nobody can use, and a button for the public id, which support can.
#[component]
fn MaskedKey(key: KeyRow) -> impl IntoView {
    let revoked = matches!(key.status, KeyStatus::Revoked | KeyStatus::Deleted);
    let public_id = key.public_id;
    view! {
        <span class="cell-key">
            <code class="mono">{key.mask}</code>
            {(!revoked)
                .then(|| {
                    view! {
                        <CopyButton
                            label=format!("Copy the public id of {}", key.name)
                            from=String::new()
                            text=public_id.clone()
                            wide=false
                        />
                    }
                })}
        </span>
        <span class="cell-public-id no-scripts-only meta">"Public id " <code class="value">{public_id}</code></span>
    }
    .into_any()
}

/// What can be done with a key. Revoking leads to the page that asks; with scripts the dialog asks instead.
#[component]
fn Acts(slug: String, key: KeyRow) -> impl IntoView {
    let KeyRow { id, name, row_version, .. } = key;
    view! {
        <a class="btn btn-ghost btn-row" href=format!("/a/{slug}/keys/{id}/edit") aria-label=format!("Edit key {name}")>
            "Edit"
        </a>
        <a
            class="btn btn-ghost btn-row"
            href=format!("/a/{slug}/keys/{id}/revoke")
            aria-label=format!("Revoke key {name}")
            data-revoke=""
            data-key=id
            data-name=name
            data-row-version=row_version.to_string()
        >
            "Revoke"
        </a>
    }
    .into_any()
}
