//! `run` beside a kubelet or an API server that fails, on a full disk, and killed: its files are whole, and it goes on.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, ensure};
use guard_tests::cluster::guard_binary;
use guard_tests::files::whole_lines;
use guard_tests::process::{Service, peak};
use guard_tests::stand_in::{Mood, StandIn};
use guard_tests::wait;
use nix::sys::signal::Signal;

use crate::scene::{ENDED_WITHIN, Rounds, Scene, SmallDisk, TIDY};

/// So many that a look at all of them is written in several pieces.
const MANY: usize = 200;
const FEW: usize = 3;
/// A part of `run` that fails again and again is started again later each time: after a minute at the latest.
const GROWS: Duration = Duration::from_mins(2);
/// So often a `run` meets a full disk: its pauses are 1, 2, 4 and 8 s then.
const TIMES_OF_A_RUN: usize = 4;
/// What the system says of a disk without room.
const NO_ROOM: &str = "No space left on device";
/// Longer than a request is given here.
const DAWDLES: Mood = Mood::Slow(Duration::from_secs(5));
/// What an answer of a kubelet may cost: a summary of 8 MiB at most is held whole. One of 50 MB is more by itself.
const MORE_FOR_AN_ANSWER: u64 = 24 << 20;

/// A `run` beside the stand-ins, in a folder.
struct Run {
    service: Service,
    folder: PathBuf,
    log: PathBuf,
}

impl Run {
    fn start(scene: &Scene, folder: &Path) -> Result<Self> {
        let mut command = Command::new(guard_binary("kubectl-guard")?);
        command
            .env_clear()
            .envs([TIDY])
            .env("HOME", folder)
            .env("KUBECONFIG", scene.api.kubeconfig(scene.folder.path())?)
            .args([
                "run",
                "-A",
                "--interval=1s",
                "--watch-interval=1s",
                "--agent-mode=monitoring",
                "--request-timeout=2s",
            ])
            .current_dir(folder);
        let log = scene.file("run.log");
        Ok(Self { service: Service::start(command, &log)?, folder: folder.to_owned(), log })
    }

    /// Waits until its table has more lines than so many; how many it has.
    fn grows(&mut self, beyond: usize) -> Result<usize> {
        wait::until("the table to grow", GROWS, || {
            self.service.check()?;
            let lines = whole_lines(&self.folder)?;
            Ok((lines > beyond).then_some(lines))
        })
    }

    /// How often it has said something.
    fn said(&self, words: &str) -> usize {
        fs::read_to_string(&self.log).unwrap_or_default().matches(words).count()
    }

    /// Waits until it says it once more than so often.
    fn says(&mut self, words: &str, before: usize) -> Result<()> {
        wait::until(&format!("{words:?} in the log of run"), GROWS, || {
            self.service.check()?;
            Ok((self.said(words) > before).then_some(()))
        })
    }
}

/// `fails` is the one of the two that fails, and `told` a part of what `run` says of it. The most memory that it has had, before
/// and after.
fn survives(
    rounds: &mut Rounds,
    (fault, told): (&str, &str),
    fails: impl Fn(&StandIn, Mood),
    mood: Mood,
) -> Result<(u64, u64)> {
    let scene = Scene::new(FEW)?;
    let folder = scene.file("work");
    fs::create_dir(&folder)?;
    let mut run = Run::start(&scene, &folder)?;
    let mut lines = run.grows(1)?;
    let before = peak(run.service.pid())?;
    let claim = "it is told; no row is torn; the table grows again right after; same process";
    rounds.survive(fault, claim, |_, dice| {
        let known = run.said(told);
        fails(&scene.api, mood);
        run.says(told, known)?;
        std::thread::sleep(Rounds::moment(dice, (0, 1000)));
        fails(&scene.api, Mood::Well);
        lines = run.grows(lines.max(whole_lines(&folder)?))?;
        Ok(())
    })?;
    Ok((before, peak(run.service.pid())?))
}

fn survives_kubelets(rounds: &mut Rounds, words: (&str, &str), mood: Mood) -> Result<()> {
    let (before, after) = survives(rounds, words, StandIn::kubelets_be, mood)?;
    ensure!(after < before + MORE_FOR_AN_ANSWER, "at most {before} bytes were in memory before, and {after} then");
    Ok(())
}

