//! `guard-cluster COMMAND...` runs a command in the namespaces of a fresh cluster, with KUBECONFIG and PATH set for it;
//! all of it is gone when the command ends. `tests/run --cluster` builds what it needs and opens a shell or runs a
//! command in it.

use std::process::{Command, ExitCode};

use anyhow::{Context, Result};
use guard_tests::cluster::Cluster;
use guard_tests::suite::note;
use guard_tests::world::{self, Place};

fn main() -> Result<ExitCode> {
    if let Place::Done(code) = world::enter()? {
        return Ok(code);
    }
    let words: Vec<String> = std::env::args().skip(1).collect();
    let program = words.first().context("usage: guard-cluster COMMAND [ARGUMENT...]")?;
    let cluster = Cluster::start()?;
    note(&format!("the cluster is ready; its files are in {}", cluster.folder().display()));
    let path = std::env::var("PATH").unwrap_or_default();
    let status = Command::new(program)
        .args(&words[1..])
        .env("KUBECONFIG", cluster.folder().join("kubeconfigs/admin"))
        .env("PATH", format!("{}:{path}", cluster.folder().join("bin").display()))
        .status()
        .with_context(|| format!("starting {program}"))?;
    Ok(ExitCode::from(status.code().unwrap_or(1) as u8))
}
