//! A kubelet that fails, scrapers that dawdle, and pods that come and go: the exporter says so, answers on, and stays small.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use guard_tests::http;
use guard_tests::pki::Authority;
use guard_tests::stand_in::Mood;
use guard_tests::survival::{MANY_PODS, survive};

use crate::scene::{Rounds, Scene, TIDY, exporter_program, names, pods};

const CLAIM: &str = "it is told and not guessed at; read again right after; same process";
/// What any of this may cost for good.
const MORE_MEMORY: u64 = 4 << 20;
/// What was once held whole (8 MiB of a summary at most) may stay with the allocator.
const MORE_ONCE_HELD: u64 = 12 << 20;
const SCRAPERS: usize = 1000;
/// As many of them are held at once.
const HELD: usize = 40;
/// What an exporter has open at a moment beside them: its kubelet, a file that it reads.
const OWN: usize = 3;
/// A quarter of a minute's 500: what goes and comes between two readings that are 15 s apart.
const REPLACED: usize = 125;
const ALL_PODS: usize = 250;
/// An hour of readings.
const READINGS: usize = 240;

fn survives(rounds: &mut Rounds, fault: &str, mood: Mood, more: u64) -> Result<()> {
    let scene = Scene::new(3)?;
    let exporter = scene.exporter(&[])?;
    let before = exporter.rss()?;
    rounds.survive(fault, CLAIM, |_, dice| {
        scene.kubelet.be(mood);
        std::thread::sleep(Rounds::moment(dice, (0, 1000)));
        let told = exporter.wait("the failure to be told", |report| {
            report["kubelet"]["up"] == false && report["kubelet"]["error"].is_string()
        })?;
        ensure!(pods(&told).len() == 3, "{told}");
        scene.kubelet.be(Mood::Well);
        exporter.wait("the next reading", |report| report["kubelet"]["up"] == true)?;
        let now = exporter.rss()?;
        ensure!(now < before + more, "memory grew from {before} to {now}");
        Ok(())
    })
}

pub(crate) fn hangs_up(rounds: &mut Rounds) -> Result<()> {
    survives(rounds, "kubelet hangs up", Mood::Away, MORE_MEMORY)
}

pub(crate) fn slow(rounds: &mut Rounds) -> Result<()> {
    survives(rounds, "kubelet takes 30 s", Mood::Slow(Duration::from_secs(30)), MORE_MEMORY)
}

pub(crate) fn breaks_off(rounds: &mut Rounds) -> Result<()> {
    survives(rounds, "kubelet breaks off", Mood::Cut, MORE_MEMORY)
}

pub(crate) fn nonsense(rounds: &mut Rounds) -> Result<()> {
    survives(rounds, "kubelet talks nonsense", Mood::Nonsense, MORE_MEMORY)
}

pub(crate) fn huge(rounds: &mut Rounds) -> Result<()> {
    survives(rounds, "kubelet says 50 MB", Mood::Huge, MORE_ONCE_HELD)
}

/// Another authority signs another certificate, and another token is asked for: both files are read anew.
pub(crate) fn rotated(rounds: &mut Rounds) -> Result<()> {
    let scene = Scene::new(1)?;
    let exporter = scene.exporter(&[])?;
    rounds.survive("certificate and token rotate", "both are read anew without a restart", |number, _| {
        let next = scene.file(&format!("next-{number}"));
        Authority::new(&next)?.sign("kubelet", "kubelet", None, &[guard_tests::stand_in::NODE])?;
        let token = format!("token-{number}");
        scene.kubelet.want_token(&token);
        scene.kubelet.show(&next.join("kubelet.crt"), &next.join("kubelet.key"))?;
        exporter.wait("the refusal", |report| report["kubelet"]["up"] == false)?;
        std::fs::rename(next.join("ca.crt"), scene.file("ca.crt"))?;
        std::fs::write(scene.file("token"), &token)?;
        exporter.wait("the next reading", |report| report["kubelet"]["up"] == true).map(drop)
    })
}

