//! An exporter between a kubelet and an API server that stand in for the real ones.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use guard_tests::cluster::guard_binary;
use guard_tests::pki::Authority;
use guard_tests::process::{Service, resident};
use guard_tests::soak::schedule::Dice;
use guard_tests::stand_in::{NODE, StandIn};
use guard_tests::survival::survive;
use guard_tests::{http, wait};
use serde_json::Value;
use tempfile::TempDir;

/// What is told of a process is to be told within this time.
pub(crate) const SOON: Duration = Duration::from_secs(40);
/// Whatever is told to end has ended within this time.
pub(crate) const ENDED_WITHIN: Duration = Duration::from_secs(10);
/// What malloc keeps for later is no leak, and comes and goes by as much again as what is held: so one arena, and large blocks
/// are given back at once.
pub(crate) const TIDY: (&str, &str) = (
    "GLIBC_TUNABLES",
    "glibc.malloc.arena_max=1:glibc.malloc.mmap_threshold=131072:glibc.malloc.trim_threshold=131072",
);
/// So often each fault is made when all is to be shown.
const ALL: usize = 20;

/// How often each fault is made.
#[derive(Clone)]
pub(crate) struct Rounds {
    times: usize,
    dice: Dice,
}

impl Rounds {
    pub(crate) fn new(times: &str) -> Result<Self> {
        Ok(Self { times: times.parse().context("GUARD_FAULTS_ROUNDS")?, dice: Dice::new(20) })
    }

    /// As often as is promised.
    pub(crate) fn is_whole(&self) -> bool {
        self.times >= ALL
    }

    pub(crate) fn times(&self) -> usize {
        self.times
    }

    /// Makes a fault so often, and writes down what was survived.
    pub(crate) fn survive(
        &mut self,
        fault: &str,
        claim: &str,
        mut trial: impl FnMut(usize, &mut Dice) -> Result<()>,
    ) -> Result<()> {
        let (times, dice) = (self.times, &mut self.dice);
        survive("process", fault, claim, times, |number| trial(number, dice))
    }

    /// A moment in this range of milliseconds.
    pub(crate) fn moment(dice: &mut Dice, range: (u64, u64)) -> Duration {
        Duration::from_millis(dice.between(range))
    }
}

/// The two that it hears from, and a folder of its own.
pub(crate) struct Scene {
    pub(crate) folder: TempDir,
    pub(crate) kubelet: StandIn,
    pub(crate) api: StandIn,
}

impl Scene {
    /// With so many pods.
    pub(crate) fn new(pods: usize) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let authority = Authority::new(folder.path())?;
        authority.sign("kubelet", "kubelet", None, &[NODE])?;
        authority.sign("exporter", "exporter", None, &["guard-exporter.guard-system.svc"])?;
        fs::write(folder.path().join("token"), "first")?;
        let at = |name: &str| folder.path().join(name);
        let kubelet = StandIn::kubelet(&at("kubelet.crt"), &at("kubelet.key"))?;
        let scene = Self { kubelet, api: StandIn::api_server()?, folder };
        scene.have(&names("first", pods));
        Ok(scene)
    }

    /// From now on these are the node's pods.
    pub(crate) fn have(&self, pods: &[String]) {
        self.kubelet.have(pods);
        self.api.have(pods);
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A running exporter that has read its kubelet.
    pub(crate) fn exporter(&self, more: &[&str]) -> Result<Exporter> {
        self.exporter_of(exporter_program()?, more)
    }

    /// The same of another program, or with more around it.
    pub(crate) fn exporter_of(&self, program: Command, more: &[&str]) -> Result<Exporter> {
        let exporter = Exporter::start(self, program, more)?;
        exporter.wait("the first reading", |report| report["kubelet"]["up"] == true && !pods(report).is_empty())?;
        Ok(exporter)
    }
}

