//! The edge: accepts connections, serves HTTP/1.1 on them within bounds of time and size, and lets them end in peace.
//!
//! The loop is our own because a ready-made one gives hyper no timer, and without it a client that never finishes
//! its headers holds its connection for ever.

mod conversation;
mod entrance;
mod farewell;
mod head;
mod signals;
mod socket;
pub mod tls;
mod watched;

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Once};
use std::time::Duration;

use domain::RequestId;
use domain::client::{client_address, transport};
use domain::refusal::Refusal;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::conversation::{Conversation, Sending, Verdict};
use self::entrance::{Entrance, Full};
use self::signals::{Signal, Signals};
use self::socket::Socket;
use self::watched::Watched;
use crate::answer::AnswerBody;
use crate::config::Limits;
use crate::pipeline::{self, NO_ROUTE, Origin};
use crate::refusal;
use crate::router::ErrorDialect;
use crate::state::State;
use crate::telemetry::traces::Trace;

/// Request line and headers together; at most 100 headers, which is hyper's own bound.
const MAX_HEAD_BYTES: usize = 32 * 1024;
/// What is kept of an answer that its client does not take, and of a body that nobody has asked for yet. Beyond it
/// the upstream is not read, so that its own window fills.
const MAX_BUFFER_BYTES: usize = 256 * 1024;
/// Connections beyond the bound that are told so at the same time.
const TURNED_AWAY_AT_ONCE: usize = 64;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// How the edge is told to stop.
#[derive(Clone, Debug, Default)]
pub struct Stop {
    /// No new connections; those there are end with their present request.
    pub gently: CancellationToken,
    /// Whatever is left ends at once.
    pub now: CancellationToken,
}

/// What all connections share.
struct Door {
    state: Arc<State>,
    entrance: Entrance,
    tls: Option<TlsAcceptor>,
    stop: Stop,
}

/// Where a connection comes from and how.
#[derive(Clone, Copy)]
struct Peer {
    address: IpAddr,
    is_proxy: bool,
    is_encrypted: bool,
}

/// Accepts connections until told to stop, then waits for those there are.
pub async fn run(listener: TcpListener, state: Arc<State>, tls: Option<TlsAcceptor>, stop: Stop) {
    let tracker = TaskTracker::new();
    let turned_away = Arc::new(Semaphore::new(TURNED_AWAY_AT_ONCE));
    let gently = stop.gently.clone();
    let door = Arc::new(Door { entrance: Entrance::new(&state.limits), state, tls, stop });
    while let Some(accepted) = gently.run_until_cancelled(listener.accept()).await {
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Usually out of file descriptors: others must end first.
                tracing::warn!(%error, "a connection could not be accepted");
                sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let is_proxy = door.state.edge.proxies.contains(peer.ip());
        let full = match door.entrance.connection((!is_proxy).then_some(peer.ip())) {
            Ok(place) => {
                let serving = door.clone().serve(stream, peer);
                tracker.spawn(async move {
                    serving.await;
                    drop(place);
                });
                continue;
            }
            Err(full) => full,
        };
        door.state.metrics.refused_connection(match full {
            Full::Everywhere => "total",
            Full::ForClient => "client",
        });
        if let Ok(place) = turned_away.clone().try_acquire_owned() {
            let turning = door.clone().turn_away(stream);
            tracker.spawn(async move {
                turning.await;
                drop(place);
            });
        }
    }
    drop(listener);
    tracker.close();
    tracker.wait().await;
}

impl Door {
    /// Serves a connection until it ends, whoever ends it.
    async fn serve(self: Arc<Self>, stream: TcpStream, peer: SocketAddr) {
        let limits = &self.state.limits;
        let establishing = socket::establish(stream, self.tls.as_ref(), limits);
        let until_stop = self.stop.gently.run_until_cancelled(establishing);
        let socket = match until_stop.await {
            Some(Ok(socket)) => socket,
            Some(Err(error)) => {
                self.state.metrics.refused_connection("handshake");
                tracing::debug!(%error, "a connection ended before it was served");
                return;
            }
            None => return,
        };
        let _counted = self.state.metrics.connection();
        let address = peer.ip().to_canonical();
        let is_proxy = self.state.edge.proxies.contains(address);
        let peer = Peer { address, is_proxy, is_encrypted: socket.is_encrypted() };
        let conversation = Conversation::new(limits);
        let (socket, refusal) = self.converse(socket, peer, &conversation).await;
        let Some(socket) = socket else { return };
        let last = refusal.map(|refusal| self.last_word(&refusal)).unwrap_or_default();
        self.stop.now.run_until_cancelled(farewell::part(socket, &last, limits.farewell)).await;
    }

