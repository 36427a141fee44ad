//! Metrics without an exporter, through the API server, and what `analyze` makes of them.

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use guard_tests::cluster::Cluster;
use guard_tests::person::{Answer, Person};
use guard_tests::process::Service;
use guard_tests::{load, wait};
use nix::sys::signal::Signal;

fn collect(person: &Person, words: &[&str]) -> Result<Answer> {
    person.guard(&[&["collect", "-n", load::NAMESPACE, "--interval=2s"], words].concat())
}

fn text(path: &Path) -> Result<&str> {
    path.to_str().context("a path that is no text")
}

/// Keeps a recording until it is asked to end, as whoever supervises it asks.
fn collect_until_asked(person: &Person, recording: &Path) -> Result<()> {
    let mut command = person.command("kubectl");
    command.args(["guard", "collect", "-n", load::NAMESPACE, "--interval=2s", "--raw", text(recording)?]);
    let log = recording.with_extension("log");
    let mut collecting = Service::start(command, &log)?;
    wait::until("the first tick", Duration::from_mins(1), || {
        Ok(std::fs::read_to_string(&log)?.contains("^C ends it").then_some(()))
    })?;
    collecting.check()?;
    collecting.end(Signal::SIGTERM, Duration::from_secs(10))
}

pub(crate) fn metrics_are_collected_and_analyzed(cluster: &mut Cluster) -> Result<()> {
    let admin = cluster.admin();
    let folder = tempfile::tempdir()?;
    let (table, recording) = (folder.path().join("m.csv"), folder.path().join("r.tar.zst"));

    let tested = collect(&admin, &["--test"])?;
    assert!(tested.code == Some(0) && tested.out.contains("can be measured"), "{tested:?}");

    let output = format!("--output-file={}", text(&table)?);
    for _ in 0..2 {
        let collected = collect(&admin, &[&output, "--duration=5s"])?;
        assert_eq!(collected.code, Some(0), "{collected:?}");
    }
    let rows = std::fs::read_to_string(&table)?;
    assert_eq!(rows.lines().filter(|line| line.starts_with("timestamp,")).count(), 1, "the second run goes on");
    let feeds: Vec<&str> = rows.lines().filter(|line| line.contains(&format!(",{},feed-", load::NAMESPACE))).collect();
    assert!(feeds.len() >= 4, "{rows}");
    let titles = rows.lines().next().context("no titles")?.split(',');
    let cells: HashMap<&str, &str> = titles.zip(feeds.last().context("no row")?.split(',')).collect();
    let number = |title: &str| cells.get(title).and_then(|cell| cell.parse::<f64>().ok());
    assert!(number("cpu_usage_cores").is_some(), "{cells:?}");
    assert!(number("memory_working_set_bytes").is_some_and(|bytes| bytes > 1e6), "{cells:?}");

    let raw = collect(&admin, &["--raw", text(&recording)?, "--duration=5s"])?;
    assert_eq!(raw.code, Some(0), "{raw:?}");
    let ended = folder.path().join("ended.tar.zst");
    collect_until_asked(&admin, &ended)?;
    for file in [&table, &recording, &ended] {
        let insights = folder.path().join("i.json");
        let answer = admin.guard(&["analyze", text(file)?, "--output-file", text(&insights)?])?;
        assert_eq!(answer.code, Some(0), "{answer:?}");
        let document: serde_json::Value = serde_json::from_slice(&std::fs::read(&insights)?)?;
        assert!(document["pods_watched"].as_u64() > Some(0), "{document}");
    }

    let incidents = admin.guard(&["incidents", "--input-file", text(&recording)?, "-o", "json"])?;
    let document: serde_json::Value = serde_json::from_str(&incidents.out).with_context(|| format!("{incidents:?}"))?;
    assert_eq!(document["kind"], "IncidentList", "{document}");

    crate::rights::bind(cluster)?;
    // This cluster has no metrics API to fall back on.
    let refused = collect(&cluster.person("viewer"), &[&output, "--duration=1s"])?;
    assert_eq!(refused.code, Some(3), "{refused:?}");
    assert!(refused.err.contains("may not get nodes/proxy"), "{}", refused.err);
    Ok(())
}
