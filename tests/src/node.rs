//! One node: a container runtime, a kube-proxy and a kubelet in network and mount namespaces and control groups of
//! their own, so that each finds its standard paths for itself alone.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;

use crate::process::{Service, run};
use crate::{cgroup, wait};

/// How a kubelet comes by its serving certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Serving {
    /// It signs its own, as with kubeadm, kind and minikube: nobody can verify it.
    SelfSigned,
    /// The cluster's authority signed it for the node's name.
    Verifiable,
}

/// A running node.
#[derive(Debug)]
pub struct Node {
    /// Its name.
    pub name: String,
    folder: PathBuf,
    kube: PathBuf,
    kubelet: Option<Service>,
    // In the order in which they are to be stopped.
    proxy: Service,
    runtime: Option<Service>,
    namespaces: Service,
}

impl Node {
    /// Starts the node with this number, from 1.
    ///
    /// # Errors
    /// If a part of it does not start.
    pub fn start(run_folder: &Path, kube: &Path, number: u8, serving: Serving) -> Result<Self> {
        let name = format!("node{number}");
        let folder = run_folder.join(&name);
        for part in ["lib/containerd", "lib/kubelet", "lib/cni", "cni", "static"] {
            fs::create_dir_all(folder.join(part))?;
        }
        write_settings(run_folder, &folder, number, serving)?;
        cgroup::create_node(&name)?;

        let mut holder = Command::new("unshare");
        holder.args(["--net", "--mount", "--propagation", "private", "sleep", "infinity"]);
        let namespaces = Service::start(holder, &folder.join("namespaces.log"))?;
        connect(namespaces.pid(), number)?;
        let enter = |script: &str| inside(namespaces.pid(), "sh", &["-ec", script]);
        run_command(enter(&mounts(&folder)))?;

        let runtime = Some(start_runtime(namespaces.pid(), &folder)?);
        run_command(enter(&format!(
            "for image in {}/images/*.tar; do ctr -n k8s.io images import $image; done",
            run_folder.display()
        )))?;

        let mut proxy = inside(namespaces.pid(), &kube.to_string_lossy(), &["kube-proxy", "--config"]);
        proxy.arg(folder.join("proxy.yaml"));
        let proxy = Service::start(proxy, &folder.join("proxy.log"))?;
        let mut node = Self { name, folder, kube: kube.to_path_buf(), kubelet: None, proxy, runtime, namespaces };
        node.start_kubelet()?;
        Ok(node)
    }

    /// Starts the kubelet, again if it was stopped.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn start_kubelet(&mut self) -> Result<()> {
        let file = |name: &str| self.folder.join(name).display().to_string();
        let mut kubelet = inside(self.namespaces.pid(), &self.kube.to_string_lossy(), &["kubelet"]);
        kubelet.args([
            format!("--config={}", file("kubelet.yaml")),
            format!("--kubeconfig={}", file("kubeconfig")),
            format!("--cert-dir={}", file("certificates")),
            format!("--hostname-override={}", self.name),
            format!("--node-ip={}", address(self.number())),
        ]);
        self.kubelet = Some(Service::start(kubelet, &self.folder.join("kubelet.log"))?);
        Ok(())
    }

    /// Ends the kubelet; the node's containers go on.
    pub fn stop_kubelet(&mut self) {
        self.kubelet = None;
    }

    /// Ends the container runtime and starts it again; containers and the kubelet go on meanwhile.
    ///
    /// # Errors
    /// If it does not start.
    pub fn restart_runtime(&mut self) -> Result<()> {
        self.runtime = None;
        self.runtime = Some(start_runtime(self.namespaces.pid(), &self.folder)?);
        Ok(())
    }

    /// Ends everything that runs on the node, at once; what is on its disk stays.
    ///
    /// # Errors
    /// If its processes cannot be told from others.
    pub fn power_off(mut self) -> Result<()> {
        let own = mounts_of(self.namespaces.pid() as i32).context("the node's namespaces")?;
        self.kubelet = None;
        self.runtime = None;
        // What watches over containers has outlived the runtime; it would keep the namespaces, and the link in them.
        let here = |entry: fs::DirEntry| {
            let pid: i32 = entry.file_name().to_str()?.parse().ok()?;
            (mounts_of(pid).as_ref() == Some(&own)).then_some(pid)
        };
        for pid in fs::read_dir("/proc")?.flatten().filter_map(here) {
            // One that has gone meanwhile is what is wanted.
            kill(Pid::from_raw(pid), Signal::SIGKILL).ok();
        }
        cgroup::end_node(&self.name)
    }

    /// Fails if a part that should run has ended.
    ///
    /// # Errors
    /// With the end of that part's log.
    pub fn check(&mut self) -> Result<()> {
        self.runtime.as_mut().map_or(Ok(()), Service::check)?;
        self.proxy.check()?;
        self.kubelet.as_mut().map_or(Ok(()), Service::check)
    }

    fn number(&self) -> u8 {
        self.name.trim_start_matches("node").parse().unwrap_or(0)
    }
}

/// A node's address on the bridge.
pub fn address(number: u8) -> String {
    format!("10.99.0.{}", 10 + number)
}

fn pod_range(number: u8) -> String {
    format!("10.244.{number}.0/24")
}

/// A command inside the namespaces of `holder`. Not by `ip netns exec`, which would mount another /sys, without groups.
fn inside(holder: u32, program: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new("nsenter");
    command.args(["--target", &holder.to_string(), "--net", "--mount", "--", program]).args(arguments);
    command
}

