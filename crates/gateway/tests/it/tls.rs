//! The gateway's own TLS. No database.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use gateway::config::{Config, TlsFiles};
use gateway::server::StartError;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use testkit::upstream::Upstream;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::harness::bare::{Answer, Bare, try_start};
use crate::harness::{eventually, logs};

/// A certificate in a folder of its own, which goes away with it.
struct Files {
    folder: PathBuf,
    root: CertificateDer<'static>,
}

impl Files {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("latchkey-tls-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let mut files = Self { folder, root: CertificateDer::from(Vec::new()) };
        files.renew();
        files
    }

    /// Writes a new certificate over the old one.
    fn renew(&mut self) {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        fs::write(self.folder.join("key.pem"), made.signing_key.serialize_pem()).unwrap();
        fs::write(self.folder.join("cert.pem"), made.cert.pem()).unwrap();
        self.root = made.cert.der().clone();
    }

    fn settings(&self) -> TlsFiles {
        TlsFiles { cert: self.folder.join("cert.pem"), key: self.folder.join("key.pem") }
    }

    fn apply(&self, config: &mut Config) {
        config.edge.tls = Some(self.settings());
        config.edge.requires_tls = true;
        config.limits.certificate_poll = Duration::from_millis(10);
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Shakes hands as a client that knows one certificate, with these versions.
async fn shake_hands(
    address: SocketAddr,
    root: &CertificateDer<'static>,
    versions: &[&'static SupportedProtocolVersion],
) -> io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(root.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_protocol_versions(versions).unwrap();
    let mut config = config.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let stream = TcpStream::connect(address).await?;
    let name = ServerName::try_from("localhost").unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, stream).await
}

async fn exchange(stream: &mut TlsStream<TcpStream>, request: &str) -> String {
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

const PROBE: &str = "GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
const BOTH: &[&SupportedProtocolVersion] = &[&rustls::version::TLS12, &rustls::version::TLS13];

#[tokio::test]
async fn both_present_versions_are_spoken() {
    let files = Files::new("versions");
    let bare = Bare::start(|config| files.apply(config)).await;
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let mut stream = shake_hands(bare.address(), &files.root, &[version]).await.unwrap();
        let (_, connection) = stream.get_ref();
        assert_eq!(connection.protocol_version(), Some(version.version));
        assert_eq!(connection.alpn_protocol(), Some(b"http/1.1".as_slice()));
        let answer = exchange(&mut stream, PROBE).await;
        assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("ok\n"), "{answer}");
    }
    // Encrypted requests get as far as their key, and bad ones their answer.
    let mut stream = shake_hands(bare.address(), &files.root, BOTH).await.unwrap();
    let answer =
        exchange(&mut stream, "GET /v1/models HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
    let mut stream = shake_hands(bare.address(), &files.root, BOTH).await.unwrap();
    let answer = exchange(&mut stream, "GET /v1/models HTTP/1.1\nhost: x\n\n").await;
    Answer::only(&answer).assert_last_refusal(400, "invalid_request");
}

#[tokio::test]
async fn plain_http_on_a_tls_port_is_told_so() {
    let files = Files::new("plain");
    let bare = Bare::start(|config| files.apply(config)).await;
    let answer = bare.exchange("GET /v1/models HTTP/1.1\r\nhost: x\r\n\r\n").await;
    Answer::only(&answer).assert_last_refusal(403, "https_required");
}

#[tokio::test]
async fn a_handshake_has_its_time() {
    let files = Files::new("slow");
    let bare = Bare::start(|config| {
        files.apply(config);
        config.limits.head = Duration::from_millis(100);
        config.limits.handshake = Duration::from_millis(100);
    })
    .await;
    for begun in ["", "\x16", "\x16\x03\x01"] {
        assert_eq!(bare.exchange(begun).await, "");
    }
    shake_hands(bare.address(), &files.root, BOTH).await.unwrap();
}

#[tokio::test]
async fn a_new_certificate_is_taken_up_and_a_broken_one_is_not() {
    let mut files = Files::new("renewed");
    let old = files.root.clone();
    let bare = Bare::start(|config| files.apply(config)).await;
    let mut running = shake_hands(bare.address(), &old, BOTH).await.unwrap();
    files.renew();
    eventually("the new certificate is in use", || async {
        shake_hands(bare.address(), &files.root, BOTH).await.ok().map(|_| ())
    })
    .await;
    assert!(shake_hands(bare.address(), &old, BOTH).await.is_err());
    // Connections that stand are left alone.
    assert!(exchange(&mut running, PROBE).await.ends_with("ok\n"));
    let key = files.settings().key;
    fs::write(&key, "not a key").unwrap();
    eventually("the broken key is complained about", || async {
        let lines = logs::so_far();
        let is_told =
            |line: &str| line.contains("the old one stays in use") && line.contains(key.to_str().unwrap());
        lines.lines().any(is_told).then_some(())
    })
    .await;
    shake_hands(bare.address(), &files.root, BOTH).await.unwrap();
    assert!(!logs::so_far().contains("BEGIN PRIVATE KEY"));
}

#[tokio::test]
async fn a_gateway_does_not_start_without_its_certificate() {
    let (files, other) = (Files::new("start"), Files::new("other"));
    let upstream = Upstream::start("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let mismatched = TlsFiles { cert: files.settings().cert, key: other.settings().key };
    let swapped = TlsFiles { cert: files.settings().key, key: files.settings().cert };
    let missing = TlsFiles { cert: files.folder.join("nothing.pem"), ..files.settings() };
    for (tls, word) in [(mismatched, "TLS_KEY"), (swapped, "TLS_CERT"), (missing, "nothing.pem")] {
        let failed = try_start(&upstream, |config| config.edge.tls = Some(tls)).await;
        let Err(error @ StartError::Certificate(_)) = failed else { panic!("{failed:?}") };
        assert!(error.to_string().contains(word), "{error}");
    }
}
