//! The way to the model providers: one pooled client, each provider's base URL and key, no redirects, and nothing of
//! the caller's but what an allow list lets through.

mod dial;
mod headers;
mod health;
mod registry;

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use domain::dial::{self as places, PrivateNetworks};
use domain::refusal::Refusal;
use http::header::HeaderName;
use http::{HeaderMap, HeaderValue, Method, Request, Response, Uri, header};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::GaiResolver;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::time::timeout;

use self::dial::Judged;
pub use self::headers::for_client;
use self::health::Health;
pub use self::registry::{Candidate, Upstreams};
use crate::body::splice::Pieces;
use crate::config::Secret;
use crate::router::{BodyDialect, Forwarded, ROUTES, Served};

/// The largest answer that is no stream: thousands of embeddings.
const MAX_ANSWER: usize = 64 * 1024 * 1024;
const X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");
const IDLE_CONNECTIONS: usize = 256;
const KEEP_ALIVE: Duration = Duration::from_mins(1);

/// A client that keeps connections to every provider. Copies share them.
pub(crate) type HttpClient = Client<HttpsConnector<HttpConnector<Judged<GaiResolver>>>, Pieces>;

/// A model provider.
#[derive(Debug)]
pub struct Upstream {
    name: String,
    client: HttpClient,
    /// Without a slash at its end.
    base: String,
    /// Where each route's requests go, by its path.
    places: Vec<(&'static str, Uri)>,
    authorization: HeaderValue,
    api_key: HeaderValue,
    key: Secret,
    answer_time: Duration,
    health: Health,
}

/// A request that got no answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Unanswered {
    /// What its client is told.
    pub refusal: Refusal,
    /// It never reached the provider, so another one may be asked.
    pub never_arrived: bool,
}

