//! A real Prometheus beside the cluster, with the configuration and the rules that ship.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use guard_tests::cluster::{Cluster, WORK_IMAGE};
use guard_tests::person::Person;
use guard_tests::process::Service;
use guard_tests::{http, wait};
use serde_json::{Value, json};

use crate::scrape;

/// Where the API server reaches it too.
const HOST: &str = "10.99.0.1";
const PORT: u16 = 9090;

/// The exporters' pods as the discovery of a Prometheus in the cluster would give them.
fn targets(cluster: &Cluster) -> Result<String> {
    let target = |(node, address): &(String, String)| {
        format!(
            "      - targets: ['{address}']\n        labels:\n          \
             __meta_kubernetes_pod_label_app_kubernetes_io_name: guard-exporter\n          \
             __meta_kubernetes_pod_container_port_name: metrics\n          __meta_kubernetes_pod_node_name: {node}\n"
        )
    };
    let targets: Vec<String> = scrape::exporters(cluster)?.iter().map(target).collect();
    Ok(format!("    static_configs:\n{}", targets.concat()))
}

/// The shipped configuration and rules with what differs here: where the files are, the discovery, which Debian's Prometheus is
/// built without, and the time, which is shorter.
fn configure(cluster: &Cluster, folder: &Path) -> Result<()> {
    let mut text = fs::read_to_string(scrape::manifest("prometheus.yml"))?;
    let (before, discovery) = text.split_once("    kubernetes_sd_configs:\n").context("no discovery")?;
    let (_, after) = discovery.split_once("    relabel_configs:\n").context("no relabelling")?;
    text = format!("{before}{}    relabel_configs:\n{after}", targets(cluster)?);
    for (from, to) in [
        ("/var/run/secrets/guard/token", folder.join("token").display().to_string()),
        ("/etc/prometheus/guard/ca.crt", folder.join("ca.crt").display().to_string()),
        ("scrape_interval: 30s", "scrape_interval: 1s".to_owned()),
        ("evaluation_interval: 30s", "evaluation_interval: 1s".to_owned()),
    ] {
        ensure!(text.contains(from), "prometheus.yml has no {from:?}");
        text = text.replace(from, &to);
    }
    fs::write(folder.join("prometheus.yml"), text)?;
    let rules = fs::read_to_string(scrape::manifest("rules.yml"))?;
    ensure!(rules.contains("for: 2m"), "rules.yml has no alert for 2m");
    fs::write(folder.join("rules.yml"), rules.replace("for: 2m", "for: 30s"))?;
    fs::write(folder.join("ca.crt"), scrape::authority(cluster)?)?;
    Ok(fs::write(folder.join("token"), scrape::token(cluster, "scraper")?)?)
}

fn start(folder: &Path) -> Result<Service> {
    let mut command = Command::new("prometheus");
    command
        .arg(format!("--config.file={}", folder.join("prometheus.yml").display()))
        .arg(format!("--storage.tsdb.path={}", folder.join("data").display()))
        .arg(format!("--web.listen-address={HOST}:{PORT}"));
    Service::start(command, &folder.join("log"))
}

/// What its API has at a path.
pub(crate) fn api(path: &str) -> Result<Value> {
    let answer: Value = serde_json::from_slice(&http::get(&format!("{HOST}:{PORT}"), &format!("/api/v1/{path}"))?)?;
    Ok(answer["data"].clone())
}

/// The samples that a query gives now.
pub(crate) fn query(expression: &str) -> Result<Vec<Value>> {
    let answer = api(&format!("query?query={}", http::encoded(expression))).with_context(|| expression.to_owned())?;
    answer["result"].as_array().cloned().with_context(|| format!("{expression} gives no result"))
}

/// A Prometheus with the shipped configuration and rules, that has scraped both exporters.
pub(crate) fn beside(cluster: &Cluster, name: &str) -> Result<Service> {
    let folder = cluster.folder().join(name);
    fs::create_dir_all(&folder)?;
    scrape::make_accounts(cluster)?;
    configure(cluster, &folder)?;
    let prometheus = start(&folder)?;
    expect_up("1")?;
    Ok(prometheus)
}

/// The node, the instance and the value of `up` of each exporter, ordered by node.
fn up() -> Result<Vec<[String; 3]>> {
    let value = |sample: &Value| {
        [&sample["metric"]["node"], &sample["metric"]["instance"], &sample["value"][1]]
            .map(|value| value.as_str().unwrap_or_default().to_owned())
    };
    let mut found: Vec<_> = query("up")?.iter().map(value).collect();
    found.sort();
    Ok(found)
}

