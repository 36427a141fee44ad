//! Against the answers that Prometheus 2.42 gave of the series of `status.json` with every state of each pod.
//! The list of those over their line, and what is sought by their names, are written from these answers by hand.

use guard_model::report::State;
use serde_json::{Value, json};

use super::*;
use crate::connect::Environment;
use crate::pods;
use crate::prometheus::Endpoint;
use crate::rows::{self, Row};
use crate::wire;

const RECORDED: &str = include_str!("answers.json");

/// What the server gives: the recorded answer to each recorded query, and every pod on its node but one that is gone.
fn answer(path: &str, _: usize) -> (u16, Value) {
    if let Some(name) = path.strip_prefix("/api/v1/namespaces/shop/pods/") {
        let node = if name == "quiet-0" { "node2" } else { "node1" };
        return match name {
            "again-0" => (404, json!({"kind": "Status", "status": "Failure", "reason": "NotFound", "code": 404})),
            _ => (
                200,
                json!({"apiVersion": "v1", "kind": "Pod", "spec": {"nodeName": node, "containers": []},
                    "metadata": {"name": name, "namespace": "shop", "uid": name, "labels": {"app": "shop"},
                        "creationTimestamp": "2026-11-22T12:00:00Z"},
                    "status": {"phase": "Running",
                        "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": "2026-11-22T12:00:10Z"}]}}),
            ),
        };
    }
    let recorded: Vec<Value> = serde_json::from_str(RECORDED).unwrap();
    let asked = |query: &str| path.ends_with(&format!("&query={}", crate::prometheus::encoded(query)));
    match recorded.iter().find(|one| asked(one["query"].as_str().unwrap())) {
        Some(one) => (200, one["answer"].clone()),
        None => (400, json!({"status": "error", "error": path})),
    }
}

/// The rows of the worst pods, how many have a score and are over their line, and the warnings.
async fn looked(limit: usize, among: Among) -> (Vec<Row>, [usize; 2], Vec<String>) {
    let (connection, asked) = wire::server(answer).await;
    let endpoint = Endpoint::behind("monitoring/prometheus:9090").unwrap();
    let prometheus = Prometheus::open(&endpoint, &connection, &Environment::default()).unwrap();
    let worst = worst(&prometheus, &[], Some("shop"), limit, among).await.unwrap();
    let pods = pods::named(&connection, &worst.names).await.unwrap();
    let now = Timestamp::from_second(1_795_438_880).unwrap();
    let scores = worst.scores(&pods.facts, now).unwrap();
    assert!(asked.lock().unwrap().iter().all(|path| !path.contains("/pods?")), "no list of pods is read");
    let rows = rows::join(&scores, &pods.facts, now);
    (rows, [worst.watched, worst.anomalous], scores.warnings(now))
}

#[tokio::test]
async fn the_worst_have_their_rows_and_all_are_counted() {
    let (rows, counts, _) = looked(2, Among::OverTheirLine).await;
    let told: Vec<_> = rows.iter().map(|row| (row.name.as_str(), row.state, row.score)).collect();
    assert_eq!(told, [("pay-0", Some(State::Anomalous), Some(0.97)), ("cart-1", Some(State::Anomalous), Some(0.9375))]);
    assert!(rows[1].reason().starts_with("sent 2.1 MiB/s, expected "), "{}", rows[1].reason());
    assert_eq!(counts, [7, 3]);
}

#[tokio::test]
async fn a_pod_that_is_gone_has_no_row_and_a_muted_one_is_muted() {
    let (rows, ..) = looked(4, Among::Scored(0.0)).await;
    let told: Vec<_> = rows.iter().map(|row| (row.name.as_str(), row.state)).collect();
    let over = Some(State::Anomalous);
    assert_eq!(told, [("pay-0", over), ("cart-1", over), ("quiet-0", Some(State::Muted))]);
}

#[tokio::test]
async fn none_so_bad_is_no_error_and_exporters_that_are_down_are_told() {
    let (rows, counts, warnings) = looked(4, Among::Scored(0.99)).await;
    assert_eq!((rows.len(), counts), (0, [7, 3]));
    assert_eq!(warnings, ["no scores from node node3: Prometheus cannot scrape its exporter"]);
}

