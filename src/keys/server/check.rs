//! What was typed into a key's form, judged field by field.

use std::net::IpAddr;

use domain::address_list;
use domain::credits::{CreditRate, parse_dollars};
use domain::key::{KeyName, parse_environment, parse_note};
use domain::limit::{Fit, Period};
use domain::money::NanoUsd;
use domain::rule::AddressRule;
use ipnet::IpNet;
use store::keys::Setup;
use time::macros::format_description;
use time::{Duration, OffsetDateTime, PrimitiveDateTime};

use super::form::{Offers, minute};
use crate::keys::KeyTyped;
use crate::server::forms::{Errors, Judge};

const MOST_TOKENS: i64 = 1_000_000_000_000_000;
const MOST_REQUESTS: i64 = 1_000_000;
const MONTH: Duration = Duration::days(30);
/// Nobody means a later year.
const FARTHEST: Duration = Duration::days(365 * 100);

/// What a form is judged by, beside what is in it.
pub(super) struct Context<'a> {
    /// What there is to choose from.
    pub(super) offers: &'a Offers,
    /// What a credit is worth.
    pub(super) credits: CreditRate,
    /// The time.
    pub(super) now: OffsetDateTime,
    /// The key as it is, for an edit: what it has already may stay.
    pub(super) present: Option<&'a Setup>,
    /// From where it was used last.
    pub(super) last_address: Option<IpAddr>,
}

/// A key as it is to be, or everything that is wrong with it.
pub(super) fn setup(typed: &KeyTyped, context: &Context<'_>) -> Result<Setup, Errors> {
    let mut judge = Judge::default();
    let name = judge.take("name", KeyName::parse(&typed.name).map_err(|error| format!("{error}.")));
    let note = judge.take("note", parse_note(&typed.note).map_err(|error| format!("{error}.")));
    let group = judge.take("group", group(typed, context));
    let environment =
        judge.take("environment", parse_environment(&typed.environment).map_err(|error| format!("{error}.")));
    let expires_at = judge.take("expires_at", expires_at(typed, context));
    let cost = judge.take("cost", cost(typed, context.credits));
    let tokens = judge.take("tokens", number(typed.tokens_on, &typed.tokens, MOST_TOKENS, "tokens"));
    let rate = judge.take("rate", number(typed.rate_on, &typed.rate, MOST_REQUESTS, "requests"));
    let models = judge.take("models", models(typed, context));
    let permissions = judge.take("permissions", permissions(typed, context));
    let addresses = judge.take("addresses", addresses(typed));
    if let Some(Some(list)) = &addresses {
        judge.take("addresses_sure", nobody_locked_out(typed, list, context));
    }
    let setup = || {
        Some(Setup {
            name: name?,
            note: note?,
            group: group?,
            environment: environment?,
            expires_at: expires_at?,
            addresses: addresses?,
            permissions: permissions?,
            models: models?,
            requests_per_minute: rate?.and_then(|rate| i32::try_from(rate).ok()),
            fit: if typed.fit == "strict" { Fit::Strict } else { Fit::Clamp },
            cost: cost?,
            tokens: tokens?,
            // Nothing to start anew is nothing to remember.
            period: if cost?.is_none() && tokens?.is_none() { Period::Never } else { period(&typed.period) },
        })
    };
    match setup() {
        Some(setup) if judge.0.is_empty() => Ok(setup),
        _ => Err(judge.0),
    }
}

