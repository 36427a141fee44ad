use http::StatusCode;
use serde_json::json;

use super::*;
use crate::exit::Exit;
use crate::flags::KubeFlags;
use crate::wire;

fn through_the_api_server(connection: &Connection) -> Prometheus {
    let endpoint = Endpoint::behind("monitoring/prometheus:9090").unwrap();
    Prometheus::open(&endpoint, connection, &Environment::default()).unwrap()
}

fn vector() -> serde_json::Value {
    json!({"status": "success", "data": {"resultType": "vector", "result": [{"metric": {}, "value": [1, "2"]}]}})
}

#[tokio::test]
async fn a_service_is_asked_through_the_api_server_by_get() {
    let (connection, seen) = wire::server(|_, _| (200, vector())).await;
    let prometheus = through_the_api_server(&connection);
    let answer = prometheus.query("up{job=\"ä b\"} > 0").await.unwrap();
    assert_eq!(answer.series[0].value(), Some(2.0));
    let path = "/api/v1/namespaces/monitoring/services/prometheus:9090/proxy/api/v1/query?timeout=25s\
                &query=up%7Bjob%3D%22%C3%A4%20b%22%7D%20%3E%200";
    assert_eq!(*seen.lock().unwrap(), [path]);
}

#[tokio::test]
async fn a_long_range_is_asked_for_in_pages() {
    let (connection, seen) = wire::server(|_, n| {
        let values = json!([[n, n.to_string()]]);
        let result = json!([{"metric": {"pod": "a"}, "values": values}]);
        (200, json!({"status": "success", "data": {"resultType": "matrix", "result": result}}))
    })
    .await;
    let range = Range { start: 0, end: 250_000, step: 10 };
    let answer = through_the_api_server(&connection).query_range("x", range).await.unwrap();
    assert_eq!(answer.series.len(), 1);
    assert_eq!(answer.series[0].points.len(), 3);
    assert!(seen.lock().unwrap()[1].ends_with("&query=x&start=100000&end=199990&step=10"), "{seen:?}");
}

#[tokio::test]
async fn the_api_servers_refusal_names_the_missing_rule_and_that_of_prometheus_does_not() {
    let refusal = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": "no", "reason":
        "Forbidden", "code": 403});
    let (connection, _) = wire::server(|_, n| match n {
        0 => (
            403,
            json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": "services \"prometheus\" is forbidden", "reason": "Forbidden", "code": 403}),
        ),
        1 => (403, json!({"status": "error", "errorType": "forbidden", "error": "no tenant"})),
        2 => (
            503,
            json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": "no endpoints available for service \"prometheus:9090\"", "reason": "ServiceUnavailable",
            "code": 503}),
        ),
        3 => (422, json!({"status": "error", "errorType": "execution", "error": "too many samples"})),
        _ => (200, json!({"status": "success"})),
    })
    .await;
    assert!(answer::status_of_kubernetes(refusal.to_string().as_bytes()).is_some());
    let prometheus = through_the_api_server(&connection);
    let mut told = Vec::new();
    for _ in 0..5 {
        let error = prometheus.query("x").await.unwrap_err();
        told.push((error.process_exit_code(), error.to_string()));
    }
    let of = |exit, text: &str| (exit, text.to_owned());
    assert_eq!(
        told,
        [
            of(Exit::NotPermitted, "you may not get services/proxy in namespace monitoring"),
            of(
                Exit::NotPermitted,
                "Prometheus behind service monitoring/prometheus does not let you ask (403): no tenant"
            ),
            of(
                Exit::Error,
                "Prometheus behind service monitoring/prometheus does not answer: no endpoints available for service \
                 \"prometheus:9090\""
            ),
            of(Exit::Error, "Prometheus behind service monitoring/prometheus answers with 422: too many samples"),
            of(
                Exit::Error,
                "Prometheus behind service monitoring/prometheus does not answer like a Prometheus: it holds no data"
            ),
        ]
    );
}

/// A server that answers each connection with these bytes and ends it.
async fn raw(answer: Vec<u8>) -> Prometheus {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = Endpoint::at(&format!("http://{}/base/", listener.local_addr().unwrap())).unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = [0; 4096];
            if stream.read(&mut head).await.is_ok() {
                // The client may have gone before all is written.
                drop(stream.write_all(&answer).await);
            }
        }
    });
    Prometheus::open(&endpoint, &nowhere(), &Environment::default()).unwrap()
}

/// A cluster that is not asked.
fn nowhere() -> Connection {
    let flags = KubeFlags { server: Some("http://127.0.0.1:1".into()), ..KubeFlags::default() };
    Connection::open(&flags, &Environment::default()).unwrap()
}

