//! The way to the collector: OTLP as protobuf over HTTP, by this program's own HTTP and TLS libraries.

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use opentelemetry_http::{HttpClient, HttpError};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use tokio::time::timeout;

use crate::config;

/// A collector has next to nothing to say.
const MAX_ANSWER: usize = 64 * 1024;
const KEEP_ALIVE: Duration = Duration::from_mins(1);

/// Sends batches to a collector. Redirects are not followed: the headers are for it alone.
#[derive(Debug)]
struct Collector {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    headers: HeaderMap,
    answer_time: Duration,
}

/// Exports to the collector of the settings.
pub(super) fn exporter(settings: &config::Traces) -> Result<SpanExporter, String> {
    let collector = Collector {
        client: client(settings.authorities.as_deref())?,
        headers: settings.headers.clone(),
        answer_time: settings.answer_time,
    };
    let builder = SpanExporter::builder()
        .with_http()
        .with_protocol(Protocol::HttpBinary)
        .with_endpoint(settings.endpoint.to_string())
        .with_timeout(settings.answer_time)
        .with_http_client(collector);
    builder.build().map_err(|error| error.to_string())
}

#[async_trait::async_trait]
impl HttpClient for Collector {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let mut request = request.map(Full::new);
        for (name, value) in &self.headers {
            request.headers_mut().insert(name, value.clone());
        }
        let sending = async {
            let (head, body) = self.client.request(request).await?.into_parts();
            let body = Limited::new(body, MAX_ANSWER).collect().await?.to_bytes();
            Ok(Response::from_parts(head, body))
        };
        timeout(self.answer_time, sending).await?
    }
}

fn client(authorities: Option<&Path>) -> Result<Client<HttpsConnector<HttpConnector>, Full<Bytes>>, String> {
    let mut tcp = HttpConnector::new();
    tcp.set_nodelay(true);
    tcp.enforce_http(false);
    let provider = rustls::crypto::ring::default_provider();
    let builder = HttpsConnectorBuilder::new();
    let builder = match authorities {
        Some(file) => {
            let config = ClientConfig::builder_with_provider(provider.into())
                .with_safe_default_protocol_versions()
                .map_err(|error| error.to_string())?;
            builder.with_tls_config(config.with_root_certificates(roots(file)?).with_no_client_auth())
        }
        None => builder.with_provider_and_webpki_roots(provider).map_err(|error| error.to_string())?,
    };
    let connector = builder.https_or_http().enable_http1().wrap_connector(tcp);
    Ok(Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(KEEP_ALIVE)
        .build(connector))
}

fn roots(file: &Path) -> Result<RootCertStore, String> {
    let bad = |error: String| format!("OTEL_EXPORTER_OTLP_CERTIFICATE: {}: {error}", file.display());
    let pem = std::fs::read(file).map_err(|error| bad(error.to_string()))?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|error| bad(error.to_string()))?;
        roots.add(certificate).map_err(|error| bad(error.to_string()))?;
    }
    if roots.is_empty() { Err(bad("holds no certificate".to_owned())) } else { Ok(roots) }
}
