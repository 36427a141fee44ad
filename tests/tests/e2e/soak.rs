//! Hours of `run` and of the exporters under load, with faults by a schedule: `tests/run --soak MINUTES`, and
//! `tests/run --soak short`.
//!
//! What happens is written into a record as it happens; what came of it is judged from the record alone
//! ([`guard_tests::soak`]). A soak that is cut off goes on where it was, with a new cluster.

use std::path::{Path, PathBuf};
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use guard_tests::cluster::{Cluster, WORK_IMAGE};
use guard_tests::customers::Customers;
use guard_tests::inject::{Victim, victims};
use guard_tests::load;
use guard_tests::process::Service;
use guard_tests::soak::judge::{Verdict, judge};
use guard_tests::soak::record::{Files, Label, Record};
use guard_tests::soak::schedule::{Dice, Fault, Way, plan, short};
use guard_tests::soak::{NAMESPACE, RECORD, page};
use guard_tests::suite::note;
use guard_tests::wait;
use jiff::Timestamp;
use nix::sys::signal::Signal;
use serde_json::{Value, json};

use running::Running;
use watching::Watching;

#[path = "soak/running.rs"]
mod running;
#[path = "soak/watching.rs"]
mod watching;

/// Until every pod is learnt, and seen to be calm for a minute.
const WARM_UP: u64 = 330;
const SEED: u64 = 8;
const SAMPLE: Duration = Duration::from_secs(15);
const PROGRESS: Duration = Duration::from_mins(1);
/// Rows of a pod that is learnt: detectors learn for 20, and a busy machine's first ones may lack their rates.
const LEARNT_ROWS: usize = 26;
const LEARNING_LIMIT: Duration = Duration::from_mins(3);
/// `run` is killed about so often, at a moment that nobody chose; seconds.
const KILL_EVERY: u64 = 1200;

/// One soak.
struct Plan {
    seconds: u64,
    faults: Vec<Fault>,
    /// When `run` is killed, in seconds from the start.
    kills: Vec<u64>,
    /// When it gets another configuration.
    reloads: [u64; 2],
    interval: &'static str,
    /// `run` looks at this namespace alone.
    only: Option<&'static str>,
    /// So many rows `run` must have of a pod before a fault that Kubernetes itself does not tell of.
    rows: usize,
    folder: PathBuf,
}

/// A fault that lasts.
struct Ongoing {
    fault: Fault,
    victim: Victim,
    label: Label,
}

pub(crate) fn a_short_soak_finds_its_faults(cluster: &mut Cluster) -> Result<()> {
    crate::scrape::make_accounts(cluster)?;
    let folder = tempfile::tempdir()?;
    let plan = Plan {
        seconds: 255,
        faults: short(),
        kills: vec![100],
        reloads: [40, 220],
        interval: "5s",
        only: Some(NAMESPACE),
        rows: LEARNT_ROWS,
        folder: folder.path().to_owned(),
    };
    let verdict = carried_out(cluster, &plan)?;
    cluster.admin().kubectl(&["delete", "namespace", NAMESPACE, "--wait=false"])?;
    let is_good = verdict.told() == (plan.faults.len(), plan.faults.len()) && verdict.false_incidents.is_empty();
    let Record { told, events, .. } = Record::read(&plan.folder)?;
    let missed = verdict.faults.iter().filter(|fault| fault.told.is_none());
    let rows: Vec<String> = missed.map(|fault| running::rows(cluster, &fault.label.pod)).collect::<Result<_>>()?;
    ensure!(is_good, "{:#?}\n{told:#?}\n{events:#?}\n{}", verdict.faults, rows.join("\n"));
    Ok(())
}

