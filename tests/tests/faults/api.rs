//! An API server that fails: the pods that were known stay, and what has changed meanwhile is known soon after.

use std::time::Duration;

use anyhow::{Result, ensure};
use guard_tests::stand_in::Mood;
use guard_tests::suite::note;

use crate::scene::{Rounds, Scene, names, pods};

const CLAIM: &str = "the last known pods stay; what changed meanwhile is known after it; same process";
/// Longer than a client waits for a watch that says nothing (295 s).
const SILENCE: Duration = Duration::from_mins(7);

fn survives(rounds: &mut Rounds, fault: &str, mood: Mood) -> Result<()> {
    let scene = Scene::new(1)?;
    let exporter = scene.exporter(&[])?;
    let mut known = names("first", 1);
    rounds.survive(fault, CLAIM, |number, dice| {
        scene.api.be(mood);
        std::thread::sleep(Rounds::moment(dice, (100, 1500)));
        ensure!(pods(&exporter.report()?) == known, "the pods that were known are gone");
        known = names(&format!("next-{number}"), 1);
        scene.have(&known);
        std::thread::sleep(Rounds::moment(dice, (50, 300)));
        scene.api.be(Mood::Well);
        exporter.wait("the pod that came meanwhile", |report| pods(report) == known).map(drop)
    })
}

pub(crate) fn hangs_up(rounds: &mut Rounds) -> Result<()> {
    survives(rounds, "api server hangs up", Mood::Away)
}

pub(crate) fn too_much(rounds: &mut Rounds) -> Result<()> {
    survives(rounds, "api server answers 429", Mood::Refusing(429))
}

pub(crate) fn fails(rounds: &mut Rounds) -> Result<()> {
    survives(rounds, "api server answers 500", Mood::Refusing(500))
}

pub(crate) fn nonsense(rounds: &mut Rounds) -> Result<()> {
    survives(rounds, "api server talks nonsense", Mood::Nonsense)
}

pub(crate) fn breaks_off(rounds: &mut Rounds) -> Result<()> {
    survives(rounds, "api server breaks off", Mood::Cut)
}

pub(crate) fn compacted(rounds: &mut Rounds) -> Result<()> {
    survives(rounds, "watch ends with 410", Mood::Gone)
}

/// Twenty exporters at once: each waits for its watch's end in its own time.
pub(crate) fn silent(rounds: &mut Rounds) -> Result<()> {
    let scenes: Result<Vec<Scene>> = (0..rounds.times()).map(|_| Scene::new(1)).collect();
    let scenes = scenes?;
    let exporters: Result<Vec<_>> = scenes.iter().map(|scene| scene.exporter(&[])).collect();
    let exporters = exporters?;
    for scene in &scenes {
        scene.api.be(Mood::Silent);
    }
    // Their watches are open and fall silent; pods change, and only who asks anew is told.
    std::thread::sleep(Duration::from_secs(1));
    for scene in &scenes {
        scene.have(&names("next", 1));
    }
    for scene in &scenes {
        scene.api.be(Mood::Well);
    }
    note(&format!("{} watches are silent for up to {} s", exporters.len(), SILENCE.as_secs()));
    let start = std::time::Instant::now();
    rounds.survive(
        "watch falls silent",
        "it is given up within 7 minutes; what changed meanwhile is known after it",
        |number, _| {
            guard_tests::wait::until("a new list", SILENCE.saturating_sub(start.elapsed()), || {
                let now = pods(&exporters[number].report()?);
                Ok((now == names("next", 1)).then_some(()))
            })
        },
    )
}
