//! A control plane with an audit log, two nodes, and the people who work with them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::node::{Node, Serving};
use crate::person::Person;
use crate::pki::Authority;
use crate::process::{Service, run};
use crate::{image, wait, world};

const SERVER: &str = "https://10.99.0.1:6443";
const SERVER_NAMES: [&str; 6] =
    ["10.99.0.1", "127.0.0.1", "10.96.0.1", "localhost", "kubernetes", "kubernetes.default.svc"];

/// Users of the control plane: file, user, group.
const COMPONENTS: [(&str, &str, Option<&str>); 6] = [
    ("kubelet-client", "kube-apiserver", Some("system:masters")),
    ("controllers", "system:kube-controller-manager", None),
    ("scheduler", "system:kube-scheduler", None),
    ("kube-proxy", "system:kube-proxy", None),
    ("node1", "system:node:node1", Some("system:nodes")),
    ("node2", "system:node:node2", Some("system:nodes")),
];

/// The nodes.
pub const NODES: [&str; 2] = ["node1", "node2"];

/// People, each with a certificate and no rights but what tests give them; `admin` may do everything.
pub const PEOPLE: [&str; 5] = ["admin", "viewer", "operator", "node-operator", "nobody"];

/// The image of the exporter under test.
pub const EXPORTER_IMAGE: &str = "guard.test/guard-exporter:test";
/// An image with a shell and what belongs to it.
pub const BUSYBOX_IMAGE: &str = "guard.test/busybox:1";
/// The image of a service under load.
pub const WORK_IMAGE: &str = "guard.test/work:1";

/// A running cluster, and the folder of what the tests have for it.
#[derive(Debug)]
pub struct Cluster {
    folder: PathBuf,
    own: Option<Own>,
}

/// A cluster whose every part is ours to stop.
#[derive(Debug)]
pub struct Own {
    folder: PathBuf,
    kube: PathBuf,
    /// `node1` with a certificate that nobody can verify, `node2` with one that the cluster's authority signed.
    pub nodes: Vec<Node>,
    // In the order in which they are to be stopped.
    scheduler: Service,
    controllers: Service,
    api_server: Option<Service>,
    etcd: Service,
}

impl Cluster {
    /// Starts a cluster and waits until both nodes are ready. Must be called inside [`world::enter`]'s namespaces.
    ///
    /// # Errors
    /// If a component does not start, with the end of its log.
    pub fn start() -> Result<Self> {
        let folder = PathBuf::from(world::FOLDER);
        let kube = tools()?.join("kube");
        make_keys(&folder)?;
        make_images(&folder)?;
        link_commands(&folder)?;
        run("ip", &["link", "add", "guard0", "type", "bridge"])?;
        run("ip", &["address", "add", "10.99.0.1/24", "dev", "guard0"])?;
        run("ip", &["link", "set", "guard0", "up"])?;
        fs::write("/proc/sys/net/ipv4/ip_forward", "1")?;

        let own = Own {
            etcd: Service::start(etcd(&folder, &kube), &folder.join("etcd.log"))?,
            api_server: Some(Service::start(api_server(&folder, &kube), &folder.join("apiserver.log"))?),
            controllers: Service::start(controllers(&folder, &kube), &folder.join("controllers.log"))?,
            scheduler: Service::start(scheduler(&folder, &kube), &folder.join("scheduler.log"))?,
            nodes: Vec::new(),
            folder: folder.clone(),
            kube,
        };
        let mut cluster = Self { folder, own: Some(own) };
        cluster.own()?.start_nodes()?;
        let admin = cluster.admin();
        wait::until("the default service account", Duration::from_mins(1), || {
            admin.kubectl(&["get", "serviceaccount", "default"]).map(Some)
        })?;
        Ok(cluster)
    }

