//! Against the answers that Prometheus 2.42 gave of three exporters, the third of them down.

use guard_model::cause::Cause;
use guard_model::report::{Severity, State};
use guard_model::sample::{Phase, PodFacts, Termination};
use guard_model::workload::Workload;
use jiff::Timestamp;
use serde_json::Value;

use super::*;
use crate::prometheus::Endpoint;
use crate::render::{self, More, Style};
use crate::rows::{self, Row};
use crate::scores::Scores;
use crate::wire;

const RECORDED: &str = include_str!("status.json");

/// A server that gives the recorded answer to each recorded query, and to nothing else.
async fn recorded(namespace: Option<&str>) -> Result<Answers, Error> {
    let (connection, _) = wire::server(|path, _| {
        let recorded: Vec<Value> = serde_json::from_str(RECORDED).unwrap();
        let asked = |query: &str| path.ends_with(&format!("&query={}", crate::prometheus::encoded(query)));
        match recorded.iter().find(|one| asked(one["query"].as_str().unwrap())) {
            Some(one) => (200, one["answer"].clone()),
            None => (400, serde_json::json!({"status": "error", "error": "it was not recorded"})),
        }
    })
    .await;
    let endpoint = Endpoint::behind("monitoring/prometheus:9090").unwrap();
    let prometheus = Prometheus::open(&endpoint, &connection, &crate::connect::Environment::default()).unwrap();
    read(&prometheus, &[], &About { namespace, ..About::default() }).await
}

fn now() -> Timestamp {
    Timestamp::from_second(1_795_438_880).unwrap()
}

fn ago(seconds: i64) -> Option<Timestamp> {
    Timestamp::from_second(now().as_second() - seconds).ok()
}

fn pod(name: &str, node: Option<&str>) -> PodFacts {
    PodFacts {
        uid: format!("uid-{name}"),
        namespace: "shop".into(),
        name: name.into(),
        node: node.map(str::to_owned),
        workload: name.split_once('-').map(|(workload, _)| Workload::new("Deployment", workload)),
        phase: if node.is_some() { Phase::Running } else { Phase::Pending },
        created: ago(7200),
        ready: true,
        ready_changed: ago(7000),
        containers_ready: 1,
        containers_total: 1,
        ..PodFacts::default()
    }
}

/// The pods that the user sees: `gone-0` no longer, `moved-0` elsewhere, and another `again-0`.
fn pods() -> Vec<PodFacts> {
    let on = |name, node| pod(name, Some(node));
    let end = Termination { container: "pay".into(), reason: "Error".into(), exit_code: 1, finished_at: ago(120) };
    vec![
        on("cart-1", "node1"),
        on("cart-2", "node1"),
        PodFacts {
            ready: false,
            restarts: 7,
            containers_ready: 0,
            waiting: Some("CrashLoopBackOff".into()),
            terminated: Some(end),
            ..on("pay-0", "node1")
        },
        on("moved-0", "node2"),
        on("new-0", "node2"),
        on("old-0", "node2"),
        on("quiet-0", "node2"),
        PodFacts { created: ago(600), ..on("again-0", "node2") },
        on("unseen-0", "node3"),
        on("lone-0", "node4"),
        pod("waits-0", None),
    ]
}

async fn scores() -> Scores {
    join(&recorded(Some("shop")).await.unwrap(), &pods(), now()).unwrap()
}

#[tokio::test]
async fn what_metrics_hold_is_shown_and_what_they_do_not_hold_is_missing() {
    let scores = scores().await;
    let rows = rows::join(&scores, &pods(), now());
    let style = Style { columns: 170, colour: false, headless: false, now: now() };
    let more = More { namespaces: false, wide: true, labels: false };
    let notes: Vec<String> =
        rows.iter().filter_map(|row| Some(format!("{}: {}", row.name, row.note.as_ref()?))).collect();
    let page = [
        render::pods(&rows, more, style),
        render::groups(&rows::workloads(&rows), "WORKLOAD", false, style),
        render::groups(&rows::nodes(&rows, &[]), "NODE", false, style),
        notes.join("\n"),
        scores
            .warnings(now())
            .into_iter()
            .filter(|line| !line.starts_with("this plugin"))
            .collect::<Vec<_>>()
            .join("\n"),
    ];
    insta::assert_snapshot!(page.join("\n"));
    assert!(scores.skew().unwrap().contains("0.0.9"), "{:?}", scores.skew());
}

