//! The server: connections on loopback in, what the [`Gate`] lets pass out. Bounded in number, size and time.

use std::convert::Infallible;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use http::header::{self, HeaderValue};
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use crate::ui::gate::{Gate, Verdict};
use crate::ui::look::{Json, Look};

const CONNECTIONS: usize = 32;
const HEAD: usize = 16 * 1024;
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(30);
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

/// The page, as it is: a few modules that a browser reads without a build.
const FILES: [(&str, &str, &[u8]); 7] = [
    ("/", HTML, include_bytes!("../../ui/index.html")),
    ("/app.css", STYLE, include_bytes!("../../ui/app.css")),
    ("/app.js", SCRIPT, include_bytes!("../../ui/app.js")),
    ("/chart.js", SCRIPT, include_bytes!("../../ui/chart.js")),
    ("/dom.js", SCRIPT, include_bytes!("../../ui/dom.js")),
    ("/views.js", SCRIPT, include_bytes!("../../ui/views.js")),
    ("/words.js", SCRIPT, include_bytes!("../../ui/words.js")),
];

/// What is shown now; whoever refreshes it replaces it as a whole.
pub type Shown = Arc<RwLock<Arc<Look>>>;

/// Serves until it is dropped.
pub async fn serve(listener: TcpListener, gate: Gate, shown: Shown) {
    let (gate, places) = (Arc::new(gate), Arc::new(Semaphore::new(CONNECTIONS)));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(PAUSE).await;
            continue;
        };
        let (gate, shown) = (Arc::clone(&gate), Arc::clone(&shown));
        tokio::spawn(async move {
            connection(stream, gate, shown).await;
            drop(place);
        });
    }
}

/// A connection that fails or takes too long is the client's trouble, and nobody is told.
async fn connection(stream: TcpStream, gate: Arc<Gate>, shown: Shown) {
    let service = service_fn(move |request: Request<Incoming>| {
        let look = Arc::clone(&shown.read().unwrap_or_else(PoisonError::into_inner));
        let (head, _) = request.into_parts();
        let answer = match gate.judge(&head.method, &head.uri, &head.headers) {
            Verdict::Pass => route(head.uri.path(), &head.headers, &look),
            Verdict::Enter { cookie } => entered(&cookie),
            Verdict::Refuse(code, words) => plain(code, words),
        };
        std::future::ready(Ok::<_, Infallible>(hardened(answer)))
    });
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(HEAD)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    drop(tokio::time::timeout(CONNECTION_TIMEOUT, serving).await);
}

