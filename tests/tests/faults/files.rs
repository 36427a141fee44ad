//! Files that are torn, full or garbage: what an exporter had learnt, the model, and the files of `run`.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use guard_tests::cluster::guard_binary;
use guard_tests::process::Service;
use guard_tests::wait;
use jiff::Timestamp;
use kubectl_guard::audit::{self, Event, Journal};
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::scene::{Exporter, Rounds, Scene, SmallDisk};

const ENDED_WITHIN: Duration = Duration::from_secs(10);

/// So many that a look at all of them is written in several pieces.
const MANY: usize = 200;
/// A part of `run` that fails again and again is started again later each time: after five minutes at the latest.
const GROWS: Duration = Duration::from_mins(6);
/// What an exporter says of a model file that is another one.
const TAKEN: &str = "the model has changed";
const REFUSED: &str = "the model has changed and cannot be used";

pub(crate) fn learnt(report: &Value) -> bool {
    let pods = report["pods"].as_array();
    pods.is_some_and(|pods| !pods.is_empty() && pods.iter().all(|pod| pod["state"] != "learning"))
}

pub(crate) fn an_exporter_that_is_killed(rounds: &mut Rounds) -> Result<()> {
    let scene = Scene::new(5)?;
    let state = scene.file("state").display().to_string();
    let flags = ["--state-file", state.as_str()];
    let first = scene.exporter(&flags)?;
    first.wait("all pods to be learnt", learnt)?;
    first.end(Signal::SIGTERM)?;
    rounds.survive("exporter killed", "nothing is learnt anew", |_, dice| {
        let exporter = scene.exporter(&flags)?;
        std::thread::sleep(Rounds::moment(dice, (0, 1500)));
        exporter.end(Signal::SIGKILL)?;
        let next = scene.exporter(&flags)?;
        ensure!(learnt(&next.report()?), "pods are learnt anew: {}", next.log());
        next.end(Signal::SIGKILL)
    })
}

impl Exporter {
    fn end(&self, signal: Signal) -> Result<()> {
        self.service.borrow_mut().end(signal, ENDED_WITHIN)
    }
}

/// Bytes that are no model, and the first half of one that is.
pub(crate) fn a_model_of_garbage(rounds: &mut Rounds) -> Result<()> {
    let scene = Scene::new(1)?;
    let good = fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/../models/guard.onnx"))?;
    let model = scene.file("model.onnx");
    fs::write(&model, &good)?;
    let exporter = scene.exporter(&["--model", &model.display().to_string()])?;
    let before = exporter.report()?["model"]["sha256"].clone();
    ensure!(before.is_string(), "it has no model");
    let claim = "the model that was loaded goes on; it is told; the next good file is taken";
    rounds.survive("model of garbage", claim, |number, dice| {
        let (refused, taken) = (said(&exporter, REFUSED), said(&exporter, TAKEN));
        let bytes: Vec<u8> = if number % 2 == 0 {
            good[..dice.between((1, good.len() as u64 - 1)) as usize].to_vec()
        } else {
            (0..dice.between((1, 5000))).map(|_| dice.between((0, 255)) as u8).collect()
        };
        replace(&model, &bytes)?;
        wait::until("the refusal in the log", Duration::from_secs(20), || {
            Ok((said(&exporter, REFUSED) > refused).then_some(()))
        })?;
        let report = exporter.report()?;
        ensure!(report["model"]["sha256"] == before && report["model"]["error"].is_null(), "{}", report["model"]);
        replace(&model, &good)?;
        wait::until("the good model to be taken", Duration::from_secs(20), || {
            // The refusal says that it has changed, too.
            Ok((said(&exporter, TAKEN) > taken + 1).then_some(()))
        })
    })
}

/// How often it has said something.
fn said(exporter: &Exporter, words: &str) -> usize {
    exporter.log().matches(words).count()
}

pub(crate) fn replace(file: &Path, bytes: &[u8]) -> Result<()> {
    let beside = file.with_extension("new");
    fs::write(&beside, bytes)?;
    Ok(fs::rename(beside, file)?)
}

/// What was learnt cannot be saved; nothing else is the worse for it.
pub(crate) fn a_full_disk_of_the_exporter(rounds: &mut Rounds) -> Result<()> {
    let scene = Scene::new(5)?;
    let disk = SmallDisk::mount(&scene.file("disk"), 1 << 20)?;
    let state = scene.file("disk/state").display().to_string();
    let flags = ["--state-file", state.as_str()];
    let first = scene.exporter(&flags)?;
    first.wait("all pods to be learnt", learnt)?;
    first.end(Signal::SIGTERM)?;
    let claim = "what was saved before is kept whole and used";
    rounds.survive("disk full under the exporter", claim, |_, dice| {
        let exporter = scene.exporter(&flags)?;
        disk.fill()?;
        std::thread::sleep(Rounds::moment(dice, (0, 500)));
        // It saves when it is told to end, and cannot.
        exporter.end(Signal::SIGTERM)?;
        disk.relieve()?;
        let next = scene.exporter(&flags)?;
        ensure!(learnt(&next.report()?), "pods are learnt anew: {}", next.log());
        next.end(Signal::SIGTERM)
    })
}