fn row(scores: &Scores, name: &str) -> Row {
    rows::join(scores, &pods(), now()).into_iter().find(|row| row.name == name).unwrap()
}

#[tokio::test]
async fn a_score_is_taken_only_for_the_pod_that_it_was_made_for() {
    let scores = scores().await;
    for name in ["moved-0", "again-0", "unseen-0", "lone-0"] {
        assert_eq!((row(&scores, name).state, row(&scores, name).score), (None, None), "{name}");
    }
    let told: Vec<&str> = scores.reports.iter().flat_map(|report| &report.pods).map(|pod| pod.name.as_str()).collect();
    assert!(!told.contains(&"gone-0"), "{told:?}");
    assert_eq!(row(&scores, "pay-0").severity, Severity::Critical);
}

#[tokio::test]
async fn restarts_count_as_recent_only_where_the_status_says_so() {
    let answers = recorded(Some("shop")).await.unwrap();
    let reasons = |created, last| {
        let end = Termination { container: "cart".into(), reason: "Error".into(), exit_code: 1, finished_at: last };
        let cart = PodFacts { restarts: 5, created, terminated: Some(end), ..pod("cart-2", Some("node1")) };
        let scores = join(&answers, &[cart], now()).unwrap();
        scores.reports[0].pods[0].reasons.iter().map(|reason| reason.cause).collect::<Vec<_>>()
    };
    assert_eq!(reasons(ago(300), ago(60)), [Cause::CrashLoop]);
    assert_eq!(reasons(ago(7200), ago(60)), [Cause::Restarted]);
    assert_eq!(reasons(ago(7200), ago(3600)), []);
}

#[tokio::test]
async fn features_come_back_with_the_range_that_they_were_measured_by() {
    let scores = scores().await;
    let cart = scores.reports[0].pods.iter().find(|pod| pod.name == "cart-1").unwrap();
    let ranges: Vec<_> = cart
        .features
        .iter()
        .map(|view| format!("{} {:.2} to {:.2}", view.name, view.expected_low.unwrap(), view.expected_high.unwrap()))
        .collect();
    assert_eq!(ranges, ["cpu 0.15 to 0.35", "receive 34133.33 to 109226.67", "transmit 60405.75 to 164874.25"]);
}

#[tokio::test]
async fn a_tenants_view_without_the_exporters_own_series_goes_by_the_scrape() {
    let mut answers = recorded(Some("shop")).await.unwrap();
    answers.nodes = Answer::default();
    answers.down = Answer::default();
    let scores = join(&answers, &pods(), now()).unwrap();
    assert_eq!(scores.reports[0].at.as_second(), 1_795_438_879);
    assert!(scores.skew().is_none(), "an unknown version is no other version");
    assert_eq!(row(&scores, "cart-1").state, Some(State::Anomalous));
}

#[tokio::test]
async fn series_that_cannot_be_told_apart_are_refused() {
    let mut answers = recorded(Some("shop")).await.unwrap();
    for (series, cluster) in answers.states.series.iter_mut().zip(["east", "west"]) {
        series.labels.insert("cluster".into(), cluster.into());
    }
    let error = join(&answers, &pods(), now()).unwrap_err();
    assert!(error.to_string().ends_with("several clusters: east, west"), "{error}");
    assert!(error.hint().unwrap().contains("--prometheus-matcher cluster="), "{:?}", error.hint());
}

