//! A clock that steps: the real exporter, whose libc is told another time, beside a kubelet of the same machine.

use std::fs;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use guard_tests::wait;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::files::{learnt, replace};
use crate::scene::{Rounds, Scene, pods};

const HOUR: SignedDuration = SignedDuration::from_hours(1);
/// An answer is as old as the time between two readings, and what a busy machine adds.
const FRESH: SignedDuration = SignedDuration::from_secs(5);
const READINGS: usize = 5;

pub(crate) fn steps(rounds: &mut Rounds) -> Result<()> {
    let named = |name: &str| std::env::var(name).with_context(|| format!("{name} is not set: use tests/run --faults"));
    let scene = Scene::new(3)?;
    let told = scene.file("clock");
    fs::write(&told, "+0")?;
    // The other clock, which only runs, stays as it is: nobody can set it.
    let mut program = Command::new(named("GUARD_FAULTS_DYNAMIC")?);
    program
        .env_clear()
        .env("LD_PRELOAD", named("GUARD_FAULTS_FAKETIME")?)
        .env("FAKETIME_TIMESTAMP_FILE", &told)
        .envs([("FAKETIME_NO_CACHE", "1"), ("FAKETIME_DONT_FAKE_MONOTONIC", "1")]);
    let exporter = scene.exporter_of(program, &[])?;
    exporter.wait("all pods to be learnt", learnt)?;
    let mut ahead = SignedDuration::ZERO;
    rounds.survive(
        "clock steps by an hour",
        "pods are read and scored on by the new time; none is accused or learnt anew; same process",
        |number, dice| {
            // Forth and back, and twice forth now and then.
            ahead += if number % 3 == 1 { -HOUR } else { HOUR };
            std::thread::sleep(Rounds::moment(dice, (0, 1000)));
            replace(&told, format!("{:+}", ahead.as_secs()).as_bytes())?;
            scene.kubelet.be_ahead(ahead);
            let mut before = Value::Null;
            for _ in 0..READINGS {
                let report = exporter.wait("a reading by the new time", |report| {
                    report["at"] != before && report["kubelet"]["up"] == true && is_at(report, Timestamp::now() + ahead)
                })?;
                ensure!(pods(&report).len() == 3 && learnt(&report), "{report}");
                let accused = |pod: &Value| pod["state"] != "ok" || !pod["score"].is_number();
                ensure!(!report["pods"].as_array().context("no pods")?.iter().any(accused), "{report}");
                before = report["at"].clone();
            }
            Ok(())
        },
    )?;
    wait::until("its health", Duration::from_secs(5), || Ok(exporter.report().is_ok().then_some(())))
}

fn is_at(report: &Value, now: Timestamp) -> bool {
    let at = report["at"].as_str().and_then(|at| at.parse::<Timestamp>().ok());
    at.is_some_and(|at| now.duration_since(at).abs() <= FRESH)
}
