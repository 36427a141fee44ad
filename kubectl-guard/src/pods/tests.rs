//! Lists of pods as they come over the wire.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use http::{Request, Response};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};

use super::*;
use crate::cli::KubeFlags;
use crate::connect::Environment;

/// An API server on a local port that writes down the queries it gets; `answer` sees each query and its number.
async fn server(answer: fn(&str, usize) -> (u16, Value)) -> (Connection, Arc<Mutex<Vec<String>>>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&seen);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let log = Arc::clone(&log);
            let service = hyper::service::service_fn(move |request: Request<Incoming>| {
                let mut log = log.lock().unwrap();
                let query = request.uri().query().unwrap_or_default().to_owned();
                let (code, body) = answer(&query, log.len());
                log.push(query);
                let response = Response::builder().status(code).header("content-type", "application/json");
                let response = response.body(Full::<Bytes>::from(body.to_string())).unwrap();
                async move { Ok::<_, Infallible>(response) }
            });
            tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    });
    let flags = KubeFlags { server: Some(url), namespace: Some("shop".into()), ..KubeFlags::default() };
    (Connection::open(&flags, &Environment::default()).unwrap(), seen)
}

fn page(names: &[&str], token: &str) -> (u16, Value) {
    let pod = |name: &&str| json!({"metadata": {"name": name, "uid": format!("uid-{name}"), "labels": {"app": "a\u{1b}[2Jb"}}});
    let items: Vec<Value> = names.iter().map(pod).collect();
    (200, json!({"kind": "PodList", "apiVersion": "v1", "metadata": {"continue": token}, "items": items}))
}

fn expired() -> (u16, Value) {
    let message = "The provided continue parameter is too old to display a consistent list result.";
    (
        410,
        json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "Expired", "code": 410,
        "message": message}),
    )
}

fn names(pods: &Pods) -> Vec<&str> {
    pods.facts.iter().map(|pod| pod.name.as_str()).collect()
}

fn of(chunk_size: u32) -> Selection {
    Selection { chunk_size, ..Selection::default() }
}

#[tokio::test]
async fn pages_are_read_to_the_last_one() {
    let (connection, seen) =
        server(|query, _| if query.contains("continue=t1") { page(&["b"], "") } else { page(&["a"], "t1") }).await;
    let pods = list(&connection, &of(1)).await.unwrap();
    assert_eq!(names(&pods), ["a", "b"]);
    assert_eq!(*seen.lock().unwrap(), ["limit=1", "limit=1&continue=t1"].map(|query| format!("&{query}")));
}

#[tokio::test]
async fn a_page_that_has_expired_starts_the_list_again_and_loses_nothing() {
    let (connection, seen) = server(|_, n| match n {
        0 => page(&["a", "b"], "t1"),
        1 => expired(),
        _ => page(&["a", "b", "c"], ""),
    })
    .await;
    let pods = list(&connection, &of(2)).await.unwrap();
    assert_eq!(names(&pods), ["a", "b", "c"], "each once");
    let seen = seen.lock().unwrap();
    assert_eq!(seen.len(), 3);
    assert!(!seen[2].contains("continue") && !seen[2].contains("limit"), "{seen:?}");
}

#[tokio::test]
async fn a_list_is_started_again_only_once() {
    let (connection, seen) = server(|_, _| expired()).await;
    let error = list(&connection, &of(500)).await.unwrap_err();
    assert!(matches!(error, Error::Api { code: 410, .. }), "{error}");
    assert_eq!(seen.lock().unwrap().len(), 2);
}

#[tokio::test]
async fn a_chunk_size_of_0_asks_for_all_at_once_and_labels_are_sanitised() {
    let (connection, seen) = server(|_, _| page(&["a"], "")).await;
    let pods = list(&connection, &of(0)).await.unwrap();
    assert_eq!(*seen.lock().unwrap(), [""]);
    assert_eq!(pods.labels["uid-a"]["app"], "ab");
}