fn route(path: &str, headers: &HeaderMap, look: &Look) -> Response<Full<Bytes>> {
    if let Some((_, kind, bytes)) = FILES.iter().find(|(at, ..)| *at == path) {
        return typed(StatusCode::OK, kind, Bytes::from_static(bytes));
    }
    let made = match path.strip_prefix("/api/").map(|rest| rest.split('/').collect::<Vec<_>>()).as_deref() {
        Some(["fleet"]) => look.fleet(),
        // Names of Kubernetes hold nothing that a URL would escape.
        Some(["pod", namespace, name]) => look.pod(namespace, name),
        _ => Err(StatusCode::NOT_FOUND),
    };
    match made {
        Ok(json) => unless_known(json, headers),
        Err(code) => plain(code, code.canonical_reason().unwrap_or_default()),
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

fn entered(cookie: &str) -> Response<Full<Bytes>> {
    let mut answer = plain(StatusCode::SEE_OTHER, "");
    set(&mut answer, header::SET_COOKIE, cookie);
    set(&mut answer, header::LOCATION, "/");
    answer
}

fn plain(code: StatusCode, words: &'static str) -> Response<Full<Bytes>> {
    typed(code, "text/plain; charset=utf-8", Bytes::from_static(words.as_bytes()))
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
mod tests {
    use std::net::SocketAddr;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    async fn served() -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let gate = Gate::new(address.port(), "token".into(), "session".into());
        tokio::spawn(serve(listener, gate, Shown::default()));
        address
    }

    /// What comes back for these bytes, to the end.
    async fn answer(address: SocketAddr, request: &str) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        // A server that refuses may close before it has read everything.
        let _sent = stream.write_all(request.as_bytes()).await;
        let mut answer = Vec::new();
        let _ended = stream.read_to_end(&mut answer).await;
        String::from_utf8(answer).unwrap()
    }

    async fn get(address: SocketAddr, path: &str, headers: &str) -> String {
        let cookie = format!("Cookie: guard-session-{}=session", address.port());
        let headers = headers.replace("COOKIE", &cookie).replace("HOST", &format!("Host: {address}"));
        answer(address, &format!("GET {path} HTTP/1.1\r\n{headers}\r\n\r\n")).await
    }

    fn status(answer: &str) -> &str {
        answer.split(' ').nth(1).unwrap_or("nothing")
    }

    #[tokio::test]
    async fn the_printed_url_opens_once_and_leaves_no_token_behind() {
        let address = served().await;
        let entered = get(address, "/?token=token", "HOST").await;
        assert_eq!(status(&entered), "303", "{entered}");
        assert!(entered.contains("location: /\r\n"), "{entered}");
        assert!(entered.contains("=session; Path=/; HttpOnly; SameSite=Strict\r\n"), "{entered}");
        assert_eq!(status(&get(address, "/?token=token", "HOST").await), "401");
        assert_eq!(status(&get(address, "/", "HOST\r\nCOOKIE").await), "200");
    }

    #[tokio::test]
    async fn another_site_another_name_and_nobody_get_nothing() {
        let address = served().await;
        for (headers, wanted) in [
            ("HOST", "401"),
            ("Host: evil.example:5000\r\nCOOKIE", "421"),
            ("HOST\r\nCOOKIE\r\nOrigin: http://evil.example", "403"),
            ("HOST\r\nCOOKIE\r\nSec-Fetch-Site: cross-site", "403"),
            ("COOKIE", "421"),
            ("HOST\r\nCOOKIE", "200"),
        ] {
            let answer = get(address, "/api/fleet", headers).await;
            assert_eq!(status(&answer), wanted, "{headers}: {answer}");
            assert_eq!(answer.contains("counts"), wanted == "200", "{headers}: {answer}");
        }
        let posted = answer(address, &format!("POST /api/fleet HTTP/1.1\r\nHost: {address}\r\n\r\n")).await;
        assert_eq!(status(&posted), "405", "{posted}");
    }

    #[tokio::test]
    async fn every_answer_is_hardened_and_every_file_of_the_page_is_there() {
        let address = served().await;
        for (path, kind, _) in FILES {
            let file = get(address, path, "HOST\r\nCOOKIE").await;
            assert_eq!(status(&file), "200", "{path}");
            assert!(file.contains(&format!("content-type: {kind}\r\n")), "{path}");
            assert!(file.contains("content-security-policy: default-src 'none'; script-src 'self'"), "{path}");
            assert!(file.contains("referrer-policy: no-referrer\r\n"), "{path}");
            assert!(!file.contains("https://"), "{path} names another server");
        }
        let missing = get(address, "/../Cargo.toml", "HOST\r\nCOOKIE").await;
        assert_eq!(status(&missing), "404");
        assert!(missing.contains("x-frame-options: DENY"), "{missing}");
    }

    #[tokio::test]
    async fn what_is_known_is_not_sent_again() {
        let address = served().await;
        let first = get(address, "/api/fleet", "HOST\r\nCOOKIE").await;
        let tag = first.lines().find_map(|line| line.strip_prefix("etag: ")).unwrap();
        let again = get(address, "/api/fleet", &format!("HOST\r\nCOOKIE\r\nIf-None-Match: {tag}")).await;
        assert_eq!(status(&again), "304", "{again}");
    }

    #[tokio::test]
    async fn a_head_that_never_ends_is_cut_off() {
        let address = served().await;
        let large = format!("GET / HTTP/1.1\r\nHost: {address}\r\nX: {}\r\n\r\n", "x".repeat(100_000));
        let refused = answer(address, &large).await;
        assert!(refused.is_empty() || matches!(status(&refused), "431" | "400"), "{refused}");
        let nonsense = answer(address, "\u{16}\u{3}\u{1}\u{2}\r\n\r\n").await;
        assert!(nonsense.is_empty() || status(&nonsense) == "400", "{nonsense}");
    }
}