    /// Uses the cluster of a context of the user's kubeconfig, which must be named: never the current one. Its nodes get
    /// the images by the command in `GUARD_E2E_LOAD` with an archive as last argument (`kind load image-archive`).
    ///
    /// # Errors
    /// If it cannot be reached.
    pub fn existing(context: &str) -> Result<Self> {
        let folder = PathBuf::from(world::FOLDER);
        if folder.exists() {
            fs::remove_dir_all(&folder)?;
        }
        make_images(&folder)?;
        link_commands(&folder)?;
        if let Ok(load) = std::env::var("GUARD_E2E_LOAD") {
            for archive in fs::read_dir(folder.join("images"))? {
                run("sh", &["-c", &format!("{load} {}", archive?.path().display())])?;
            }
        }
        let view = ["config", "view", "--raw", "--flatten", "--minify", "--context", context];
        let kubeconfig = run(&folder.join("bin/kubectl").to_string_lossy(), &view)?;
        fs::create_dir_all(folder.join("kubeconfigs"))?;
        for person in PEOPLE {
            write_person(&folder, person, &kubeconfig)?;
        }
        let cluster = Self { folder, own: None };
        cluster.admin().kubectl(&["get", "nodes"])?;
        Ok(cluster)
    }

    /// The parts of a cluster that [`Cluster::start`] made.
    ///
    /// # Errors
    /// If it is somebody else's.
    pub fn own(&mut self) -> Result<&mut Own> {
        self.own.as_mut().context("this cluster's parts are not ours to stop")
    }

    /// One of [`PEOPLE`].
    pub fn person(&self, name: &str) -> Person {
        Person::new(name, &self.folder)
    }

    /// The administrator.
    pub fn admin(&self) -> Person {
        self.person("admin")
    }

    /// Where logs, keys and state are.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The audit log's length now, for [`Cluster::audit_since`].
    pub fn audit_mark(&self) -> u64 {
        fs::metadata(self.folder.join("audit.log")).map_or(0, |file| file.len())
    }

    /// What a person asked of the API server after the mark, as audit events, finished requests only.
    ///
    /// # Errors
    /// If the log cannot be read.
    pub fn audit_since(&self, mark: u64, person: &str) -> Result<Vec<Value>> {
        self.audit(mark, |event| event["user"]["username"] == person)
    }

    /// What was asked of the API server after the mark by whomever, as far as it is wanted: the log is long.
    ///
    /// # Errors
    /// If the log cannot be read.
    pub fn audit(&self, mark: u64, is_wanted: impl Fn(&Value) -> bool) -> Result<Vec<Value>> {
        let log = fs::read(self.folder.join("audit.log"))?;
        let events = log[mark as usize..].split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        let events = events.map(serde_json::from_slice).filter(|event| event.as_ref().map_or(true, &is_wanted));
        Ok(events.collect::<Result<_, _>>()?)
    }
}

impl Own {
    /// Waits for a node's Ready condition to be `True`, `False` or `Unknown`.
    ///
    /// # Errors
    /// If it does not come within two minutes.
    pub fn wait_for_node(&mut self, node: &str, status: &str) -> Result<()> {
        let admin = Person::new("admin", &self.folder);
        wait::until(&format!("{node} to be Ready={status}"), Duration::from_mins(2), || {
            self.nodes.iter_mut().try_for_each(Node::check)?;
            let path = r#"jsonpath={.status.conditions[?(@.type=="Ready")].status}"#;
            Ok((admin.kubectl(&["get", "node", node, "-o", path])? == status).then_some(()))
        })
    }

    /// Ends the API server; nodes and pods go on.
    pub fn stop_api_server(&mut self) {
        self.api_server = None;
    }

    /// Starts the API server again and waits until it is ready.
    ///
    /// # Errors
    /// If it does not become ready.
    pub fn start_api_server(&mut self) -> Result<()> {
        let command = api_server(&self.folder, &self.kube);
        self.api_server = Some(Service::start(command, &self.folder.join("apiserver.log"))?);
        self.wait_for_api()
    }

    /// Cuts a node's power and starts it again: its disk stays, everything that ran is gone.
    ///
    /// # Errors
    /// If it does not become ready again.
    pub fn reboot(&mut self, number: u8) -> Result<()> {
        let place = usize::from(number) - 1;
        self.nodes.remove(place).power_off()?;
        let serving = if number == 1 { Serving::SelfSigned } else { Serving::Verifiable };
        self.nodes.insert(place, Node::start(&self.folder, &self.kube, number, serving)?);
        self.wait_for_node(&format!("node{number}"), "True")
    }