fn survives_api(rounds: &mut Rounds, words: (&str, &str), mood: Mood) -> Result<()> {
    survives(rounds, words, StandIn::be, mood).map(drop)
}

pub(crate) fn kubelet_has_too_much_to_do(rounds: &mut Rounds) -> Result<()> {
    survives_kubelets(rounds, ("run: kubelet answers 429", "nodes/proxy"), Mood::Refusing(429))
}

pub(crate) fn kubelet_breaks_off(rounds: &mut Rounds) -> Result<()> {
    survives_kubelets(rounds, ("run: kubelet breaks off", "nodes/proxy"), Mood::Cut)
}

pub(crate) fn kubelet_talks_nonsense(rounds: &mut Rounds) -> Result<()> {
    survives_kubelets(rounds, ("run: kubelet talks nonsense", "node node1"), Mood::Nonsense)
}

pub(crate) fn kubelet_says_too_much(rounds: &mut Rounds) -> Result<()> {
    survives_kubelets(rounds, ("run: kubelet says 50 MB", "node"), Mood::Huge)
}

pub(crate) fn kubelet_dawdles(rounds: &mut Rounds) -> Result<()> {
    survives_kubelets(rounds, ("run: kubelet takes longer than a request may", "nodes/proxy"), DAWDLES)
}

pub(crate) fn api_has_too_much_to_do(rounds: &mut Rounds) -> Result<()> {
    survives_api(rounds, ("run: api server answers 429", "list pods"), Mood::Refusing(429))
}

pub(crate) fn api_breaks_off(rounds: &mut Rounds) -> Result<()> {
    survives_api(rounds, ("run: api server breaks off", "list pods"), Mood::Cut)
}

pub(crate) fn api_talks_nonsense(rounds: &mut Rounds) -> Result<()> {
    survives_api(rounds, ("run: api server talks nonsense", "list pods"), Mood::Nonsense)
}

pub(crate) fn api_says_too_much(rounds: &mut Rounds) -> Result<()> {
    survives_api(rounds, ("run: api server says 50 MB", "list pods"), Mood::Huge)
}

pub(crate) fn api_dawdles(rounds: &mut Rounds) -> Result<()> {
    survives_api(rounds, ("run: api server takes longer than a request may", "list pods"), DAWDLES)
}

pub(crate) fn is_killed(rounds: &mut Rounds) -> Result<()> {
    let scene = Scene::new(MANY)?;
    let folder = scene.file("work");
    fs::create_dir(&folder)?;
    let mut lines = 0;
    rounds.survive("run killed", "no row is torn or lost; the next one goes on with the files", |_, dice| {
        let mut run = Run::start(&scene, &folder)?;
        lines = run.grows(lines)?;
        std::thread::sleep(Rounds::moment(dice, (0, 1100)));
        run.service.end(Signal::SIGKILL, ENDED_WITHIN)?;
        let now = whole_lines(&folder)?;
        ensure!(now >= lines, "{lines} lines before, {now} after");
        lines = now;
        Ok(())
    })?;
    let log = fs::read_to_string(scene.file("run.log"))?;
    ensure!(!log.contains("ERROR"), "{log}");
    Ok(())
}

pub(crate) fn is_on_a_full_disk(rounds: &mut Rounds) -> Result<()> {
    let scene = Scene::new(MANY)?;
    let folder = scene.file("disk");
    let disk = SmallDisk::mount(&folder, 24 << 20)?;
    let mut run = Run::start(&scene, &folder)?;
    let mut lines = run.grows(1)?;
    let claim = "it is told; the same process; no row is torn; it goes on when there is room";
    rounds.survive("disk full under run", claim, |number, dice| {
        if number > 0 && number.is_multiple_of(TIMES_OF_A_RUN) {
            run.service.end(Signal::SIGTERM, ENDED_WITHIN)?;
            run = Run::start(&scene, &folder)?;
            lines = run.grows(lines)?;
        }
        let known = run.said(NO_ROOM);
        disk.fill()?;
        run.says(NO_ROOM, known)?;
        std::thread::sleep(Rounds::moment(dice, (0, 2000)));
        run.service.check()?;
        whole_lines(&folder)?;
        disk.relieve()?;
        lines = run.grows(lines)?;
        Ok(())
    })?;
    run.service.end(Signal::SIGTERM, ENDED_WITHIN)?;
    Ok(())
}