/// Each sends a byte of its request now and then, on the network port, as long as it is let.
pub(crate) fn dawdling_scrapers(rounds: &mut Rounds) -> Result<()> {
    let scene = Scene::new(1)?;
    let exporter = scene.exporter(&[])?;
    let before = exporter.rss()?;
    let descriptors = || -> Result<usize> { Ok(std::fs::read_dir(format!("/proc/{}/fd", exporter.pid()))?.count()) };
    let open = descriptors()?;
    let claim = format!("health answers; no more than {HELD} connections are held; memory and files as before");
    rounds.survive("1000 scrapers dawdle", &claim, |_, _| {
        let mut scrapers: Vec<TcpStream> = Vec::new();
        for _ in 0..SCRAPERS {
            let mut scraper = TcpStream::connect(&exporter.network)?;
            scraper.set_nonblocking(true)?;
            // One that was turned away is one the less.
            scraper.write_all(b"GET /metrics HT").ok();
            scrapers.push(scraper);
        }
        guard_tests::wait::until("most to be turned away", Duration::from_secs(5), || {
            let held = descriptors()?;
            ensure!(held <= open + HELD + OWN, "{held} files are open, {open} before");
            Ok(Some(()))
        })?;
        let asked = std::time::Instant::now();
        guard_tests::wait::until("health to be answered", Duration::from_secs(10), || {
            for scraper in &mut scrapers {
                drop(scraper.write_all(b"x"));
            }
            http::get(&exporter.network, "/healthz").map(Some)
        })?;
        ensure!(asked.elapsed() < Duration::from_secs(10), "health took {:?}", asked.elapsed());
        exporter.wait("its kubelet to be read on", |report| report["kubelet"]["up"] == true)?;
        guard_tests::wait::until("the dawdlers to be cut off", Duration::from_secs(20), || {
            let held = scrapers.iter().filter(|scraper| is_held(scraper)).count();
            ensure!(held == 0, "{held} are held");
            Ok(Some(()))
        })?;
        drop(scrapers);
        guard_tests::wait::until("the files to be closed", Duration::from_secs(10), || {
            Ok((descriptors()? <= open + OWN).then_some(()))
        })?;
        let now = exporter.rss()?;
        ensure!(now < before + MORE_MEMORY, "memory grew from {before} to {now}");
        Ok(())
    })
}

/// Nobody has hung up on it yet.
fn is_held(mut scraper: &TcpStream) -> bool {
    scraper.read(&mut [0; 64]).is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock)
}

/// 500 pods a minute for an hour, in the time of a reading a second; a short run replaces pods for less of the hour.
pub(crate) fn replaced_pods(rounds: &mut Rounds) -> Result<()> {
    let scene = Scene::new(ALL_PODS)?;
    let mut program = exporter_program()?;
    program.envs([TIDY]);
    let exporter = scene.exporter_of(program, &[])?;
    let readings = READINGS * rounds.times().min(20) / 20;
    let mut pods_now = names("first", ALL_PODS);
    let (mut samples, mut replaced) = (Vec::new(), 0);
    for reading in 0..readings {
        pods_now.rotate_left(REPLACED);
        let from = ALL_PODS - REPLACED;
        pods_now.truncate(from);
        pods_now.extend(names(&format!("next-{reading}"), REPLACED));
        replaced += REPLACED;
        scene.have(&pods_now);
        let mut wanted = pods_now.clone();
        wanted.sort();
        exporter.wait("the new pods", |report| pods(report) == wanted)?;
        samples.push(exporter.rss()?);
    }
    // The first fifth fills what is kept.
    let kept = &samples[samples.len() / 5..];
    let (first, last) = kept.split_at(kept.len() / 2);
    let middle = |part: &[u64]| {
        let mut sorted = part.to_vec();
        sorted.sort_unstable();
        sorted.get(sorted.len() / 2).copied().context("no samples")
    };
    let (first, last) = (middle(first)?, middle(last)?);
    let (was, is) = (mib(first), mib(last));
    let claim =
        format!("{replaced} of them; {was:.1} MiB resident and then {is:.1} MiB; each reading has exactly its pods");
    survive("process", MANY_PODS, &claim, 1, |_| {
        ensure!(last < first + (1 << 20), "memory grew from {first} to {last}");
        Ok(())
    })
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / 1_048_576.0
}