/// The exporter that was built, without anything of this environment.
pub(crate) fn exporter_program() -> Result<Command> {
    let mut program = Command::new(guard_binary("guard-exporter")?);
    program.env_clear();
    Ok(program)
}

/// Names of so many pods.
pub(crate) fn names(first: &str, pods: usize) -> Vec<String> {
    (0..pods).map(|number| format!("{first}-{number}")).collect()
}

/// The pods of a report, in the order of their names.
pub(crate) fn pods(report: &Value) -> Vec<String> {
    let all = report["pods"].as_array().into_iter().flatten();
    let mut names: Vec<String> = all.filter_map(|pod| pod["name"].as_str().map(str::to_owned)).collect();
    names.sort();
    names
}

/// An exporter.
pub(crate) struct Exporter {
    pub(crate) service: std::cell::RefCell<Service>,
    loopback: String,
    pub(crate) network: String,
    log: PathBuf,
}

impl Exporter {
    fn start(scene: &Scene, mut command: Command, more: &[&str]) -> Result<Self> {
        let (loopback, network) = (http::free_address()?, http::free_address()?);
        let text = |name: &str| scene.file(name).display().to_string();
        command
            .args(["--node-name", NODE, "--kubelet-host", "127.0.0.1", "--interval", "1s"])
            .args(["--kubelet-port", &scene.kubelet.address().port().to_string(), "--kubelet-ca", &text("ca.crt")])
            .args(["--kubeconfig", &scene.api.kubeconfig(scene.folder.path())?.display().to_string()])
            .args(["--token-file", &text("token"), "--loopback", &loopback, "--listen", &network])
            .args(["--tls-cert", &text("exporter.crt"), "--tls-key", &text("exporter.key")])
            .args(more);
        let log = scene.file("exporter.log");
        let service = Service::start(command, &log)?.into();
        Ok(Self { service, loopback, network, log })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.service.borrow().pid()
    }

    pub(crate) fn report(&self) -> Result<Value> {
        self.service.borrow_mut().check()?;
        Ok(serde_json::from_slice(&http::get(&self.loopback, "/v1/report")?)?)
    }

    /// Waits until its report is so.
    pub(crate) fn wait(&self, what: &str, holds: impl Fn(&Value) -> bool) -> Result<Value> {
        wait::until(what, SOON, || {
            let report = self.report()?;
            ensure!(holds(&report), "{} {:?}", report["kubelet"], pods(&report).first());
            Ok(Some(report))
        })
    }

    /// Everything it has logged.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Resident memory, in bytes.
    pub(crate) fn rss(&self) -> Result<u64> {
        resident(self.pid())
    }
}

/// A file system of so many bytes at this place, for as long as this lives; `tests/run --faults` gives a namespace for it.
pub(crate) struct SmallDisk(PathBuf);

impl SmallDisk {
    pub(crate) fn mount(at: &Path, bytes: u64) -> Result<Self> {
        fs::create_dir_all(at)?;
        let size = format!("size={bytes}");
        guard_tests::process::run("mount", &["-t", "tmpfs", "-o", &size, "tmpfs", &at.display().to_string()])?;
        Ok(Self(at.to_owned()))
    }

    /// Fills it to its last byte.
    pub(crate) fn fill(&self) -> Result<()> {
        use std::io::Write as _;
        let mut file = fs::File::create(self.0.join("ballast"))?;
        // The end is what is wanted.
        while file.write_all(&[0; 4096]).is_ok() {}
        Ok(())
    }

    /// Gives its room back at once: a file that is only removed keeps it for as long as a child of another test, between its
    /// fork and its program, has it open.
    pub(crate) fn relieve(&self) -> Result<()> {
        let ballast = self.0.join("ballast");
        fs::OpenOptions::new().write(true).open(&ballast)?.set_len(0)?;
        Ok(fs::remove_file(ballast)?)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // It goes with its namespace at the latest.
        guard_tests::process::run("umount", &["--lazy", &self.0.display().to_string()]).ok();
    }
}