fn expect_up(value: &str) -> Result<()> {
    let expected: Vec<_> = ["node1", "node2"].map(|node| [node, node, value].map(str::to_owned)).into();
    wait::until(&format!("up to be {value} on both nodes"), Duration::from_mins(1), || {
        let found = up()?;
        ensure!(found == expected, "{found:?}");
        Ok(Some(()))
    })
}

/// A pod that ends as soon as it begins.
fn broken() -> Value {
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "broken", "namespace": "default"}, "spec": {
        "terminationGracePeriodSeconds": 0,
        "containers": [{"name": "work", "image": WORK_IMAGE, "imagePullPolicy": "Never",
            "command": ["/work", "get", "http://127.0.0.1:1/"]}]}})
}

/// True if the query gives a series of that pod.
fn is_of_broken(expression: &str) -> Result<bool> {
    Ok(query(expression)?.iter().any(|sample| sample["metric"]["pod"] == "broken"))
}

/// A Service of Prometheus. The API server passes requests on to addresses of pods only, so a pod that nobody schedules
/// lends its name to the address outside.
fn make_service(cluster: &Cluster) -> Result<()> {
    let metadata = json!({"name": "prometheus", "namespace": "default"});
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {
        "schedulerName": "nobody", "containers": [{"name": "prometheus", "image": WORK_IMAGE}]}});
    let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": metadata,
        "spec": {"ports": [{"port": PORT}]}});
    let address = json!({"ip": HOST, "targetRef": {"kind": "Pod", "name": "prometheus", "namespace": "default"}});
    let endpoints = json!({"apiVersion": "v1", "kind": "Endpoints", "metadata": metadata,
        "subsets": [{"addresses": [address], "ports": [{"port": PORT}]}]});
    let list = json!({"apiVersion": "v1", "kind": "List", "items": [pod, service, endpoints]});
    cluster.admin().apply(&list.to_string())?;
    let status = json!({"status": {"podIP": HOST, "podIPs": [{"ip": HOST}]}}).to_string();
    let patch = ["patch", "pod", "prometheus", "-n", "default", "--subresource=status", "--type=merge", "-p", &status];
    cluster.admin().kubectl(&patch).map(|_| ())
}

/// Somebody who may see pods and ask Prometheus, and may not forward ports to exporters.
fn reader(cluster: &Cluster) -> Result<Person> {
    make_service(cluster)?;
    let role = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
        "metadata": {"name": "test-reader"}, "rules": [
            {"apiGroups": [""], "resources": ["services/proxy"], "resourceNames": ["prometheus:9090"], "verbs": ["get"]}]});
    let binding = |name: &str, role: &str| {
        json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": name},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "nobody"}]})
    };
    let bindings = [binding("test-reader", "test-reader"), binding("test-reader-views", "guard-viewer")];
    let items = [&[role][..], &bindings].concat();
    cluster.admin().apply(&json!({"apiVersion": "v1", "kind": "List", "items": items}).to_string())?;
    Ok(cluster.person("nobody"))
}

/// The command with the scores of Prometheus, asked at its address or through its Service.
fn with_scores_of_prometheus<'a>(command: &[&'a str], place: &'a str) -> Vec<&'a str> {
    [command, &["-n", "default", "--source=prometheus", place]].concat()
}

const THROUGH_THE_API_SERVER: &str = "--prometheus-service=default/prometheus:9090";

