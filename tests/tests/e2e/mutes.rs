//! `mute`: by whom it may be written, that exporters heed it, and that a dry run does not.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use guard_tests::cluster::Cluster;
use guard_tests::person::Person;
use guard_tests::{load, wait};
use serde_json::Value;

const FEED: [&str; 4] = ["mute", "deployment/feed", "-n", load::NAMESPACE];

/// The states of feed's pods, and what is noted beside the first.
fn of_feed(person: &Person) -> Result<(Vec<String>, String)> {
    let answer = person.guard(&["status", "-n", load::NAMESPACE, "--all", "-o", "json"])?;
    let document: Value = serde_json::from_str(&answer.out).with_context(|| format!("{answer:?}"))?;
    let all = document["items"].as_array().context("no items")?;
    let feed: Vec<&Value> =
        all.iter().filter(|row| row["name"].as_str().is_some_and(|n| n.starts_with("feed-"))).collect();
    let states = feed.iter().map(|row| row["state"].as_str().unwrap_or("none").to_owned()).collect();
    let note = feed.first().and_then(|row| row["note"].as_str()).unwrap_or_default().to_owned();
    Ok((states, note))
}

fn map(cluster: &Cluster) -> Result<String> {
    cluster.admin().kubectl(&["get", "configmap", "guard-mutes", "-n", "guard-system", "-o", "jsonpath={.data}"])
}

pub(crate) fn a_mute_is_heeded_until_it_ends(cluster: &mut Cluster) -> Result<()> {
    crate::rights::bind(cluster)?;
    let (operator, viewer) = (cluster.person("operator"), cluster.person("viewer"));
    let mute = [&FEED[..], &["--for=1h", "--reason=a load test"]].concat();

    let refused = viewer.guard(&mute)?;
    assert_eq!(refused.code, Some(3), "{refused:?}");
    assert!(refused.err.contains("may not patch configmaps"), "{refused:?}");
    let misspelt = operator.guard(&["mute", "deployment/fed", "-n", load::NAMESPACE, "--reason=x"])?;
    assert!(
        misspelt.code == Some(1) && misspelt.err.contains("deployment/fed in namespace shop not found"),
        "{misspelt:?}"
    );
    let mute_in_words = |how: &str| operator.guard(&[&mute[..], &[how]].concat());
    for how in ["--dry-run", "--dry-run=server"] {
        let dry = mute_in_words(how)?;
        assert!(dry.code == Some(0) && dry.out.contains("dry run"), "{dry:?}");
    }
    assert_eq!(map(cluster)?, "", "a dry run has written");

    let muted = operator.guard(&mute)?;
    assert_eq!(muted.code, Some(0), "{muted:?}");
    let note = wait::until("feed's pods to be muted", Duration::from_secs(30), || {
        let (states, note) = of_feed(&viewer)?;
        ensure!(!states.is_empty() && states.iter().all(|state| state == "muted"), "{states:?}");
        Ok(Some(note))
    })?;
    assert!(note.starts_with("muted by operator until ") && note.ends_with(": a load test"), "{note}");
    let list = viewer.guard(&["mute"])?;
    assert!(
        list.code == Some(0) && list.out.contains("deployment/feed") && list.out.contains("a load test"),
        "{list:?}"
    );

    let ended = operator.guard(&[&FEED[..], &["--end"]].concat())?;
    assert!(ended.code == Some(0) && ended.out.contains("unmuted"), "{ended:?}");
    wait::until("feed's pods to be heard", Duration::from_secs(30), || {
        let (states, _) = of_feed(&viewer)?;
        ensure!(states.iter().all(|state| state != "muted"), "{states:?}");
        Ok(Some(()))
    })?;
    // Each write carried the journal's head.
    let log = cluster.folder().join("audit.log");
    let verified = operator.guard(&["audit", "verify", "--against", &log.to_string_lossy()])?;
    assert!(verified.code == Some(0) && verified.out.contains("agrees: 2 writes "), "{verified:?}");
    Ok(())
}