/// The namespace of a process's mounts.
fn mounts_of(pid: i32) -> Option<PathBuf> {
    fs::read_link(format!("/proc/{pid}/ns/mnt")).ok()
}

fn start_runtime(holder: u32, folder: &Path) -> Result<Service> {
    let mut containerd = inside(holder, "containerd", &["-c"]);
    containerd.arg(folder.join("containerd.toml"));
    let mut runtime = Service::start(containerd, &folder.join("containerd.log"))?;
    wait::until("containerd", Duration::from_secs(30), || {
        runtime.check()?;
        run_command(inside(holder, "ctr", &["version"])).map(Some)
    })?;
    Ok(runtime)
}

fn run_command(mut command: Command) -> Result<String> {
    let output = command.output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    anyhow::ensure!(output.status.success(), "{command:?}: {}\n{text}", output.status);
    Ok(text)
}

/// Plugs the node into the bridge, and tells everybody the way to its pods.
fn connect(holder: u32, number: u8) -> Result<()> {
    let (link, pid, own) = (format!("guard{number}"), holder.to_string(), address(number));
    wait::until("the node's namespaces", Duration::from_secs(10), || {
        let ours = fs::read_link("/proc/self/ns/net")?;
        Ok((fs::read_link(format!("/proc/{pid}/ns/net"))? != ours).then_some(()))
    })?;
    run("ip", &["link", "add", &link, "type", "veth", "peer", "name", "eth0", "netns", &pid])?;
    run("ip", &["link", "set", &link, "master", "guard0", "up"])?;
    // After a power cut the way of before is still there.
    run("ip", &["route", "replace", &pod_range(number), "via", &own])?;
    let other = 3 - number;
    let script = format!(
        "ip link set lo up; ip address add {own}/24 dev eth0; ip link set eth0 up; ip route add default via 10.99.0.1
         ip route add {} via {}; echo 1 >/proc/sys/net/ipv4/ip_forward",
        pod_range(other),
        address(other)
    );
    run_command(inside(holder, "sh", &["-ec", &script])).map(drop)
}

/// The node's own /run, /var/lib and /var/log; cAdvisor and the kubelet know no other paths.
fn mounts(folder: &Path) -> String {
    format!(
        "mount -t tmpfs tmpfs /run; mount -t tmpfs tmpfs /var/log; mkdir -p /run/containerd /var/log/pods /run/lock
         mount --bind {}/lib /var/lib; mount --make-rshared /",
        folder.display()
    )
}

fn write_settings(run_folder: &Path, folder: &Path, number: u8, serving: Serving) -> Result<()> {
    let name = format!("node{number}");
    let pki = |file: &str| run_folder.join("pki").join(file).display().to_string();
    let mut kubelet = json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration",
        "authentication": {"x509": {"clientCAFile": pki("ca.crt")}, "webhook": {"enabled": true},
            "anonymous": {"enabled": false}},
        "authorization": {"mode": "Webhook"},
        "cgroupDriver": "cgroupfs", "failCgroupV1": false, "cgroupRoot": cgroup::of_node(&name),
        "enforceNodeAllocatable": ["pods"], "failSwapOn": false,
        "containerRuntimeEndpoint": "unix:///run/containerd/containerd.sock",
        "volumePluginDir": "/var/lib/kubelet/volume-plugins",
        "resolvConf": "", "clusterDomain": "cluster.local", "clusterDNS": ["10.96.0.10"],
        // The disk is the machine's, often nearly full of builds, and nothing here is large: no part of it says
        // whether a node has room.
        "evictionHard": {"nodefs.available": "50Mi", "imagefs.available": "50Mi"},
        "staticPodPath": folder.join("static").display().to_string(),
        "imageGCHighThresholdPercent": 100, "nodeStatusUpdateFrequency": "5s",
    });
    if serving == Serving::Verifiable {
        kubelet["tlsCertFile"] = pki(&format!("{name}.crt")).into();
        kubelet["tlsPrivateKeyFile"] = pki(&format!("{name}.key")).into();
    }
    let proxy = json!({
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1", "kind": "KubeProxyConfiguration", "mode": "nftables",
        "clientConnection": {"kubeconfig": run_folder.join("kubeconfigs/kube-proxy").display().to_string()},
        "clusterCIDR": "10.244.0.0/16", "hostnameOverride": name,
        // The table's size is the machine's, not ours to set.
        "conntrack": {"maxPerCore": 0},
    });
    let network = json!({
        "cniVersion": "0.4.0", "name": "pods", "plugins": [
            {"type": "bridge", "bridge": "cni0", "isGateway": true, "ipMasq": true, "hairpinMode": true,
             "ipam": {"type": "host-local", "ranges": [[{"subnet": pod_range(number)}]],
                      "routes": [{"dst": "0.0.0.0/0"}]}},
            {"type": "portmap", "capabilities": {"portMappings": true}},
        ],
    });
    let containerd = format!(
        r#"version = 2
disabled_plugins = ["io.containerd.internal.v1.opt"]
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "guard.test/pause:1"
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "{}"
"#,
        folder.join("cni").display()
    );
    fs::write(folder.join("kubelet.yaml"), kubelet.to_string())?;
    fs::write(folder.join("proxy.yaml"), proxy.to_string())?;
    fs::write(folder.join("cni/10-bridge.conflist"), network.to_string())?;
    fs::write(folder.join("containerd.toml"), containerd)?;
    fs::copy(run_folder.join("kubeconfigs").join(&name), folder.join("kubeconfig"))?;
    Ok(())
}
