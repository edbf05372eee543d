//! The gateways as the operator sees them, and the release of what a silent one holds.

use domain::money::NanoUsd;
use store::operator::fleet::{self, Gateway, Held, Released};
use store::policy;
use time::OffsetDateTime;
use uuid::Uuid;

use super::Operator;
use crate::error::AppError;
use crate::operator::{GatewayRow, Health, Level};
use crate::server::receipt::SILENT_AFTER_SECONDS;
use crate::server::{Failure, text};

/// Whether a gateway is taken to be serving.
pub fn is_running(gateway: &Gateway) -> bool {
    gateway.stopped_at.is_none() && gateway.unheard_seconds <= i64::from(SILENT_AFTER_SECONDS)
}

/// `2 running, 1 silent`.
pub fn count(gateways: &[Gateway]) -> String {
    let running = gateways.iter().filter(|gateway| is_running(gateway)).count();
    let silent = gateways.iter().filter(|gateway| gateway.stopped_at.is_none()).count() - running;
    super::rows::count_two(running, "running", silent, "silent")
}

/// Every gateway, and the policy version there is.
pub async fn rows(operator: &Operator) -> Result<(Vec<GatewayRow>, i64), Failure> {
    let mut tx = operator.begin().await?;
    let held = fleet::list_held(&mut tx).await?;
    tx.commit().await?;
    let pool = &operator.visit.state.pool;
    // The version before the gateways, so that none is shown ahead of it and behind at once.
    let version = policy::version(pool).await?;
    let gateways = fleet::list(pool).await?;
    Ok((gateways.iter().map(|gateway| row(gateway, &held, version)).collect(), version))
}

fn row(gateway: &Gateway, held: &[Held], version: i64) -> GatewayRow {
    let held: Vec<String> = held.iter().filter(|held| held.gateway == gateway.id).map(held_text).collect();
    let age = |at: OffsetDateTime| text::span((gateway.now - at).whole_seconds());
    GatewayRow {
        id: gateway.id.to_string(),
        name: gateway.name.clone(),
        address: gateway.address.clone(),
        state: state(gateway),
        heard_iso: text::iso(gateway.heard_at),
        heard_text: format!("{} ago", text::span(gateway.unheard_seconds)),
        started_iso: text::iso(gateway.started_at),
        started_text: text::ago(gateway.started_at, gateway.now),
        policy: policy_state(gateway, version),
        spool: match (gateway.spool_waiting, gateway.spool_bytes) {
            (Some(waiting), Some(bytes)) => {
                format!("{} waiting, {}", text::count(waiting), text::bytes(bytes))
            }
            _ => "Unknown".to_owned(),
        },
        spool_oldest: gateway.spool_oldest.map(|at| format!("oldest {}", age(at))).unwrap_or_default(),
        may_release: !held.is_empty() && !is_running(gateway),
        held,
    }
}

fn state(gateway: &Gateway) -> Health {
    let unheard = text::span(gateway.unheard_seconds);
    let (level, text, detail) = match gateway.stopped_at {
        Some(at) => (Level::Off, "Stopped", text::ago(at, gateway.now)),
        None if is_running(gateway) => (Level::Good, "Running", String::new()),
        None => (Level::Bad, "Silent", format!("unheard for {unheard}; it refuses every request by itself")),
    };
    Health { level, text: text.to_owned(), detail }
}

fn policy_state(gateway: &Gateway, version: i64) -> Health {
    let behind = (version - gateway.policy_version).max(0);
    let text = text::count(gateway.policy_version);
    match (behind, is_running(gateway)) {
        (0, true) => Health { level: Level::Good, text, detail: "current".to_owned() },
        (_, true) => Health { level: Level::Warn, text, detail: format!("{} behind", text::count(behind)) },
        (_, false) => Health { level: Level::Off, text, detail: String::new() },
    }
}

fn held_text(held: &Held) -> String {
    let amount = match held.measure.as_str() {
        "cost" => NanoUsd(held.amount).to_string(),
        _ => format!("{} tokens", text::count(held.amount)),
    };
    let leases =
        if held.leases == 1 { "1 lease".to_owned() } else { format!("{} leases", text::count(held.leases)) };
    format!("{amount} in {leases}")
}

/// Releases all that a silent gateway holds, and says what came of it.
pub async fn release(operator: &Operator, gateway: Uuid) -> Result<String, Failure> {
    let known = fleet::list(&operator.visit.state.pool).await?;
    let name = known.into_iter().find(|row| row.id == gateway).ok_or(AppError::NotFound)?.name;
    let mut released = 0;
    loop {
        let mut tx = operator.begin().await?;
        match fleet::release(&mut tx, gateway).await? {
            Released::Heard if released == 0 => {
                let message = format!(
                    "{name} was heard a moment ago, so what it holds is in use. Nothing was released."
                );
                return Err(AppError::Conflict { message }.into());
            }
            // It came back meanwhile; what it holds now, it uses.
            Released::Heard => break,
            Released::Limits(limits) => {
                tx.commit().await?;
                released += limits;
                if limits < fleet::RELEASED_AT_ONCE {
                    break;
                }
            }
        }
    }
    Ok(match released {
        0 => format!("{name} held nothing."),
        1 => format!("Released what {name} held of 1 limit."),
        more => format!("Released what {name} held of {} limits.", text::count(more)),
    })
}
