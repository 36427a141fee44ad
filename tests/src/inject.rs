//! Faults made in a running pod: by its own program, or from outside, in its network and by signals to its processes.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::cluster::{Cluster, NODES};
use crate::process::run;
use crate::soak::schedule::Way;
use crate::wait;

/// The container takes a command within this time; one that crashes, only between two crashes.
const PATIENCE: Duration = Duration::from_secs(20);
const LIMIT: &str = "tc qdisc add dev eth0 root tbf rate 40kbit burst 1600 latency 400ms";
const LOSS: &str = "-p tcp -m statistic --mode random --probability 0.35 -j DROP";

/// A pod to make a fault in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Victim {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub pod: String,
    /// Its service.
    pub service: String,
    /// Its node.
    pub node: String,
    /// Its address.
    pub address: String,
    uid: String,
}

/// The pods of a namespace that a service's label names and that have an address.
///
/// # Errors
/// If they cannot be listed.
pub fn victims(cluster: &Cluster, namespace: &str) -> Result<Vec<Victim>> {
    let list = cluster.admin().kubectl(&["-n", namespace, "get", "pods", "-l", "app", "-o", "json"])?;
    let list: Value = serde_json::from_str(&list)?;
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let of = |pod: &Value| {
        Some(Victim {
            namespace: namespace.to_owned(),
            pod: text(&pod["metadata"]["name"])?,
            service: text(&pod["metadata"]["labels"]["app"])?,
            node: text(&pod["spec"]["nodeName"])?,
            address: text(&pod["status"]["podIP"])?,
            uid: text(&pod["metadata"]["uid"])?,
        })
    };
    Ok(list["items"].as_array().into_iter().flatten().filter_map(of).collect())
}

impl Victim {
    /// Begins a fault. A surge is its customers' doing, and not ours.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn begin(&self, cluster: &Cluster, way: Way, lasting: Duration) -> Result<()> {
        match way {
            Way::Itself(word) => self.tell(cluster, word, lasting),
            Way::Limit => self.in_network(LIMIT),
            Way::Loss => self.in_network(&format!("iptables -A INPUT {LOSS}")),
            Way::Drops => self.in_network("ip link set eth0 mtu 600"),
            Way::Stop => self.signal(Signal::SIGSTOP),
            Way::Surge => Ok(()),
        }
    }

    /// Ends it. What the pod's own program does ends by itself.
    ///
    /// # Errors
    /// If it cannot be ended.
    pub fn end(&self, way: Way) -> Result<()> {
        match way {
            Way::Itself(_) | Way::Surge => Ok(()),
            Way::Limit => self.in_network("tc qdisc del dev eth0 root"),
            Way::Loss => self.in_network(&format!("iptables -D INPUT {LOSS}")),
            Way::Drops => self.in_network("ip link set eth0 mtu 1500"),
            Way::Stop => self.signal(Signal::SIGCONT),
        }
    }

    fn tell(&self, cluster: &Cluster, word: &str, lasting: Duration) -> Result<()> {
        let seconds = lasting.as_secs().to_string();
        let command = ["-n", &self.namespace, "exec", &self.pod, "--", "/work", "fault", word, &seconds];
        wait::until(&format!("{} to take a command", self.pod), PATIENCE, || {
            cluster.admin().kubectl(&command).map(Some)
        })
        .map(drop)
    }

    fn in_network(&self, command: &str) -> Result<()> {
        // The sandbox lives as long as the pod; its containers come and go.
        let sandbox =
            self.processes("pause").first().copied().with_context(|| format!("{} has no sandbox", self.pod))?;
        run("nsenter", &["--target", &sandbox.to_string(), "--net", "--", "sh", "-ec", command]).map(drop)
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        let processes = self.processes("work");
        ensure!(!processes.is_empty(), "{} has no process", self.pod);
        // One that has gone meanwhile is no longer there to be stopped.
        for pid in processes {
            kill(pid, signal).ok();
        }
        Ok(())
    }

    fn processes(&self, name: &str) -> Vec<Pid> {
        processes(name).into_iter().filter(|(_, groups)| groups.contains(&self.uid)).map(|(pid, _)| pid).collect()
    }
}

/// The process of each node's exporter. One that was restarted is another; what the API server tells of restarts is as old as
/// the last time that it heard of a kubelet.
///
/// # Errors
/// If a node has none, or more than one.
pub fn exporters() -> Result<BTreeMap<&'static str, Pid>> {
    let all = processes("guard-exporter");
    let of = |node: &'static str| {
        let here: Vec<Pid> =
            all.iter().filter(|(_, groups)| groups.contains(&format!("/{node}/"))).map(|(pid, _)| *pid).collect();
        ensure!(here.len() == 1, "the exporters of {node}: {here:?}");
        Ok((node, here[0]))
    };
    NODES.into_iter().map(of).collect()
}

/// Every process of this name here, with its control groups: those of containers name their pod and their node.
pub fn processes(name: &str) -> Vec<(Pid, String)> {
    let numbers = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = numbers.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let of = |pid: i32| {
        let read = |file: &str| fs::read_to_string(format!("/proc/{pid}/{file}")).ok();
        (read("comm")?.trim() == name).then(|| read("cgroup")).flatten().map(|groups| (Pid::from_raw(pid), groups))
    };
    pids.filter_map(of).collect()
}