    /// Lets the HTTP library have the connection. Gives it back where something is left to be said or to be read, and
    /// what to say.
    async fn converse(
        self: &Arc<Self>,
        socket: Socket,
        peer: Peer,
        conversation: &Conversation,
    ) -> (Option<Socket>, Option<Refusal>) {
        let io = TokioIo::new(Watched::new(socket, conversation.clone()));
        let service = service_fn({
            let (door, conversation) = (self.clone(), conversation.clone());
            // Boxed: it is of many kilobytes, which would be moved into place for each request and kept between two.
            move |request| Box::pin(door.clone().answer(peer, conversation.clone(), request))
        });
        // Both time-outs of hyper count the time between requests as part of a request, so they are kept here instead.
        let mut connection = http1::Builder::new()
            .max_header_size(MAX_HEAD_BYTES)
            .max_buf_size(MAX_BUFFER_BYTES)
            .header_read_timeout(None)
            .serve_connection(io, service);
        let mut signals = Signals::new(&self.stop, conversation.next_look());
        let refusal = loop {
            tokio::select! {
                biased;
                ended = &mut connection => break ended.err().and_then(|error| last_refusal(&error, conversation)),
                signal = signals.next() => match signal {
                    Signal::StopNow => return (None, None),
                    Signal::StopGently => {
                        // The library waits for the first request of a new connection; nobody has promised one.
                        if conversation.is_silent() {
                            break None;
                        }
                        std::pin::Pin::new(&mut connection).graceful_shutdown();
                    }
                    Signal::Look => match conversation.look(Instant::now()) {
                        Verdict::GoOn(next) => signals.look_at(next),
                        Verdict::SlowHead => {
                            let fault = conversation.fault();
                            break Some(fault.map_or(Refusal::RequestTimeout, head::Fault::refusal));
                        }
                        Verdict::Over => return (None, None),
                    },
                },
            }
        };
        (Some(connection.into_parts().io.into_inner().into_socket()), refusal)
    }

    /// Answers one request.
    async fn answer(
        self: Arc<Self>,
        peer: Peer,
        conversation: Conversation,
        request: Request<Incoming>,
    ) -> Result<Response<Sending>, Infallible> {
        let exchange = conversation.begin();
        let origin = self.origin(peer, request.headers());
        if let Some(fault) = conversation.fault() {
            let response = self.refuse(&fault.refusal(), origin.id, true);
            return Ok(response.map(|body| exchange.until_sent(None, Trace::default(), body)));
        }
        // Probes must be answered above all when there is too much to do.
        let is_probe = crate::router::probe(request.method(), request.uri().path()).is_some();
        let counted = || self.state.metrics.request();
        let slot = self.entrance.request(peer.is_proxy.then_some(origin.client), counted);
        if slot.is_none() && !is_probe {
            let has_body = !http_body::Body::is_end_stream(request.body());
            let response = self.refuse(&Refusal::Overloaded, origin.id, has_body);
            return Ok(response.map(|body| exchange.until_sent(None, Trace::default(), body)));
        }
        let (response, trace) = pipeline::serve(self.state.clone(), origin, request).await;
        Ok(response.map(|body| exchange.until_sent(slot, trace, body)))
    }

    fn origin(&self, peer: Peer, headers: &HeaderMap) -> Origin {
        let edge = &self.state.edge;
        let lines = |name| headers.get_all(name).into_iter().map(HeaderValue::as_bytes);
        if edge.requires_tls && peer.is_proxy && !peer.is_encrypted && !headers.contains_key(FORWARDED_PROTO)
        {
            warn_of_silent_proxy(peer.address);
        }
        Origin {
            id: RequestId(store::new_id()),
            client: client_address(peer.address, lines(FORWARDED_FOR), &edge.proxies),
            transport: transport(edge.requires_tls, peer.is_encrypted, peer.is_proxy, lines(FORWARDED_PROTO)),
        }
    }

    /// A refusal before anything of the request was looked at.
    fn refuse(&self, refusal: &Refusal, id: RequestId, is_last: bool) -> Response<AnswerBody> {
        let mut response = refusal::answer(refusal, id, &self.state.prefix, ErrorDialect::OpenAi);
        tracing::debug!(request_id = %id, code = refusal.code(), "refused");
        self.state.metrics.answered(NO_ROUTE, response.status(), refusal.code());
        if is_last {
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }

    /// A refusal for what never became a request.
    fn last_word(&self, refusal: &Refusal) -> Vec<u8> {
        let id = RequestId(store::new_id());
        // Counted and logged like any other.
        let _ = self.refuse(refusal, id, true);
        farewell::last_word(refusal, id, &self.state.prefix)
    }

    /// Tells a connection for which there is no place that there is none.
    async fn turn_away(self: Arc<Self>, stream: TcpStream) {
        let limits = &self.state.limits;
        if let Ok(socket) = socket::establish(stream, self.tls.as_ref(), limits).await {
            let last = self.last_word(&Refusal::Overloaded);
            farewell::part(socket, &last, limits.farewell).await;
        }
    }
}

/// Says once what would otherwise look like every client's own fault.
fn warn_of_silent_proxy(proxy: IpAddr) {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        tracing::warn!(
            %proxy,
            "a trusted proxy sends no X-Forwarded-Proto, so its requests count as plain HTTP and are refused; make it \
             send one, or set REQUIRE_TLS=false"
        );
    });
}

/// What to say to a client whose request the HTTP library could not read. Nothing if it did not come to that.
fn last_refusal(error: &hyper::Error, conversation: &Conversation) -> Option<Refusal> {
    tracing::trace!(%error, "a connection ended early");
    if !error.is_parse() {
        return None;
    }
    let by_library = || {
        if error.is_parse_too_large() {
            return Refusal::HeadersTooLarge;
        }
        let message = "The request is not well-formed HTTP/1.1.".to_owned();
        Refusal::InvalidRequest { message, param: None }
    };
    Some(conversation.fault().map_or_else(by_library, head::Fault::refusal))
}

/// The longest time a look at a conversation may be put off.
fn look_interval(limits: &Limits) -> Duration {
    limits.head.min(limits.keep_alive)
}
