//! The policy decision: eleven steps in one published order, one pure function.
//!
//! The gateway enforces with it, "test this key" explains with it, and nothing else makes an [`Admission`]. Nothing
//! here changes state: the last two steps look at what is left and say what to take; the caller takes it under the
//! same lock it read the figures with.

use std::net::IpAddr;

use time::OffsetDateTime;

use crate::key::KeyStatus;
use crate::refusal::{LimitKind, LimitReached, Refusal};
use crate::rule::{AddressRule, Allow, Permission};

/// The steps, in order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Step {
    /// 1: TLS where it is required.
    Transport,
    /// 2: a credential with the form and checksum of a secret.
    Credential,
    /// 3: a secret this service has issued.
    Known,
    /// 4: neither revoked nor disabled.
    Status,
    /// 5: not expired.
    Expiry,
    /// 6: from an address the key allows.
    Address,
    /// 7: an active account with active billing and a balance, and a group that is not archived.
    Account,
    /// 8: the route's permission, of the key and then of its group.
    Permission,
    /// 9: the model, of the key and then of its group.
    Model,
    /// 10: requests per minute.
    Rate,
    /// 11: cost, token, group and balance reservation, all or nothing.
    Reservation,
}

/// How the request came in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Transport {
    /// Over TLS, or plain where the operator allows it.
    Accepted,
    /// Plain HTTP where TLS is required.
    PlainRefused,
}

/// What the request presented as its key.
#[derive(Clone, Copy, Debug)]
pub enum Credential<'a> {
    /// Nothing, or a text that is not a secret of this service. Settled without any look-up.
    NotASecret,
    /// A well-formed secret nobody has issued (or one that is no longer anybody's).
    Unknown,
    /// A secret of this key.
    Known(&'a KeyPolicy, SecretState),
}

/// Whether a key's secret may still be used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SecretState {
    /// The key's current secret.
    Current,
    /// Replaced, and accepted until this instant.
    Retiring(OffsetDateTime),
}

/// What is decided about one key, by the console.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KeyPolicy {
    /// The key's status.
    pub status: KeyStatus,
    /// When it ends; `None` is never.
    pub expires_at: Option<OffsetDateTime>,
    /// From where it may be used.
    pub addresses: AddressRule,
    /// What it may do.
    pub permissions: Allow<Permission>,
    /// Which models it may use.
    pub models: Allow<String>,
}

/// What is decided about the account.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AccountPolicy {
    /// Suspended by the operator.
    pub suspended: bool,
    /// Whether requests can be paid for.
    pub billing: Billing,
}

/// Whether an account's requests can be paid for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Billing {
    /// A method is active and, where a balance bounds it, the balance is above zero.
    Active,
    /// No active method.
    Inactive,
    /// A method, but nothing left.
    BalanceUsedUp,
}

/// What is decided about the key's group: a ceiling for all its keys.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct GroupPolicy {
    /// Archived groups serve nothing.
    pub archived: bool,
    /// What its keys may do at most.
    pub permissions: Allow<Permission>,
    /// Which models its keys may use at most.
    pub models: Allow<String>,
}

/// The model a request names.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Model<'a> {
    /// The route uses none (a list of models, for example).
    None,
    /// One this service offers, by the name it is listed under.
    Offered(&'a str),
    /// One it does not.
    NotOffered(&'a str),
}

/// What the route asks for.
#[derive(Clone, Copy, Debug)]
pub struct Demand<'a> {
    /// The permission that guards the route.
    pub permission: &'a str,
    /// The model after alias resolution.
    pub model: Model<'a>,
}

/// A key's requests per minute at this moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RateRoom {
    /// Requests per minute.
    pub limit: u32,
    /// Admitted within the last 60 s.
    pub admitted: u32,
    /// Until the oldest of them leaves the window.
    pub next_slot_in: std::time::Duration,
}

/// What is left of one limit, in its unit (nano-dollars or tokens).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LimitRoom {
    /// Which limit.
    pub kind: LimitKind,
    /// Its value.
    pub limit: i64,
    /// Free for this request.
    pub free: i64,
    /// Reserved by requests in flight or leased elsewhere, and so perhaps free in a moment.
    pub reserved: i64,
    /// The worst case of this request.
    pub needed: i64,
    /// Until the limit resets; `None` when it never does.
    pub resets_in: Option<std::time::Duration>,
}

