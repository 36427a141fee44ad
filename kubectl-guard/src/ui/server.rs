//! The server: connections on loopback in, what the [`Gate`] lets pass out. Bounded in number, size and time.

use std::convert::Infallible;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use http::header::{self, HeaderValue};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use crate::desk::Desk;
use crate::ui::approvals::{Approvals, Word, bare};
use crate::ui::gate::{Gate, Verdict};
use crate::ui::look::{Json, Look};

const CONNECTIONS: usize = 32;
const HEAD: usize = 16 * 1024;
/// A digest and a name are a few hundred bytes.
const BODY: usize = 4 * 1024;
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);
const BODY_TIMEOUT: Duration = Duration::from_secs(5);
/// A plan asks the cluster and its exporters, some more than once.
const CONNECTION_TIMEOUT: Duration = Duration::from_mins(1);
/// What a failed accept, such as too many open files, waits for.
const PAUSE: Duration = Duration::from_millis(100);

const HARDENING: [(&str, &str); 7] = [
    (
        "content-security-policy",
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    ("referrer-policy", "no-referrer"),
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
    ("cache-control", "no-store"),
];

const HTML: &str = "text/html; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";

const INDEX: &str = include_str!("../../ui/index.html");

/// The page, as it is: a few modules that a browser reads without a build.
const FILES: [(&str, &str, &[u8]); 10] = [
    ("/", HTML, INDEX.as_bytes()),
    ("/app.css", STYLE, include_bytes!("../../ui/app.css")),
    ("/app.js", SCRIPT, include_bytes!("../../ui/app.js")),
    ("/chart.js", SCRIPT, include_bytes!("../../ui/chart.js")),
    ("/desk.js", SCRIPT, include_bytes!("../../ui/desk.js")),
    ("/dom.js", SCRIPT, include_bytes!("../../ui/dom.js")),
    ("/header.js", SCRIPT, include_bytes!("../../ui/header.js")),
    ("/net.js", SCRIPT, include_bytes!("../../ui/net.js")),
    ("/views.js", SCRIPT, include_bytes!("../../ui/views.js")),
    ("/words.js", SCRIPT, include_bytes!("../../ui/words.js")),
];

/// What is shown now; whoever refreshes it replaces it as a whole.
pub type Shown = Arc<RwLock<Arc<Look>>>;

/// What stands behind the gate.
pub struct Pages<D> {
    /// What is shown of the cluster.
    pub shown: Shown,
    /// What may be approved in it.
    pub approvals: Arc<Approvals<D>>,
}

impl<D> Clone for Pages<D> {
    fn clone(&self) -> Self {
        Self { shown: Arc::clone(&self.shown), approvals: Arc::clone(&self.approvals) }
    }
}

/// Serves until it is dropped.
pub async fn serve<D: Desk + 'static>(listener: &TcpListener, gate: Gate, pages: Pages<D>) {
    let gate = if pages.approvals.read_only().is_some() { gate } else { gate.taking_posts() };
    let (gate, places) = (Arc::new(gate), Arc::new(Semaphore::new(CONNECTIONS)));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(PAUSE).await;
            continue;
        };
        let (gate, pages) = (Arc::clone(&gate), pages.clone());
        tokio::spawn(async move {
            connection(stream, gate, pages).await;
            drop(place);
        });
    }
}

/// A connection that fails or takes too long is the client's trouble, and nobody is told.
async fn connection<D: Desk + 'static>(stream: TcpStream, gate: Arc<Gate>, pages: Pages<D>) {
    let service = service_fn(move |request: Request<Incoming>| {
        let (gate, pages) = (Arc::clone(&gate), pages.clone());
        async move {
            let (head, body) = request.into_parts();
            let answer = match gate.judge(&head.method, &head.uri, &head.headers) {
                Verdict::Pass if head.method == Method::POST => posted(head.uri.path(), body, &pages).await,
                Verdict::Pass => route(head.uri.path(), &head.headers, &pages).await,
                Verdict::Enter { cookie, key } => entered(&cookie, &key),
                Verdict::Refuse(code, words) => plain(code, words),
            };
            Ok::<_, Infallible>(hardened(answer))
        }
    });
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(HEAD)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    drop(tokio::time::timeout(CONNECTION_TIMEOUT, serving).await);
}

