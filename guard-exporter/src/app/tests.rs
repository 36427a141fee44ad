use std::time::Duration;

use guard_model::report::{NodeReport, State};
use jiff::Timestamp;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use super::*;
use crate::kubelet::tests::{FakeKubelet, authority, ok};

const SUMMARY: &str = include_str!("../../../models/tests/fixtures/summary.json");
const POD: &str = include_str!("../../../models/tests/fixtures/pod.json");

/// An API server that lists one pod and `folder`'s mutes, then holds the watches open and says nothing; the first watch of the
/// pods gets no answer at all if there is a file `silent`. The address of its kubeconfig.
async fn api_server(folder: &TempDir) -> std::path::PathBuf {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mutes_file = folder.path().join("mutes");
    let silent_file = folder.path().join("silent");
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let maps = std::fs::read_to_string(&mutes_file).unwrap_or_default();
            let silent_file = silent_file.clone();
            tokio::spawn(async move {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    let Ok(byte) = stream.read_u8().await else { return };
                    head.push(byte);
                }
                let head = String::from_utf8(head).unwrap();
                let pods =
                    head.starts_with("GET /api/v1/pods?") && head.contains("fieldSelector=spec.nodeName%3Dnode1");
                let mutes = head.starts_with("GET /api/v1/namespaces/default/configmaps?")
                    && head.contains("fieldSelector=metadata.name%3Dguard-mutes");
                assert!(pods || mutes, "{head}");
                assert!(head.contains("user-agent: guard-exporter/"), "{head}");
                if head.contains("watch=true") {
                    if pods && std::fs::remove_file(&silent_file).is_ok() {
                        return std::future::pending().await;
                    }
                    let _sent = stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await;
                    std::future::pending::<()>().await;
                }
                // In pages, and never at version 0, at which an API server heeds no limit.
                assert!(head.contains("limit=500") && !head.contains("resourceVersion"), "{head}");
                let (kind, items) = if pods { ("PodList", POD) } else { ("ConfigMapList", maps.as_str()) };
                let list = format!(
                    r#"{{"kind":"{kind}","apiVersion":"v1","metadata":{{"resourceVersion":"7"}},"items":[{items}]}}"#
                );
                let _sent = stream.write_all(&ok(&list)).await;
            });
        }
    });
    let file = folder.path().join("kubeconfig");
    let text = format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: c\n\
         contexts: [{{name: c, context: {{cluster: k, user: u}}}}]\n\
         clusters: [{{name: k, cluster: {{server: 'http://{address}'}}}}]\nusers: [{{name: u, user: {{}}}}]\n"
    );
    std::fs::write(&file, text).unwrap();
    file
}

/// A running exporter.
struct Running {
    health: SocketAddr,
    loopback: SocketAddr,
    stop: tokio::sync::oneshot::Sender<()>,
    end: JoinHandle<Result<(), ExporterError>>,
}

impl Running {
    async fn start(config: Config) -> Self {
        let exporter = Exporter::bind(config).await.unwrap();
        let (health, loopback) = exporter.addresses().unwrap();
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let end = tokio::spawn(exporter.run(async move {
            let _told = stopped.await;
        }));
        Self { health, loopback, stop, end }
    }

