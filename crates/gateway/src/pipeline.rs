//! What every request goes through, in the order of the decision's steps.
//!
//! Steps 2 to 8 need no body, so they come before it is read; then the body is checked and the whole decision is
//! made. Only that makes an [`Admitted`], and only an `Admitted` can be served.

mod forward;
mod own;
mod passed;
mod reserve;

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use domain::RequestId;
use domain::decision::{
    self, AccountPolicy, Admission, Billing, Credential, Demand, Denial, Facts, GroupPolicy, Model, RateRoom,
    Step, Transport,
};
use domain::limit::WorstCase;
use domain::refusal::Refusal;
use domain::rule::Allow;
use domain::secret::Digest;
use http::header::{self, HeaderValue};
use http::request::Parts;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body::Body;
use hyper::body::Incoming;

use self::reserve::Reserved;
use crate::answer::{self, AnswerBody};
use crate::body::receive;
use crate::credential::{self, Presented};
use crate::limits::Reservation;
use crate::limits::rates::Slot;
use crate::metering::journal::{Entry, Opening};
use crate::metering::refusals;
use crate::metrics::Waits;
use crate::policy::{Known, Standing};
use crate::prompt::{self, Prompt};
use crate::refusal;
use crate::router::{self, ErrorDialect, Forwarded, Guard, Own, Probe, Route, Served, Target, UsageDialect};
use crate::spool::Intake;
use crate::state::State;
use crate::telemetry::traces::Trace;

/// What metrics call a request that is for no route.
pub const NO_ROUTE: &str = "none";

/// A request that the decision has let through and the journal has opened. Serving one takes this value.
struct Admitted {
    entry: Entry,
    digest: Digest,
    standing: Standing,
    client: IpAddr,
    /// What the key's requests per minute leave after this one.
    rate: Option<RateRoom>,
    _admission: Admission,
}

/// Where a request comes from.
#[derive(Clone, Copy, Debug)]
pub struct Origin {
    /// What it is called from now on.
    pub id: RequestId,
    /// The client's address, derived from trusted hops only.
    pub client: IpAddr,
    /// Whether it came as it must.
    pub transport: Transport,
}

/// A request on its way to a decision.
struct Arrival {
    id: RequestId,
    client: IpAddr,
    transport: Transport,
    at: Instant,
    waits: Waits,
    trace: Trace,
}

/// Where a request that was refused had got to.
struct Refused {
    refusal: Refusal,
    known: Option<Arc<Known>>,
    /// The model it named.
    model: Option<Box<str>>,
    allow: Option<Cow<'static, str>>,
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        Self { refusal, known: None, model: None, allow: None }
    }
}

/// Answers one request, whatever it is. Its spans last as long as what is given back with the answer.
pub async fn serve(
    state: Arc<State>,
    origin: Origin,
    request: Request<Incoming>,
) -> (Response<AnswerBody>, Trace) {
    let Origin { id, client, transport } = origin;
    let (parts, mut body) = request.into_parts();
    let probe = router::probe(&parts.method, parts.uri.path());
    let traces = state.traces.as_ref().filter(|_| probe.is_none());
    let trace = traces.map(|traces| traces.begin(id, &parts.method, &parts.headers)).unwrap_or_default();
    let arrival = Arrival { id, client, transport, at: Instant::now(), waits: Waits::default(), trace };
    let mut response = if let Some(probe) = probe {
        answer_probe(&state, probe, arrival.id)
    } else {
        let response = answer(&state, &arrival, &parts, &mut body).await;
        // What this request has settled outlasts the process before its client learns of it.
        state.journal.flushed().await;
        response
    };
    // Who was too slow with his request gets no further time for it.
    let is_patient = response.status() != StatusCode::REQUEST_TIMEOUT;
    let is_done = body.is_end_stream() || is_patient && leave_in_peace(&parts.headers, &mut body).await;
    if !is_done {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    (response, arrival.trace)
}

/// Serves a request or refuses it, in the words of its path's clients, and counts it.
async fn answer(
    state: &Arc<State>,
    arrival: &Arrival,
    parts: &Parts,
    body: &mut Incoming,
) -> Response<AnswerBody> {
    let target = find(state, parts);
    let errors = target.errors();
    let route = match target {
        Target::Route(route, _) => route.path,
        Target::Own(ref own, _) => own.path,
        Target::OtherMethod(_) | Target::OtherMethodOfOwn(_) | Target::Nothing => NO_ROUTE,
    };
    if route != NO_ROUTE {
        arrival.trace.route(route);
    }
    let (mut response, code) = match decide_and_serve(state, arrival, parts, body, target).await {
        Ok(response) => (response, ""),
        Err(refused) => (refuse(state, arrival, route, &refused, errors), refused.refusal.code()),
    };
    answer::name_for(response.headers_mut(), errors);
    state.metrics.answered(route, response.status(), code);
    arrival.trace.answered(response.status(), code);
    state.metrics.took(arrival.at.elapsed().saturating_sub(arrival.waits.total()));
    response
}

/// What the request's path and method lead to: the gateway's own routes first, then the operator's.
fn find<'a>(state: &State, parts: &'a Parts) -> Target<'a> {
    let (method, path) = (&parts.method, parts.uri.path());
    match router::target(method, path, &state.aliases) {
        Target::Nothing => router::own::target(method, path, &state.aliases, &state.policy.own_routes()),
        target => target,
    }
}