/// As long as `GUARD_SOAK_MINUTES` says; a record that is not whole is gone on with.
pub(crate) fn a_soak_is_survived(cluster: &mut Cluster) -> Result<()> {
    let minutes: u64 = std::env::var("GUARD_SOAK_MINUTES").unwrap_or_default().parse().context("GUARD_SOAK_MINUTES")?;
    let folder = Path::new(RECORD);
    let mut before = Record::read(folder)?;
    if before.is_whole() {
        std::fs::remove_dir_all(folder)?;
        before = Record::default();
    }
    let passed = (judge(&before).hours * 3600.0) as u64;
    let all = plan(SEED, minutes * 60, WARM_UP);
    let left: Vec<Fault> = all.into_iter().skip(before.labels.len()).collect();
    let shift = left.first().map_or(0, |first| first.start - WARM_UP);
    let faults: Vec<Fault> = left.into_iter().map(|fault| Fault { start: fault.start - shift, ..fault }).collect();
    let seconds = if before.labels.is_empty() { minutes * 60 } else { (minutes * 60).saturating_sub(passed) + WARM_UP };
    let mut dice = Dice::new(SEED ^ passed);
    let part = |n: u64| n * KILL_EVERY;
    let kills = (0..seconds.div_ceil(KILL_EVERY)).map(|n| dice.between((part(n) + 60, part(n + 1))));
    let plan = Plan {
        seconds,
        faults,
        kills: kills.filter(|at| at + 60 < seconds).collect(),
        reloads: [seconds / 3, seconds * 2 / 3],
        interval: "10s",
        only: None,
        rows: 0,
        folder: folder.to_owned(),
    };
    crate::install::exporters_run_restricted_on_every_node(cluster)?;
    crate::scrape::make_accounts(cluster)?;
    let verdict = carried_out(cluster, &plan)?;
    page::write(&verdict, &Record::read(folder)?)?;
    let broken = verdict.broken();
    ensure!(broken.is_empty(), "{}", broken.join("\n"));
    Ok(())
}

/// Carries a plan out, and judges it.
fn carried_out(cluster: &Cluster, plan: &Plan) -> Result<Verdict> {
    start_load(cluster)?;
    let files = Files::open(&plan.folder)?;
    let commit = std::env::var("GUARD_E2E_COMMIT").unwrap_or_default();
    files.event("start", &format!("{} s of commit {commit}; seed {SEED}", plan.seconds))?;
    let raw = std::env::var("GUARD_SOAK_RAW").ok().filter(|_| plan.only.is_none());
    let recording = raw.map(|file| record(cluster, &file)).transpose()?;
    let mut soak = Soak::start(cluster, plan, &files)?;
    while soak.start.elapsed().as_secs() < plan.seconds {
        soak.turn()?;
        std::thread::sleep(Duration::from_millis(500));
    }
    soak.end()?;
    if let Some(mut recording) = recording {
        recording.check().context("the recording ended before the soak")?;
        recording.end(Signal::SIGTERM, Duration::from_secs(30)).context("the recording")?;
    }
    files.event("end", "whole")?;
    let verdict = judge(&Record::read(&plan.folder)?);
    note(&page::summary(&verdict));
    Ok(verdict)
}

/// Keeps the readings as they came, for as long as this lives.
fn record(cluster: &Cluster, file: &str) -> Result<Service> {
    ensure!(!Path::new(file).exists(), "GUARD_SOAK_RAW: {file} is there already, and is not written over");
    let mut command = cluster.admin().command("kubectl");
    command.args(["guard", "collect", "-A", "--raw", file, "--interval=10s"]);
    Service::start(command, &cluster.folder().join("collect.log"))
}

