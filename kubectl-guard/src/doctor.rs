//! Named checks of everything that `kubectl guard` leans on, each with what to do about it.
//!
//! The checks are pure functions over what was found; [`crate::commands::doctor`] finds it.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fmt;
use std::path::PathBuf;

use guard_model::report::NodeReport;
use serde::Serialize;

use crate::error::Error;
use crate::sanitise;
use crate::scores::Scores;
use crate::setup::certificates::RENEWAL_HOURS;
use crate::version::{INSTALL_AGAIN, VERSION};

pub mod rights;

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Level {
    /// Nothing to do.
    Ok,
    /// It works, and could be better.
    Warn,
    /// Something will not work.
    Fail,
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Level::Ok => "OK",
            Level::Warn => "WARN",
            Level::Fail => "FAIL",
        })
    }
}

/// One check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// Its name; stable, for scripts.
    pub name: &'static str,
    /// How it ended.
    pub level: Level,
    /// What was found.
    pub found: String,
    /// What to do about it.
    pub fix: Option<String>,
}

impl Check {
    /// Nothing to do.
    pub fn ok(name: &'static str, found: impl Into<String>) -> Self {
        Self { name, level: Level::Ok, found: found.into(), fix: None }
    }

    /// It works, and could be better.
    pub fn warn(name: &'static str, found: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { name, level: Level::Warn, found: found.into(), fix: Some(fix.into()) }
    }

    /// Something will not work.
    pub fn fail(name: &'static str, found: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { name, level: Level::Fail, found: found.into(), fix: Some(fix.into()) }
    }

    /// What an error of a command says.
    pub fn error(name: &'static str, error: &Error) -> Self {
        Self { name, level: Level::Fail, found: error.to_string(), fix: error.hint() }
    }
}

/// What to do where a kubelet's certificate cannot be verified.
pub const KUBELET_TLS: &str = "best: `serverTLSBootstrap: true` in the kubelets' configuration and approval of their \
certificate signing requests; or `kubectl guard install` with all the flags of the last time and one more: `--kubelet-ca FILE` \
with the authority that signs them, or `--kubelet-insecure-tls`, which hands the exporter's token to whoever answers at a node's \
address";

/// What to do where the certificate of an exporter's network port ends.
fn serving_renewal() -> String {
    format!(
        "to renew it, {INSTALL_AGAIN}; exporters take it up by themselves, within two minutes. One that neither made is \
         renewed by whoever did"
    )
}

/// kubectl runs the executable with the longest matching name: `kubectl-guard-fix` takes `kubectl guard fix` away. `names`
/// are the executables in each folder of the PATH.
pub fn plugin_names(names: &[(PathBuf, Vec<String>)]) -> Check {
    const NAME: &str = "plugin names";
    let full = |(folder, names): &(PathBuf, Vec<String>), wanted: fn(&str) -> bool| -> Vec<String> {
        let ours = names.iter().filter(|name| wanted(name));
        ours.map(|name| sanitise::line(&folder.join(name).display().to_string())).collect()
    };
    let all = |wanted: fn(&str) -> bool| names.iter().flat_map(|folder| full(folder, wanted)).collect::<Vec<_>>();
    let hijackers = all(|name| name.starts_with("kubectl-guard-"));
    let selves = all(|name| name == "kubectl-guard");
    if !hijackers.is_empty() {
        let found = format!("kubectl would run {} instead of a command of guard", hijackers.join(", "));
        return Check::fail(NAME, found, "remove or rename it");
    }
    match selves.as_slice() {
        [] => Check::warn(NAME, "kubectl-guard is not on the PATH", "put it there, so that `kubectl guard` finds it"),
        [one] => Check::ok(NAME, one.clone()),
        [first, rest @ ..] => {
            let found = format!("kubectl runs {first} and never {}", rest.join(", "));
            Check::warn(NAME, found, "remove the one that is out of date")
        }
    }
}

/// The name under which kubectl would find an executable, if it is one of ours or pretends to be.
pub fn plugin_name(file: &OsStr) -> Option<String> {
    let name = file.to_str()?;
    let name = name.strip_suffix(".exe").unwrap_or(name);
    (name == "kubectl-guard" || name.starts_with("kubectl-guard-")).then(|| name.to_owned())
}

/// What the exporters' answers tell.
pub fn scores(scores: &Scores) -> Vec<Check> {
    vec![
        reachable(scores),
        kubelets(&scores.reports),
        verified(&scores.reports),
        serving(&scores.reports),
        model(&scores.reports),
        skew(&scores.reports),
    ]
}