/// Lets a client that is still sending finish, so that it gets to read its answer. One that waits for a go-ahead is
/// answered without it. False when the connection is of no further use.
async fn leave_in_peace(headers: &HeaderMap, body: &mut Incoming) -> bool {
    !headers.contains_key(header::EXPECT) && receive::drain(body).await
}

async fn decide_and_serve(
    state: &Arc<State>,
    arrival: &Arrival,
    parts: &Parts,
    body: &mut Incoming,
    target: Target<'_>,
) -> Result<Response<AnswerBody>, Refused> {
    if arrival.transport != Transport::Accepted {
        return Err(without_key(state, arrival, Credential::NotASecret).into());
    }
    let digest = match credential::read(parts, &state.prefix, target.errors())? {
        Presented::Secret(secret) => state.pepper.digest(&secret),
        Presented::Nothing => return Err(without_key(state, arrival, Credential::NotASecret).into()),
    };
    let Some(standing) = state.policy.find_or_ask(&digest).await? else {
        return Err(without_key(state, arrival, Credential::Unknown).into());
    };
    let key = standing.known.clone();
    state.metrics.key_used(&key.public_id);
    arrival.trace.known(&key);
    let of_key = |refused: Refused| Refused { known: Some(key.clone()), ..refused };
    let known = |refusal: Refusal| of_key(refusal.into());
    match target {
        Target::Route(route, tail) => match route.served {
            Served::Here(own) => serve_here(state, arrival, route, own, &tail, digest).await.map_err(known),
            Served::Upstream(forwarded) => {
                screen(state, arrival, &standing, route.permission(), &decision::STEPS[..8])
                    .map_err(known)?;
                serve_upstream(state, arrival, parts, body, (route, forwarded), digest).await.map_err(of_key)
            }
        },
        Target::Own(own, _) => {
            screen(state, arrival, &standing, own.permission, &decision::STEPS[..8]).map_err(known)?;
            passed::serve(state, arrival, parts, body, digest).await.map_err(known)
        }
        Target::OtherMethod(route) => {
            screen(state, arrival, &standing, "", &decision::STEPS[..7]).map_err(known)?;
            Err(Refused { allow: Some(route.method.into()), ..known(Refusal::MethodNotAllowed) })
        }
        Target::OtherMethodOfOwn(methods) => {
            screen(state, arrival, &standing, "", &decision::STEPS[..7]).map_err(known)?;
            Err(Refused { allow: Some(methods.into()), ..known(Refusal::MethodNotAllowed) })
        }
        Target::Nothing => {
            screen(state, arrival, &standing, "", &decision::STEPS[..7]).map_err(known)?;
            Err(known(Refusal::PathNotFound))
        }
    }
}

async fn serve_here(
    state: &State,
    arrival: &Arrival,
    route: &'static Route,
    own: Own,
    tail: &str,
    digest: Digest,
) -> Result<Response<AnswerBody>, Refusal> {
    let admitted = admit(state, arrival, route.into(), digest, None).await?;
    let rate = admitted.rate;
    let mut response = match own {
        Own::Models => own::models(state, arrival, admitted),
        Own::Model => own::model(state, arrival, admitted, tail)?,
        Own::Key => own::key(state, arrival, admitted).await?,
    };
    answer::tell_rate(response.headers_mut(), rate);
    Ok(response)
}