/// The services that suffer, and what else goes on: reports every 100 s, and a job each minute.
fn start_load(cluster: &Cluster) -> Result<()> {
    let admin = cluster.admin();
    admin.apply(&json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}).to_string())?;
    let itself = "http://127.0.0.1:8080/";
    let services = [
        ("web", json!({"REPLY_BYTES": "6000"}), load::limits("200m", "96Mi")),
        ("store", json!({"HOLD_MIB": "16", "LISTEN_UDP": ":8125"}), load::limits("200m", "128Mi")),
        ("worker", json!({"PEER": itself, "RATE": "20", "BURN_MICROSECONDS": "1500"}), load::limits("250m", "96Mi")),
        (
            "sender",
            json!({"PEER": itself, "RATE": "5", "SINK": "10.99.0.1:9", "SINK_BYTES": "60000"}),
            load::limits("200m", "96Mi"),
        ),
        ("report", json!({"PEER": itself, "RATE": "5", "BATCH_SECONDS": "8"}), load::limits("200m", "96Mi")),
    ];
    let mut objects: Vec<Value> = services
        .iter()
        .map(|(name, environment, limits)| {
            let mut service = load::deployment(NAMESPACE, name, environment, limits);
            // The schedule names a fault's pod by its service and node.
            service["spec"]["template"]["spec"]["topologySpreadConstraints"] = json!([{"maxSkew": 1,
                "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "DoNotSchedule",
                "labelSelector": {"matchLabels": {"app": name}}}]);
            service
        })
        .collect();
    objects.push(
        json!({"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "tally", "namespace": NAMESPACE},
        "spec": {"schedule": "* * * * *", "successfulJobsHistoryLimit": 1, "failedJobsHistoryLimit": 1,
            "jobTemplate": {"spec": {"template": {"spec": {"restartPolicy": "Never", "containers": [{
                "name": "tally", "image": WORK_IMAGE, "imagePullPolicy": "Never", "args": ["batch", "5"],
                "resources": load::limits("100m", "64Mi")}]}}}}}}),
    );
    admin.apply(&json!({"apiVersion": "v1", "kind": "List", "items": objects}).to_string())?;
    for (name, ..) in services {
        admin.wait_for_rollout(NAMESPACE, &format!("deployment/{name}"))?;
    }
    Ok(())
}

/// A soak under way.
struct Soak<'a> {
    cluster: &'a Cluster,
    plan: &'a Plan,
    files: &'a Files,
    start: Instant,
    pods: Vec<Victim>,
    customers: Vec<(String, Customers)>,
    run: Running<'a>,
    watching: Watching<'a>,
    heard: Receiver<Value>,
    waiting: Vec<Fault>,
    ongoing: Vec<Ongoing>,
    kills: Vec<u64>,
    reloads: Vec<u64>,
    next_sample: Duration,
    next_progress: Duration,
    incidents: usize,
}

impl<'a> Soak<'a> {
    fn start(cluster: &'a Cluster, plan: &'a Plan, files: &'a Files) -> Result<Self> {
        let pods = victims(cluster, NAMESPACE)?;
        let customers = pods.iter().enumerate().filter_map(|(number, pod)| {
            let (calls, packets) = match pod.service.as_str() {
                "web" => (10.0, 0.0),
                "store" => (4.0, 20.0),
                _ => return None,
            };
            Some(Customers::of(&pod.address, calls, packets, SEED + number as u64).map(|all| (pod.pod.clone(), all)))
        });
        let customers: Vec<(String, Customers)> = customers.collect::<Result<_>>()?;
        let (address, heard) = guard_tests::hear::listen()?;
        let run = Running::start(cluster, &format!("http://{address}/"), plan.interval, plan.only)?;
        Ok(Self {
            cluster,
            plan,
            files,
            start: Instant::now(),
            pods,
            customers,
            run,
            watching: Watching::start(cluster, files, plan.only)?,
            heard,
            waiting: plan.faults.clone(),
            ongoing: Vec::new(),
            kills: plan.kills.clone(),
            reloads: plan.reloads.to_vec(),
            next_sample: Duration::ZERO,
            next_progress: Duration::ZERO,
            incidents: 0,
        })
    }

    /// Everything that is due.
    fn turn(&mut self) -> Result<()> {
        let passed = self.start.elapsed();
        let now = passed.as_secs();
        self.begin_due(now)?;
        self.end_due(now)?;
        self.hear()?;
        if take_due(&mut self.kills, now) {
            self.files.event("kill", "run, SIGKILL")?;
            self.run.kill_and_start_again()?;
            self.files.event("files", "whole after the kill")?;
        }
        if take_due(&mut self.reloads, now) {
            let said = self.run.reload()?;
            self.files.event("reload", &said)?;
        }
        self.run.check()?;
        if passed >= self.next_sample {
            self.next_sample = passed + SAMPLE;
            self.watching.sample(self.run.pid())?;
        }
        if passed >= self.next_progress {
            self.next_progress = passed + PROGRESS;
            let faults: Vec<&str> = self.ongoing.iter().map(|one| one.fault.kind.name).collect();
            let faults = if faults.is_empty() { "calm".to_owned() } else { faults.join(" and ") };
            let (minutes, of) = (now / 60, self.plan.seconds / 60);
            let (told, rest) = (self.incidents, self.waiting.len());
            note(&format!("soak: {minutes} of {of} min, {faults}, {told} incidents told, {rest} faults to come"));
        }
        Ok(())
    }

