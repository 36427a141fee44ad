//! Whoever watches a soak: what the processes take, and what the exporters say of each pod.

use std::collections::BTreeMap;
use std::fs;

use anyhow::{Context, Result, ensure};
use guard_tests::cluster::Cluster;
use guard_tests::inject::processes;
use guard_tests::process::resident;
use guard_tests::soak::NAMESPACE;
use guard_tests::soak::record::{Alert, Calm, Files, Label, Sample, Told};
use guard_tests::{http, load};
use jiff::Timestamp;
use serde_json::Value;

use crate::scrape;
use crate::status::{leading_cause, rows};

/// How the kernel counts CPU on every platform that it runs on.
const TICKS_A_SECOND: f64 = 100.0;
/// Longer than a soak.
const TOKEN: &str = "--duration=10h";

/// What is watched, and what was seen.
pub(super) struct Watching<'a> {
    cluster: &'a Cluster,
    files: &'a Files,
    token: String,
    authority: String,
    /// Faults whose pods are not calm.
    pub(super) felt: Vec<Label>,
    alerts: BTreeMap<(Timestamp, String), Alert>,
    /// The exporters have learnt the pods of the soak.
    learnt: bool,
}

impl<'a> Watching<'a> {
    pub(super) fn start(cluster: &'a Cluster, files: &'a Files, only: Option<&str>) -> Result<Self> {
        let audience = format!("--audience={}", scrape::NAME);
        let token = cluster.admin().kubectl(&["create", "token", "scraper", "-n", "default", &audience, TOKEN])?;
        let authority = scrape::authority(cluster)?;
        let (felt, alerts) = (Vec::new(), BTreeMap::new());
        Ok(Self { cluster, files, token: token.trim().to_owned(), authority, felt, alerts, learnt: only.is_none() })
    }

    /// Takes one sample of everything.
    pub(super) fn sample(&mut self, run: u32) -> Result<()> {
        let at = Timestamp::now();
        self.files.sample(&sample(at, "run", run, 0)?)?;
        let addresses = scrape::exporters(self.cluster)?;
        for (pid, groups) in processes("guard-exporter") {
            let here = |(node, _): &&(String, String)| groups.contains(&format!("/{node}/"));
            // One that a test runs beside the installed ones is in no node's groups.
            let Some((node, address)) = addresses.iter().find(here) else { continue };
            let (status, text) = http::get_tls(address, scrape::NAME, &self.authority, "/metrics", Some(&self.token))?;
            ensure!(status == 200, "{node}'s exporter answers {status}: {text}");
            let series = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()).count();
            self.files.sample(&sample(at, node, pid.as_raw() as u32, series as u64)?)?;
        }
        let rows = rows(&self.cluster.admin())?;
        rows.iter().try_for_each(|row| self.take(at, row))?;
        self.files.calm(&self.calm(at, &rows))
    }

    fn take(&mut self, at: Timestamp, row: &Value) -> Result<()> {
        if row["state"] != "anomalous" || !self.learnt {
            return Ok(());
        }
        let text = |key: &str| row[key].as_str().unwrap_or_default().to_owned();
        let since: Timestamp = text("since").parse().with_context(|| row.to_string())?;
        let score = row["score"].as_f64().unwrap_or_default();
        let new = || Alert {
            since,
            last: at,
            namespace: text("namespace"),
            pod: text("name"),
            node: text("node"),
            cause: leading_cause(row).to_owned(),
            score,
        };
        let alert = self.alerts.entry((since, text("name"))).or_insert_with(new);
        (alert.last, alert.score) = (at, alert.score.max(score));
        Ok(())
    }

    /// The pods of the load that are learnt and that no fault has touched lately.
    fn calm(&self, at: Timestamp, rows: &[Value]) -> Calm {
        let touched = |pod: &str| self.felt.iter().any(|label| label.pod == pod && label.is_felt(at));
        let scores: Vec<f64> = rows
            .iter()
            .filter(|row| [NAMESPACE, load::NAMESPACE].contains(&row["namespace"].as_str().unwrap_or_default()))
            .filter(|row| row["state"] != "learning" && !touched(row["name"].as_str().unwrap_or_default()))
            .filter_map(|row| row["score"].as_f64())
            .collect();
        let mean = scores.iter().sum::<f64>() / (scores.len().max(1)) as f64;
        Calm { at, pods: scores.len(), mean, highest: scores.iter().copied().fold(0.0, f64::max) }
    }

    /// Writes down the alerts.
    pub(super) fn end(self) -> Result<()> {
        self.alerts.values().try_for_each(|alert| self.files.alert(alert))
    }
}

/// What the kernel says of a process.
fn sample(at: Timestamp, subject: &str, pid: u32, series: u64) -> Result<Sample> {
    let read = |file: &str| fs::read_to_string(format!("/proc/{pid}/{file}")).context(subject.to_owned());
    let stat = read("stat")?;
    // The name in brackets may hold blanks; user and system time are the 14th and the 15th field.
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
    let ticks = |field: usize| fields.get(field - 3).and_then(|text| text.parse::<f64>().ok()).unwrap_or_default();
    Ok(Sample {
        at,
        subject: subject.to_owned(),
        pid,
        rss: resident(pid)?,
        fds: fs::read_dir(format!("/proc/{pid}/fd"))?.count() as u64,
        cpu: (ticks(14) + ticks(15)) / TICKS_A_SECOND,
        series,
    })
}

/// An incident as `run` told it.
pub(super) fn told(incident: &Value) -> Result<Told> {
    let pods = incident["pods"].as_array().context("an incident without pods")?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let first = pods.first().context("an incident without a first mover")?;
    Ok(Told {
        from: text(&incident["from"]).parse().with_context(|| incident.to_string())?,
        namespace: text(&first["namespace"]),
        pod: text(&first["pod"]),
        cause: text(&first["cause"]),
        score: pods.iter().filter_map(|pod| pod["score"].as_f64()).fold(0.0, f64::max),
        pods: pods.iter().map(|pod| text(&pod["pod"])).collect(),
        at: Timestamp::now(),
    })
}
