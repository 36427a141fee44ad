//! The `run` of a soak: steered, killed and started again, its files looked at.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use guard_tests::cluster::Cluster;
use guard_tests::files::{TABLE, all_lines, whole_lines};
use guard_tests::process::Service;
use guard_tests::wait;
use nix::sys::signal::Signal;
use serde_json::{Value, json};

/// A `run`, and the folder that it works in.
pub(super) struct Running<'a> {
    cluster: &'a Cluster,
    folder: PathBuf,
    settings: Value,
    service: Service,
}

impl<'a> Running<'a> {
    /// Starts it; it tells of incidents at this URL.
    pub(super) fn start(cluster: &'a Cluster, told: &str, interval: &str, only: Option<&str>) -> Result<Self> {
        let folder = folder(cluster);
        fs::create_dir_all(&folder)?;
        let mut settings = json!({
            "dataset_generator": {"interval": interval, "all_namespaces": only.is_none()},
            "agents": {"watch_interval": "2s"},
            "notices": {"webhook_url": told, "group_wait": "5s"},
            "remediation": {"confidence_threshold": 0.7},
        });
        if let Some(namespace) = only {
            settings["dataset_generator"]["namespace"] = namespace.into();
        }
        write(&folder, &settings)?;
        let service = begin(cluster, &folder)?;
        let running = Self { cluster, folder, settings, service };
        let table = running.folder.join(TABLE);
        wait::until("the first rows of run", Duration::from_mins(1), || {
            Ok((fs::read_to_string(&table)?.lines().count() > 1).then_some(()))
        })?;
        Ok(running)
    }

    pub(super) fn pid(&self) -> u32 {
        self.service.pid()
    }

    /// Fails if it has ended.
    pub(super) fn check(&mut self) -> Result<()> {
        self.service.check()
    }

    /// SIGKILL; its files must be whole, and the next one goes on with them.
    pub(super) fn kill_and_start_again(&mut self) -> Result<()> {
        self.service.end(Signal::SIGKILL, Duration::from_secs(5))?;
        whole_lines(&self.folder)?;
        self.service = begin(self.cluster, &self.folder)?;
        Ok(())
    }

    /// Makes it stricter by a changed file, which it must see by itself; what it says of it.
    pub(super) fn reload(&mut self) -> Result<String> {
        let before = self.reloaded()?.len();
        let line = self.settings["remediation"]["confidence_threshold"].as_f64().unwrap_or(0.7) + 0.05;
        self.settings["remediation"]["confidence_threshold"] = line.into();
        write(&self.folder, &self.settings)?;
        wait::until("run to take its new configuration", Duration::from_secs(20), || {
            Ok(self.reloaded()?.get(before).cloned())
        })
    }

    fn reloaded(&self) -> Result<Vec<String>> {
        let log = fs::read_to_string(self.folder.join("log"))?;
        let said = log.lines().filter_map(|line| line.split_once("reloaded: "));
        Ok(said.map(|(_, what)| what.to_owned()).collect())
    }

    /// Its parts that were restarted, with how often.
    pub(super) fn restarts(&self) -> Result<String> {
        let answer = self.cluster.admin().guard(&["run", "status", "-o", "json"])?;
        let answer: Value = serde_json::from_str(&answer.out).with_context(|| format!("{answer:?}"))?;
        let parts = answer["state"]["parts"].as_object().context("run tells of no parts")?;
        let restarted = parts.iter().filter(|(_, part)| part["restarts"] != 0);
        Ok(restarted.map(|(name, part)| format!("{name} {}", part["restarts"])).collect::<Vec<_>>().join(" "))
    }

    /// Ends it as a service is ended; its files must be whole.
    pub(super) fn stop(&mut self) -> Result<()> {
        self.service.end(Signal::SIGTERM, Duration::from_secs(6))?;
        all_lines(&self.folder).map(drop)
    }
}

fn folder(cluster: &Cluster) -> PathBuf {
    cluster.folder().join("soak")
}

/// What the table has of a pod, a line a sample.
pub(super) fn rows(cluster: &Cluster, pod: &str) -> Result<String> {
    let table = fs::read_to_string(folder(cluster).join(TABLE))?;
    let mut lines = table.split_inclusive('\n');
    let names = lines.next().unwrap_or_default().trim_end().split(',');
    let column = names.into_iter().position(|name| name == "pod").context("the table has no pods")?;
    Ok(lines.filter(|line| line.split(',').nth(column) == Some(pod)).collect())
}

fn write(folder: &Path, settings: &Value) -> Result<()> {
    // Whoever reads it meanwhile must not see half of it.
    fs::write(folder.join("guard.yaml.new"), settings.to_string())?;
    Ok(fs::rename(folder.join("guard.yaml.new"), folder.join("guard.yaml"))?)
}

fn begin(cluster: &Cluster, folder: &Path) -> Result<Service> {
    let mut command = cluster.admin().command("kubectl");
    command.args(["guard", "run", "--config-file=guard.yaml"]).current_dir(folder);
    Service::start(command, &folder.join("log"))
}
