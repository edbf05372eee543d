//! From the store's rows to what the pages show.

use domain::KeyId;
use domain::key::{KeyState, Signs};
use domain::secret::mask;
use store::accounts::BillingMode;
use store::keys::{After, Key, Show};
use time::OffsetDateTime;

use super::MAY_EDIT;
use crate::keys::{AccountView, KeyFilter, KeyRow};
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

pub(super) const fn show(filter: KeyFilter) -> Show {
    match filter {
        KeyFilter::Active => Show::Live,
        KeyFilter::Revoked => Show::Revoked,
        KeyFilter::All => Show::All,
    }
}

/// Where the next page begins, as a text without characters that an address would escape.
pub(super) fn cursor(last: &Key) -> String {
    format!("{}.{}", last.created_at.unix_timestamp_nanos(), last.id)
}

/// Reads what [`cursor`] wrote; anything else is the first page.
pub(super) fn parse_cursor(text: &str) -> Option<After> {
    let (nanoseconds, id) = text.split_once('.')?;
    let created_at = OffsetDateTime::from_unix_timestamp_nanos(nanoseconds.parse().ok()?).ok()?;
    Some(After { created_at, id: id.parse::<KeyId>().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_read_back_and_junk_is_the_first_page() {
        let after = parse_cursor("1732176300123456000.01932f2a-0000-7000-8000-000000000001").unwrap();
        assert_eq!(after.created_at.unix_timestamp_nanos(), 1_732_176_300_123_456_000);
        for junk in ["", ".", "x.y", "1", "99999999999999999999999999999999999999.0", "1.not-an-id"] {
            assert!(parse_cursor(junk).is_none(), "{junk}");
        }
    }
}