/// Everything a decision depends on.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// How the request came in.
    pub transport: Transport,
    /// Its key.
    pub credential: Credential<'a>,
    /// The key's account.
    pub account: AccountPolicy,
    /// The key's group.
    pub group: &'a GroupPolicy,
    /// The client's address, derived from trusted hops only.
    pub client: IpAddr,
    /// The database's time.
    pub now: OffsetDateTime,
    /// What the route asks for.
    pub demand: Demand<'a>,
    /// The key's requests per minute; `None` where it has no such limit.
    pub rate: Option<RateRoom>,
    /// Every cost, token and group limit that applies.
    pub limits: &'a [LimitRoom],
}

/// A request that passed every step. Only [`decide`] makes one: other crates cannot, since it is non-exhaustive.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Admission {
    /// A slot of the rate window is to be taken.
    pub takes_rate_slot: bool,
    /// What to reserve, limit by limit.
    pub reserves: Vec<(LimitKind, i64)>,
}

/// A request that failed at a step.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Denial {
    /// The first step that failed.
    pub step: Step,
    /// What to tell the client.
    pub refusal: Refusal,
}

type Check = fn(&Facts<'_>) -> Result<(), Refusal>;

/// The published order.
pub const STEPS: [Step; 11] = [
    Step::Transport,
    Step::Credential,
    Step::Known,
    Step::Status,
    Step::Expiry,
    Step::Address,
    Step::Account,
    Step::Permission,
    Step::Model,
    Step::Rate,
    Step::Reservation,
];

const fn check_of(step: Step) -> Check {
    match step {
        Step::Transport => transport,
        Step::Credential => credential,
        Step::Known => known,
        Step::Status => status,
        Step::Expiry => expiry,
        Step::Address => address,
        Step::Account => account,
        Step::Permission => permission,
        Step::Model => model,
        Step::Rate => rate,
        Step::Reservation => reservation,
    }
}

/// Decides one request: admitted, or refused at the first step that fails.
pub fn decide(facts: &Facts<'_>) -> Result<Admission, Denial> {
    screen(facts, &STEPS)?;
    Ok(Admission {
        takes_rate_slot: facts.rate.is_some(),
        reserves: facts.limits.iter().map(|room| (room.kind, room.needed)).collect(),
    })
}

/// The steps of a question about the key itself: whoever may present it may also learn why it does not serve.
pub const STEPS_ABOUT_ITSELF: [Step; 5] =
    [Step::Transport, Step::Credential, Step::Known, Step::Status, Step::Address];

/// Decides a question about the key itself, which an expired, unpaid or used-up key may still ask. It takes nothing
/// from any limit. A replaced secret whose time is over is nobody's all the same.
pub fn decide_about_itself(facts: &Facts<'_>) -> Result<Admission, Denial> {
    screen(facts, &STEPS_ABOUT_ITSELF)?;
    retirement(facts).map_err(|refusal| Denial { step: Step::Expiry, refusal })?;
    Ok(Admission { takes_rate_slot: false, reserves: Vec::new() })
}

/// Runs some of the steps, in the order given. For what needs a key's standing before the request is complete:
/// steps 1-8 before a body is read, 4 and 5 again while a stream runs.
pub fn screen(facts: &Facts<'_>, steps: &[Step]) -> Result<(), Denial> {
    for step in steps {
        check_of(*step)(facts).map_err(|refusal| Denial { step: *step, refusal })?;
    }
    Ok(())
}

/// Each step's own outcome, for a page that shows the whole chain. A step whose ground is missing (no known key) is
/// `None`: it was not reached.
pub fn explain(facts: &Facts<'_>) -> [(Step, Option<Result<(), Refusal>>); 11] {
    let has_key = matches!(facts.credential, Credential::Known(..));
    STEPS.map(|step| (step, (has_key || step <= Step::Known).then(|| check_of(step)(facts))))
}

fn transport(facts: &Facts<'_>) -> Result<(), Refusal> {
    match facts.transport {
        Transport::Accepted => Ok(()),
        Transport::PlainRefused => Err(Refusal::HttpsRequired),
    }
}

fn credential(facts: &Facts<'_>) -> Result<(), Refusal> {
    match facts.credential {
        Credential::NotASecret => Err(Refusal::InvalidApiKey),
        Credential::Unknown | Credential::Known(..) => Ok(()),
    }
}

fn known(facts: &Facts<'_>) -> Result<(), Refusal> {
    key_of(facts).map(|_| ())
}

fn status(facts: &Facts<'_>) -> Result<(), Refusal> {
    match key_of(facts)?.0.status {
        KeyStatus::Enabled => Ok(()),
        KeyStatus::Disabled => Err(Refusal::KeyDisabled),
        KeyStatus::Revoked | KeyStatus::Deleted => Err(Refusal::InvalidApiKey),
    }
}

fn expiry(facts: &Facts<'_>) -> Result<(), Refusal> {
    if key_of(facts)?.0.expires_at.is_some_and(|end| end <= facts.now) {
        return Err(Refusal::KeyExpired);
    }
    retirement(facts)
}

fn retirement(facts: &Facts<'_>) -> Result<(), Refusal> {
    match key_of(facts)?.1 {
        // The key lives on under its new secret; the old one is as dead as a revoked key.
        SecretState::Retiring(end) if end <= facts.now => Err(Refusal::InvalidApiKey),
        SecretState::Retiring(_) | SecretState::Current => Ok(()),
    }
}

fn address(facts: &Facts<'_>) -> Result<(), Refusal> {
    if key_of(facts)?.0.addresses.allows(facts.client) { Ok(()) } else { Err(Refusal::IpNotAllowed) }
}

fn account(facts: &Facts<'_>) -> Result<(), Refusal> {
    if facts.account.suspended {
        return Err(Refusal::AccountInactive);
    }
    if facts.group.archived {
        return Err(Refusal::GroupArchived);
    }
    match facts.account.billing {
        Billing::Active => Ok(()),
        Billing::Inactive => Err(Refusal::BillingInactive),
        Billing::BalanceUsedUp => Err(Refusal::InsufficientBalance),
    }
}

fn permission(facts: &Facts<'_>) -> Result<(), Refusal> {
    let needed = facts.demand.permission;
    if key_of(facts)?.0.permissions.allows(needed) && facts.group.permissions.allows(needed) {
        Ok(())
    } else {
        Err(Refusal::InsufficientPermissions)
    }
}

fn model(facts: &Facts<'_>) -> Result<(), Refusal> {
    match facts.demand.model {
        Model::None => Ok(()),
        Model::NotOffered(model) => Err(Refusal::ModelNotFound { model: model.to_owned() }),
        Model::Offered(model) if may_use_model(key_of(facts)?.0, facts.group, model) => Ok(()),
        Model::Offered(model) => Err(Refusal::ModelNotAllowed { model: model.to_owned() }),
    }
}

/// Whether a key and its group allow a model: step 9's rule, also for the list of models a key may use.
pub fn may_use_model(key: &KeyPolicy, group: &GroupPolicy, model: &str) -> bool {
    allows_model(&key.models, model) && allows_model(&group.models, model)
}

fn allows_model(rule: &Allow<String>, model: &str) -> bool {
    rule.allows(model)
}

fn rate(facts: &Facts<'_>) -> Result<(), Refusal> {
    match facts.rate {
        Some(RateRoom { limit, admitted, next_slot_in }) if admitted >= limit => {
            Err(Refusal::RateLimitExceeded { limit, next_slot_in })
        }
        _ => Ok(()),
    }
}

fn reservation(facts: &Facts<'_>) -> Result<(), Refusal> {
    facts.limits.iter().copied().try_for_each(fits)
}

fn fits(room: LimitRoom) -> Result<(), Refusal> {
    // Something that costs nothing always passes, whatever is left.
    if room.needed <= 0 || room.needed <= room.free {
        return Ok(());
    }
    let reserved = room.free.checked_add(room.reserved).is_some_and(|soon| room.needed <= soon);
    let LimitRoom { kind, limit, resets_in, .. } = room;
    Err(Refusal::LimitReached(LimitReached { kind, limit, resets_in, reserved }))
}

fn key_of<'a>(facts: &Facts<'a>) -> Result<(&'a KeyPolicy, SecretState), Refusal> {
    match facts.credential {
        Credential::Known(key, secret) => Ok((key, secret)),
        Credential::NotASecret | Credential::Unknown => Err(Refusal::InvalidApiKey),
    }
}

#[cfg(test)]
mod tests;
