//! Requests of the operator's own routes: decided like any other, their bodies passed on as they came, at a price per call.

use std::sync::Arc;

use domain::own_route::is_query;
use domain::refusal::Refusal;
use domain::secret::Digest;
use http::request::Parts;
use http::{Method, Response, header};
use hyper::body::Incoming;

use super::forward::{self, Way};
use super::{Arrival, Wanted, admit, find};
use crate::answer::{self, AnswerBody};
use crate::body::receive;
use crate::router::{ErrorDialect, Guard, Target};
use crate::state::State;

/// The largest body, in bytes.
const MAX_BODY: usize = 10 * 1024 * 1024;

/// Serves a request that has passed the steps before its body.
pub(super) async fn serve(
    state: &Arc<State>,
    arrival: &Arrival,
    parts: &Parts,
    body: &mut Incoming,
    digest: Digest,
) -> Result<Response<AnswerBody>, Refusal> {
    check(parts)?;
    let waiting = arrival.waits.begin();
    let bytes = receive::receive(body, MAX_BODY, &state.limits).await?;
    drop(waiting);
    if parts.method == Method::GET && !bytes.is_empty() {
        return Err(invalid("A GET request of this path takes no body."));
    }
    // A body takes time to arrive: what the route is now is what counts.
    let Target::Own(own, there) = find(state, parts) else { return Err(Refusal::PathNotFound) };
    let wanted = Wanted { guard: Guard::Permission(own.permission), path: own.path, call: Some(own.price) };
    let admitted = admit(state, arrival, wanted, digest, None).await?;
    let way = Way {
        id: arrival.id,
        waits: &arrival.waits,
        errors: ErrorDialect::default(),
        headers: &parts.headers,
        trace: &arrival.trace,
    };
    let call = forward::call::Call {
        method: &parts.method,
        path: own.path,
        there: match parts.uri.query() {
            Some(query) => format!("{there}?{query}"),
            None => there,
        },
        upstream: own.upstream,
        body: bytes,
    };
    let rate = admitted.rate;
    let mut response = forward::call::call(state, way, admitted, call).await?;
    answer::tell_rate(response.headers_mut(), rate);
    Ok(response)
}

/// What can be judged before the body has come. The path has been.
fn check(parts: &Parts) -> Result<(), Refusal> {
    if !parts.uri.query().is_none_or(is_query) {
        return Err(invalid("The query string is malformed or longer than 4096 characters."));
    }
    // The upstream is not told of the encoding, and would take the body for something else.
    if parts.headers.get(header::CONTENT_ENCODING).is_some_and(|encoding| encoding != "identity") {
        return Err(Refusal::UnsupportedMediaType { wanted: "sent as it is" });
    }
    Ok(())
}

fn invalid(message: &str) -> Refusal {
    Refusal::InvalidRequest { message: message.to_owned(), param: None }
}