    fn begin_due(&mut self, now: u64) -> Result<()> {
        while self.waiting.first().is_some_and(|fault| fault.start <= now) {
            let fault = self.waiting.remove(0);
            let node = format!("node{}", fault.node);
            let victim = self.pods.iter().find(|pod| pod.service == fault.kind.service && pod.node == node);
            let victim = victim.with_context(|| format!("{} has no pod on {node}", fault.kind.service))?.clone();
            let lasting = Duration::from_secs(fault.seconds);
            self.wait_until_learnt(&fault, &victim)?;
            if let Err(error) = victim.begin(self.cluster, fault.kind.way, lasting) {
                self.files.event("trouble", &format!("{} in {}: {error:#}", fault.kind.name, victim.pod))?;
                continue;
            }
            self.customers_of(&victim, fault.kind.way, 10);
            let start = Timestamp::now();
            let label = Label {
                start,
                end: start + lasting,
                pod: victim.pod.clone(),
                workload: victim.service.clone(),
                node,
                fault: fault.kind.name.to_owned(),
            };
            self.watching.felt.push(label.clone());
            self.ongoing.push(Ongoing { fault, victim, label });
        }
        Ok(())
    }

    /// Stops the clock of the schedule until `run` has rows enough to know the pod.
    fn wait_until_learnt(&mut self, fault: &Fault, victim: &Victim) -> Result<()> {
        if self.plan.rows == 0 || fault.kind.is_told_by_kubernetes() {
            return Ok(());
        }
        let (from, what) = (Instant::now(), format!("{} rows of {}", self.plan.rows, victim.pod));
        wait::until(&what, LEARNING_LIMIT, || {
            let rows = running::rows(self.cluster, &victim.pod)?.lines().count();
            Ok((rows >= self.plan.rows).then_some(()))
        })?;
        self.start += from.elapsed();
        Ok(())
    }

    fn end_due(&mut self, now: u64) -> Result<()> {
        let over = |one: &Ongoing| Timestamp::now() >= one.label.end || now >= self.plan.seconds;
        let (over, lasting): (Vec<Ongoing>, Vec<Ongoing>) = self.ongoing.drain(..).partition(over);
        self.ongoing = lasting;
        for one in over {
            one.victim.end(one.fault.kind.way)?;
            self.customers_of(&one.victim, one.fault.kind.way, 1);
            self.files.label(&one.label)?;
        }
        Ok(())
    }

    fn customers_of(&self, victim: &Victim, way: Way, times: u64) {
        if way == Way::Surge {
            let of = self.customers.iter().filter(|(pod, _)| *pod == victim.pod);
            of.for_each(|(_, customers)| customers.hurry(times));
        }
    }

    fn hear(&mut self) -> Result<()> {
        while let Ok(message) = self.heard.try_recv() {
            for incident in message["began"].as_array().into_iter().flatten() {
                self.files.told(&watching::told(incident)?)?;
                self.incidents += 1;
            }
        }
        Ok(())
    }

    fn end(mut self) -> Result<()> {
        self.end_due(self.plan.seconds)?;
        let restarts = self.run.restarts()?;
        if !restarts.is_empty() {
            self.files.event("trouble", &format!("parts of run were restarted: {restarts}"))?;
        }
        self.run.stop()?;
        self.hear()?;
        self.watching.end()
    }
}

fn take_due(moments: &mut Vec<u64>, now: u64) -> bool {
    let due = moments.first().is_some_and(|at| *at <= now);
    if due {
        moments.remove(0);
    }
    due
}
