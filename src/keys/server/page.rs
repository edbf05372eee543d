//! A key's own page: its limits and facts, its last requests, what was done to it.

use std::collections::BTreeMap;

use domain::limit::{Measure, Period};
use domain::money::NanoUsd;
use domain::secret::mask;
use domain::{KeyId, RequestId};
use serde_json::Value;
use store::audit::LoggedEvent;
use store::keys::{Found, LiveSecret};
use store::limits::{Standing, Subject};
use store::refusals::{Refused, Served};
use store::{TenantTx, audit, keys, limits, refusals};
use time::OffsetDateTime;

use super::form::{self, Offers};
use super::{account_view, key_id, row_with_state};
use crate::error::AppError;
use crate::keys::{KeyEvent, KeyPart, KeyTab, KeyView, LimitBar, RefusedRow, RetiringSecret, ServedRow};
use crate::server::session::Role;
use crate::server::{Failure, Member, respond_as, text};
use crate::ui::Change;

const PAGE: usize = 50;
const REFUSALS: i64 = 50;
const EVENTS: i64 = 100;

pub(in crate::keys) async fn load_key(
    slug: String,
    key: String,
    tab: KeyTab,
    before: String,
) -> Result<KeyView, AppError> {
    respond_as("load_key", slug, Role::Viewer, async move |member| {
        let id = key_id(&key)?;
        let offers = Offers::load(&member).await?;
        let mut tx = TenantTx::begin(&member.visit.state.pool, member.membership.account_id).await?;
        let key = keys::find_listed(&mut tx, id).await?.ok_or(AppError::NotFound)?;
        let found = keys::find_setup(&mut tx, id).await?.ok_or(AppError::NotFound)?;
        let retiring = retiring(&mut tx, id, found.now).await?;
        let part = match tab {
            KeyTab::Overview => overview(&mut tx, id, &found, &offers).await?,
            KeyTab::Requests => requests(&mut tx, &member, id, &before, found.now).await?,
            KeyTab::Audit => {
                let events = audit::list_of_target(&mut tx, id.0, EVENTS).await?;
                KeyPart::Audit {
                    events: events.into_iter().map(|event| event_row(event, found.now)).collect(),
                }
            }
        };
        tx.commit().await?;
        Ok(KeyView {
            account: account_view(&member),
            key: row_with_state(&key),
            note: found.setup.note,
            retiring,
            part,
            flash: member.visit.take_flash(),
        })
    })
    .await
}

/// The older secret of a rotation that is under way.
pub(super) async fn retiring(
    tx: &mut TenantTx,
    key: KeyId,
    now: OffsetDateTime,
) -> Result<Option<RetiringSecret>, Failure> {
    let secrets = keys::list_secrets(tx, key).await?;
    Ok(secrets.into_iter().find_map(|secret| {
        let ends_at = secret.ends_at?;
        Some(RetiringSecret {
            mask: mask(&secret.prefix, &secret.last4),
            ends_iso: text::iso(ends_at),
            ends_text: format!("in {}", text::span((ends_at - now).whole_seconds())),
            ends_exact: text::date_time(ends_at),
            in_use: secret.last_hour > 0,
            use_text: use_text(&secret, now),
        })
    }))
}

/// `14 requests in the last hour, the last one 3 min ago from 10.2.0.4`.
fn use_text(secret: &LiveSecret, now: OffsetDateTime) -> String {
    let Some(last) = secret.last_used_at else { return "Not used lately".to_owned() };
    let from = secret.last_address.map(|address| format!(" from {}", address.addr())).unwrap_or_default();
    let last = format!("the last one {}{from}", text::ago(last, now));
    match secret.last_hour {
        0 => format!("No request in the last hour, {last}"),
        1 => format!("1 request in the last hour, {last}"),
        count => format!("{} requests in the last hour, {last}", text::count(count)),
    }
}