async fn serve_upstream(
    state: &Arc<State>,
    arrival: &Arrival,
    parts: &Parts,
    body: &mut Incoming,
    (route, forwarded): (&'static Route, Forwarded),
    digest: Digest,
) -> Result<Response<AnswerBody>, Refused> {
    require_type(&parts.headers, prompt::content_type(forwarded.body))?;
    let waiting = arrival.waits.begin();
    let bytes = receive::receive(body, prompt::max_bytes(forwarded.body), &state.limits).await?;
    drop(waiting);
    let mut prompt = Prompt::read(bytes, forwarded, parts.headers.get(header::CONTENT_TYPE)).await?;
    // A body takes time to arrive, so the key is looked up again: the decision is made on what is true now.
    let admitted = admit(state, arrival, route.into(), digest, Some((&mut prompt, forwarded.usage))).await;
    let of_model = |refusal: Refusal| Refused { model: Some(prompt.model().into()), ..refusal.into() };
    let admitted = admitted.map_err(of_model)?;
    let way = forward::Way {
        id: arrival.id,
        waits: &arrival.waits,
        errors: route.errors,
        headers: &parts.headers,
        trace: &arrival.trace,
    };
    let rate = admitted.rate;
    let mut response = forward::forward(state, way, forwarded, admitted, prompt).await?;
    answer::tell_rate(response.headers_mut(), rate);
    Ok(response)
}

/// What a request needs and costs, of whichever table its route is.
#[derive(Clone, Copy)]
struct Wanted {
    guard: Guard,
    /// The path template.
    path: &'static str,
    /// Nano-dollars for the call; none where a model's price counts, or nothing does.
    call: Option<i64>,
}

impl From<&'static Route> for Wanted {
    fn from(route: &'static Route) -> Self {
        Self { guard: route.guard, path: route.path, call: None }
    }
}

/// Makes the whole decision and opens the request.
async fn admit(
    state: &State,
    arrival: &Arrival,
    wanted: Wanted,
    digest: Digest,
    prompt: Option<(&mut Prompt, UsageDialect)>,
) -> Result<Admitted, Refusal> {
    let standing = state.policy.find_or_ask(&digest).await?.ok_or(Refusal::InvalidApiKey)?;
    // Before anything is taken of a limit: while an earlier run's usage is replayed, its leases are not this run's yet.
    if state.journal.intake() != Intake::Open {
        return Err(Refusal::Overloaded);
    }
    let name = prompt.as_ref().map(|(prompt, _)| prompt.model().to_owned());
    let sent = prompt.as_ref().map(|(prompt, _)| prompt.sent()).unwrap_or_default();
    let model = name.as_deref().and_then(|name| state.policy.model(name));
    let named = match (&name, &model) {
        (None, _) => Model::None,
        (Some(_), Some(model)) => Model::Offered(&model.id),
        (Some(name), None) => Model::NotOffered(name),
    };
    if let Some(model) = &model {
        arrival.trace.model(&model.id);
    }
    let now = state.policy.now();
    let demand = Demand { permission: wanted.guard.permission(), model: named };
    let facts = Facts { transport: arrival.transport, ..standing.facts(arrival.client, now, demand) };
    let asks_about_itself = matches!(wanted.guard, Guard::Itself);
    let per_minute = standing.known.requests_per_minute.filter(|_| !asks_about_itself);
    let (rate, slot) = match per_minute {
        Some(limit) => {
            let (room, slot) = state.leases.rates().take(standing.known.key, limit).await?;
            (Some(room), slot)
        }
        None => (None, None),
    };
    let facts = Facts { rate, ..facts };
    let decided = match (wanted.guard, prompt, &model) {
        (Guard::Permission(_), Some((prompt, usage)), Some(model)) => {
            let request = reserve::Bound { model, prompt, usage };
            reserve::reserve(&state.leases, &standing, facts, request).await
        }
        (Guard::Permission(_), None, _) if wanted.call.is_some() => {
            reserve::reserve_call(&state.leases, &standing, facts, wanted.call.unwrap_or(0)).await
        }
        (Guard::Permission(_), ..) => nothing_reserved(decision::decide(&facts)),
        (Guard::Itself, ..) => nothing_reserved(decision::decide_about_itself(&facts)),
    };
    let Reserved { admission, reservation, worst } = decided?;
    let opening = Opening {
        request: arrival.id,
        known: standing.known.clone(),
        model,
        route: wanted.path,
        call: wanted.call,
        client: arrival.client,
        at: now,
        arrived: arrival.at,
        sent,
        worst,
        reserved: reservation.reserved(),
        trace: arrival.trace.clone(),
    };
    let entry = state.journal.open(opening, reservation)?;
    // Every refusal above has given it back.
    let rate = slot.map(Slot::keep);
    Ok(Admitted { entry, digest, standing, client: arrival.client, rate, _admission: admission })
}

fn nothing_reserved(decided: Result<Admission, Denial>) -> Result<Reserved, Refusal> {
    let worst = WorstCase::default();
    let reserved = |admission| Reserved { admission, reservation: Reservation::default(), worst };
    decided.map(reserved).map_err(|denial| denial.refusal)
}