#[tokio::test]
async fn nothing_told_is_an_error_where_there_are_pods() {
    let whole = recorded(Some("shop")).await.unwrap();
    let down = Answers { server: "Prometheus".into(), down: whole.down, ..Answers::default() };
    let error = join(&down, &pods(), now()).unwrap_err();
    assert!(matches!(error, Error::NoScores { exporters: 1, .. }) && error.may_pass(), "{error}");
    let error = join(&Answers::default(), &pods(), now()).unwrap_err();
    assert!(error.hint().unwrap().contains("manifests/monitoring"), "{error}");
    assert!(join(&Answers::default(), &[], now()).unwrap().reports.is_empty());
}

#[tokio::test]
async fn warnings_and_missing_node_names_are_told() {
    let mut answers = recorded(Some("shop")).await.unwrap();
    answers.states.warnings.push("a store is away".into());
    for series in &mut answers.states.series {
        series.labels.remove("node");
    }
    let notices = join(&answers, &pods(), now()).unwrap().notices.join("\n");
    assert!(notices.contains(": a store is away\n") && notices.contains("no label node"), "{notices}");
}

#[tokio::test]
async fn a_query_that_fails_fails_the_whole() {
    let error = recorded(Some("other")).await.unwrap_err();
    assert!(error.to_string().ends_with("400: it was not recorded"), "{error}");
}

#[test]
fn names_are_asked_for_in_pieces_that_an_address_holds() {
    let names: Vec<String> = (0..3000).map(|n| format!("a-name.of-usual-length-{n:04}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let cut = pieces(&names);
    assert!(cut.len() > 3, "{}", cut.len());
    assert_eq!(cut.concat(), names);
    assert!(cut.iter().all(|piece| encoded(&one_of("pod", piece)).len() <= MOST_OF_NAMES + 100));
    assert_eq!(pieces(&names[..9]), [names[..9].to_vec()]);
    assert_eq!(pieces(&[]), Vec::<Vec<&str>>::new());
}

#[tokio::test]
async fn a_long_list_of_pods_is_read_through_the_api_server_and_put_together() {
    let (connection, asked) = wire::server(|path, n| {
        assert!(path.len() < 60_000, "{}", path.len());
        let metric = if path.contains("guard_pod_state%7B") {
            serde_json::json!({"pod": n.to_string()})
        } else {
            serde_json::json!({})
        };
        let result = serde_json::json!([{"metric": metric, "value": [1, "1"]}]);
        (200, serde_json::json!({"status": "success", "data": {"resultType": "vector", "result": result}}))
    })
    .await;
    let endpoint = Endpoint::behind("monitoring/prometheus:9090").unwrap();
    let prometheus = Prometheus::open(&endpoint, &connection, &crate::connect::Environment::default()).unwrap();
    let names: Vec<String> = (0..3000).map(|n| format!("a-name-of-usual-length-{n:04}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let about = About { namespace: Some("shop"), pods: Some(names.clone()), nodes: Some(names.clone()) };
    let answers = read(&prometheus, &[], &about).await.unwrap();
    assert_eq!(answers.states.series.len(), pieces(&names).len());
    assert_eq!(asked.lock().unwrap().len(), 3 * pieces(&names).len() + 2);
    assert!(asked.lock().unwrap().iter().all(|path| !path.contains("node%3D~")), "all nodes are asked for instead");
}

#[test]
fn what_is_typed_cannot_leave_its_quotes() {
    let matcher: Matcher = "cluster=a\",pod=~\".*\\\n".parse().unwrap();
    assert_eq!(matcher.text(), r#"cluster="a\",pod=~\".*\\\n""#);
    assert!(queries(&[matcher], &About::default()).iter().all(|query| query.contains(r#"cluster="a\","#)));
    for bad in ["", "a", "=b", "a=", "1a=b", "a b=c", "a{=c"] {
        assert!(bad.parse::<Matcher>().is_err(), "{bad}");
    }
}
