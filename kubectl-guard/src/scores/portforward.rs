//! Scores from the exporters: a port-forward to each of them, all at once, and `GET /v1/report` on its loopback.
//!
//! Who may do this is Kubernetes' own RBAC in the exporters' namespace. One slow or dead node costs a warning, never
//! the answer.

use std::time::Duration;

use futures::StreamExt as _;
use guard_model::report::{NodeReport, VERSION};
use http::{Method, header};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::ListParams;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::connect::Connection;
use crate::console::Console;
use crate::error::Error;
use crate::request::{Request, innermost};
use crate::sanitise;
use crate::scores::{Scores, Silent, sanitised};
use crate::version::INSTALL_AGAIN;

/// Where an exporter tells its scores: its own loopback only.
const PORT: u16 = 9466;
/// Exporters asked at the same time.
const AT_ONCE: usize = 32;
/// One exporter may take this long.
const PER_NODE: Duration = Duration::from_secs(5);
/// A report of 500 pods with history is under 4 MiB.
const MAX_REPORT: usize = 64 << 20;
/// The oldest version of a report that is still understood.
const OLDEST: u32 = 1;
/// A progress bar is for what takes longer than this.
const PATIENCE: Duration = Duration::from_millis(500);

/// The namespace of the exporters, unless told otherwise.
pub const NAMESPACE: &str = "guard-system";
/// The label by which exporter pods are found.
pub const SELECTOR: &str = "app.kubernetes.io/name=guard-exporter";

/// Why one exporter gave nothing.
enum Failure {
    /// The API server refused: it would refuse the others too.
    Refused(Error),
    /// Something about this node.
    Node(String),
}

/// Asks every exporter in `namespace` for its report.
///
/// # Errors
/// If the user may not list pods or forward ports there (naming the missing rule), if there is no exporter, or if none
/// answers.
pub async fn read(connection: &Connection, namespace: &str, console: &Console) -> Result<Scores, Error> {
    let exporters = exporters(connection, namespace).await?;
    if exporters.is_empty() {
        return Err(Error::NoExporter { namespace: namespace.to_owned() });
    }
    let api: Api<Pod> = Api::namespaced(connection.client.clone(), namespace);
    let mut progress = console.progress(exporters.len(), "reading scores", PATIENCE);
    let count = exporters.len();
    let asked = exporters.into_iter().map(|exporter| {
        let api = api.clone();
        async move { (ask(&api, &exporter, namespace).await, exporter.node) }
    });
    let mut answers = futures::stream::iter(asked).buffer_unordered(AT_ONCE);
    let mut scores = Scores::default();
    let mut refused = None;
    loop {
        let answer = tokio::select! {
            answer = answers.next() => answer,
            () = until(progress.due()) => {
                progress.show_if_due();
                continue;
            }
        };
        let Some((answer, node)) = answer else { break };
        progress.step();
        match answer {
            Ok(report) => scores.reports.push(report),
            Err(Failure::Refused(error)) => refused = Some(error),
            Err(Failure::Node(problem)) => scores.silent.push(Silent { node, problem }),
        }
    }
    drop(progress);
    scores.reports.sort_by(|a, b| a.node.cmp(&b.node));
    scores.silent.sort_by(|a, b| a.node.cmp(&b.node));
    match (refused, scores.silent.first()) {
        (Some(error), _) => Err(error),
        (None, Some(first)) if scores.reports.is_empty() => {
            Err(Error::NoScores { exporters: count, first: format!("node {}: {}", first.node, first.problem) })
        }
        _ => Ok(scores),
    }
}

