//! Files that are torn, full or garbage: what an exporter had learnt, the model, and the journal.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use guard_tests::suite::note;
use guard_tests::wait;
use jiff::Timestamp;
use kubectl_guard::audit::{self, Event, Journal};
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::scene::{ENDED_WITHIN, Exporter, Rounds, Scene, SmallDisk};

/// So many that what is learnt of them takes a while to write.
const MANY: usize = 200;
/// An exporter of so many pods has ended by itself, or is at it, so long after it was told to; milliseconds.
const AT_THE_END: (u64, u64) = (0, 30);
/// What an exporter says when it cannot save.
const UNSAVED: &str = "cannot save what was learnt";
/// What an exporter says of a model file that is another one.
const TAKEN: &str = "the model has changed";
const REFUSED: &str = "the model has changed and cannot be used";

pub(crate) fn learnt(report: &Value) -> bool {
    let pods = report["pods"].as_array();
    pods.is_some_and(|pods| !pods.is_empty() && pods.iter().all(|pod| pod["state"] != "learning"))
}

pub(crate) fn an_exporter_that_is_killed(rounds: &mut Rounds) -> Result<()> {
    let scene = Scene::new(MANY)?;
    let (file, beside) = (scene.file("state"), scene.file("state.tmp"));
    let state = file.display().to_string();
    let flags = ["--state-file", state.as_str()];
    let first = scene.exporter(&flags)?;
    first.wait("all pods to be learnt", learnt)?;
    first.end(Signal::SIGTERM)?;
    let mut cut = 0;
    let claim = "also while it saves what it has learnt: nothing is learnt anew";
    rounds.survive("exporter killed", claim, |number, dice| {
        let exporter = scene.exporter(&flags)?;
        std::thread::sleep(Rounds::moment(dice, (0, 1500)));
        // It saves when it is told to end: killed at that, which on a busy machine succeeds now and then, or at any moment around.
        exporter.tell(Signal::SIGTERM)?;
        if number % 4 == 3 {
            std::thread::sleep(Rounds::moment(dice, AT_THE_END));
        } else {
            until_saving(&file, &beside)?;
        }
        exporter.end(Signal::SIGKILL)?;
        cut += usize::from(fs::remove_file(&beside).is_ok());
        let next = scene.exporter(&flags)?;
        ensure!(learnt(&next.report()?), "pods are learnt anew: {}", next.log());
        next.end(Signal::SIGKILL)
    })?;
    note(&format!("{cut} of {} saves were cut off", rounds.times()));
    ensure!(cut > 0 || !rounds.is_whole(), "no save was cut off");
    Ok(())
}

/// Waits until what was learnt is written beside the file, which takes about a millisecond, or is the file already.
fn until_saving(file: &Path, beside: &Path) -> Result<()> {
    let place = || Ok::<u64, std::io::Error>(fs::metadata(file)?.ino());
    let (told, before) = (Instant::now(), place()?);
    while !beside.exists() && place()? == before {
        ensure!(told.elapsed() < ENDED_WITHIN, "it does not save");
    }
    Ok(())
}

impl Exporter {
    fn tell(&self, signal: Signal) -> Result<()> {
        self.service.borrow().tell(signal)
    }

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
        let unsaved = said(&exporter, UNSAVED);
        exporter.end(Signal::SIGTERM)?;
        ensure!(said(&exporter, UNSAVED) > unsaved, "it could save on a full disk: {}", exporter.log());
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
    let append = |step| journal.append(Timestamp::now(), "plan", Event::Next { step, held: None });
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