fn reachable(scores: &Scores) -> Check {
    const NAME: &str = "exporters";
    let count = scores.reports.len();
    if scores.silent.is_empty() {
        return Check::ok(NAME, format!("all {count} answer"));
    }
    let silent: Vec<String> = scores.silent.iter().map(|s| format!("{}: {}", s.node, s.problem)).collect();
    let found = format!("{} of {} do not answer: {}", silent.len(), silent.len() + count, silent.join("; "));
    Check::fail(NAME, found, "`kubectl -n guard-system describe pods` says why")
}

fn kubelets(reports: &[NodeReport]) -> Check {
    const NAME: &str = "kubelets";
    let down = |report: &&NodeReport| !report.kubelet.up;
    let unknown = "no reason given";
    let line = |r: &NodeReport| format!("{}: {}", r.node, r.kubelet.error.as_deref().unwrap_or(unknown));
    let lines: Vec<String> = reports.iter().filter(down).map(line).collect();
    if lines.is_empty() {
        return Check::ok(NAME, "each exporter reads its kubelet");
    }
    let text = lines.join("; ");
    let fix =
        if is_certificate(&text) { KUBELET_TLS } else { "`kubectl -n guard-system logs ds/guard-exporter` says more" };
    Check::fail(NAME, text, fix)
}

/// The cause in the exporters' own words, if a kubelet's certificate is what keeps them from reading it.
pub fn certificate_problem(reports: &[NodeReport]) -> Option<String> {
    let check = kubelets(reports);
    (check.fix.as_deref() == Some(KUBELET_TLS)).then_some(check.found)
}

fn is_certificate(text: &str) -> bool {
    text.to_lowercase().contains("certificate")
}

fn verified(reports: &[NodeReport]) -> Check {
    const NAME: &str = "kubelet certificates";
    let blind: Vec<&str> =
        reports.iter().filter(|r| r.kubelet.up && !r.kubelet.verified).map(|r| r.node.as_str()).collect();
    if blind.is_empty() {
        return Check::ok(NAME, "verified wherever a kubelet answers");
    }
    Check::warn(NAME, format!("not verified on {}", blind.join(", ")), KUBELET_TLS)
}

/// Which exporter's certificate ends first, and whether that is soon. Who writes no end has none, or is older than this check.
fn serving(reports: &[NodeReport]) -> Check {
    const NAME: &str = "serving certificates";
    let ends = reports.iter().filter_map(|report| Some((report.certificate_ends?, report)));
    let Some((ends, first)) = ends.min_by_key(|(ends, _)| *ends) else {
        return Check::ok(NAME, "no exporter tells of one: Prometheus gets metrics over TLS only with one");
    };
    let day = ends.strftime("%Y-%m-%d");
    let left = ends.duration_since(first.at);
    if left.is_negative() {
        let found = format!("{}: ended on {day}, so Prometheus gets no metrics", first.node);
        return Check::fail(NAME, found, serving_renewal());
    }
    if left.as_hours() < RENEWAL_HOURS {
        return Check::warn(NAME, format!("{}: ends on {day}", first.node), serving_renewal());
    }
    Check::ok(NAME, format!("valid until {day} and longer"))
}

fn model(reports: &[NodeReport]) -> Check {
    const NAME: &str = "model";
    let mut hashes: BTreeMap<&str, usize> = BTreeMap::new();
    for report in reports {
        if let Some(error) = report.model.trouble() {
            let found = format!("{}: where it says nothing, hard facts alone make the scores: {error}", report.node);
            return Check::fail(
                NAME,
                found,
                "give the exporter a model that loads, or unset MODEL_PATH to use its own",
            );
        }
        *hashes.entry(&report.model.sha256).or_default() += 1;
    }
    if hashes.len() > 1 {
        return Check::warn(
            NAME,
            format!("{} different models score", hashes.len()),
            format!("to bring them together, {INSTALL_AGAIN}"),
        );
    }
    Check::ok(NAME, "in use on every node that answers")
}

fn skew(reports: &[NodeReport]) -> Check {
    const NAME: &str = "versions";
    let version = |report: &NodeReport| report.scored_by.rsplit([' ', '/']).next().unwrap_or_default().to_owned();
    let mut others: Vec<String> = reports.iter().map(version).filter(|version| version != VERSION).collect();
    others.sort();
    others.dedup();
    if others.is_empty() {
        return Check::ok(NAME, format!("plugin and exporters are {VERSION}"));
    }
    let found = format!("the plugin is {VERSION}, exporters are {}", others.join(", "));
    Check::warn(NAME, found, format!("install the same version of both: {INSTALL_AGAIN}"))
}

#[cfg(test)]
mod tests;