/// The configuration cannot be turned into a client.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The TLS library has no usable protocol version.
    #[error("TLS cannot be set up: {0}")]
    Tls(#[from] rustls::Error),
    /// The base URL does not take a path.
    #[error("the base URL cannot be used: {0}")]
    Url(#[from] http::uri::InvalidUri),
    /// The key cannot be sent in a header.
    #[error("the key cannot be sent in a header")]
    Key(#[from] header::InvalidHeaderValue),
    /// It is at an address where no provider can be: link-local, multicast, reserved, or a cloud's metadata.
    #[error("no upstream may be at {0}")]
    Address(std::net::IpAddr),
}

impl Upstream {
    /// A provider at `base`. Nothing is connected yet.
    pub(crate) fn new(
        name: &str,
        base: &Uri,
        key: Secret,
        client: HttpClient,
        answer_time: Duration,
    ) -> Result<Self, SetupError> {
        // A name is judged by what it leads to, whenever that is looked up.
        let literal = base.host().and_then(places::literal);
        if let Some(address) = literal.filter(|address| places::place(*address) == places::Place::Never) {
            return Err(SetupError::Address(address));
        }
        let base = base.to_string().trim_end_matches('/').to_owned();
        let at = |path: &str| format!("{base}{path}").parse::<Uri>();
        let places = ROUTES.iter().filter_map(|route| match route.served {
            Served::Upstream(forwarded) => Some(at(forwarded.path).map(|uri| (forwarded.path, uri))),
            Served::Here(_) => None,
        });
        let mut authorization = HeaderValue::try_from(format!("Bearer {}", key.expose()))?;
        authorization.set_sensitive(true);
        let mut api_key = HeaderValue::try_from(key.expose())?;
        api_key.set_sensitive(true);
        Ok(Self {
            name: name.to_owned(),
            client,
            places: places.collect::<Result<_, _>>()?,
            base,
            authorization,
            api_key,
            key,
            answer_time,
            health: Health::default(),
        })
    }

    /// What the operator calls it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its host and port, for whoever looks where requests go.
    pub fn address(&self) -> (&str, u16) {
        let uri = self.places.first().map(|(_, uri)| uri);
        let host = uri.and_then(Uri::host).unwrap_or_default();
        let default = if uri.and_then(Uri::scheme_str) == Some("https") { 443 } else { 80 };
        (host, uri.and_then(Uri::port_u16).unwrap_or(default))
    }

    /// Notes whether it works, for the choice of the next requests.
    pub fn answered(&self, well: bool) {
        if well {
            self.health.answered();
        } else if self.health.failed() {
            tracing::warn!(upstream = %self.name, "the upstream keeps failing; others are asked first for a while");
        }
    }

    /// Sends a request and waits for the head of its answer.
    pub async fn send(
        &self,
        route: Forwarded,
        headers: &HeaderMap,
        body: Pieces,
    ) -> Result<Response<Incoming>, Unanswered> {
        let mut request = Request::new(body);
        *request.method_mut() = Method::POST;
        let uri = self.uri(route).map_err(|refusal| Unanswered { refusal, never_arrived: false })?;
        *request.uri_mut() = uri.clone();
        *request.headers_mut() = headers::for_upstream(headers);
        match route.body {
            // Anthropic takes a bearer for something else than its API keys.
            BodyDialect::Messages => request.headers_mut().insert(X_API_KEY, self.api_key.clone()),
            _ => request.headers_mut().insert(header::AUTHORIZATION, self.authorization.clone()),
        };
        self.request(request).await
    }

    /// Sends a request of an own route, whose body is not read here, and waits for the head of its answer. `there` is
    /// path and query below the base URL.
    pub async fn call(
        &self,
        method: &Method,
        there: &str,
        headers: &HeaderMap,
        body: Bytes,
    ) -> Result<Response<Incoming>, Unanswered> {
        let uri = format!("{}{there}", self.base).parse::<Uri>().map_err(|error| {
            // What was judged makes a path, so this is the base URL's fault.
            tracing::error!(upstream = %self.name, %error, "an own route leads to no address");
            Unanswered { refusal: Refusal::UpstreamFailed, never_arrived: false }
        })?;
        let needs_length = body.is_empty() && !matches!(*method, Method::GET | Method::DELETE);
        let mut request = Request::new(Pieces::splice(&body, Vec::new()));
        *request.method_mut() = method.clone();
        *request.uri_mut() = uri;
        *request.headers_mut() = headers::for_upstream(headers);
        if needs_length {
            request.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from_static("0"));
        }
        request.headers_mut().insert(header::AUTHORIZATION, self.authorization.clone());
        self.request(request).await
    }

    async fn request(&self, request: Request<Pieces>) -> Result<Response<Incoming>, Unanswered> {
        match timeout(self.answer_time, self.client.request(request)).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) => {
                let cause = std::error::Error::source(&error).map(ToString::to_string);
                let never_arrived = error.is_connect();
                tracing::warn!(upstream = %self.name, %error, cause, never_arrived, "the upstream cannot be reached");
                let refusal =
                    if is_timeout(&error) { Refusal::UpstreamTimeout } else { Refusal::UpstreamFailed };
                Err(Unanswered { refusal, never_arrived })
            }
            // It may be at work on it still: another one would do it twice.
            Err(_) => Err(Unanswered { refusal: Refusal::UpstreamTimeout, never_arrived: false }),
        }
    }

    /// The whole of an answer that is no stream.
    pub async fn receive(&self, body: Incoming) -> Result<Bytes, Refusal> {
        timeout(self.answer_time, collect(body, MAX_ANSWER)).await.unwrap_or(Err(Refusal::UpstreamTimeout))
    }

    /// The body of an error, if it is small JSON that gives nothing away.
    pub async fn receive_error(&self, body: Incoming) -> Option<Bytes> {
        const MAX_ERROR: usize = 64 * 1024;
        const TIME: Duration = Duration::from_secs(10);
        let bytes = timeout(TIME, collect(body, MAX_ERROR)).await.ok()?.ok()?;
        let key = self.key.expose().as_bytes();
        let is_json = serde_json::from_slice::<serde::de::IgnoredAny>(&bytes).is_ok();
        (is_json && !bytes.windows(key.len()).any(|window| window == key)).then_some(bytes)
    }

    fn uri(&self, route: Forwarded) -> Result<&Uri, Refusal> {
        // Every route's place was made from the same table.
        let place = self.places.iter().find(|(path, _)| *path == route.path);
        place.map(|(_, uri)| uri).ok_or(Refusal::UpstreamFailed)
    }
}

/// A client whose connections stand within `connect_time`, and go nowhere a provider has no business to be.
pub(crate) fn http_client(
    connect_time: Duration,
    private: PrivateNetworks,
) -> Result<HttpClient, rustls::Error> {
    let mut tcp = HttpConnector::new_with_resolver(Judged::new(GaiResolver::new(), private));
    // Without it a request in two segments waits 40 ms for the acknowledgement of the first.
    tcp.set_nodelay(true);
    tcp.set_connect_timeout(Some(connect_time));
    tcp.enforce_http(false);
    let connector = HttpsConnectorBuilder::new()
        .with_provider_and_webpki_roots(rustls::crypto::ring::default_provider())?
        .https_or_http()
        .enable_http1()
        .wrap_connector(tcp);
    Ok(Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(KEEP_ALIVE)
        .pool_max_idle_per_host(IDLE_CONNECTIONS)
        .build(connector))
}

async fn collect(mut body: Incoming, limit: usize) -> Result<Bytes, Refusal> {
    let mut received = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| {
            tracing::warn!(%error, "the upstream's answer broke off");
            Refusal::UpstreamFailed
        })?;
        let Ok(data) = frame.into_data() else { continue };
        if received.len() + data.len() > limit {
            tracing::warn!(limit, "the upstream's answer is too large");
            return Err(Refusal::UpstreamFailed);
        }
        received.extend_from_slice(&data);
    }
    Ok(received.freeze())
}

/// Whether a connection did not come about in time (as opposed to being refused).
fn is_timeout(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if error.downcast_ref::<std::io::Error>().is_some_and(|io| io.kind() == std::io::ErrorKind::TimedOut)
        {
            return true;
        }
        next = error.source();
    }
    false
}
