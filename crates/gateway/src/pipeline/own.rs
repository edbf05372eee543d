//! What the gateway answers by itself, from what it knows.

use bytes::Bytes;
use domain::limit::Measure;
use domain::refusal::Refusal;
use domain::rule::Permission;
use http::{Response, StatusCode};
use serde::Serialize;
use store::models::Model;

use super::{Admitted, Arrival};
use crate::about::{About, LimitLeft};
use crate::answer::{self, AnswerBody};
use crate::metering::journal::Outcome;
use crate::policy::Standing;
use crate::state::State;

/// No model's name is longer, so a longer one is cut where it is shown.
const MAX_SHOWN: usize = 200;
/// What requests per minute are called.
const REQUESTS: &str = "requests";

#[derive(Serialize)]
struct List<'a> {
    object: &'static str,
    data: Vec<Entry<'a>>,
}

#[derive(Serialize)]
struct Entry<'a> {
    id: &'a str,
    object: &'static str,
    created: i64,
    owned_by: &'static str,
}

impl<'a> Entry<'a> {
    fn of(model: &'a Model) -> Self {
        let created = model.created_at.unix_timestamp();
        Self { id: &model.id, object: "model", created, owned_by: "latchkey" }
    }
}

/// The models on offer that this key may use.
pub(super) fn models(state: &State, arrival: &Arrival, admitted: Admitted) -> Response<AnswerBody> {
    let models = state.policy.models();
    let usable = models.iter().filter(|model| admitted.standing.may_use(&model.id));
    let data = usable.map(|model| Entry::of(model)).collect();
    served(arrival, admitted, &List { object: "list", data })
}

/// One model. What the key may not use does not exist for it.
pub(super) fn model(
    state: &State,
    arrival: &Arrival,
    mut admitted: Admitted,
    id: &str,
) -> Result<Response<AnswerBody>, Refusal> {
    let model = state.policy.model(id).filter(|model| admitted.standing.may_use(&model.id));
    let Some(model) = model else {
        let refusal = Refusal::ModelNotFound { model: id.chars().take(MAX_SHOWN).collect() };
        admitted.entry.settle(Outcome::nothing(refusal.status()));
        return Err(refusal);
    };
    Ok(served(arrival, admitted, &Entry::of(&model)))
}

/// The key itself.
pub(super) async fn key(
    state: &State,
    arrival: &Arrival,
    mut admitted: Admitted,
) -> Result<Response<AnswerBody>, Refusal> {
    let standing = admitted.standing.clone();
    let limits = match limits(state, &standing).await {
        Ok(limits) => limits,
        Err(refusal) => {
            admitted.entry.settle(Outcome::nothing(refusal.status()));
            return Err(refusal);
        }
    };
    let (known, policy) = (&standing.known, standing.key());
    let is_over = policy.expires_at.is_some_and(|end| end <= state.policy.now());
    let is_used_up = limits.iter().any(|limit| limit.kind != REQUESTS && limit.left == 0);
    let models = state.policy.models();
    let about = About {
        object: "key",
        id: &known.public_id,
        status: match (is_over, is_used_up) {
            (true, _) => "expired",
            (false, true) => "exhausted",
            (false, false) => "enabled",
        },
        expires_at: policy.expires_at,
        group_id: known.group.0,
        environment: known.environment.as_deref(),
        permissions: permissions(state, &standing),
        models: models.iter().map(|model| &*model.id).filter(|id| standing.may_use(id)).collect(),
        addresses: policy.addresses.count(),
        limits,
    };
    Ok(served(arrival, admitted, &about))
}

/// What the key may do, of what there is: built-in permissions, then the operator's own that guard anything.
fn permissions(state: &State, standing: &Standing) -> Vec<&'static str> {
    let routes = state.policy.own_routes();
    let mut own: Vec<&'static str> = routes.items().map(|route| route.permission).collect();
    own.sort_unstable();
    own.dedup();
    Permission::CATALOGUE.into_iter().chain(own).filter(|name| standing.may(name)).collect()
}

/// The key's own limits. The database knows what is left of them; this is not a route of production traffic.
async fn limits(state: &State, standing: &Standing) -> Result<Vec<LimitLeft>, Refusal> {
    let mut limits = Vec::new();
    if !standing.own_limits().is_empty() {
        limits.extend(state.leases.standings(standing.known.key).await?.into_iter().map(|found| LimitLeft {
            kind: match found.terms.measure {
                Measure::Cost => "cost",
                Measure::Tokens => "tokens",
            },
            limit: found.terms.amount,
            left: (found.terms.amount - found.spent).max(0),
            resets_at: found.ends_at,
        }));
    }
    if let Some(limit) = standing.known.requests_per_minute {
        let room = state.leases.rates().room(standing.known.key, limit).await?;
        let left = room.limit.saturating_sub(room.admitted);
        let waits = (left == 0).then(|| state.policy.now() + room.next_slot_in);
        limits.push(LimitLeft { kind: REQUESTS, limit: limit.into(), left: left.into(), resets_at: waits });
    }
    Ok(limits)
}

fn served(arrival: &Arrival, mut admitted: Admitted, body: &impl Serialize) -> Response<AnswerBody> {
    // Strings, numbers and times always serialise.
    let body = serde_json::to_vec(body).map(Bytes::from).unwrap_or_default();
    admitted.entry.first_byte();
    admitted.entry.settle(Outcome::nothing(200));
    answer::json(StatusCode::OK, body, arrival.id)
}
