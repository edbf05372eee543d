//! A collector that understands what it is sent: OTLP, as protobuf over HTTP.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;

use gateway::config::Traces;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Kind;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1 as otlp;
use prost::Message;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use serde_json::{Value, json};
use testkit::upstream::{Answer, Upstream};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

/// The stand-in behind the collector's port.
pub struct Collector(pub Upstream);

/// A span, with its ids in hexadecimal.
#[derive(Clone, Debug)]
pub struct Span {
    pub trace: String,
    pub id: String,
    /// Empty where there is none.
    pub parent: String,
    pub name: String,
    pub kind: otlp::span::SpanKind,
    pub attributes: BTreeMap<String, Value>,
    /// With their times, which are nanoseconds.
    pub events: Vec<(String, u64)>,
    pub start: u64,
    pub end: u64,
    pub is_error: bool,
    pub trace_state: String,
    pub resource: BTreeMap<String, Value>,
}

impl Collector {
    /// One that takes everything.
    pub async fn start() -> Self {
        Self::answering(Answer::whole(200, "application/x-protobuf", "")).await
    }

    /// One that always answers like this.
    pub async fn answering(answer: Answer) -> Self {
        let stand_in = Upstream::start("127.0.0.1:0".parse().unwrap()).await.unwrap();
        (0..100).for_each(|_| stand_in.enqueue(answer.clone()));
        Self(stand_in)
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.0.address())
    }

    pub fn settings(&self) -> Traces {
        Traces::to(format!("{}/v1/traces", self.url()).parse().unwrap())
    }

    /// Everything it has got, as it came.
    pub fn bytes(&self) -> Vec<u8> {
        self.0.received().iter().flat_map(|received| received.body.to_vec()).collect()
    }

    /// Every span so far, by its beginning.
    pub fn spans(&self) -> Vec<Span> {
        let mut spans = Vec::new();
        for received in self.0.received() {
            assert_eq!((received.method.as_str(), received.path.as_str()), ("POST", "/v1/traces"));
            assert_eq!(received.header("content-type"), Some("application/x-protobuf"));
            let batch = ExportTraceServiceRequest::decode(received.body.clone()).unwrap();
            for group in batch.resource_spans {
                let resource = attributes(group.resource.unwrap().attributes);
                let read = |span| Span::read(span, resource.clone());
                spans.extend(group.scope_spans.into_iter().flat_map(|scope| scope.spans).map(read));
            }
        }
        spans.sort_by_key(|span| span.start);
        spans
    }

    /// The span of the one request there was, and those of its upstreams.
    pub fn only_request(&self) -> (Span, Vec<Span>) {
        let (mut requests, upstreams): (Vec<_>, Vec<_>) =
            self.spans().into_iter().partition(|span| span.kind == otlp::span::SpanKind::Server);
        assert_eq!(requests.len(), 1, "{requests:#?}");
        let request = requests.remove(0);
        for span in &upstreams {
            assert_eq!(span.kind, otlp::span::SpanKind::Client);
            assert_eq!((&span.trace, &span.parent), (&request.trace, &request.id));
            assert!(request.start <= span.start && span.end <= request.end, "{request:#?} {span:#?}");
        }
        (request, upstreams)
    }
}

impl Span {
    fn read(span: otlp::Span, resource: BTreeMap<String, Value>) -> Self {
        let kind = span.kind();
        let keys: Vec<_> = span.attributes.iter().map(|pair| pair.key.clone()).collect();
        let attributes = attributes(span.attributes);
        assert_eq!(attributes.len(), keys.len(), "an attribute is there twice: {keys:?}");
        Self {
            trace: hex(&span.trace_id),
            id: hex(&span.span_id),
            parent: hex(&span.parent_span_id),
            name: span.name,
            kind,
            attributes,
            events: span.events.into_iter().map(|event| (event.name, event.time_unix_nano)).collect(),
            start: span.start_time_unix_nano,
            end: span.end_time_unix_nano,
            is_error: span.status.is_some_and(|status| status.code() == otlp::status::StatusCode::Error),
            trace_state: span.trace_state,
            resource,
        }
    }

    /// Asserts that it has exactly these attributes; `null` is any value.
    #[track_caller]
    pub fn assert_attributes(&self, expected: &Value) {
        let expected = expected.as_object().unwrap();
        let (there, wanted): (Vec<_>, Vec<_>) = (self.attributes.keys().collect(), expected.keys().collect());
        assert_eq!(there, wanted, "{:#?}", self.attributes);
        for (name, value) in expected.iter().filter(|(_, value)| !value.is_null()) {
            assert_eq!(&self.attributes[name], value, "{name}");
        }
    }
}

fn attributes(pairs: Vec<KeyValue>) -> BTreeMap<String, Value> {
    pairs.into_iter().map(|pair| (pair.key, value(pair.value))).collect()
}

fn value(value: Option<AnyValue>) -> Value {
    match value.and_then(|value| value.value) {
        Some(Kind::StringValue(text)) => json!(text),
        Some(Kind::IntValue(number)) => json!(number),
        Some(Kind::BoolValue(is)) => json!(is),
        other => panic!("no span of ours has {other:?}"),
    }
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::new();
    for byte in bytes {
        write!(text, "{byte:02x}").unwrap();
    }
    text
}

/// A port that speaks TLS for `collector` under the name `localhost`, and the certificate as PEM.
pub async fn behind_tls(collector: &Collector) -> (u16, String) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let key = PrivateKeyDer::from_pem_slice(made.signing_key.serialize_pem().as_bytes()).unwrap();
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (port, to) = (listener.local_addr().unwrap().port(), collector.0.address());
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let Ok(mut client) = acceptor.accept(socket).await else { continue };
            tokio::spawn(async move {
                let mut server = TcpStream::connect(to).await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
            });
        }
    });
    (port, made.cert.pem())
}
