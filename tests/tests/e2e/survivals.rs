//! Parts of the cluster that fail, three times each: `tests/run --faults`. The exporters come back to a whole report by
//! themselves, nothing is learnt anew that had been learnt, and no pod of the load is accused.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use guard_tests::cluster::{Cluster, NODES};
use guard_tests::inject::exporters;
use guard_tests::survival::survive;
use guard_tests::{http, load, wait};
use jiff::Timestamp;
use nix::unistd::Pid;
use serde_json::Value;

use crate::scrape;
use crate::status::{load_rows, wait_for_calm};

const TIMES: usize = 3;
const SOON: Duration = Duration::from_mins(3);
const OUTAGE: Duration = Duration::from_mins(1);
const ETCD: &str = "127.0.0.1:2379";

/// Every pod of the load has a score, and none is over its line, by readings that were made after this was asked.
fn is_calm(cluster: &Cluster) -> Result<()> {
    let admin = cluster.admin();
    is_read(cluster)?;
    wait::until("a score for every pod of the load", SOON, || {
        let rows = load_rows(&admin)?;
        let pods = admin.kubectl(&["-n", load::NAMESPACE, "get", "pods", "--no-headers"])?.lines().count();
        ensure!(rows.len() == pods, "{} rows for {pods} pods", rows.len());
        let other = rows.iter().find(|row| row["state"] != "ok");
        ensure!(other.is_none(), "{}", other.map(Value::to_string).unwrap_or_default());
        Ok(Some(()))
    })
}

/// Waits until each node was read again: what was seen before a fault says nothing of what it did.
fn is_read(cluster: &Cluster) -> Result<()> {
    let asked = Timestamp::now().as_millisecond() as f64 / 1000.0;
    let (authority, token) = (scrape::authority(cluster)?, scrape::token(cluster, "scraper")?);
    wait::until("a reading of each node", SOON, || {
        let exporters = scrape::exporters(cluster)?;
        ensure!(exporters.len() == NODES.len(), "{exporters:?}");
        for (node, address) in exporters {
            let (status, text) = http::get_tls(&address, scrape::NAME, &authority, "/metrics", Some(&token))?;
            ensure!(status == 200, "{node}: {status}: {text}");
            let read = text.lines().find_map(|line| line.strip_prefix("guard_last_sample_timestamp_seconds "));
            let read: f64 = read.with_context(|| format!("{node} was never read"))?.parse()?;
            ensure!(read > asked, "{node} was read {:.0} s before", asked - read);
        }
        Ok(Some(()))
    })
}

fn begin(cluster: &mut Cluster) -> Result<()> {
    scrape::make_accounts(cluster)?;
    wait_for_calm(cluster)
}

/// The processes of the exporters are the same as before.
fn no_exporter_restarted(before: &BTreeMap<&str, Pid>) -> Result<()> {
    let now = exporters()?;
    ensure!(now == *before, "an exporter was restarted: {before:?}, {now:?}");
    Ok(())
}

pub(crate) fn the_api_server_restarts(cluster: &mut Cluster) -> Result<()> {
    begin(cluster)?;
    let claim = "no exporter restarts; every pod of the load has its score; none is accused";
    survive("cluster", "api server restarts", claim, TIMES, |_| outage(cluster, Duration::ZERO))
}

pub(crate) fn the_api_server_is_away(cluster: &mut Cluster) -> Result<()> {
    begin(cluster)?;
    let claim = "no exporter restarts; every pod of the load has its score; none is accused";
    survive("cluster", "api server away for 60 s", claim, TIMES, |_| outage(cluster, OUTAGE))
}

fn outage(cluster: &mut Cluster, lasting: Duration) -> Result<()> {
    let before = exporters()?;
    cluster.own()?.stop_api_server();
    std::thread::sleep(lasting);
    cluster.own()?.start_api_server()?;
    is_calm(cluster)?;
    no_exporter_restarted(&before)
}