fn the_plugin_reads_it_without_the_exporters(cluster: &Cluster) -> Result<()> {
    let reader = reader(cluster)?;
    let exporters = reader.guard(&["status", "-n", "default"])?;
    assert_eq!(exporters.code, Some(3), "{exporters:?}");
    let url = format!("--prometheus-url=http://{HOST}:{PORT}");
    for place in [url.as_str(), THROUGH_THE_API_SERVER] {
        // A right takes a moment to be known.
        let row = wait::until("the row of the broken pod", Duration::from_secs(30), || {
            let answer = reader.guard(&with_scores_of_prometheus(&["status", "-o", "json"], place))?;
            ensure!(answer.code == Some(0), "{answer:?}");
            let document: Value = serde_json::from_str(&answer.out)?;
            Ok(document["items"].as_array().context("no items")?.iter().find(|row| row["name"] == "broken").cloned())
        })?;
        assert_eq!(row["state"], "anomalous", "{row}");
        assert!(row["score"].as_f64().is_some_and(|score| score >= 0.7), "{row}");
        assert!(row["since"].is_string() && row["reasons"][0]["cause"] == "crash_loop", "{row}");
        let answer = reader.guard(&with_scores_of_prometheus(&["status", "--limit=1", "-o", "json"], place))?;
        let document: Value = serde_json::from_str(&answer.out).with_context(|| format!("{answer:?}"))?;
        let (worst, counts) = (document["items"].as_array().context("no items")?, &document["counts"]);
        assert!(worst.len() == 1 && worst[0]["state"] == "anomalous", "{document}");
        assert!(counts["watched"].as_u64() >= counts["anomalous"].as_u64().max(Some(1)), "{document}");
        assert!(counts["learning"].is_null(), "{document}");
    }
    let all = reader.guard(&with_scores_of_prometheus(&["status", "nodes", "--limit=1"], THROUGH_THE_API_SERVER))?;
    assert!(all.code == Some(2) && all.err.contains("nodes needs them all"), "{all:?}");
    for what in ["workloads", "nodes"] {
        let shown = reader.guard(&with_scores_of_prometheus(&["status", what, "--all"], THROUGH_THE_API_SERVER))?;
        assert!(shown.code == Some(0) && shown.out.lines().count() > 1, "{shown:?}");
    }
    for more in [&["-n", "default"][..], &["-n", "default", "--source=prometheus", THROUGH_THE_API_SERVER]] {
        let person = if more.len() == 2 { cluster.admin() } else { cluster.person("nobody") };
        let incidents = person.guard(&[&["incidents", "-o", "json"], more].concat())?;
        let document: Value = serde_json::from_str(&incidents.out).with_context(|| format!("{incidents:?}"))?;
        let began =
            document["items"].as_array().context("no items")?.iter().filter_map(|item| item["pods"][0]["pod"].as_str());
        assert!(began.into_iter().any(|pod| pod == "broken"), "{document}");
    }
    Ok(())
}

/// A Deployment whose pod ends as soon as it begins.
fn stuck() -> Value {
    let mut spec = broken()["spec"].take();
    spec["terminationGracePeriodSeconds"] = 0.into();
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "stuck", "namespace": "default"},
        "spec": {"selector": {"matchLabels": {"app": "stuck"}}, "template": {
            "metadata": {"labels": {"app": "stuck"}}, "spec": spec}}})
}

/// Explains and plans on what Prometheus tells; a plan on such evidence needs a person.
fn the_plugin_explains_and_plans_without_the_exporters(cluster: &Cluster) -> Result<()> {
    let reader = cluster.person("nobody");
    let shown = reader.guard(&with_scores_of_prometheus(&["explain", "pod/broken"], THROUGH_THE_API_SERVER))?;
    assert_eq!(shown.code, Some(0), "{shown:?}");
    let history = shown.out.lines().find(|line| line.starts_with("history "));
    assert!(history.is_some_and(|line| line.contains("score over the last")), "{}", shown.out);

    cluster.admin().apply(&stuck().to_string())?;
    let fix = with_scores_of_prometheus(&["fix", "deployment/stuck", "--action=restart"], THROUGH_THE_API_SERVER);
    let plan = wait::until("a plan on the score of the stuck pod", Duration::from_mins(2), || {
        let answer = reader.guard(&[&fix[..], &["--dry-run", "-o", "json"]].concat())?;
        let plan: Value = serde_json::from_str(&answer.out).with_context(|| format!("{answer:?}"))?;
        ensure!(plan["evidence"]["over"] == 1, "{answer:?}");
        Ok(Some(plan))
    })?;
    assert_eq!(plan["evidence"]["source"], "prometheus", "{plan}");
    let unattended = cluster.admin().guard(&[&fix[..], &["--yes", "--confidence-threshold=0.5"]].concat())?;
    assert_eq!(unattended.code, Some(6), "{unattended:?}");
    assert!(unattended.err.contains("a person who types the target's name"), "{unattended:?}");
    cluster.admin().kubectl(&["delete", "deployment", "stuck", "-n", "default"])?;
    Ok(())
}