async fn overview(tx: &mut TenantTx, id: KeyId, found: &Found, offers: &Offers) -> Result<KeyPart, Failure> {
    let standings = limits::list(tx, Subject::Key(id)).await?;
    let setup = &found.setup;
    let typed = form::typed(setup, offers);
    let list =
        |list: &Option<Vec<String>>| list.as_ref().map_or_else(|| "All".to_owned(), |list| list.join(", "));
    let addresses =
        if typed.addresses.is_empty() { "Any".to_owned() } else { typed.addresses.replace('\n', ", ") };
    let rate = setup.requests_per_minute.map_or_else(
        || "Unlimited".to_owned(),
        |rate| format!("{} in any 60 seconds", text::count(rate.into())),
    );
    let fit = match typed.fit.as_str() {
        "strict" => "Refused",
        _ => "Its answer is shortened to what fits",
    };
    let mut facts = vec![
        ("Group", offers.group_name(&typed.group)),
        ("Environment", setup.environment.clone().unwrap_or_else(|| "None".to_owned())),
        ("Expires", setup.expires_at.map_or_else(|| "Never".to_owned(), text::date_time)),
        ("Models", list(&setup.models)),
        ("Permissions", list(&setup.permissions)),
        ("Addresses", addresses),
        ("Requests per minute", rate),
    ];
    if !standings.is_empty() {
        facts.push(("A request that may exceed a limit", fit.to_owned()));
    }
    facts.push(("Public id", found.public_id.clone()));
    Ok(KeyPart::Overview {
        limits: standings.iter().map(limit_bar).collect(),
        facts: facts.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
    })
}

/// A limit's bar. What gateways hold for requests under way is neither spent nor shown as such.
fn limit_bar(standing: &Standing) -> LimitBar {
    let write = |amount: i64| match standing.terms.measure {
        Measure::Cost => NanoUsd(amount).to_string(),
        Measure::Tokens => text::count(amount),
    };
    let amount = standing.terms.amount;
    let left = amount.saturating_sub(standing.spent).max(0);
    let share = i128::from(standing.spent) * 1_000 / i128::from(amount.max(1));
    let resets = match (standing.ends_at, standing.terms.period) {
        (Some(end), _) => format!("starts anew {}", text::date_time(end)),
        (None, Period::Never) => "does not start anew".to_owned(),
        (None, _) => "starts anew by itself".to_owned(),
    };
    let beyond =
        if standing.excess > 0 { format!(", {} beyond it", write(standing.excess)) } else { String::new() };
    LimitBar {
        label: match standing.terms.measure {
            Measure::Cost => "Cost",
            Measure::Tokens => "Tokens",
        }
        .to_owned(),
        text: format!("{} of {}", write(standing.spent), write(amount)),
        detail: format!("{} left{beyond}; {resets}", write(left)),
        spent: u16::try_from(share.clamp(0, 1_000)).unwrap_or(1_000),
        used_up: left == 0,
    }
}

async fn requests(
    tx: &mut TenantTx,
    member: &Member,
    id: KeyId,
    before: &str,
    now: OffsetDateTime,
) -> Result<KeyPart, Failure> {
    let before = before.parse().ok().map(RequestId);
    let most = i64::try_from(PAGE).unwrap_or(i64::MAX);
    let mut served = refusals::list_served(tx, id, before, most + 1).await?;
    let refused = refusals::list(tx, id, None, REFUSALS).await?;
    let more = served.len() > PAGE;
    served.truncate(PAGE);
    let older = served
        .last()
        .filter(|_| more)
        .map(|last| format!("/a/{}/keys/{id}?tab=requests&before={}", member.membership.slug, last.id));
    Ok(KeyPart::Requests {
        served: served.iter().map(|served| served_row(served, now)).collect(),
        refused: refused.iter().map(|refused| refused_row(refused, now)).collect(),
        older,
    })
}

