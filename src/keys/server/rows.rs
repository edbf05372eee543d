//! From the store's rows to what the pages show.

use domain::credits::CreditRate;
use domain::key::{KeyState, KeyStatus, Signs};
use domain::limit::Measure;
use domain::money::NanoUsd;
use domain::secret::mask;
use store::accounts::BillingMode;
use store::keys::{Consumed, Key, ListedKey, Owner};
use time::OffsetDateTime;

use super::MAY_EDIT;
use crate::keys::{AccountView, KeyRow, LimitView, ListRow, Restriction, StateLook};
use crate::server::session::Role;
use crate::server::{Member, text};

/// The account and the viewer, as every page of the account shows them.
#[must_use]
pub fn account_view(member: &Member) -> AccountView {
    let membership = &member.membership;
    let role = match membership.role {
        Role::Viewer => "Viewer",
        Role::Developer => "Developer",
        Role::Admin => "Admin",
        Role::Owner => "Owner",
    };
    AccountView {
        slug: membership.slug.clone(),
        name: membership.name.clone(),
        role: role.to_owned(),
        may_edit: membership.role >= MAY_EDIT,
        email: member.viewer.email.clone(),
        brand: member.visit.state.config.brand.clone(),
        billing_active: membership.billing != BillingMode::None && !membership.suspended,
        operator: member.visit.state.config.operators.include(&member.viewer.email),
    }
}

/// One row of the list.
pub(super) fn key_row(key: &Key) -> KeyRow {
    let state = KeyState::of(key.status, Signs { expires_at: key.expires_at, ..Signs::default() }, key.now);
    KeyRow {
        id: key.id.to_string(),
        name: key.name.clone(),
        status: key.status,
        state_text: state.words().to_owned(),
        mask: mask(&key.prefix, &key.last4),
        public_id: key.public_id.clone(),
        created_iso: text::iso(key.created_at),
        created_text: text::date_time(key.created_at),
        last_used_iso: key.last_used_at.map(text::iso),
        last_used_text: key.last_used_at.map_or_else(|| "Never".to_owned(), |at| text::ago(at, key.now)),
        requests_text: text::count(key.requests),
        // The rule for digits is the domain's: cut, never rounded up, so that it never shows more than was spent.
        cost_text: key.cost.to_string(),
        row_version: key.row_version,
    }
}

/// A key with the state that its clock and its counters say.
pub(super) fn row_with_state(row: &ListedKey) -> KeyRow {
    let state = KeyState::of(row.key.status, row.signs, row.key.now);
    KeyRow { state_text: state.words().to_owned(), ..key_row(&row.key) }
}

/// One row of the list with everything its columns can show.
pub(super) fn list_row(row: &ListedKey, credits: CreditRate) -> ListRow {
    let (key, now) = (&row.key, row.key.now);
    let state = KeyState::of(key.status, row.signs, now);
    ListRow {
        key: row_with_state(row),
        look: look(state),
        note: row.note.clone(),
        environment: row.environment.clone(),
        group: row.group.clone(),
        limits: row.limits.iter().map(|limit| limit_view(limit, credits, now)).collect(),
        rate: row.requests_per_minute.map(|rate| format!("{}/min", text::count(rate.into()))),
        models: restriction(row.models.as_deref(), "Unlimited"),
        permissions: restriction(row.permissions.as_deref(), "All"),
        addresses: restriction(row.addresses.as_deref(), "Unlimited"),
        maker: row.maker.clone(),
        last_address: row.last_address.map(|network| network.addr().to_string()),
        expires_iso: key.expires_at.map(text::iso),
        expires_text: key.expires_at.map_or_else(|| "Never expires".to_owned(), |at| ending(at, now)),
    }
}

/// `in 12 days`, or `3 h ago`.
fn ending(at: OffsetDateTime, now: OffsetDateTime) -> String {
    if at > now { format!("in {}", text::span((at - now).whole_seconds())) } else { text::ago(at, now) }
}

const fn look(state: KeyState) -> StateLook {
    match state {
        KeyState::Operational => StateLook::Good,
        KeyState::Expiring | KeyState::NearLimit | KeyState::RateLimited | KeyState::Rejecting => {
            StateLook::Warn
        }
        KeyState::Exhausted | KeyState::Expired | KeyState::Revoked => StateLook::Bad,
        KeyState::Disabled => StateLook::Off,
    }
}

/// How many entries there are, or the one there is; none is a list that lets nothing pass.
fn restriction<T: ToString>(entries: Option<&[T]>, unlimited: &str) -> Restriction {
    let Some(entries) = entries else { return Restriction { text: unlimited.to_owned(), list: Vec::new() } };
    let list: Vec<String> = entries.iter().map(ToString::to_string).collect();
    match list.as_slice() {
        [] => Restriction { text: "None".to_owned(), list },
        [one] => Restriction { text: one.clone(), list: Vec::new() },
        several => Restriction { text: several.len().to_string(), list },
    }
}

fn limit_view(limit: &Consumed, credits: CreditRate, now: OffsetDateTime) -> LimitView {
    let left = (limit.amount - limit.spent).max(0);
    let of = |left: String, amount: String, unit: &str| format!("{left} of {amount}{unit} left");
    let (name, words, equivalent) = match limit.measure {
        Measure::Cost => {
            let in_credits = |amount| text::count(credits.credits(NanoUsd(amount)));
            let money = format!("{} of {}", NanoUsd(left), NanoUsd(limit.amount));
            ("Cost", of(in_credits(left), in_credits(limit.amount), " credits"), Some(money))
        }
        Measure::Tokens => ("Tokens", of(text::count(left), text::count(limit.amount), " tokens"), None),
    };
    LimitView {
        name: name.to_owned(),
        text: words,
        equivalent,
        left: 1_000 - limit.share(),
        reset: limit.ends_at.map(|at| format!("resets in {}", text::span((at - now).whole_seconds()))),
    }
}

/// What became of a key whose secret was pasted.
pub(super) fn owner_text(owner: &Owner) -> String {
    let (name, at) = (&owner.name, text::date_time(owner.status_at));
    match owner.status {
        KeyStatus::Deleted => format!("This was {name}, deleted {at}."),
        KeyStatus::Revoked => format!("This is {name}, revoked {at}."),
        KeyStatus::Enabled | KeyStatus::Disabled if !owner.current => {
            format!("This is an older secret of {name}, which is not accepted any more.")
        }
        KeyStatus::Disabled => format!("This is {name}, disabled {at}."),
        KeyStatus::Enabled => format!("This is {name}."),
    }
}