/// Nothing may be written to a cluster that the journal cannot tell first: each line is there as a whole, or refused.
pub(crate) fn a_full_disk_of_the_journal(rounds: &mut Rounds) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let disk = SmallDisk::mount(&folder.path().join("disk"), 1 << 20)?;
    let journal = Journal::at(folder.path().join("disk/journal.jsonl"));
    let append = |step| journal.append(Timestamp::now(), "plan", Event::Next { step });
    let mut lines = 0;
    let claim = "a line is there as a whole or refused; the chain goes on when there is room";
    rounds.survive("disk full under the journal", claim, |_, dice| {
        for step in 0..dice.between((1, 20)) as usize {
            append(step)?;
            lines += 1;
        }
        disk.fill()?;
        // The file's last block may still have room.
        let taken = (0..1000).take_while(|step| append(*step).is_ok()).count();
        ensure!(taken < 1000, "a full disk takes whatever it is given");
        lines += taken;
        ensure!(journal.read()?.len() == lines, "{} lines of {lines}", journal.read()?.len());
        disk.relieve()?;
        append(0)?;
        lines += 1;
        let chain = audit::check(&journal.bytes()?);
        ensure!(journal.read()?.len() == lines && chain.flaw.is_none() && !chain.torn, "{:?}", chain.flaw);
        Ok(())
    })
}

/// `run` beside the stand-ins, in a folder.
fn run(scene: &Scene, folder: &Path) -> Result<Service> {
    let mut command = Command::new(guard_binary("kubectl-guard")?);
    command
        .env_clear()
        .env("HOME", folder)
        .env("KUBECONFIG", scene.api.kubeconfig(scene.folder.path())?)
        .args(["run", "-A", "--interval=1s", "--watch-interval=1s", "--agent-mode=monitoring"])
        .current_dir(folder);
    Service::start(command, &scene.file("run.log"))
}

/// Every line has all columns, but for the last one, which a kill may have torn; how many lines are whole.
fn whole_lines(folder: &Path) -> Result<usize> {
    let table = fs::read_to_string(folder.join("pod_metrics.csv"))?;
    let end = table.rfind('\n').map_or(0, |at| at + 1);
    let columns = table.lines().next().context("an empty table")?.matches(',').count();
    let torn = table[..end].lines().find(|line| line.matches(',').count() != columns);
    ensure!(torn.is_none(), "a line within the table is torn: {torn:?}");
    if let Ok(text) = fs::read_to_string(folder.join("pod_insights.json")) {
        serde_json::from_str::<Value>(&text).with_context(|| format!("pod_insights.json: {text}"))?;
    }
    Ok(table[..end].lines().count())
}

fn grows(run: &mut Service, folder: &Path, beyond: usize) -> Result<usize> {
    wait::until("the table to grow", GROWS, || {
        run.check()?;
        let lines = whole_lines(folder)?;
        Ok((lines > beyond).then_some(lines))
    })
}

pub(crate) fn a_run_that_is_killed(rounds: &mut Rounds) -> Result<()> {
    let scene = Scene::new(MANY)?;
    let folder = scene.file("work");
    fs::create_dir(&folder)?;
    let mut lines = 0;
    rounds.survive("run killed", "no row is torn or lost; the next one goes on with the files", |_, dice| {
        let mut service = run(&scene, &folder)?;
        lines = grows(&mut service, &folder, lines)?;
        std::thread::sleep(Rounds::moment(dice, (0, 1100)));
        service.end(Signal::SIGKILL, ENDED_WITHIN)?;
        let now = whole_lines(&folder)?;
        ensure!(now >= lines, "{lines} lines before, {now} after");
        lines = now;
        Ok(())
    })?;
    let log = fs::read_to_string(scene.file("run.log"))?;
    ensure!(!log.contains("ERROR"), "{log}");
    Ok(())
}

pub(crate) fn a_full_disk_of_run(rounds: &mut Rounds) -> Result<()> {
    let scene = Scene::new(MANY)?;
    let folder = scene.file("disk");
    let disk = SmallDisk::mount(&folder, 24 << 20)?;
    let mut service = run(&scene, &folder)?;
    let mut lines = grows(&mut service, &folder, 1)?;
    let claim = "the same process; no row is torn; it goes on when there is room";
    rounds.survive("disk full under run", claim, |_, dice| {
        disk.fill()?;
        std::thread::sleep(Rounds::moment(dice, (500, 2500)));
        service.check()?;
        whole_lines(&folder)?;
        disk.relieve()?;
        lines = grows(&mut service, &folder, lines)?;
        Ok(())
    })?;
    service.end(Signal::SIGTERM, ENDED_WITHIN)?;
    Ok(())
}