async fn until(at: Option<std::time::Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

struct Exporter {
    pod: String,
    node: String,
    running: bool,
}

async fn exporters(connection: &Connection, namespace: &str) -> Result<Vec<Exporter>, Error> {
    let request = Request { verb: "list", resource: "pods", group: "", namespace: Some(namespace) };
    let api: Api<Pod> = Api::namespaced(connection.client.clone(), namespace);
    let list = api.list(&ListParams::default().labels(SELECTOR)).await.map_err(|error| request.failed(&error))?;
    let exporter = |pod: Pod| Exporter {
        pod: pod.metadata.name.unwrap_or_default(),
        node: sanitise::line(&pod.spec.and_then(|spec| spec.node_name).unwrap_or_else(|| "(none)".to_owned())),
        running: pod.status.and_then(|status| status.phase).as_deref() == Some("Running"),
    };
    let alive = list.items.into_iter().filter(|pod| pod.metadata.deletion_timestamp.is_none());
    Ok(alive.map(exporter).collect())
}

async fn ask(api: &Api<Pod>, exporter: &Exporter, namespace: &str) -> Result<NodeReport, Failure> {
    if !exporter.running {
        return Err(Failure::Node(format!("its exporter {} is not running", exporter.pod)));
    }
    match tokio::time::timeout(PER_NODE, forward(api, exporter, namespace)).await {
        Ok(answer) => answer,
        Err(_) => Err(Failure::Node(format!("no answer within {} s", PER_NODE.as_secs()))),
    }
}

async fn forward(api: &Api<Pod>, exporter: &Exporter, namespace: &str) -> Result<NodeReport, Failure> {
    // The API server asks for `get` first, and says so when it refuses it; a refused `create`, which it looks at only
    // then, it answers without naming a verb.
    let request = Request { verb: "create", resource: "pods/portforward", group: "", namespace: Some(namespace) };
    let mut forwarder = match api.portforward(&exporter.pod, &[PORT]).await {
        Ok(forwarder) => forwarder,
        Err(error) => {
            return Err(match request.failed(&error) {
                refused @ (Error::Forbidden { .. } | Error::Unauthenticated { .. }) => Failure::Refused(refused),
                other => Failure::Node(other.to_string()),
            });
        }
    };
    let Some(stream) = forwarder.take_stream(PORT) else {
        return Err(Failure::Node("no stream to the exporter".into()));
    };
    let error = forwarder.take_error(PORT);
    let answer = tokio::select! {
        biased;
        answer = report(stream) => answer,
        Some(problem) = async { match error { Some(error) => error.await, None => None } } => Err(sanitise::line(&problem)),
    };
    forwarder.abort();
    answer.map_err(Failure::Node)
}

/// Reads the report over a stream to the exporter's loopback. The body ends by its Content-Length: some container
/// runtimes close the stream a second late.
async fn report(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Result<NodeReport, String> {
    let words = |error: &dyn std::error::Error| format!("its exporter does not answer: {}", innermost(error));
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|e| words(&e))?;
    let request = hyper::Request::builder()
        .method(Method::GET)
        .uri("/v1/report")
        // The exporter answers to this name only, so that no web page can reach it by a name of its own.
        .header(header::HOST, "localhost")
        .body(Empty::<Bytes>::new())
        .map_err(|e| words(&e))?;
    let exchange = async {
        let response = sender.send_request(request).await.map_err(|e| words(&e))?;
        let status = response.status();
        let body = Limited::new(response.into_body(), MAX_REPORT).collect().await;
        let body =
            body.map_err(|error| format!("its exporter's answer breaks off: {}", innermost(&*error)))?.to_bytes();
        if !status.is_success() {
            return Err(match status.as_u16() {
                503 => "its exporter has no scores yet; it has just started".to_owned(),
                _ => format!("its exporter answers with {status}"),
            });
        }
        parse(&body)
    };
    tokio::pin!(connection);
    tokio::pin!(exchange);
    tokio::select! {
        answer = &mut exchange => answer,
        // The connection may end first, with the answer already read.
        _ = &mut connection => exchange.await,
    }
}

/// Reads the bytes of a report, in words why they are none that this version understands.
pub(super) fn parse(body: &[u8]) -> Result<NodeReport, String> {
    #[derive(serde::Deserialize)]
    struct Version {
        version: u32,
    }
    match serde_json::from_slice::<Version>(body) {
        Ok(Version { version }) if version > VERSION => Err(format!(
            "its exporter speaks version {version}, this plugin understands up to {VERSION}: upgrade the plugin"
        )),
        Ok(Version { version }) if version < OLDEST => Err(format!(
            "its exporter speaks version {version}, this plugin understands {OLDEST} and later: to upgrade it, {INSTALL_AGAIN}"
        )),
        _ => serde_json::from_slice(body)
            .map(sanitised)
            .map_err(|error| format!("its exporter's answer is no report: {}", sanitise::line(&error.to_string()))),
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    const REPORT: &str = r#"{"version":1,"node":"node\u001b[2J1","at":"2026-11-22T14:00:00Z","interval_seconds":15,
        "threshold":0.7,"scored_by":"guard-exporter 0.1.0","model":{"name":"m","version":"1","sha256":"","error":null},
        "kubelet":{"up":true,"verified":true,"error":null},"pods":[]}"#;

    fn answered(answer: &str) -> Result<NodeReport, String> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (ours, mut theirs) = tokio::io::duplex(1 << 16);
            let answer = answer.to_owned();
            let serve = async move {
                let mut head = vec![0; 4096];
                let n = theirs.read(&mut head).await.unwrap();
                theirs.write_all(answer.as_bytes()).await.unwrap();
                // The stream is handed back open: some runtimes close it late.
                (String::from_utf8_lossy(&head[..n]).into_owned(), theirs)
            };
            let (report, (head, _open)) = tokio::join!(report(ours), serve);
            assert!(head.starts_with("GET /v1/report HTTP/1.1\r\nhost: localhost\r\n"), "{head}");
            report
        })
    }

    fn ok(body: &str) -> String {
        format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len())
    }

    #[test]
    fn a_report_is_read_by_its_length_and_sanitised() {
        assert_eq!(answered(&ok(REPORT)).unwrap().node, "node1");
    }

    #[test]
    fn what_is_no_report_is_said_in_words() {
        let newer = REPORT.replacen("\"version\":1", "\"version\":2", 1);
        for (answer, part) in [
            (ok("{}"), "is no report"),
            (ok(&newer), "upgrade the plugin"),
            ("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n".into(), "just started"),
            ("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".into(), "404"),
            ("nonsense\r\n\r\n".into(), "does not answer"),
        ] {
            let problem = answered(&answer).unwrap_err();
            assert!(problem.contains(part), "{problem}");
        }
    }
}
