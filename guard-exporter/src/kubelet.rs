//! Reads this node's own kubelet: one authenticated GET over TLS, streamed to its caller, bounded in time and size.
//!
//! The connection goes to the node's address while the certificate must name the node, because a kubelet's certificate
//! by default holds its host name and no address. Nothing is parsed here.

use std::error::Error;
use std::path::PathBuf;
use std::time::Duration;

use guard_model::{cadvisor, summary};
use http_body_util::{BodyExt, Empty};
use hyper::body::Bytes;
use hyper::header::{ACCEPT, AUTHORIZATION, HeaderValue, USER_AGENT};
use hyper::{Request, Response, StatusCode};
use hyper_rustls::{FixedServerNameResolver, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tower::ServiceExt;
use tower::util::MapResponse;

use crate::config::{Config, Trust};

mod batches;
mod error;
mod tls;

use batches::Batches;
pub use error::KubeletError;

/// Path of the figures of every pod, as JSON; needs `get` on `nodes/stats`.
pub const SUMMARY: &str = "/stats/summary";
/// Path of the container runtime's own series, as Prometheus text; needs `get` on `nodes/metrics`.
pub const CADVISOR: &str = "/metrics/cadvisor";
/// The longest time that one answer may take, whatever the interval.
const LONGEST: Duration = Duration::from_secs(10);
/// Share of the interval that one answer may take: two of them still end within it.
const SHARE: f64 = 0.4;
/// How long an idle connection is kept; longer than an interval, so that TLS is negotiated once.
const IDLE: Duration = Duration::from_secs(90);
/// How many bytes a token file may have.
const LARGEST_TOKEN: usize = 64 * 1024;

/// How many bytes the answer to `path` may have.
fn largest(path: &str) -> usize {
    if path == SUMMARY { summary::MAX_BYTES } else { cadvisor::MAX_BYTES }
}

type Tcp = MapResponse<HttpConnector, fn(TokioIo<TcpStream>) -> TokioIo<Batches>>;
type Https = Client<HttpsConnector<Tcp>, Empty<Bytes>>;

/// A client of one kubelet.
pub struct Kubelet {
    base: String,
    host: String,
    node: String,
    trust: Trust,
    token_file: PathBuf,
    timeout: Duration,
    largest: usize,
    client: Option<Https>,
}

impl Kubelet {
    /// A client of the kubelet that `config` names; nothing is opened yet.
    pub fn new(config: &Config) -> Self {
        let address = match config.kubelet_host.parse() {
            Ok(std::net::IpAddr::V6(ip)) => format!("[{ip}]"),
            _ => config.kubelet_host.clone(),
        };
        let host = format!("{address}:{}", config.kubelet_port);
        Self {
            base: format!("https://{host}"),
            host,
            node: config.node.clone(),
            trust: config.trust.clone(),
            token_file: config.token_file.clone(),
            timeout: config.interval.mul_f64(SHARE).min(LONGEST),
            largest: cadvisor::MAX_BYTES,
            client: None,
        }
    }

    /// True if the kubelet's certificate is verified.
    pub fn verifies(&self) -> bool {
        self.trust != Trust::Insecure
    }

    /// Gets `path`, handing each piece of the body to `piece` as it comes.
    ///
    /// # Errors
    /// If the token or the authority cannot be read, the kubelet cannot be reached, does not prove to be this node's,
    /// refuses, or does not answer whole within the time and [`cadvisor::MAX_BYTES`], or [`summary::MAX_BYTES`].
    pub async fn get(&mut self, path: &'static str, piece: impl FnMut(&[u8])) -> Result<(), KubeletError> {
        let result = match tokio::time::timeout(self.timeout, self.exchange(path, piece)).await {
            Ok(result) => result,
            Err(_) => Err(KubeletError::Slow { path, host: self.host.clone(), seconds: self.timeout.as_secs_f64() }),
        };
        // The authority's file may have been replaced since it was read, as it is when a cluster rotates it.
        if matches!(result, Err(KubeletError::Certificate { .. })) {
            self.client = None;
        }
        result
    }

    async fn exchange(&mut self, path: &'static str, mut piece: impl FnMut(&[u8])) -> Result<(), KubeletError> {
        let bearer = self.bearer().await?;
        let client = self.client().await?.clone();
        let request = Request::get(format!("{}{path}", self.base))
            .header(AUTHORIZATION, bearer)
            .header(ACCEPT, "*/*")
            .header(USER_AGENT, concat!("guard-exporter/", env!("CARGO_PKG_VERSION")))
            .body(Empty::new())
            .map_err(|error| KubeletError::Address { host: self.host.clone(), cause: error.to_string() })?;
        let response = client.request(request).await.map_err(|error| self.failure(path, &error))?;
        self.accept(path, &response)?;
        let mut body = response.into_body();
        let mut length = 0_usize;
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| KubeletError::Truncated { path, cause: innermost(&error) })?;
            if let Some(data) = frame.data_ref() {
                length = length.saturating_add(data.len());
                if length > self.largest.min(largest(path)) {
                    return Err(KubeletError::TooLarge { path });
                }
                piece(data);
            }
        }
        Ok(())
    }

    fn accept<B: hyper::body::Body>(&self, path: &'static str, response: &Response<B>) -> Result<(), KubeletError> {
        match response.status() {
            StatusCode::OK if response.body().size_hint().lower() > self.largest.min(largest(path)) as u64 => {
                Err(KubeletError::TooLarge { path })
            }
            StatusCode::OK => Ok(()),
            StatusCode::UNAUTHORIZED => Err(KubeletError::Unauthorised { token_file: self.token_file.clone() }),
            StatusCode::FORBIDDEN => Err(KubeletError::Forbidden { path }),
            status => Err(KubeletError::Status { path, status }),
        }
    }

    /// The value of the `Authorization` header. Kubernetes replaces the token about once an hour; a read of a small
    /// file in memory each tick is cheaper than being wrong about when.
    async fn bearer(&self) -> Result<HeaderValue, KubeletError> {
        let failed = |cause: String| KubeletError::Token { file: self.token_file.clone(), cause };
        let token = tokio::fs::read(&self.token_file).await.map_err(|error| failed(error.to_string()))?;
        let token = token.trim_ascii();
        if token.is_empty() || token.len() > LARGEST_TOKEN {
            return Err(failed("it holds no token".to_owned()));
        }
        let mut value = HeaderValue::from_bytes(&[b"Bearer ", token].concat())
            .map_err(|_| failed("it holds characters that no token has".to_owned()))?;
        value.set_sensitive(true);
        Ok(value)
    }

    async fn client(&mut self) -> Result<&Https, KubeletError> {
        let client = match self.client.take() {
            Some(client) => client,
            None => self.build().await?,
        };
        Ok(self.client.insert(client))
    }

    async fn build(&self) -> Result<Https, KubeletError> {
        let name = ServerName::try_from(self.node.clone())
            .map_err(|error| KubeletError::Address { host: self.node.clone(), cause: error.to_string() })?;
        let settings = match &self.trust {
            Trust::Insecure => tls::insecure(),
            Trust::Authority(file) => {
                let failed = |cause| KubeletError::Authority { file: file.clone(), cause };
                let pem = tokio::fs::read(file).await.map_err(|error| failed(error.to_string()))?;
                tls::verifying(&pem).map_err(failed)?
            }
        };
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_connect_timeout(Some(self.timeout));
        let batches: fn(TokioIo<TcpStream>) -> TokioIo<Batches> = |tcp| TokioIo::new(Batches::new(tcp.into_inner()));
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(settings)
            .https_only()
            .with_server_name_resolver(FixedServerNameResolver::new(name))
            .enable_http1()
            .wrap_connector(tcp.map_response(batches));
        Ok(Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(1)
            .build(connector))
    }

    fn failure(&self, path: &'static str, error: &hyper_util::client::legacy::Error) -> KubeletError {
        match tls::rejection(error) {
            Some(cause) => KubeletError::Certificate { node: self.node.clone(), cause },
            None if error.is_connect() => {
                KubeletError::Unreachable { host: self.host.clone(), cause: innermost(error) }
            }
            None => KubeletError::Truncated { path, cause: innermost(error) },
        }
    }
}

/// What lies at the bottom of an error: the layers above only say that something below failed.
fn innermost(error: &(dyn Error + 'static)) -> String {
    let mut inner = error;
    while let Some(source) = inner.source() {
        inner = source;
    }
    inner.to_string()
}

#[cfg(test)]
pub(crate) mod tests;
