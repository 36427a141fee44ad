//! Lists of pods as they come over the wire.

use serde_json::{Value, json};

use super::*;
use crate::wire::server;

const PODS: &str = "/api/v1/namespaces/shop/pods";

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
    assert_eq!(*seen.lock().unwrap(), [format!("{PODS}?&limit=1"), format!("{PODS}?&limit=1&continue=t1")]);
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
    assert_eq!(*seen.lock().unwrap(), [format!("{PODS}?")]);
    assert_eq!(pods.labels["uid-a"]["app"], "ab");
}
