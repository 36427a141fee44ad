//! `mute`, `install` and `uninstall` killed at each of their writes: whoever runs the same command again ends where an
//! undisturbed one would have, and the journal tells of every write.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use guard_tests::cluster::{Cluster, EXPORTER_IMAGE};
use guard_tests::kills::{COMMANDS, Kill, commands, note, open, record};
use guard_tests::person::{Answer, Person};
use guard_tests::{load, survival, wait};
use serde_json::Value;

const MUTER: &str = "operator";
const FEED: &str = "deployment/feed";

fn words(kill: &Kill) -> &'static [&'static str] {
    match kill.action.as_str() {
        "mute" => &["mute", FEED, "-n", load::NAMESPACE, "--for=1h", "--reason=a drill"],
        "mute-end" => &["mute", FEED, "-n", load::NAMESPACE, "--end"],
        "uninstall" => &["uninstall", "--yes"],
        _ => &INSTALL,
    }
}

const INSTALL: [&str; 6] =
    ["install", "--image", EXPORTER_IMAGE, "--image-pull-policy=Never", "--interval=10s", "--kubelet-insecure-tls"];

/// Runs the command until it is killed; false if it had ended before.
fn killed(by: &Person, kill: &Kill) -> Result<bool> {
    let ended = by.clone().with("GUARD_KILL_AT", &kill.at).guard(words(kill))?;
    ensure!(ended.code.is_none() || kill.at.matches(':').count() == 2, "it was not killed at {}: {ended:?}", kill.at);
    Ok(ended.code.is_none())
}

fn done(by: &Person, words: &[&str]) -> Result<Answer> {
    let done = by.guard(words)?;
    ensure!(done.code == Some(0), "{words:?}: {done:?}");
    Ok(done)
}

/// The targets of the mutes that hold.
fn muted(by: &Person) -> Result<Vec<Value>> {
    let list: Value = serde_json::from_str(&done(by, &["mute", "-o", "json"])?.out)?;
    Ok(list.as_array().context("no list")?.clone())
}

fn mutes(cluster: &Cluster, kills: &[Kill], note: &mut impl FnMut(&Kill, bool) -> Result<()>) -> Result<()> {
    if kills.is_empty() {
        return Ok(());
    }
    crate::rights::bind(cluster)?;
    let muter = cluster.person(MUTER);
    for kill in kills {
        let begins = kill.action == "mute";
        if !begins {
            done(&muter, &["mute", FEED, "-n", load::NAMESPACE, "--reason=a drill"])?;
        }
        let was_killed = killed(&muter, kill)?;
        done(&muter, words(kill))?;
        ensure!(muted(&muter)?.len() == usize::from(begins), "{kill}: {:?}", muted(&muter)?);
        done(&muter, &["mute", FEED, "-n", load::NAMESPACE, "--end"])?;
        note(kill, was_killed)?;
    }
    // Every write carried the head of a line that the journal still holds.
    let log = cluster.folder().join("audit.log");
    let verified = done(&muter, &["audit", "verify", "--against", &log.to_string_lossy()])?;
    ensure!(verified.out.contains("agrees: "), "{verified:?}");
    Ok(())
}

/// What an installation is made of, in the order in which the command writes it.
fn titles(by: &Person, words: &[&str]) -> Result<Vec<String>> {
    let shown = done(by, &[words, &["--dry-run=client"]].concat())?;
    Ok(shown.out.lines().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect())
}

/// Which of them are in the cluster.
fn there(by: &Person, titles: &[String]) -> Result<BTreeSet<String>> {
    let objects: Vec<&str> = titles.iter().map(String::as_str).collect();
    let ask = ["get", "-n", "guard-system", "--ignore-not-found", "-o", "name"];
    let found = by.kubectl(&[&ask[..], &objects].concat())?;
    Ok(found.lines().map(str::to_owned).collect())
}

/// How many writes were done when it was killed.
fn reached(kill: &Kill) -> Result<usize> {
    let number = kill.at.split(':').nth(1).and_then(|number| number.parse::<usize>().ok()).context("no number")?;
    Ok(if kill.at.contains("before") { number - 1 } else { number })
}

/// Each killed run goes on where the one before it was killed; each has done what it was to do by then and nothing more. The
/// last one is not killed, and everything has gone.
fn uninstalls(admin: &Person, kills: &[Kill], note: &mut impl FnMut(&Kill, bool) -> Result<()>) -> Result<()> {
    let words = ["uninstall", "--yes"];
    let all = titles(admin, &words)?;
    let had = there(admin, &all)?;
    for kill in kills {
        let was_killed = killed(admin, kill)?;
        let gone: BTreeSet<String> = all[..reached(kill)?].iter().cloned().collect();
        // The namespace takes a moment to go.
        let left: BTreeSet<String> = had.difference(&gone).filter(|title| !is_namespace(title)).cloned().collect();
        let found: BTreeSet<String> = there(admin, &all)?.into_iter().filter(|title| !is_namespace(title)).collect();
        ensure!(found == left, "{kill}: {found:?} are left, and not {left:?}");
        note(kill, was_killed)?;
    }
    done(admin, &words)?;
    let left: Vec<String> = there(admin, &all)?.into_iter().filter(|title| !is_namespace(title)).collect();
    ensure!(left.is_empty(), "{left:?}");
    Ok(())
}