    fn start_nodes(&mut self) -> Result<()> {
        self.wait_for_api()?;
        for (number, serving) in [(1, Serving::SelfSigned), (2, Serving::Verifiable)] {
            self.nodes.push(Node::start(&self.folder, &self.kube, number, serving)?);
        }
        NODES.iter().try_for_each(|node| self.wait_for_node(node, "True"))
    }

    fn wait_for_api(&mut self) -> Result<()> {
        let admin = Person::new("admin", &self.folder);
        wait::until("the API server to be ready", Duration::from_secs(90), || {
            self.etcd.check()?;
            self.controllers.check()?;
            self.scheduler.check()?;
            self.api_server.as_mut().map_or(Ok(()), Service::check)?;
            Ok((admin.kubectl(&["get", "--raw", "/readyz"])? == "ok").then_some(()))
        })
    }
}

/// Where `tests/run` has put what it built from Go.
fn tools() -> Result<PathBuf> {
    Ok(PathBuf::from(std::env::var("GUARD_E2E_BIN").context("GUARD_E2E_BIN is not set: use tests/run")?))
}

/// The kubeconfig of one of [`PEOPLE`] in somebody else's cluster: the user's own, impersonating.
fn write_person(folder: &Path, person: &str, kubeconfig: &str) -> Result<()> {
    let file = folder.join("kubeconfigs").join(person);
    fs::write(&file, kubeconfig)?;
    if person == "admin" {
        return Ok(());
    }
    let kubectl = folder.join("bin/kubectl").display().to_string();
    let file = file.display().to_string();
    let user = run(&kubectl, &["--kubeconfig", &file, "config", "view", "-o", "jsonpath={.users[0].name}"])?;
    run(&kubectl, &["--kubeconfig", &file, "config", "set", &format!("users.{user}.as"), person]).map(drop)
}

fn make_keys(folder: &Path) -> Result<()> {
    let pki = folder.join("pki");
    let authority = Authority::new(&pki)?;
    authority.sign("apiserver", "kube-apiserver", None, &SERVER_NAMES)?;
    authority.key("service-accounts")?;
    fs::create_dir_all(folder.join("kubeconfigs"))?;
    for (file, user, group) in COMPONENTS {
        let names: &[&str] = if group == Some("system:nodes") { &[file] } else { &[] };
        authority.sign(file, user, group, names)?;
        write_kubeconfig(folder, file)?;
    }
    for person in PEOPLE {
        let group = (person == "admin").then_some("system:masters");
        authority.sign(person, person, group, &[])?;
        write_kubeconfig(folder, person)?;
    }
    Ok(())
}

fn write_kubeconfig(folder: &Path, user: &str) -> Result<()> {
    let pki = |file: &str| folder.join("pki").join(file).display().to_string();
    let kubeconfig = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "guard-e2e",
        "clusters": [{"name": "guard-e2e", "cluster": {"server": SERVER, "certificate-authority": pki("ca.crt")}}],
        "users": [{"name": user, "user": {
            "client-certificate": pki(&format!("{user}.crt")), "client-key": pki(&format!("{user}.key"))}}],
        "contexts": [{"name": "guard-e2e", "context": {"cluster": "guard-e2e", "user": user}}],
    });
    Ok(fs::write(folder.join("kubeconfigs").join(user), kubeconfig.to_string())?)
}

fn make_images(folder: &Path) -> Result<()> {
    let tools = tools()?;
    let images = folder.join("images");
    fs::create_dir_all(&images)?;
    image::save("guard.test/pause:1", &tools.join("pause"), &images.join("pause.tar"))?;
    image::save(WORK_IMAGE, &tools.join("work"), &images.join("work.tar"))?;
    let busybox = Path::new("/bin/busybox");
    // Only tests with a cluster of their own use it. Its shell finds the other programs in itself.
    if busybox.is_file() {
        image::save_as(BUSYBOX_IMAGE, busybox, "bin/sh", &images.join("busybox.tar"))?;
    }
    image::save(EXPORTER_IMAGE, &guard_binary("guard-exporter")?, &images.join("guard-exporter.tar"))
}

/// A binary under test, as `tests/run` built it.
///
/// # Errors
/// If it was not built.
pub fn guard_binary(name: &str) -> Result<PathBuf> {
    let folder = std::env::var("GUARD_E2E_GUARD").context("GUARD_E2E_GUARD is not set: use tests/run")?;
    let binary = Path::new(&folder).join(name);
    ensure!(binary.is_file(), "{} was not built: use tests/run", binary.display());
    Ok(binary)
}