/// So many pods are over their line, and each other query has one series.
fn over(path: &str, pods: usize) -> (u16, Value) {
    let listed = path.contains(&format!("&query={}", crate::prometheus::encoded("topk(500,")));
    let pod = |place| json!({"metric": {"namespace": "shop", "pod": format!("web-{place}")}, "value": [1, "1"]});
    let series: Vec<Value> = (0..if listed { pods } else { 1 }).map(pod).collect();
    (200, json!({"status": "success", "data": {"resultType": "vector", "result": series}}))
}

/// The queries for scores, as they are on the wire.
async fn scores_asked(answer: fn(&str, usize) -> (u16, Value), among: Among) -> Vec<String> {
    let (connection, asked) = wire::server(answer).await;
    let endpoint = Endpoint::behind("monitoring/prometheus:9090").unwrap();
    let prometheus = Prometheus::open(&endpoint, &connection, &Environment::default()).unwrap();
    sought(&prometheus, &[], None, 7, among).await.unwrap();
    let asked = asked.lock().unwrap().clone();
    asked.into_iter().filter(|path| path.contains("guard_pod_anomaly_score")).collect()
}

#[tokio::test]
async fn those_over_their_line_are_sought_beside_those_with_a_score() {
    let asked = scores_asked(|path, _| over(path, 2), Among::OverTheirLineOrScored(0.6)).await;
    // `and` binds more tightly than `or`.
    let query = "topk(7, guard_pod_anomaly_score{} >= 0.6 or guard_pod_anomaly_score{} and on (";
    assert!(asked.len() == 1 && asked[0].contains(&crate::prometheus::encoded(query)), "{asked:?}");
}

#[tokio::test]
async fn few_are_sought_by_name_many_among_all_and_none_not_at_all() {
    let scores_asked = async |answer| scores_asked(answer, Among::OverTheirLine).await;
    let few = scores_asked(|path, _| over(path, 2)).await;
    assert!(few.len() == 1 && few[0].contains("web-0%7Cweb-1"), "{few:?}");
    let many = scores_asked(|path, _| over(path, MANY)).await;
    assert!(many.len() == 1 && !many[0].contains("web-"), "{many:?}");
    assert!(scores_asked(|path, _| over(path, 0)).await.is_empty());
}

/// An answer of one count for each of these clusters.
fn counts(clusters: &[&str]) -> Value {
    let count = |cluster: &&str| json!({"metric": {"cluster": cluster}, "value": [1, "2"]});
    json!({"status": "success", "data": {"resultType": "vector",
        "result": clusters.iter().map(count).collect::<Vec<_>>()}})
}

#[tokio::test]
async fn no_scores_and_those_of_two_clusters_are_errors() {
    async fn refused(answer: fn(&str, usize) -> (u16, Value)) -> Error {
        let (connection, _) = wire::server(answer).await;
        let endpoint = Endpoint::behind("monitoring/prometheus:9090").unwrap();
        let prometheus = Prometheus::open(&endpoint, &connection, &Environment::default()).unwrap();
        worst(&prometheus, &[], None, 1, Among::OverTheirLine).await.unwrap_err()
    }
    let error = refused(|_, _| (200, counts(&[]))).await;
    assert!(error.to_string().ends_with("has no series of guard's exporters"), "{error}");
    let error = refused(|_, _| (200, counts(&["east", "west"]))).await;
    assert!(error.to_string().ends_with("several clusters: east, west"), "{error}");
}

#[tokio::test]
async fn a_namespace_without_scores_is_no_error_where_there_are_exporters() {
    let (connection, _) = wire::server(|path, _| {
        let exporters = path.contains(&crate::prometheus::encoded("count(guard_exporter_build_info{})"));
        (200, counts(if exporters { &["east"] } else { &[] }))
    })
    .await;
    let endpoint = Endpoint::behind("monitoring/prometheus:9090").unwrap();
    let prometheus = Prometheus::open(&endpoint, &connection, &Environment::default()).unwrap();
    let worst = worst(&prometheus, &[], Some("empty"), 5, Among::OverTheirLine).await.unwrap();
    assert_eq!((worst.names.len(), worst.watched, worst.anomalous), (0, 0, 0));
    assert!(worst.scores(&[], Timestamp::UNIX_EPOCH).unwrap().reports.is_empty());
}

#[test]
fn names_are_no_patterns() {
    use super::super::one_of;
    assert_eq!(one_of("pod", &["a.b", "c-1"]), r#"pod=~"a\\.b|c-1""#);
    assert_eq!(one_of("node", &["[::1]:9465", "a|b", "n\"x", "10.0.0.1:9465"]), r#"node=~"10\\.0\\.0\\.1:9465""#);
}
