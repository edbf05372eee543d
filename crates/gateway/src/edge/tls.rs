//! The gateway's own TLS: one certificate, taken up again when its files change.

use std::io;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use rustls::crypto::ring;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio::task::spawn_blocking;
use tokio::time::sleep;
use tokio_rustls::TlsAcceptor;
use zeroize::Zeroizing;

use crate::config::TlsFiles;

/// Why a certificate cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// A file cannot be read.
    #[error("{variable}: {path} cannot be read: {error}")]
    File {
        /// Which one.
        variable: &'static str,
        /// Where.
        path: String,
        /// Why not.
        error: io::Error,
    },
    /// A file holds no PEM of the kind it should.
    #[error("{variable}: {path} is not PEM with {wanted}: {error}")]
    Pem {
        /// Which one.
        variable: &'static str,
        /// Where.
        path: String,
        /// What it should hold.
        wanted: &'static str,
        /// Why it does not.
        error: pem::Error,
    },
    /// The library refuses them, for example because they do not belong together.
    #[error("TLS_CERT and TLS_KEY cannot be used: {0}")]
    Unusable(#[from] rustls::Error),
}

/// The certificate in use and its files.
#[derive(Debug)]
pub struct Certificate {
    files: TlsFiles,
    /// What the files held when they were last looked at.
    read: RwLock<Files>,
    current: RwLock<Arc<CertifiedKey>>,
}

#[derive(Debug, PartialEq, Eq)]
struct Files {
    cert: Vec<u8>,
    key: Zeroizing<Vec<u8>>,
}

impl Certificate {
    /// Reads the certificate.
    pub fn load(files: TlsFiles) -> Result<Arc<Self>, CertificateError> {
        let read = Files::read(&files)?;
        let current = RwLock::new(Arc::new(read.certified(&files)?));
        Ok(Arc::new(Self { files, read: RwLock::new(read), current }))
    }

    /// What accepts TLS connections with it: versions 1.3 and 1.2, HTTP/1.1.
    pub fn acceptor(self: &Arc<Self>) -> Result<TlsAcceptor, CertificateError> {
        let mut config = rustls::ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
            .with_no_client_auth()
            .with_cert_resolver(self.clone());
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        // Tickets spare clients that come back most of a handshake.
        config.ticketer = ring::Ticketer::new()?;
        Ok(TlsAcceptor::from(Arc::new(config)))
    }

    /// Looks at the files again and again. What cannot be used is told once and changes nothing.
    pub async fn follow(self: Arc<Self>, interval: Duration) {
        let mut told = None;
        loop {
            sleep(interval).await;
            let this = self.clone();
            let Ok(looked) = spawn_blocking(move || this.look()).await else { continue };
            match looked.map_err(|error| error.to_string()) {
                Ok(false) => {}
                Ok(true) => {
                    told = None;
                    tracing::info!("a new TLS certificate is in use");
                }
                Err(error) if told.as_ref() == Some(&error) => {}
                Err(error) => {
                    tracing::error!(
                        error,
                        "the new TLS certificate cannot be used; the old one stays in use"
                    );
                    told = Some(error);
                }
            }
        }
    }

    /// Takes the files up if they hold something new; true if they did.
    fn look(&self) -> Result<bool, CertificateError> {
        // Their contents say more than their times, which a copy can keep and a coarse clock repeat.
        let files = Files::read(&self.files)?;
        if *self.read.read().unwrap_or_else(PoisonError::into_inner) == files {
            return Ok(false);
        }
        let certified = files.certified(&self.files);
        *self.read.write().unwrap_or_else(PoisonError::into_inner) = files;
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(certified?);
        Ok(true)
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _client: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current.read().unwrap_or_else(PoisonError::into_inner).clone())
    }
}

impl Files {
    fn read(files: &TlsFiles) -> Result<Self, CertificateError> {
        let key = Zeroizing::new(read("TLS_KEY", &files.key)?);
        Ok(Self { cert: read("TLS_CERT", &files.cert)?, key })
    }

    fn certified(&self, files: &TlsFiles) -> Result<CertifiedKey, CertificateError> {
        let bad = |variable, path: &Path, wanted| {
            let path = path.display().to_string();
            move |error| CertificateError::Pem { variable, path, wanted, error }
        };
        let chain = CertificateDer::pem_slice_iter(&self.cert).collect::<Result<Vec<_>, _>>();
        let chain =
            chain.and_then(|chain| if chain.is_empty() { Err(pem::Error::NoItemsFound) } else { Ok(chain) });
        let chain = chain.map_err(bad("TLS_CERT", &files.cert, "a certificate"))?;
        let key = PrivateKeyDer::from_pem_slice(&self.key);
        let key = key.map_err(bad("TLS_KEY", &files.key, "a private key"))?;
        Ok(CertifiedKey::from_der(chain, key, &ring::default_provider())?)
    }
}

fn read(variable: &'static str, path: &Path) -> Result<Vec<u8>, CertificateError> {
    std::fs::read(path).map_err(|error| CertificateError::File {
        variable,
        path: path.display().to_string(),
        error,
    })
}
