//! The floor: HTTP in, HTTP out, nothing else. What the gateway costs beyond this is what its checks and its metering
//! cost; what it costs below this, nobody who forwards over two connections can save.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use http::header::{CONNECTION, HOST, HeaderName};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{Request, Response, StatusCode, Uri};
use http_body_util::{Either, Empty};
use hyper::body::{Bytes, Incoming};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::net::TcpListener;

use crate::listen;

/// As many as the gateway keeps.
const IDLE_CONNECTIONS: usize = 256;
const KEEP_ALIVE: Duration = Duration::from_mins(1);
/// What belongs to one connection.
const HOP: [HeaderName; 3] = [CONNECTION, HOST, HeaderName::from_static("keep-alive")];

type Forwarded = Response<Either<Incoming, Empty<Bytes>>>;

/// Forwards everything to `upstream`, until dropped.
pub async fn run(address: SocketAddr, upstream: SocketAddr) -> io::Result<()> {
    forward_all(listen::bind(address).await?, upstream).await;
    Ok(())
}

/// The same, on a socket that listens already.
pub async fn forward_all(listener: TcpListener, upstream: SocketAddr) {
    let client = client();
    let Ok(upstream) = Authority::try_from(upstream.to_string()) else { return };
    listen::serve(listener, move |request| forward(client.clone(), upstream.clone(), request)).await;
}

fn client() -> Client<HttpConnector, Incoming> {
    let mut tcp = HttpConnector::new();
    tcp.set_nodelay(true);
    Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(KEEP_ALIVE)
        .pool_max_idle_per_host(IDLE_CONNECTIONS)
        .build(tcp)
}

async fn forward(
    client: Client<HttpConnector, Incoming>,
    upstream: Authority,
    mut request: Request<Incoming>,
) -> Forwarded {
    for name in &HOP {
        request.headers_mut().remove(name);
    }
    let path = request.uri().path_and_query().cloned();
    *request.uri_mut() = at(upstream, path);
    let Ok(mut response) = client.request(request).await else {
        let mut response = Response::new(Either::Right(Empty::new()));
        *response.status_mut() = StatusCode::BAD_GATEWAY;
        return response;
    };
    response.headers_mut().remove(CONNECTION);
    response.map(Either::Left)
}

fn at(upstream: Authority, path: Option<PathAndQuery>) -> Uri {
    let mut parts = http::uri::Parts::default();
    parts.scheme = Some(Scheme::HTTP);
    parts.authority = Some(upstream);
    parts.path_and_query = path.or_else(|| Some(PathAndQuery::from_static("/")));
    // All three parts are there and valid, so this does not fail.
    Uri::from_parts(parts).unwrap_or_default()
}