fn group(typed: &KeyTyped, context: &Context<'_>) -> Result<domain::GroupId, &'static str> {
    let groups = &context.offers.groups;
    let found = if typed.group.is_empty() {
        groups.first()
    } else {
        groups.iter().find(|group| group.id.to_string() == typed.group)
    };
    found.map(|group| group.id).ok_or("Choose a group. The one that was chosen does not take keys any more.")
}

fn expires_at(typed: &KeyTyped, context: &Context<'_>) -> Result<Option<OffsetDateTime>, &'static str> {
    let after = |span: Duration| Ok(Some(context.now + span));
    match typed.expires.as_str() {
        "hour" => return after(Duration::HOUR),
        "day" => return after(Duration::DAY),
        "month" => return after(MONTH),
        "at" => {}
        _ => return Ok(None),
    }
    // Shown to the minute: what was not touched keeps its seconds, and may lie in the past.
    let present = context.present.and_then(|present| present.expires_at);
    if let Some(present) = present.filter(|present| minute(*present) == typed.expires_at) {
        return Ok(Some(present));
    }
    let form = format_description!("[year]-[month]-[day]T[hour]:[minute][optional [:[second]]]");
    let at = PrimitiveDateTime::parse(&typed.expires_at, form)
        .map_err(|_| "Choose a date and a time, such as 2026-12-31 23:59.")?
        .assume_utc();
    if at <= context.now {
        return Err("This time is past. To stop the key now, disable or revoke it.");
    }
    if at > context.now + FARTHEST {
        return Err("This is more than a hundred years away. Choose never instead.");
    }
    Ok(Some(at))
}

fn cost(typed: &KeyTyped, credits: CreditRate) -> Result<Option<NanoUsd>, String> {
    if !typed.cost_on {
        return Ok(None);
    }
    let read = match typed.cost_unit.as_str() {
        "credits" => credits.parse(&typed.cost).map_err(|error| error.to_string()),
        _ => parse_dollars(&typed.cost).map_err(|error| error.to_string()),
    };
    read.map(Some).map_err(|error| format!("{error}."))
}

/// Digits, perhaps with something between thousands; nothing where the limit is off.
fn number(is_on: bool, text: &str, most: i64, what: &str) -> Result<Option<i64>, String> {
    if !is_on {
        return Ok(None);
    }
    let is_gap = |c: &char| matches!(c, ' ' | ',' | '_' | '\u{202f}' | '\u{a0}');
    let digits: String = text.chars().filter(|c| !is_gap(c)).collect();
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(format!("Write a whole number of {what}, or switch this limit off."));
    }
    let number = digits.parse().ok().filter(|number| (1..=most).contains(number));
    number.map(Some).ok_or_else(|| format!("From 1 to {most} {what}."))
}

fn period(word: &str) -> Period {
    match word {
        "daily" => Period::Daily,
        "weekly" => Period::Weekly,
        "monthly" => Period::Monthly,
        _ => Period::Never,
    }
}

/// No model ticked is all of them.
fn models(typed: &KeyTyped, context: &Context<'_>) -> Result<Option<Vec<String>>, String> {
    let had = context.present.and_then(|present| present.models.as_deref()).unwrap_or_default();
    let chosen = chosen(&typed.models, had, |model| context.offers.has_model(model))
        .map_err(|gone| format!("{gone} is not on offer any more. Choose again."))?;
    Ok(Some(chosen).filter(|chosen| !chosen.is_empty()))
}

fn permissions(typed: &KeyTyped, context: &Context<'_>) -> Result<Option<Vec<String>>, String> {
    match typed.access.as_str() {
        "read" => return Ok(Some(context.offers.read_only())),
        "some" => {}
        _ => return Ok(None),
    }
    let had = context.present.and_then(|present| present.permissions.as_deref()).unwrap_or_default();
    let chosen = chosen(&typed.permissions, had, |name| context.offers.has_permission(name))
        .map_err(|gone| format!("{gone} is not on offer any more. Choose again."))?;
    if chosen.is_empty() {
        return Err("Tick what the key may do. A key that may do nothing is better disabled.".to_owned());
    }
    Ok(Some(chosen))
}

/// What is ticked, once each, if it is on offer or was had before; else the one that is neither.
fn chosen<'a>(
    ticked: &'a [String],
    had: &[String],
    is_offered: impl Fn(&str) -> bool,
) -> Result<Vec<String>, &'a str> {
    let mut chosen: Vec<String> = Vec::with_capacity(ticked.len());
    for name in ticked {
        if !is_offered(name) && !had.contains(name) {
            return Err(name);
        }
        if !chosen.contains(name) {
            chosen.push(name.clone());
        }
    }
    Ok(chosen)
}

/// No address is any.
fn addresses(typed: &KeyTyped) -> Result<Option<Vec<IpNet>>, String> {
    let list = address_list::parse(&typed.addresses).map_err(|error| format!("{error}."))?;
    Ok(Some(list).filter(|list| !list.is_empty()))
}

/// Whoever uses the key now is on a list that is new, or it is said that this is meant.
fn nobody_locked_out(typed: &KeyTyped, list: &[IpNet], context: &Context<'_>) -> Result<(), String> {
    let is_new = context.present.is_none_or(|present| present.addresses.as_deref() != Some(list));
    let Some(from) = context.last_address.filter(|_| is_new && !typed.addresses_sure) else { return Ok(()) };
    if AddressRule::only(list.iter().copied()).allows(from) {
        return Ok(());
    }
    Err(format!("The last request with this key came from {from}, which the list leaves out."))
}