    /// Asks until the report is as `wanted`.
    async fn report(&self, wanted: impl Fn(&NodeReport) -> bool) -> NodeReport {
        for _ in 0..600 {
            let (status, body) = get(self.loopback, "/v1/report").await;
            if status == 200 {
                let report = serde_json::from_str(&body).unwrap();
                if wanted(&report) {
                    return report;
                }
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("no such report within 30 s: {}", get(self.loopback, "/v1/report").await.1);
    }
}

async fn get(address: SocketAddr, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

/// Settings for an exporter whose kubelet answers `summary` to everything.
async fn config(folder: &TempDir, summary: &str) -> Config {
    let authority = authority("cluster");
    let kubelet = FakeKubelet::start(&authority, "node1", ok(summary), false).await;
    Config {
        interval: Duration::from_secs(1),
        kubeconfig: Some(api_server(folder).await),
        state_file: Some(folder.path().join("state")),
        ..kubelet.config(folder, &authority)
    }
}

#[tokio::test]
async fn a_node_is_read_scored_and_served_and_what_was_learnt_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let running = Running::start(config(&folder, SUMMARY).await).await;
    let report = running.report(|report| report.kubelet.up && !report.pods.is_empty()).await;
    assert_eq!(report.node, "node1");
    assert_eq!(report.model.error, None);
    assert_eq!(report.pods[0].name, "cart-59f948d975-tr5v2");
    assert_eq!(report.kubelet.error, None);
    assert_eq!(get(running.health, "/healthz").await, (200, "ok\n".to_owned()));
    assert_eq!(get(running.health, "/readyz").await, (200, "ok\n".to_owned()));
    assert_eq!(get(running.health, "/metrics").await.0, 404);
    assert_eq!(get(running.health, "/v1/report").await.0, 404);
    let (_, metrics) = get(running.loopback, "/metrics").await;
    assert!(metrics.contains("guard_kubelet_up 1\n") && metrics.contains("guard_model_loaded 1\n"), "{metrics}");
    running.stop.send(()).unwrap();
    running.end.await.unwrap().unwrap();
    assert!(std::fs::metadata(folder.path().join("state")).unwrap().len() > 0);
}

#[tokio::test]
async fn a_mute_is_shown_with_its_words_and_in_the_metrics() {
    let folder = tempfile::tempdir().unwrap();
    let until = Timestamp::from_second(Timestamp::now().as_second() + 600).unwrap();
    let mute = format!(
        r#"{{"target":{{"kind":"workload","namespace":"shop","workload":"Deployment/cart"}},"since":"{}","until":"{until}","reason":"load test","by":"ann"}}"#,
        Timestamp::now()
    );
    let map = serde_json::json!({"metadata": {"name": "guard-mutes", "resourceVersion": "7"}, "data": {"any": mute, "broken": "{"}});
    std::fs::write(folder.path().join("mutes"), map.to_string()).unwrap();
    let running = Running::start(config(&folder, SUMMARY).await).await;
    let report = running.report(|report| report.pods.iter().any(|pod| pod.muted.is_some())).await;
    let cart = &report.pods[0];
    assert_eq!((cart.state, cart.muted.as_ref().unwrap().until), (State::Muted, until));
    assert_eq!(cart.muted.as_ref().unwrap().reason, "load test");
    let (_, metrics) = get(running.loopback, "/metrics").await;
    assert!(metrics.contains("guard_pod_muted{namespace=\"shop\",pod=\"cart-59f948d975-tr5v2\"} 1\n"), "{metrics}");
}

#[tokio::test]
async fn a_broken_model_leaves_the_facts_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("model.onnx");
    std::fs::write(&model, "no model").unwrap();
    let mut config = config(&folder, SUMMARY).await;
    config.model = Some(model);
    config.insecure_metrics = true;
    let running = Running::start(config).await;
    let report = running.report(|report| report.kubelet.up && !report.pods.is_empty()).await;
    assert!(report.model.error.unwrap().contains("model.onnx: "), "the file is named");
    assert_eq!(get(running.health, "/readyz").await, (503, "not ready\n".to_owned()));
    assert_eq!(get(running.health, "/healthz").await.0, 200);
    let (status, metrics) = get(running.health, "/metrics").await;
    assert_eq!(status, 200);
    assert!(metrics.contains("guard_model_loaded 0\n"), "{metrics}");
}

#[tokio::test]
async fn a_model_that_changes_is_taken_and_one_that_cannot_be_used_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("model.onnx");
    std::fs::write(&model, "no model").unwrap();
    let mut config = config(&folder, SUMMARY).await;
    config.model = Some(model.clone());
    let running = Running::start(config).await;
    running.report(|report| report.model.error.is_some()).await;
    std::fs::write(folder.path().join("new"), guard_model::engine::SHIPPED).unwrap();
    std::fs::rename(folder.path().join("new"), &model).unwrap();
    let taken = running.report(|report| report.model.error.is_none()).await;
    assert_eq!(taken.model.name, "guard-lstm");
    std::fs::write(&model, "no model any more").unwrap();
    let failed = "guard_tick_failures_total{stage=\"model\"} 1\n";
    for _ in 0..600 {
        if get(running.loopback, "/metrics").await.1.contains(failed) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let (_, metrics) = get(running.loopback, "/metrics").await;
    assert!(metrics.contains(failed) && metrics.contains("guard_model_loaded 1\n"), "{metrics}");
}

#[tokio::test]
async fn a_kubelet_that_answers_nonsense_is_named_and_harms_nothing() {
    for summary in ["{\"pods\": [", "[]", "", "{\"node\":{\"nodeName\":\"other\"},\"pods\":[]}"] {
        let folder = tempfile::tempdir().unwrap();
        let running = Running::start(config(&folder, summary).await).await;
        let report = running.report(|report| !report.pods.is_empty()).await;
        assert!(!report.kubelet.up, "{summary}");
        assert!(report.kubelet.error.unwrap().contains("cannot be understood"), "{summary}");
        assert_eq!(get(running.health, "/readyz").await.0, 503, "{summary}");
        assert_eq!(get(running.health, "/healthz").await.0, 200, "{summary}");
    }
}

#[tokio::test]
async fn without_an_api_server_the_exporter_lives_and_says_what_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(&folder, SUMMARY).await;
    let kubeconfig = config.kubeconfig.as_ref().unwrap();
    let text = std::fs::read_to_string(kubeconfig).unwrap();
    let (before, _) = text.split_once("http://").unwrap();
    let (_, after) = text.split_once("'}}]\nusers").unwrap();
    std::fs::write(kubeconfig, format!("{before}http://127.0.0.1:1'}}}}]\nusers{after}")).unwrap();
    let running = Running::start(config).await;
    let report = running.report(|report| report.kubelet.up).await;
    assert!(report.pods.is_empty());
    assert!(report.kubelet.error.unwrap().contains("the API server has not listed them"));
    assert_eq!(get(running.health, "/healthz").await.0, 200);
    assert_eq!(get(running.health, "/readyz").await.0, 503);
}

