//! The exporter's two listeners as one small HTTP/1.1 server: GET only, bodies of known length, one request a
//! connection, bounded in time, size and number.
//!
//! What a path answers is the caller's business ([`Routes`]); nothing here knows about pods.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode, Uri};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// How long a client may take to send its request's head.
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a connection may live in all.
const CONNECTION_TIMEOUT: Duration = Duration::from_mins(1);
/// How many connections may be open on one listener.
const CONNECTIONS: usize = 40;
/// How many bytes a request's head may have.
const HEAD: usize = 16 * 1024;
/// How long to wait after the system refused to hand out a connection (no file descriptor left).
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// What a path answers.
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The type of the body.
    pub content_type: &'static str,
    /// The body, whole.
    pub body: Bytes,
}

impl Answer {
    /// A bare line of text.
    pub fn text(status: StatusCode, line: &'static str) -> Self {
        Self { status, content_type: "text/plain; charset=utf-8", body: Bytes::from_static(line.as_bytes()) }
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
    /// Makes the answer to a path.
    pub answer: Box<dyn Fn(&str) -> Answer + Send + Sync>,
}

/// Serves `routes` on `listener` until the task is dropped.
///
/// A connection over the limit takes the place of the oldest one: somebody who opens forty and says nothing cannot keep
/// a probe out.
pub async fn serve(listener: TcpListener, routes: Routes) {
    let routes = Arc::new(routes);
    let mut open = Connections::default();
    loop {
        match listener.accept().await {
            Ok((stream, _)) => open.add(tokio::spawn(connection(stream, Arc::clone(&routes)))),
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

async fn connection(stream: TcpStream, routes: Arc<Routes>) {
    let service = service_fn(move |request| {
        let routes = Arc::clone(&routes);
        async move { Ok::<_, Infallible>(respond(&routes, &request)) }
    });
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(HEAD)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    match tokio::time::timeout(CONNECTION_TIMEOUT, serving).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "a connection ended badly"),
        Err(_) => tracing::debug!("a connection took too long"),
    }
}

fn respond(routes: &Routes, request: &Request<Incoming>) -> Response<Full<Bytes>> {
    let answer = if request.method() != Method::GET {
        Answer::text(StatusCode::METHOD_NOT_ALLOWED, "only GET is served\n")
    } else if routes.loopback_only && !addressed_to_loopback(request.uri(), request.headers()) {
        Answer::text(StatusCode::FORBIDDEN, "this host name is not served here\n")
    } else {
        (routes.answer)(request.uri().path())
    };
    // Full knows its length, so hyper sends Content-Length and never chunks: readers behind a port-forward rely on it.
    let mut response = Response::new(Full::new(answer.body));
    *response.status_mut() = answer.status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(answer.content_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if answer.status == StatusCode::METHOD_NOT_ALLOWED {
        headers.insert(header::ALLOW, HeaderValue::from_static("GET"));
    }
    response
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