async fn route<D: Desk + 'static>(path: &str, headers: &HeaderMap, pages: &Pages<D>) -> Response<Full<Bytes>> {
    if let Some((_, kind, bytes)) = FILES.iter().find(|(at, ..)| *at == path) {
        return typed(StatusCode::OK, kind, Bytes::from_static(bytes));
    }
    let look = || Arc::clone(&pages.shown.read().unwrap_or_else(PoisonError::into_inner));
    let made = match path.strip_prefix("/api/").map(|rest| rest.split('/').collect::<Vec<_>>()).as_deref() {
        Some(["fleet"]) => look().fleet().map_err(bare),
        // Names of Kubernetes and of agents hold nothing that a URL would escape.
        Some(["pod", namespace, name]) => look().pod(namespace, name).map_err(bare),
        Some(["proposals"]) => pages.approvals.proposals().map_err(bare),
        Some(["history"]) => pages.approvals.history(),
        Some(["plan", namespace, kind, name]) => pages.approvals.plan(namespace, kind, name, None).await,
        Some(["plan", namespace, kind, name, "by", agent]) => {
            pages.approvals.plan(namespace, kind, name, Some(agent)).await
        }
        _ => Err(bare(StatusCode::NOT_FOUND)),
    };
    match made {
        Ok(json) => unless_known(json, headers),
        Err((code, words)) => plain(code, words),
    }
}

/// What somebody decided. The gate has let it pass; its body is still anybody's.
async fn posted<D: Desk + 'static>(path: &str, body: Incoming, pages: &Pages<D>) -> Response<Full<Bytes>> {
    let word = match tokio::time::timeout(BODY_TIMEOUT, Limited::new(body, BODY).collect()).await {
        Ok(Ok(body)) => serde_json::from_slice::<Word>(&body.to_bytes()),
        Ok(Err(_)) => return plain(StatusCode::PAYLOAD_TOO_LARGE, "a digest and a name are shorter than that"),
        Err(_) => return plain(StatusCode::REQUEST_TIMEOUT, "the body did not come"),
    };
    let Ok(word) = word else {
        return plain(StatusCode::BAD_REQUEST, "a digest and a name are read, and nothing else");
    };
    let heeded = match path {
        "/api/approve" => pages.approvals.approve(word).map(|job| (StatusCode::ACCEPTED, job.body)),
        _ => pages.approvals.decline(&word).map(|()| (StatusCode::OK, Bytes::from_static(b"{}"))),
    };
    match heeded {
        Ok((code, body)) => typed(code, "application/json", body),
        Err((code, words)) => plain(code, words),
    }
}

/// 304 for a page that has this already.
fn unless_known(json: Json, headers: &HeaderMap) -> Response<Full<Bytes>> {
    let known = headers.get(header::IF_NONE_MATCH).is_some_and(|tag| tag.as_bytes() == json.etag.as_bytes());
    let mut answer = if known {
        typed(StatusCode::NOT_MODIFIED, "application/json", Bytes::new())
    } else {
        typed(StatusCode::OK, "application/json", json.body)
    };
    set(&mut answer, header::ETAG, &json.etag);
    answer
}

/// The page that keeps the key for its tab. It is given only here, for the token: whoever has but the cookie learns no key.
fn entered(cookie: &str, key: &str) -> Response<Full<Bytes>> {
    let page = INDEX.replacen("<head>", &format!("<head>\n<meta name=\"guard-key\" content=\"{key}\">"), 1);
    let mut answer = typed(StatusCode::OK, HTML, page.into());
    set(&mut answer, header::SET_COOKIE, cookie);
    answer
}

fn plain(code: StatusCode, words: impl Into<String>) -> Response<Full<Bytes>> {
    typed(code, "text/plain; charset=utf-8", Bytes::from(words.into()))
}

fn typed(code: StatusCode, kind: &'static str, body: Bytes) -> Response<Full<Bytes>> {
    let mut answer = Response::new(Full::new(body));
    *answer.status_mut() = code;
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    answer
}

fn set(answer: &mut Response<Full<Bytes>>, name: header::HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        answer.headers_mut().insert(name, value);
    }
}

fn hardened(mut answer: Response<Full<Bytes>>) -> Response<Full<Bytes>> {
    for (name, value) in HARDENING {
        answer.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    answer
}

#[cfg(test)]
mod tests;