fn served_row(served: &Served, now: OffsetDateTime) -> ServedRow {
    let count = |count: u32| text::count(count.into());
    let cached = match served.usage.cached_input {
        0 => String::new(),
        cached => format!(" ({} cached)", count(cached)),
    };
    let estimated = if served.estimated { ", estimated" } else { "" };
    ServedRow {
        id: served.id.to_string(),
        at_iso: text::iso(served.at),
        at_text: text::ago(served.at, now),
        at_exact: text::date_time(served.at),
        model: served.model.clone(),
        route: served.route.clone(),
        status: format!("{}{}", served.status, if served.interrupted { ", interrupted" } else { "" }),
        failed: served.interrupted || served.status >= 400,
        tokens: format!(
            "{} in{cached}, {} out{estimated}",
            count(served.usage.input),
            count(served.usage.output)
        ),
        cost: served.cost.to_string(),
        latency: format!("{} ms", text::count(served.duration_us / 1_000)),
        client: served.client.addr().to_string(),
    }
}

fn refused_row(refused: &Refused, now: OffsetDateTime) -> RefusedRow {
    RefusedRow {
        id: refused.id.to_string(),
        at_iso: text::iso(refused.at),
        at_text: text::ago(refused.at, now),
        at_exact: text::date_time(refused.at),
        code: refused.code.clone(),
        why: why(refused),
        model: refused.model.clone().unwrap_or_default(),
        client: refused.client.addr().to_string(),
    }
}

/// A refusal in a sentence.
fn why(refused: &Refused) -> String {
    let write = |amount: i64| match refused.code.as_str() {
        "cost_limit_exceeded" | "group_limit_exceeded" | "insufficient_balance" => {
            NanoUsd(amount).to_string()
        }
        _ => text::count(amount),
    };
    let figures = match (refused.current, refused.limit) {
        (Some(current), Some(limit)) => format!(" {} of {} used.", write(current), write(limit)),
        _ => String::new(),
    };
    let sentence = match refused.code.as_str() {
        "key_disabled" => "The key was disabled.",
        "key_expired" => "The key had expired.",
        "ip_not_allowed" => "Its address is not on the key\u{2019}s list.",
        "account_inactive" => "The account was suspended.",
        "group_archived" => "The key\u{2019}s group is archived.",
        "insufficient_permissions" => "The key has no permission for this endpoint.",
        "model_not_allowed" => "The key may not use this model.",
        "model_not_found" => "There is no such model.",
        "billing_inactive" => "The account has no active billing method.",
        "insufficient_balance" => "The account\u{2019}s balance did not cover it.",
        "rate_limit_exceeded" => "Too many requests within 60 seconds.",
        "cost_limit_exceeded" => "The cost limit did not cover it.",
        "token_limit_exceeded" => "The token limit did not cover it.",
        "group_limit_exceeded" => "The group\u{2019}s budget did not cover it.",
        _ => "The request could not be taken as it was.",
    };
    format!("{sentence}{figures}")
}

fn event_row(event: LoggedEvent, now: OffsetDateTime) -> KeyEvent {
    let act = match event.action.as_str() {
        "key.created" => "Created",
        "key.changed" => "Changed",
        "key.enabled" => "Enabled",
        "key.disabled" => "Disabled",
        "key.revoked" => "Revoked",
        "key.regenerated" => "Regenerated the secret",
        "key.rotated" => "Rotated the secret",
        "key.rotation_ended" => "Ended the rotation",
        "key.rotation_undone" => "Undid the rotation",
        other => other,
    };
    let changes = if event.action == "key.changed" { changes(event.detail) } else { Vec::new() };
    KeyEvent {
        at_iso: text::iso(event.at),
        at_text: text::ago(event.at, now),
        at_exact: text::date_time(event.at),
        actor: event.actor_email,
        act: act.to_owned(),
        changes,
    }
}

/// What an edit has written down: each field with what it was and what it is.
fn changes(detail: Value) -> Vec<Change> {
    let fields: BTreeMap<String, Value> = serde_json::from_value(detail).unwrap_or_default();
    let value = |change: &Value, which: &str| {
        change.get(which).and_then(Value::as_str).unwrap_or_default().to_owned()
    };
    let row = |(field, change): (String, Value)| Change {
        field,
        before: value(&change, "from"),
        after: value(&change, "to"),
    };
    fields.into_iter().map(row).collect()
}