#[tokio::test]
async fn a_watch_that_is_never_answered_is_begun_again() {
    let folder = tempfile::tempdir().unwrap();
    let silent = folder.path().join("silent");
    std::fs::write(&silent, "").unwrap();
    let kubeconfig = api_server(&folder).await;
    let client = client(Some(&kubeconfig), Duration::from_millis(200)).await.unwrap();
    let pods = Pods::default();
    let failed = async {
        let pause = || tokio::time::sleep(Duration::from_millis(20));
        while silent.exists() {
            pause().await;
        }
        // A slow machine may have failed at the list before.
        let before = pods.failures();
        while pods.failures() == before {
            pause().await;
        }
    };
    tokio::select! {
        () = pods.follow(client, "node1") => panic!("it ended"),
        () = tokio::time::sleep(Duration::from_secs(30)) => panic!("nobody noticed"),
        () = failed => {}
    }
    assert_eq!(pods.all().map(|pods| pods.len()), Some(1), "what is known stays");
}

#[tokio::test]
async fn every_address_is_one_of_ipv4_too() {
    let listener = listen("[::]:0".parse().unwrap()).await.unwrap();
    let address = (Ipv4Addr::LOCALHOST, listener.local_addr().unwrap().port());
    assert!(tokio::net::TcpStream::connect(address).await.is_ok());
}

#[tokio::test]
async fn a_port_that_is_taken_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut config = config(&folder, SUMMARY).await;
    config.loopback = taken.local_addr().unwrap();
    let error = Exporter::bind(config).await.err().unwrap();
    assert!(error.to_string().starts_with("cannot listen on 127.0.0.1:"), "{error}");
}

fn asked() -> Asked {
    Asked {
        path: "/metrics".to_owned(),
        headers: hyper::HeaderMap::new(),
        channel: Channel::Plain,
        from: Ipv4Addr::LOCALHOST.into(),
    }
}

