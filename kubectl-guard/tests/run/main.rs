//! `run` as a process of its own: what it writes, and how it ends.
#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

mod agents;
mod api;
mod ends;
mod explain;
mod input;
mod names;
mod notices;
mod tui;

const HEADER: &str = "timestamp,namespace,pod,phase,containers_ready,containers_total\n";
/// What is waited for happens in a moment; a machine may be busy.
const PATIENCE: Duration = Duration::from_mins(1);
/// What `run` promises.
const TO_END: Duration = Duration::from_secs(5);

/// A `run` in this folder.
struct Run<'a> {
    folder: &'a Path,
    child: Child,
}

impl<'a> Run<'a> {
    fn start(folder: &'a tempfile::TempDir, words: &[&str]) -> Self {
        let folder = folder.path();
        let log = fs::File::create(folder.join("stderr")).unwrap();
        let child = guard(folder, words).stdout(Stdio::null()).stderr(log).spawn().unwrap();
        Self { folder, child }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn stderr(&self) -> String {
        fs::read_to_string(self.path("stderr")).unwrap()
    }

    fn send(&self, signal: Signal) {
        kill(Pid::from_raw(i32::try_from(self.child.id()).unwrap()), signal).unwrap();
    }

    /// Waits for what `seen` sees.
    fn until<T>(&mut self, what: &str, mut seen: impl FnMut(&Run<'a>) -> Option<T>) -> T {
        let begin = Instant::now();
        loop {
            if let Some(found) = seen(self) {
                return found;
            }
            let ended = self.child.try_wait().unwrap();
            assert!(ended.is_none(), "ended before {what}: {ended:?}\n{}", self.stderr());
            assert!(begin.elapsed() < PATIENCE, "no {what}:\n{}", self.stderr());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn until_logged(&mut self, text: &str) {
        self.until(text, |run| run.stderr().contains(text).then_some(()));
    }

    fn insights(&self) -> Option<serde_json::Value> {
        let bytes = fs::read(self.path("pod_insights.json")).ok()?;
        Some(serde_json::from_slice(&bytes).expect("it is whole whenever it is there"))
    }

    /// How it ended, in the time that was promised.
    fn ended(&mut self) -> ExitStatus {
        let begin = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(begin.elapsed() < TO_END, "it still runs:\n{}", self.stderr());
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Run<'_> {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn guard(folder: &Path, words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kubectl-guard"));
    command.args(words).current_dir(folder).env_clear().env("HOME", folder).stdin(Stdio::null());
    command
}

fn answer(folder: &Path, words: &[&str]) -> Output {
    guard(folder, words).output().unwrap()
}

/// Rows of one pod, the numbers being half minutes; it has failed in the last of them.
fn rows(numbers: std::ops::Range<i64>, failed: i64) -> String {
    let row = |number: i64| {
        let at = jiff::Timestamp::from_second(1_795_356_000 + 30 * number).unwrap();
        let phase = if number == failed { "Failed,0" } else { "Running,1" };
        format!("{at},shop,cart,{phase},1\n")
    };
    numbers.map(row).collect()
}

fn folder_with_table(rows: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("pod_metrics.csv"), format!("{HEADER}{rows}")).unwrap();
    folder
}

fn append(path: &Path, text: &str) {
    OpenOptions::new().append(true).open(path).unwrap().write_all(text.as_bytes()).unwrap();
}

const ANALYZE: [&str; 4] = ["run", "--only=analyze", "--watch-interval=1s", "--log-level=debug"];

#[test]
fn a_table_that_grows_is_scored_and_what_begins_to_misbehave_is_said() {
    let folder = folder_with_table(&rows(0..3, -1));
    let mut run = Run::start(&folder, &ANALYZE);
    run.until("insights", |run| run.insights().filter(|insights| insights["pods_watched"] == 1));
    assert!(!run.stderr().contains("over its line"), "{}", run.stderr());
    append(&run.path("pod_metrics.csv"), &rows(3..4, 3));
    run.until_logged("shop/cart is over its line");
    let insights = run.until("the insight", |run| run.insights().filter(|insights| insights["pods"][0].is_object()));
    assert_eq!(insights["pods"][0]["insights"][0]["likely_causes"][0]["text"], "pod failed");
    run.send(Signal::SIGTERM);
    assert_eq!(run.ended().code(), Some(0), "{}", run.stderr());
    assert!(run.stderr().lines().last().unwrap().ends_with("ended"), "{}", run.stderr());
}

#[test]
fn interrupting_ends_it_with_130() {
    let folder = folder_with_table(&rows(0..3, -1));
    let mut run = Run::start(&folder, &ANALYZE);
    run.until_logged("rows scored");
    run.send(Signal::SIGINT);
    assert_eq!(run.ended().code(), Some(130), "{}", run.stderr());
}

#[test]
fn it_ends_while_it_waits_for_a_table_and_while_a_part_is_to_be_restarted() {
    for (text, waits) in [(None, "waiting for pod_metrics.csv"), (Some("nonsense\n1\n"), "; again in ")] {
        let folder = tempfile::tempdir().unwrap();
        if let Some(text) = text {
            fs::write(folder.path().join("pod_metrics.csv"), text).unwrap();
        }
        let mut run = Run::start(&folder, &ANALYZE);
        run.until_logged(waits);
        run.send(Signal::SIGTERM);
        assert_eq!(run.ended().code(), Some(0), "{}", run.stderr());
    }
}

#[test]
fn a_part_that_failed_goes_on_once_its_table_is_mended() {
    let folder = folder_with_table("yesterday,shop,cart,Running,1,1\n");
    let mut run = Run::start(&folder, &ANALYZE);
    run.until_logged("is not a time");
    run.until_logged("again in 2s");
    fs::write(run.path("pod_metrics.csv"), format!("{HEADER}{}", rows(0..3, 2))).unwrap();
    run.until_logged("shop/cart is over its line");
}

#[test]
fn only_detecting_writes_no_file() {
    let words = ["run", "--anomaly-agent-only", "--watch-interval=1s", "--alert-threshold=0.6"];
    let folder = folder_with_table(&rows(0..3, 2));
    let mut run = Run::start(&folder, &words);
    run.until_logged("shop/cart is over its line");
    let mut names: Vec<_> = fs::read_dir(run.folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, [".local", "pod_metrics.csv", "stderr"], "the first holds the socket: this is its home");
}

#[test]
fn what_it_writes_is_whole_whenever_it_is_killed() {
    let folder = folder_with_table(&rows(0..2, 1));
    let mut number = 2;
    for moment in 0..12u64 {
        let mut run = Run::start(&folder, &ANALYZE);
        run.until("a first insight", Run::insights);
        let begin = Instant::now();
        while begin.elapsed() < Duration::from_millis(moment * 97 % 400) {
            append(&run.path("pod_metrics.csv"), &rows(number..number + 1, number));
            number += 1;
        }
        run.send(Signal::SIGKILL);
        assert_eq!(run.child.wait().unwrap().signal(), Some(9));
        assert!(run.insights().is_some());
    }
}

#[test]
fn logs_go_to_the_older_tools_files_as_json() {
    let words = [&ANALYZE[..], &["--log-folder=logs", "--log-format=json"]].concat();
    let folder = folder_with_table(&rows(0..3, 2));
    let mut run = Run::start(&folder, &words);
    let log = run.path("logs/dataset_generator_agent.log");
    let text = run.until("the alert", |_| fs::read_to_string(&log).ok().filter(|text| text.contains("over its line")));
    let alert = text.lines().find(|line| line.contains("over its line")).unwrap();
    let alert: serde_json::Value = serde_json::from_str(alert).unwrap();
    assert_eq!((alert["level"].as_str(), alert["part"].as_str()), (Some("warning"), Some("score")));
    assert!(run.path("logs/k8s_multi_agent.log").exists());
    assert_eq!(run.stderr(), "");
}

#[test]
fn what_cannot_run_says_so_at_once() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("g.yaml"), "agents:\n  alert_treshold: 0.8\n").unwrap();
    let told: Vec<String> = [
        &["run"][..],
        &["run", "--config-file=g.yaml", "--only=analyze"],
        &["run", "--config-file=none.yaml"],
        &["run", "--openai-api-key=sk-1"],
        &["run", "--auto-approve"],
        &["run", "--alert-threshold=7"],
    ]
    .iter()
    .map(|words| {
        let answer = answer(folder.path(), words);
        let text = String::from_utf8(answer.stderr).unwrap();
        let text = text.replace(&folder.path().display().to_string(), "HOME");
        format!("{}\n{}\n{text}", words.join(" "), answer.status.code().unwrap())
    })
    .collect();
    insta::assert_snapshot!(told.join("\n"));
}

/// What an order came to: its exit code and its output.
fn order(folder: &Path, word: &str) -> (i32, String) {
    let answer = answer(folder, &["run", word]);
    let text = String::from_utf8(if answer.stdout.is_empty() { answer.stderr } else { answer.stdout }).unwrap();
    (answer.status.code().unwrap(), text)
}

#[test]
fn a_run_takes_orders_from_its_user() {
    let folder = folder_with_table(&rows(0..3, 2));
    let nobody = order(folder.path(), "status");
    assert!(nobody.0 == 1 && nobody.1.contains("no run listens at"), "{nobody:?}");
    let mut run = Run::start(&folder, &ANALYZE);
    run.until_logged("rows scored");
    let status = order(folder.path(), "status");
    assert!(status.0 == 0 && status.1.contains("1 pod over its line") && status.1.contains("running"), "{status:?}");
    assert_eq!(order(folder.path(), "pause"), (0, "paused\n".to_owned()));
    run.until("the pause", |_| order(folder.path(), "status").1.contains("paused").then_some(()));
    let scored = run.stderr().matches("rows scored").count();
    append(&run.path("pod_metrics.csv"), &rows(3..4, -1));
    assert_eq!(order(folder.path(), "resume"), (0, "resumed\n".to_owned()));
    run.until("more scores", |run| (run.stderr().matches("rows scored").count() > scored).then_some(()));
    let second = answer(folder.path(), &ANALYZE);
    assert_eq!(second.status.code(), Some(2), "a second run: {}", String::from_utf8_lossy(&second.stderr));
    assert_eq!(order(folder.path(), "stop"), (0, "ending\n".to_owned()));
    assert_eq!(run.ended().code(), Some(0), "{}", run.stderr());
    assert_eq!(order(folder.path(), "status").0, 1);
}

#[test]
fn no_two_runs_write_one_file() {
    let folder = folder_with_table(&rows(0..3, 2));
    let mut first = Run::start(&folder, &ANALYZE);
    first.until_logged("rows scored");
    let named = "--insights-file=./pod_insights.json";
    let second = answer(folder.path(), &[&ANALYZE[..], &["--socket=other", named]].concat());
    assert_eq!(second.status.code(), Some(2));
    insta::assert_snapshot!(String::from_utf8(second.stderr).unwrap(), @r"
    error: another run writes ./pod_insights.json
    hint: start this one in another folder, or name another file with --insights-file
    ");
    // Both read the table.
    let other = tempfile::tempdir_in(folder.path()).unwrap();
    let table = "--metrics-file=../pod_metrics.csv";
    let mut beside = Run::start(&other, &[&ANALYZE[..], &["--socket=other", table]].concat());
    beside.until_logged("rows scored");
    // A lock that was left behind holds nobody up.
    first.send(Signal::SIGKILL);
    first.child.wait().unwrap();
    let mut next = Run::start(&folder, &ANALYZE);
    next.until_logged("rows scored");
}

#[test]
fn a_configuration_that_changes_is_taken_as_a_whole_or_refused_as_a_whole() {
    let folder = folder_with_table(&rows(0..3, -1));
    let file = folder.path().join("g.yaml");
    let say = |text: &str| fs::write(&file, text).unwrap();
    say("remediation: {dry_run: true, confidence_threshold: 0.8}\n");
    let mut run = Run::start(&folder, &["run", "--only=analyze", "--config-file=g.yaml"]);
    run.until_logged("runs: score");
    say("remediation: {dry_run: true, confidence_threshold: 0.9}\nagents: {watch_interval: 1}\n");
    run.until_logged("reloaded: agents.watch_interval 10 -> 1, remediation.confidence_threshold 0.8 -> 0.9");
    say("remediation: {dry_run: false, confidence_threshold: 0.9}\nagents: {watch_interval: 7}\n");
    let refused = order(folder.path(), "reload");
    assert!(
        refused.0 == 6 && refused.1.contains("remediation.dry_run: a reload may only make it stricter"),
        "{refused:?}"
    );
    run.until_logged("nothing of the configuration is taken: remediation.dry_run");
    say("agents: {watch_intervall: 7}\n");
    run.send(Signal::SIGHUP);
    run.until_logged("is \"watch_interval\" meant?");
    say("remediation: {dry_run: true, confidence_threshold: 0.9}\nagents: {watch_interval: 3}\n");
    run.send(Signal::SIGHUP);
    run.until_logged("reloaded: agents.watch_interval 1 -> 3");
    run.send(Signal::SIGTERM);
    assert_eq!(run.ended().code(), Some(0), "{}", run.stderr());
}
