//! The certificate of the network port, read from files that `install` or others keep in a Secret, and read again when
//! they change: no restart is needed, and a half-written pair leaves the last good one in use.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use rustls::crypto::ring;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

mod expiry;

/// How often the files are looked at, at most; a kubelet takes about a minute to bring a changed Secret.
const LOOK: Duration = Duration::from_secs(5);

/// Where the certificate is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Files {
    /// The serving certificate and its chain (PEM).
    pub certificate: PathBuf,
    /// Its key (PEM).
    pub key: PathBuf,
    /// Authority whose client certificates are let in (PEM).
    pub client_ca: Option<PathBuf>,
}

/// Why there is no TLS.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum TlsError {
    /// A file is not there or cannot be read.
    #[error("{}: {cause}", file.display())]
    File {
        /// The file.
        file: PathBuf,
        /// What the system said.
        cause: String,
    },
    /// The files are there and make no sense.
    #[error("the certificate, its key or the clients' authority cannot be used: {0}")]
    Unusable(String),
}

/// The certificate now in use.
pub struct Certificates {
    files: Files,
    look: Duration,
    loaded: Mutex<Loaded>,
}

#[derive(Default)]
struct Loaded {
    looked: Option<Instant>,
    /// The bytes that `acceptor` was made from, to see a change.
    bytes: Option<Bytes>,
    acceptor: Option<TlsAcceptor>,
    ends: Option<Timestamp>,
    error: Option<TlsError>,
}

/// The files' contents.
#[derive(PartialEq, Eq)]
struct Bytes {
    certificate: Vec<u8>,
    key: Vec<u8>,
    client_ca: Option<Vec<u8>>,
}

impl Certificates {
    /// The certificate in `files`, which need not be there yet.
    pub fn new(files: Files) -> Self {
        Self { files, look: LOOK, loaded: Mutex::default() }
    }

    /// What accepts a connection with the newest certificate that can be used; `None` if there never was one.
    pub fn acceptor(&self) -> Option<TlsAcceptor> {
        self.newest(|loaded| loaded.acceptor.clone())
    }

    /// When that certificate ends.
    pub fn ends(&self) -> Option<Timestamp> {
        self.newest(|loaded| loaded.ends)
    }

    fn newest<T>(&self, of: impl FnOnce(&Loaded) -> T) -> T {
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        if loaded.looked.is_none_or(|at| at.elapsed() >= self.look) {
            loaded.looked = Some(Instant::now());
            self.look_again(&mut loaded);
        }
        of(&loaded)
    }

    fn look_again(&self, loaded: &mut Loaded) {
        let error = match self.read() {
            Ok(bytes) if loaded.bytes.as_ref() == Some(&bytes) => None,
            Ok(bytes) => match acceptor(&bytes) {
                Ok(acceptor) => {
                    tracing::info!(file = %self.files.certificate.display(), "serving with this certificate");
                    loaded.ends = expiry::earliest(&bytes.certificate);
                    (loaded.acceptor, loaded.bytes) = (Some(acceptor), Some(bytes));
                    None
                }
                Err(error) => Some(error),
            },
            Err(error) => Some(error),
        };
        if let Some(error) = error.as_ref().filter(|error| loaded.error.as_ref() != Some(*error)) {
            if loaded.acceptor.is_some() {
                tracing::warn!(%error, "going on with the certificate before");
            } else {
                tracing::warn!(
                    %error,
                    "no certificate: no metrics on the network port; `kubectl guard install`, with all flags of the first time, makes one"
                );
            }
        }
        loaded.error = error;
    }

    fn read(&self) -> Result<Bytes, TlsError> {
        let read = |file: &PathBuf| {
            std::fs::read(file).map_err(|error| TlsError::File { file: file.clone(), cause: error.to_string() })
        };
        Ok(Bytes {
            certificate: read(&self.files.certificate)?,
            key: read(&self.files.key)?,
            client_ca: self.files.client_ca.as_ref().map(read).transpose()?,
        })
    }
}

fn acceptor(bytes: &Bytes) -> Result<TlsAcceptor, TlsError> {
    let unusable = |error: &dyn std::fmt::Display| TlsError::Unusable(error.to_string());
    let provider = Arc::new(ring::default_provider());
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes.certificate).collect();
    let key = PrivateKeyDer::from_pem_slice(&bytes.key).map_err(|error| unusable(&error))?;
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| unusable(&error))?;
    let builder = match &bytes.client_ca {
        None => builder.with_no_client_auth(),
        Some(pem) => {
            let roots = Arc::new(roots(pem)?);
            // Without a certificate a client may still show a token, or ask for its health.
            let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider)
                .allow_unauthenticated()
                .build()
                .map_err(|error| unusable(&error))?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let mut config =
        builder.with_single_cert(chain.map_err(|error| unusable(&error))?, key).map_err(|error| unusable(&error))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

fn roots(pem: &[u8]) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|error| TlsError::Unusable(error.to_string()))?;
        roots.add(certificate).map_err(|error| TlsError::Unusable(error.to_string()))?;
    }
    Ok(roots)
}

#[cfg(test)]
pub(crate) mod tests;
