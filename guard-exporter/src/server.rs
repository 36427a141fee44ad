//! The exporter's two listeners as one small HTTP/1.1 server: GET only, bodies of known length, one request a
//! connection, bounded in time, size and number.
//!
//! What a path answers is the caller's business ([`Routes`]); nothing here knows about pods.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::future::BoxFuture;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode, Uri};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::tls::Certificates;

/// How long a client may take to send its request's head.
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a connection may live in all.
const CONNECTION_TIMEOUT: Duration = Duration::from_mins(1);
/// How many connections may be open on one listener.
const CONNECTIONS: usize = 40;
/// How many bytes a request's head may have.
const HEAD: usize = 16 * 1024;
/// The first byte of a TLS connection; no HTTP method begins with it.
const HANDSHAKE: u8 = 22;
/// How long Prometheus will wait for the answer, in seconds; it says so itself.
const SCRAPE_TIMEOUT: &str = "x-prometheus-scrape-timeout-seconds";
/// How long to wait after the system refused to hand out a connection (no file descriptor left).
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// What a client asks.
pub struct Asked {
    /// The path, without its query.
    pub path: String,
    /// The headers of the request.
    pub headers: HeaderMap,
    /// How it came.
    pub channel: Channel,
    /// The address that it came from.
    pub from: IpAddr,
}

/// How a request came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channel {
    /// In plain HTTP.
    Plain,
    /// Over TLS, from anybody.
    Tls,
    /// Over TLS, from somebody with a certificate of the authority that was named for clients.
    Certified,
}

/// What a path answers.
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The type of the body.
    pub content_type: &'static str,
    /// The body is packed.
    pub gzip: bool,
    /// The body, whole.
    pub body: Bytes,
    /// A place among the few that may be taken at once, given back when the connection ends.
    pub place: Option<OwnedSemaphorePermit>,
}

impl Answer {
    /// A plain body.
    pub fn new(status: StatusCode, content_type: &'static str, body: Bytes) -> Self {
        Self { status, content_type, gzip: false, body, place: None }
    }

    /// A bare line of text.
    pub fn text(status: StatusCode, line: &'static str) -> Self {
        Self::new(status, "text/plain; charset=utf-8", Bytes::from_static(line.as_bytes()))
    }

    /// What a path that does not exist answers.
    pub fn not_found() -> Self {
        Self::text(StatusCode::NOT_FOUND, "not found\n")
    }
}

/// What a listener serves, and to whom.
pub struct Routes {
    /// True if only requests addressed to this machine by its loopback name are answered: a web page that points a name
    /// of its own at 127.0.0.1 must not read scores through a person's open port-forward.
    pub loopback_only: bool,
    /// Makes the answer.
    pub answer: Box<dyn Fn(Asked) -> BoxFuture<'static, Answer> + Send + Sync>,
}