/// Prometheus' own words for a pod become a column beside the kubelet's.
fn its_metrics_are_collected_as_columns(cluster: &Cluster) -> Result<()> {
    let table = cluster.folder().join("own.csv");
    let output = format!("--output-file={}", table.display());
    let url = format!("--prometheus-url=http://{HOST}:{PORT}");
    let own = "--metric-name=line=guard_pod_anomaly_threshold";
    let words = ["collect", "-n", "default", "--metric-name=guard_pod_anomaly_score", own, &url, &output];
    let collected = cluster.admin().guard(&[&words[..], &["--duration=3s", "--interval=1s"]].concat())?;
    assert_eq!(collected.code, Some(0), "{collected:?}");
    let text = fs::read_to_string(&table)?;
    let titles = text.lines().next().context("an empty table")?;
    assert!(titles.ends_with(",guard_pod_anomaly_score,line"), "{titles}");
    let row = text.lines().find(|line| line.contains(",default,broken,")).with_context(|| text.clone())?;
    let score: f64 = row.rsplit(',').nth(1).context("too few cells")?.parse().with_context(|| row.to_owned())?;
    assert!((0.7..=1.0).contains(&score), "{row}");
    assert!(collected.err.contains("line has no series of a pod"), "{}", collected.err);

    let nowhere = "--prometheus-url=http://127.0.0.1:1";
    let unreachable = cluster.admin().guard(&["collect", "-n", "default", "--test", "--metric-name=x", nowhere])?;
    assert_ne!(unreachable.code, Some(0), "{unreachable:?}");
    assert!(unreachable.err.contains("127.0.0.1:1"), "{unreachable:?}");
    Ok(())
}

/// What the plugin says while Prometheus cannot scrape the exporters.
fn the_plugin_tells_that_scores_are_missing(cluster: &Cluster) -> Result<()> {
    let reader = cluster.person("nobody");
    let status = reader.guard(&with_scores_of_prometheus(&["status"], THROUGH_THE_API_SERVER))?;
    assert_eq!(status.code, Some(1), "{status:?}");
    assert!(status.err.contains("Prometheus cannot scrape its exporter"), "{status:?}");
    Ok(())
}

pub(crate) fn a_real_prometheus_scrapes_with_its_token(cluster: &mut Cluster) -> Result<()> {
    let folder = cluster.folder().join("prometheus");
    let mut prometheus = beside(cluster, "prometheus")?;
    let _leftovers = Leftovers(cluster.admin());
    // A fact, so that nothing has to be learnt first.
    cluster.admin().apply(&broken().to_string())?;
    wait::until("the score of the broken pod", Duration::from_mins(2), || {
        prometheus.check()?;
        let found = is_of_broken("guard_pod_anomaly_score")?;
        ensure!(found, "its state: {:?}", query("guard_pod_state")?);
        Ok(is_of_broken("ALERTS")?.then_some(()))
    })?;
    the_plugin_reads_it_without_the_exporters(cluster)?;
    the_plugin_explains_and_plans_without_the_exporters(cluster)?;
    its_metrics_are_collected_as_columns(cluster)?;
    let help = api("metadata?metric=guard_pod_anomaly_score")?["guard_pod_anomaly_score"][0].clone();
    assert_eq!(help["type"], "gauge", "{help}");
    let rules = api("rules")?.to_string();
    assert!(rules.contains(r#""health":"ok""#) && !rules.contains(r#""health":"err""#), "{rules}");

    // Prometheus reads the file for each scrape. A stranger's token, and one for somebody else, are refused.
    for (token, status) in [(scrape::token(cluster, "stranger")?, "403"), ("forged".to_owned(), "401")] {
        fs::write(folder.join("token"), token)?;
        expect_up("0")?;
        wait::until(&format!("{status} to be told"), Duration::from_secs(30), || {
            let targets = api("targets")?["activeTargets"].as_array().cloned().context("no targets")?;
            let said = |target: &Value| target["lastError"].as_str().is_some_and(|error| error.contains(status));
            ensure!(targets.len() == 2 && targets.iter().all(said), "{targets:?}");
            Ok(Some(()))
        })?;
    }
    the_plugin_tells_that_scores_are_missing(cluster)?;
    fs::write(folder.join("token"), scrape::token(cluster, "scraper")?)?;
    expect_up("1")?;
    cluster.admin().kubectl(&["delete", "pod", "broken", "-n", "default"])?;
    wait::until("nothing to be left of the pod", Duration::from_mins(1), || {
        Ok((!is_of_broken("guard_pod_state")? && !is_of_broken("ALERTS")?).then_some(()))
    })?;
    Ok(())
}

/// Takes away what this test made, passed or not: the rights of nobody and a pod that stays pending would fail others.
struct Leftovers(Person);

impl Drop for Leftovers {
    fn drop(&mut self) {
        let roles =
            ["clusterrolebinding/test-reader", "clusterrolebinding/test-reader-views", "clusterrole/test-reader"];
        let things = ["pod/prometheus", "service/prometheus", "deployment/stuck", "pod/broken"];
        let delete = |words: &[&str], names: &[&str]| {
            let words = [&["delete", "--ignore-not-found"][..], words, names].concat();
            if let Err(problem) = self.0.kubectl(&words) {
                guard_tests::suite::note(&format!("left behind: {problem:#}"));
            }
        };
        delete(&[], &roles);
        delete(&["-n", "default"], &things);
    }
}