fn is_namespace(title: &str) -> bool {
    title.starts_with("namespace/")
}

fn installs(cluster: &Cluster, kills: &[Kill], note: &mut impl FnMut(&Kill, bool) -> Result<()>) -> Result<()> {
    let admin = &cluster.admin();
    settled(admin)?;
    let mut furthest = 0;
    for kill in kills {
        // A run that found a certificate would not make another: the last objects would come one earlier.
        admin.kubectl(&["delete", "secret", "guard-exporter-tls", "-n", "guard-system", "--ignore-not-found"])?;
        let all = titles(admin, &INSTALL)?;
        let was_killed = killed(admin, kill)?;
        let done = reached(kill)?;
        furthest = furthest.max(done);
        let found = there(admin, &all)?;
        let missing: Vec<&String> = all[..done].iter().filter(|title| !found.contains(*title)).collect();
        let early: Vec<&String> =
            all[furthest..].iter().filter(|title| found.contains(*title) && !is_namespace(title)).collect();
        ensure!(missing.is_empty() && early.is_empty(), "{kill}: missing {missing:?}, there already {early:?}");
        note(kill, was_killed)?;
    }
    // It waits until the exporters are ready on every node.
    done(admin, &INSTALL)?;
    let authority = |object: &str, path: &str| {
        admin.kubectl(&["get", object, "-n", "guard-system", "-o", &format!("go-template={path}")])
    };
    let signed = authority("secret/guard-exporter-tls", r#"{{index .data "ca.crt" | base64decode}}"#)?;
    let told = authority("configmap/guard-exporter-ca", r#"{{index .data "ca.crt"}}"#)?;
    ensure!(signed == told, "scrapers are told of another authority than the one that signed");
    crate::scrape::certificates_are_current(cluster)
}

/// A namespace that is going away takes nothing.
fn settled(admin: &Person) -> Result<()> {
    wait::until("the namespace to be gone, or to stay", Duration::from_mins(2), || {
        let phase = ["get", "namespace", "guard-system", "--ignore-not-found", "-o", "jsonpath={.status.phase}"];
        Ok((admin.kubectl(&phase)?.trim() != "Terminating").then_some(()))
    })
}

fn go_through(cluster: &Cluster, kills: &[Kill], mut note: impl FnMut(&Kill, bool) -> Result<()>) -> Result<()> {
    let of = |command: &str| kills.iter().filter(|kill| kill.action == command).cloned().collect::<Vec<Kill>>();
    let admin = cluster.admin();
    mutes(cluster, &[of("mute"), of("mute-end")].concat(), &mut note)?;
    let (uninstall, install) = (of("uninstall"), of("install"));
    if !uninstall.is_empty() || !install.is_empty() {
        uninstalls(&admin, &uninstall, &mut note)?;
        installs(cluster, &install, &mut note)?;
    }
    Ok(())
}

/// A part: each moment of a mute, and the first two objects of an installation, away and back.
pub(crate) fn a_killed_mute_install_or_uninstall_is_run_again(cluster: &mut Cluster) -> Result<()> {
    let part = |kill: &Kill| {
        let number = kill.at.split(':').nth(1).and_then(|number| number.parse::<usize>().ok());
        number.is_some_and(|number| number <= 2) && kill.at.matches(':').count() == 1
    };
    go_through(cluster, &commands().into_iter().filter(part).collect::<Vec<Kill>>(), |_, _| Ok(()))
}

/// All of them, and no object more or less than they are killed at.
pub(crate) fn every_command_survives_its_write_points(cluster: &mut Cluster) -> Result<()> {
    let admin = cluster.admin();
    for (command, point, writes) in COMMANDS.into_iter().filter(|(_, point, _)| *point == "object") {
        let words: &[&str] = if command == "install" { &INSTALL } else { &["uninstall", "--yes"] };
        // Here the certificate is there already, and only its authority is applied.
        let (objects, there) = (titles(&admin, words)?.len(), usize::from(command == "install"));
        if objects + there != writes {
            bail!("{command} writes {objects} objects and {there} more, and its {point} is killed {writes} times");
        }
    }
    go_through(cluster, &open(commands(), &record()?), note)?;
    survival::tell()
}