#[tokio::test]
async fn scrapers_that_do_not_read_leave_the_others_a_clear_no() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(&folder, SUMMARY).await;
    let heartbeat = Arc::new(Heartbeat::new(config.interval));
    let scrapes = Scrapes::new(tokio::sync::watch::channel(None).1, Pods::default(), heartbeat);
    let asked = asked();
    let held: Vec<Answer> = (0..SCRAPES).map(|_| scrapes.answer(&asked)).collect();
    assert!(held.iter().all(|answer| answer.status == StatusCode::OK));
    assert_eq!(scrapes.answer(&asked).status, StatusCode::SERVICE_UNAVAILABLE);
    drop(held);
    assert_eq!(scrapes.answer(&asked).status, StatusCode::OK);
}

#[tokio::test]
async fn a_pod_that_goes_is_missing_from_the_very_next_scrape() {
    let snapshot = Arc::new(crate::snapshot::example());
    let pods = Pods::of(snapshot.report.pods.iter().map(|pod| pod.uid.as_str()));
    let (_publish, latest) = tokio::sync::watch::channel(Some(Arc::clone(&snapshot)));
    let heartbeat = Arc::new(Heartbeat::new(Duration::from_secs(15)));
    let scrapes = Scrapes::new(latest, pods.clone(), heartbeat);
    let asked = asked();
    let series_of = |pod: &str| {
        let text = String::from_utf8(scrapes.answer(&asked).body.to_vec()).unwrap();
        text.lines().filter(|line| line.contains(&format!("pod=\"{pod}\""))).count()
    };
    assert_eq!((series_of("pay-0"), series_of("cart-5d8f-x2x")), (10, 6));
    pods.forget("2");
    assert_eq!((series_of("pay-0"), series_of("cart-5d8f-x2x")), (0, 6), "no tick has ended meanwhile");
}

#[tokio::test]
async fn the_network_port_gives_metrics_over_tls_to_those_who_may_and_health_to_anyone() {
    let (folder, authority) = (tempfile::tempdir().unwrap(), authority("own"));
    let judge = crate::gate::tests::Judge::start().await;
    let config = config(&folder, SUMMARY).await;
    let kubeconfig = config.kubeconfig.as_ref().unwrap();
    let text = std::fs::read_to_string(kubeconfig).unwrap();
    let (before, after) = text.split_once("server: '").unwrap();
    let (_, after) = after.split_once('\'').unwrap();
    let judged = folder.path().join("judged");
    std::fs::write(&judged, format!("{before}server: 'http://{}'{after}", judge.address)).unwrap();
    crate::tls::tests::write(&config.tls, &authority);
    let heartbeat = Arc::new(Heartbeat::new(config.interval));
    let scrapes = Scrapes::new(tokio::sync::watch::channel(None).1, Pods::default(), heartbeat);
    let gate = Gate::new(client(Some(&judged), SILENCE).await.unwrap(), config.audience.clone(), Lifetimes::default());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let certificates = Some(Arc::new(Certificates::new(config.tls.clone())));
    tokio::spawn(serve(listener, network_routes(scrapes, gate, false), certificates));
    for (head, status) in [
        ("GET /metrics HTTP/1.1\r\nAuthorization: Bearer good", "200"),
        ("GET /metrics HTTP/1.1\r\nAuthorization: Bearer poor", "403"),
        ("GET /metrics HTTP/1.1\r\nAuthorization: Bearer forged", "401"),
        ("GET /metrics HTTP/1.1", "401"),
        ("GET /v1/report HTTP/1.1\r\nAuthorization: Bearer good", "404"),
        ("GET /healthz HTTP/1.1", "200"),
    ] {
        let answer = crate::tls::tests::ask(address, &authority, None, head).await.unwrap();
        assert_eq!(answer.split(' ').nth(1), Some(status), "{head}: {answer}");
        assert_eq!(answer.contains("guard_exporter_build_info"), head.contains("Bearer good") && status == "200");
        assert_eq!(answer.to_lowercase().contains("www-authenticate: bearer"), status == "401");
    }
    assert_eq!(get(address, "/healthz").await.0, 200);
    assert_eq!(get(address, "/metrics").await.0, 404);
}