/// What the exporters' watches would go on from is no longer there: a pod that comes meanwhile must be known all the same.
pub(crate) fn etcd_is_compacted(cluster: &mut Cluster) -> Result<()> {
    begin(cluster)?;
    let claim = "pods that came while nobody watched have their row; no exporter restarts";
    survive("cluster", "etcd compacted while the api server is away", claim, TIMES, |number| {
        let before = exporters()?;
        let name = format!("late-{number}");
        let admin = cluster.admin();
        let mark = format!("compacted={number}");
        admin.kubectl(&["-n", load::NAMESPACE, "annotate", "pods", "--all", "--overwrite", &mark])?;
        cluster.own()?.stop_api_server();
        compact()?;
        cluster.own()?.start_api_server()?;
        let image = format!("--image={}", guard_tests::cluster::WORK_IMAGE);
        admin.kubectl(&["-n", load::NAMESPACE, "run", &name, &image, "--image-pull-policy=Never"])?;
        wait::until("the row of a pod that came late", SOON, || {
            let known = load_rows(&admin)?.iter().any(|row| row["name"] == name.as_str() && row["state"].is_string());
            Ok(known.then_some(()))
        })?;
        admin.kubectl(&["-n", load::NAMESPACE, "delete", "pod", &name, "--grace-period=0", "--force"])?;
        is_calm(cluster)?;
        no_exporter_restarted(&before)
    })
}

/// Throws away everything before the present revision, by etcd's gateway for JSON.
fn compact() -> Result<()> {
    let now: Value = serde_json::from_str(&post("/v3/kv/range", r#"{"key": "AA=="}"#)?)?;
    let revision = now["header"]["revision"].as_str().context("etcd tells no revision")?.to_owned();
    post("/v3/kv/compaction", &format!(r#"{{"revision": "{revision}", "physical": true}}"#)).map(drop)
}

fn post(path: &str, body: &str) -> Result<String> {
    let mut stream = TcpStream::connect(ETCD)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let head = format!("POST {path} HTTP/1.0\r\nHost: {ETCD}\r\nContent-Length: {}\r\n\r\n", body.len());
    stream.write_all(format!("{head}{body}").as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").context("no head in the answer")?;
    ensure!(head.contains(" 200 "), "{path}: {answer}");
    Ok(body.to_owned())
}

pub(crate) fn a_kubelet_restarts(cluster: &mut Cluster) -> Result<()> {
    begin(cluster)?;
    let claim = "no exporter restarts; every pod of the load has its score; none is accused";
    survive("cluster", "kubelet restarts", claim, TIMES, |number| {
        let before = exporters()?;
        let node = number % 2;
        cluster.own()?.nodes[node].stop_kubelet();
        cluster.own()?.nodes[node].start_kubelet()?;
        cluster.own()?.wait_for_node(&format!("node{}", node + 1), "True")?;
        is_calm(cluster)?;
        no_exporter_restarted(&before)
    })
}

pub(crate) fn a_container_runtime_restarts(cluster: &mut Cluster) -> Result<()> {
    begin(cluster)?;
    let claim = "no exporter restarts; every pod of the load has its score; none is accused";
    survive("cluster", "containerd restarts", claim, TIMES, |number| {
        let before = exporters()?;
        let node = number % 2;
        cluster.own()?.nodes[node].restart_runtime()?;
        cluster.own()?.wait_for_node(&format!("node{}", node + 1), "True")?;
        is_calm(cluster)?;
        no_exporter_restarted(&before)
    })
}

/// Its pods come up again under their names; the exporter among them, with what it had learnt.
pub(crate) fn a_node_loses_its_power(cluster: &mut Cluster) -> Result<()> {
    begin(cluster)?;
    let claim =
        "the exporter is back with what it had learnt: every pod of the load has its score, and none is learnt anew";
    survive("cluster", "node loses its power", claim, TIMES, |number| {
        cluster.own()?.reboot(1 + (number % 2) as u8)?;
        let admin = cluster.admin();
        wait::until("every pod to be scored again", SOON, || {
            let rows = load_rows(&admin)?;
            // Traffic may have found other ways meanwhile; that is an anomaly, and known only to who has learnt.
            let known = |row: &&Value| row["state"] == "ok" || row["state"] == "anomalous";
            let other = rows.iter().find(|row| !known(row));
            ensure!(other.is_none(), "{}", other.map(Value::to_string).unwrap_or_default());
            Ok(Some(()))
        })
    })
}