#[tokio::test]
async fn answers_that_break_off_lie_or_never_end_are_errors() {
    let head = |length: usize| format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n").into_bytes();
    let whole = vector().to_string().into_bytes();
    let good = [head(whole.len()), whole.clone()].concat();
    assert!(raw(good).await.query("x").await.is_ok());

    let huge = [head(MAX_ANSWER + 1), vec![b' '; MAX_ANSWER + 1]].concat();
    for (answer, part) in [
        (head(whole.len() + 1), "breaks off"),
        ([head(whole.len() + 9), whole.clone()].concat(), "breaks off"),
        (b"nonsense\r\n\r\n".to_vec(), "does not answer"),
        (Vec::new(), "does not answer"),
        (b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n".to_vec(), "log in"),
        (huge, "over 128 MiB"),
    ] {
        let error = raw(answer).await.query("x").await.unwrap_err().to_string();
        assert!(error.contains(part), "{part}: {error}");
    }
}

#[tokio::test]
async fn nobody_there_is_said_with_the_address() {
    let endpoint = Endpoint::at("http://127.0.0.1:1").unwrap();
    let prometheus = Prometheus::open(&endpoint, &nowhere(), &Environment::default()).unwrap();
    let error = prometheus.query("x").await.unwrap_err();
    assert!(
        error.shown().starts_with("error: Prometheus at http://127.0.0.1:1/ does not answer: "),
        "{}",
        error.shown()
    );
    assert_eq!(answer::refusal("p", StatusCode::BAD_GATEWAY, b"").to_string(), "p answers with 502");
}

/// The head of the request that a server gets.
async fn heard(credentials: Credentials, tenant: &str) -> String {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = Endpoint::at(&format!("http://{}/prometheus", listener.local_addr().unwrap())).unwrap();
    let mut endpoint = Endpoint { credentials, ..at };
    endpoint.set_header(tenant).unwrap();
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        let body = vector().to_string();
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        stream.write_all(answer.as_bytes()).await.unwrap();
        String::from_utf8(head).unwrap()
    });
    let prometheus = Prometheus::open(&endpoint, &nowhere(), &Environment::default()).unwrap();
    prometheus.query("up").await.unwrap();
    server.await.unwrap()
}

#[tokio::test]
async fn credentials_out_of_files_and_the_tenant_arrive() {
    let folder = tempfile::tempdir().unwrap();
    let file = |text: &str| {
        let path = folder.path().join("secret");
        std::fs::write(&path, text).unwrap();
        Some(path)
    };
    let token = Credentials { token_file: file("geheim\n"), ..Credentials::default() };
    let head = heard(token, "X-Scope-OrgID: team-a").await;
    assert!(head.starts_with("GET /prometheus/api/v1/query?"), "{head}");
    assert!(head.contains("\r\nauthorization: Bearer geheim\r\n"), "{head}");
    assert!(head.contains("\r\nx-scope-orgid: team-a\r\n"), "{head}");
    assert!(head.contains("\r\nuser-agent: kubectl-guard/"), "{head}");
    let basic = Credentials { basic_file: file("ann:geheim\n"), ..Credentials::default() };
    let head = heard(basic, "THANOS-TENANT=b").await;
    assert!(head.contains("\r\nauthorization: Basic YW5uOmdlaGVpbQ==\r\n"), "{head}");
}

/// What a server gets of a query that is this long: the first line, and what stands behind the head.
async fn sent(length: usize) -> (String, String) {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = Endpoint::at(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        let head = String::from_utf8(head).unwrap().to_lowercase();
        let told = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok());
        let mut body = vec![0; told.unwrap_or(0)];
        stream.read_exact(&mut body).await.unwrap();
        assert_eq!(head.contains("application/x-www-form-urlencoded"), told.is_some(), "{head}");
        let answer = vector().to_string();
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{answer}", answer.len());
        stream.write_all(answer.as_bytes()).await.unwrap();
        (head.lines().next().unwrap().to_owned(), String::from_utf8(body).unwrap())
    });
    let prometheus = Prometheus::open(&endpoint, &nowhere(), &Environment::default()).unwrap();
    prometheus.query(&"x".repeat(length)).await.unwrap();
    server.await.unwrap()
}

#[tokio::test]
async fn a_long_query_is_sent_as_a_form_and_a_short_one_is_not() {
    assert_eq!(sent(3).await, ("get /api/v1/query?timeout=25s&query=xxx http/1.1".to_owned(), String::new()));
    let (line, form) = sent(100_000).await;
    assert_eq!(line, "post /api/v1/query http/1.1");
    assert_eq!(form, format!("timeout=25s&query={}", "x".repeat(100_000)));
}

#[tokio::test]
async fn what_is_too_long_for_the_api_server_is_said_and_not_sent() {
    let (connection, seen) = wire::server(|_, _| (200, vector())).await;
    let prometheus = through_the_api_server(&connection);
    assert!(prometheus.query(&"x".repeat(60_000)).await.is_ok());
    let error = prometheus.query(&"x".repeat(70_000)).await.unwrap_err();
    assert_eq!(error.to_string(), "the query is too long to reach Prometheus behind service monitoring/prometheus");
    assert!(error.hint().unwrap().contains("--prometheus-url") && !error.may_pass());
    assert_eq!(seen.lock().unwrap().len(), 1);
}