/// The commands that people type: kubectl, and the plugin that it finds beside it.
fn link_commands(folder: &Path) -> Result<()> {
    let commands = folder.join("bin");
    fs::create_dir_all(&commands)?;
    std::os::unix::fs::symlink(tools()?.join("kube"), commands.join("kubectl"))?;
    std::os::unix::fs::symlink(tools()?.join("helm"), commands.join("helm"))?;
    std::os::unix::fs::symlink(guard_binary("kubectl-guard")?, commands.join("kubectl-guard"))?;
    Ok(())
}

fn component(kube: &Path, name: &str, flags: &[String]) -> Command {
    let mut command = Command::new(kube);
    command.arg(name).args(flags);
    command
}

fn etcd(folder: &Path, kube: &Path) -> Command {
    let flags = [
        format!("--data-dir={}", folder.join("etcd").display()),
        "--listen-client-urls=http://127.0.0.1:2379".into(),
        "--advertise-client-urls=http://127.0.0.1:2379".into(),
        "--listen-peer-urls=http://127.0.0.1:2380".into(),
        "--unsafe-no-fsync".into(),
    ];
    component(kube, "etcd", &flags)
}

fn api_server(folder: &Path, kube: &Path) -> Command {
    // What people write is kept whole: its preconditions are in its body.
    let of_people = json!({"level": "Request", "users": PEOPLE, "verbs": ["create", "update", "patch", "delete"]});
    let policy = json!({"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "omitStages": ["RequestReceived"],
        "rules": [of_people, {"level": "Metadata"}]});
    let policy_file = folder.join("audit-policy.yaml");
    // Whoever starts it again has written the same; a failure shows when it starts.
    fs::write(&policy_file, policy.to_string()).ok();
    let pki = |flag: &str, file: &str| format!("--{flag}={}", folder.join("pki").join(file).display());
    let flags = [
        pki("client-ca-file", "ca.crt"),
        pki("tls-cert-file", "apiserver.crt"),
        pki("tls-private-key-file", "apiserver.key"),
        pki("service-account-key-file", "service-accounts.pub"),
        pki("service-account-signing-key-file", "service-accounts.key"),
        pki("kubelet-client-certificate", "kubelet-client.crt"),
        pki("kubelet-client-key", "kubelet-client.key"),
        format!("--audit-policy-file={}", policy_file.display()),
        format!("--audit-log-path={}", folder.join("audit.log").display()),
        "--audit-log-mode=blocking-strict".into(),
        "--etcd-servers=http://127.0.0.1:2379".into(),
        "--service-account-issuer=https://kubernetes.default.svc".into(),
        "--authorization-mode=Node,RBAC".into(),
        "--enable-admission-plugins=NodeRestriction".into(),
        "--kubelet-preferred-address-types=InternalIP".into(),
        "--allow-privileged".into(),
        "--service-cluster-ip-range=10.96.0.0/16".into(),
        "--advertise-address=10.99.0.1".into(),
        "--secure-port=6443".into(),
    ];
    component(kube, "kube-apiserver", &flags)
}

fn controllers(folder: &Path, kube: &Path) -> Command {
    let pki = |flag: &str, file: &str| format!("--{flag}={}", folder.join("pki").join(file).display());
    let flags = [
        format!("--kubeconfig={}", folder.join("kubeconfigs/controllers").display()),
        pki("service-account-private-key-file", "service-accounts.key"),
        pki("root-ca-file", "ca.crt"),
        pki("cluster-signing-cert-file", "ca.crt"),
        pki("cluster-signing-key-file", "ca.key"),
        "--use-service-account-credentials".into(),
        "--leader-elect=false".into(),
        // A node that has gone is to be noticed within a test's patience.
        "--node-monitor-grace-period=20s".into(),
    ];
    component(kube, "kube-controller-manager", &flags)
}

fn scheduler(folder: &Path, kube: &Path) -> Command {
    let kubeconfig = format!("--kubeconfig={}", folder.join("kubeconfigs/scheduler").display());
    component(kube, "kube-scheduler", &[kubeconfig, "--leader-elect=false".into()])
}