/// Serves `routes` on `listener`, with `certificates` over TLS as well as in plain HTTP, until the task is dropped.
///
/// A connection over the limit takes the place of the oldest one: somebody who opens forty and says nothing cannot keep
/// a probe out.
pub async fn serve(listener: TcpListener, routes: Routes, certificates: Option<Arc<Certificates>>) {
    let routes = Arc::new(routes);
    let mut open = Connections::default();
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                let certificates = certificates.clone();
                open.add(tokio::spawn(open_connection(stream, peer.ip(), Arc::clone(&routes), certificates)));
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// The connections that are open, the oldest first; dropped, they are closed.
#[derive(Default)]
struct Connections(VecDeque<JoinHandle<()>>);

impl Connections {
    fn add(&mut self, connection: JoinHandle<()>) {
        self.0.retain(|other| !other.is_finished());
        while self.0.len() >= CONNECTIONS {
            if let Some(oldest) = self.0.pop_front() {
                oldest.abort();
            }
        }
        self.0.push_back(connection);
    }
}

impl Drop for Connections {
    fn drop(&mut self) {
        for connection in &self.0 {
            connection.abort();
        }
    }
}

/// What a request leaves with its connection: how long that may go on, and what its answer holds until then.
struct Lease {
    limit: watch::Sender<Duration>,
    place: Mutex<Option<OwnedSemaphorePermit>>,
}

impl Lease {
    fn new() -> Self {
        Self { limit: watch::Sender::new(CONNECTION_TIMEOUT), place: Mutex::default() }
    }

    /// Ends when the connection has been open for as long as it may.
    async fn run_out(&self) {
        let began = Instant::now();
        let mut limit = self.limit.subscribe();
        loop {
            let end = began + *limit.borrow_and_update();
            tokio::select! {
                () = tokio::time::sleep_until(end) => return,
                // The sender lives as long as this.
                _ = limit.changed() => {}
            }
        }
    }
}

/// Serves a connection in the protocol that the client begins with: a kubelet's probe needs no certificate to be
/// answered, a scraper does.
async fn open_connection(
    stream: TcpStream,
    from: IpAddr,
    routes: Arc<Routes>,
    certificates: Option<Arc<Certificates>>,
) {
    let Some(certificates) = certificates else { return connection(stream, routes, (Channel::Plain, from)).await };
    match tokio::time::timeout(HEADER_TIMEOUT, begins_tls(&stream)).await {
        Ok(Ok(false)) => connection(stream, routes, (Channel::Plain, from)).await,
        Ok(Ok(true)) => {
            let Some(acceptor) = certificates.acceptor() else { return };
            match tokio::time::timeout(HEADER_TIMEOUT, acceptor.accept(stream)).await {
                Ok(Ok(stream)) => {
                    // Rustls has verified what a client shows, or has broken off.
                    let certified = stream.get_ref().1.peer_certificates().is_some();
                    let channel = if certified { Channel::Certified } else { Channel::Tls };
                    connection(stream, routes, (channel, from)).await;
                }
                Ok(Err(error)) => tracing::debug!(%error, "a TLS handshake failed"),
                Err(_) => tracing::debug!("a TLS handshake took too long"),
            }
        }
        Ok(Err(error)) => tracing::debug!(%error, "a connection ended before it began"),
        Err(_) => tracing::debug!("a connection stayed silent"),
    }
}

async fn begins_tls(stream: &TcpStream) -> std::io::Result<bool> {
    let mut first = [0];
    Ok(stream.peek(&mut first).await? == 1 && first[0] == HANDSHAKE)
}

async fn connection<S>(stream: S, routes: Arc<Routes>, way: (Channel, IpAddr))
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let lease = Arc::new(Lease::new());
    let leased = Arc::clone(&lease);
    let service = service_fn(move |request| {
        let (routes, lease) = (Arc::clone(&routes), Arc::clone(&leased));
        async move { Ok::<_, Infallible>(respond(&routes, &lease, way, request).await) }
    });
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(HEAD)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    tokio::select! {
        ended = serving => if let Err(error) = ended {
            tracing::debug!(%error, "a connection ended badly");
        },
        () = lease.run_out() => tracing::debug!("a connection took too long"),
    }
}

async fn respond(
    routes: &Routes,
    lease: &Lease,
    (channel, from): (Channel, IpAddr),
    request: Request<Incoming>,
) -> Response<Full<Bytes>> {
    let (head, _) = request.into_parts();
    if let Some(limit) = scrape_timeout(&head.headers) {
        lease.limit.send_replace(limit);
    }
    let mut answer = if head.method != Method::GET {
        Answer::text(StatusCode::METHOD_NOT_ALLOWED, "only GET is served\n")
    } else if routes.loopback_only && !addressed_to_loopback(&head.uri, &head.headers) {
        Answer::text(StatusCode::FORBIDDEN, "this host name is not served here\n")
    } else {
        (routes.answer)(Asked { path: head.uri.path().to_owned(), headers: head.headers, channel, from }).await
    };
    *lease.place.lock().unwrap_or_else(PoisonError::into_inner) = answer.place.take();
    response(answer)
}

fn response(answer: Answer) -> Response<Full<Bytes>> {
    // Full knows its length, so hyper sends Content-Length and never chunks: readers behind a port-forward rely on it.
    let mut response = Response::new(Full::new(answer.body));
    *response.status_mut() = answer.status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(answer.content_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if answer.gzip {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    if answer.status == StatusCode::UNAUTHORIZED {
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    if answer.status == StatusCode::METHOD_NOT_ALLOWED {
        headers.insert(header::ALLOW, HeaderValue::from_static("GET"));
    }
    response
}

/// How long the scraper says that it will wait, if that is less than anybody may.
fn scrape_timeout(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(SCRAPE_TIMEOUT)?.to_str().ok()?.parse().ok()?;
    Duration::try_from_secs_f64(seconds).ok().filter(|limit| *limit < CONNECTION_TIMEOUT)
}

/// True if every name by which the request addresses its server is this machine's loopback.
fn addressed_to_loopback(uri: &Uri, headers: &HeaderMap) -> bool {
    let mut hosts = headers.get_all(header::HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else { return false };
    host.to_str().is_ok_and(is_loopback) && uri.authority().is_none_or(|authority| is_loopback(authority.as_str()))
}

/// True for `localhost`, `127.0.0.1` and `[::1]`, each with or without a port: the local end of a port-forward may have any.
fn is_loopback(authority: &str) -> bool {
    ["localhost", "127.0.0.1", "[::1]"].iter().any(|name| {
        let Some((host, rest)) = authority.split_at_checked(name.len()) else { return false };
        let port = rest.strip_prefix(':');
        host.eq_ignore_ascii_case(name) && (rest.is_empty() || port.is_some_and(|port| port.parse::<u16>().is_ok()))
    })
}

#[cfg(test)]
mod tests;
