//! One connection: one request after the other, a new socket when the old one is gone.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue};
use http::{Method, Request, Uri};
use http_body_util::Full;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::exchange::{self, Exchange};
use super::seen::Samples;
use super::turns::Turns;
use super::{Kind, Plan};
use crate::Fault;

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(20);

pub struct Connection {
    plan: Arc<Plan>,
    body: Bytes,
    host: HeaderValue,
    random: u64,
    sender: Option<SendRequest<Full<Bytes>>>,
}

impl Connection {
    /// Nothing is connected yet.
    pub fn new(number: usize, plan: Arc<Plan>, body: Bytes) -> Self {
        let host = HeaderValue::try_from(plan.target.to_string());
        Self {
            // An address is always a header value.
            host: host.unwrap_or_else(|_| HeaderValue::from_static("localhost")),
            plan,
            body,
            // Another sequence for each, the same in every run.
            random: u64::try_from(number).unwrap_or_default().wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
            sender: None,
        }
    }

    /// Takes turns until there are no more.
    pub async fn run(mut self, turns: Turns) -> Samples {
        let mut samples = Samples::default();
        while let Some(began) = turns.next().await {
            match timeout(PATIENCE, self.exchange(began)).await {
                Ok(Ok(exchange)) if exchange.status == self.plan.expect => samples.note(&exchange),
                Ok(Ok(exchange)) => samples.fail(&format!("status {}", exchange.status)),
                Ok(Err(error)) => self.lost(&mut samples, error.as_ref()),
                Err(error) => self.lost(&mut samples, &error),
            }
        }
        samples
    }

    fn lost(&mut self, samples: &mut Samples, error: &dyn std::error::Error) {
        self.sender = None;
        let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
        samples.fail(&format!("{error}{cause}"));
    }

    async fn exchange(&mut self, began: Instant) -> Result<Exchange, Fault> {
        let request = self.request();
        let mut sender = match self.sender.take() {
            Some(sender) if !sender.is_closed() => sender,
            _ => connect(&self.plan).await?,
        };
        sender.ready().await?;
        let response = sender.send_request(request).await?;
        let is_stream = matches!(self.plan.kind, Kind::Stream | Kind::Paced);
        let exchange = exchange::read(response, began, is_stream).await?;
        self.sender = Some(sender);
        Ok(exchange)
    }

    fn request(&mut self) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(self.body.clone()));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = Uri::from_static("/v1/chat/completions");
        let key = self.any_key();
        let headers = request.headers_mut();
        headers.insert(HOST, self.host.clone());
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.extend(key.map(|key| (AUTHORIZATION, key)));
        request
    }

    /// Xorshift: good enough to spread requests over keys, and it costs nothing.
    fn any_key(&mut self) -> Option<HeaderValue> {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        let count = u64::try_from(self.plan.keys.len()).ok()?;
        let index = usize::try_from((self.random >> 11) % count).ok()?;
        self.plan.keys.get(index).cloned()
    }
}

async fn connect(plan: &Plan) -> Result<SendRequest<Full<Bytes>>, Fault> {
    let socket = TcpStream::connect(plan.target).await?;
    socket.set_nodelay(true)?;
    let (sender, connection) = http1::handshake(TokioIo::new(socket)).await?;
    // What goes wrong with it, the sender says.
    tokio::spawn(connection);
    Ok(sender)
}