fn screen(
    state: &State,
    arrival: &Arrival,
    standing: &Standing,
    permission: &str,
    steps: &[Step],
) -> Result<(), Refusal> {
    let demand = Demand { permission, model: Model::None };
    let facts =
        Facts { transport: arrival.transport, ..standing.facts(arrival.client, state.policy.now(), demand) };
    decision::screen(&facts, steps).map_err(|denial| denial.refusal)
}

/// What the decision says to a request without a known key.
fn without_key(state: &State, arrival: &Arrival, credential: Credential<'_>) -> Refusal {
    let group = GroupPolicy { archived: false, permissions: Allow::Any, models: Allow::Any };
    let facts = Facts {
        transport: arrival.transport,
        credential,
        account: AccountPolicy { suspended: false, billing: Billing::Active },
        group: &group,
        client: arrival.client,
        now: state.policy.now(),
        demand: Demand { permission: "", model: Model::None },
        rate: None,
        limits: &[],
    };
    // Without a known key some step always fails; the fallback says the same.
    decision::decide(&facts).err().map_or(Refusal::InvalidApiKey, |denial| denial.refusal)
}

fn require_type(headers: &HeaderMap, wanted: &'static str) -> Result<(), Refusal> {
    let mut values = headers.get_all(header::CONTENT_TYPE).iter();
    let value = values.next().filter(|_| values.next().is_none()).and_then(|value| value.to_str().ok());
    let essence = value.and_then(|value| value.split(';').next()).map(str::trim);
    let fits = essence.is_some_and(|essence| essence.eq_ignore_ascii_case(wanted));
    // A compressed body would be checked here and read there as two different things.
    let is_plain = headers.get(header::CONTENT_ENCODING).is_none_or(|encoding| encoding == "identity");
    if fits && is_plain { Ok(()) } else { Err(Refusal::UnsupportedMediaType { wanted }) }
}

fn refuse(
    state: &State,
    arrival: &Arrival,
    route: &'static str,
    refused: &Refused,
    errors: ErrorDialect,
) -> Response<AnswerBody> {
    let Refused { refusal, known, model, allow } = refused;
    let (request_id, code, status) = (arrival.id, refusal.code(), refusal.status());
    // Never the path itself: it is the client's text, and people put keys into base URLs.
    if let Some(known) = known {
        tracing::info!(%request_id, key = %known.public_id, code, status, route, "refused");
        let (client, at, model) = (arrival.client, state.policy.now(), model.as_deref());
        state.refusals.note(refusals::Refused { id: request_id, known, refusal, client, at, model });
    } else {
        // Anybody can send a wrong key as often as he likes; that must not fill the log.
        tracing::debug!(%request_id, code, status, client = %arrival.client, "refused");
    }
    let mut response = refusal::answer(refusal, arrival.id, &state.prefix, errors);
    if let Some(allow) = allow.as_deref().and_then(|allow| HeaderValue::from_str(allow).ok()) {
        response.headers_mut().insert(header::ALLOW, allow);
    }
    response
}

fn answer_probe(state: &State, probe: Probe, id: RequestId) -> Response<AnswerBody> {
    match probe {
        Probe::Health => answer::text(StatusCode::OK, "ok\n", id),
        Probe::Readiness if state.stopping.is_cancelled() => {
            answer::text(StatusCode::SERVICE_UNAVAILABLE, "stopping\n", id)
        }
        Probe::Readiness if !state.policy.is_fresh() => {
            answer::text(StatusCode::SERVICE_UNAVAILABLE, "the policy is not loaded or too old\n", id)
        }
        Probe::Readiness if state.policy.clock().is_skewed() => {
            let text = "this machine's clock and the database's disagree\n";
            answer::text(StatusCode::SERVICE_UNAVAILABLE, text, id)
        }
        Probe::Readiness if !state.leases.rates().is_known() => {
            answer::text(StatusCode::SERVICE_UNAVAILABLE, "the share of rate limits is not known\n", id)
        }
        Probe::Readiness => match state.journal.intake() {
            // Last, for it alone does not mean that requests would be answered with 503.
            Intake::Open if state.leases.rates().is_behind() && state.policy.limits_rates() => {
                let text = "this gateway's share of requests per minute does not count yet; others serve\n";
                answer::text(StatusCode::SERVICE_UNAVAILABLE, text, id)
            }
            Intake::Open => answer::text(StatusCode::OK, "ready\n", id),
            intake => answer::text(StatusCode::SERVICE_UNAVAILABLE, intake.reason(), id),
        },
    }
}
