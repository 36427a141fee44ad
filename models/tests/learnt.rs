//! What the learnt part must find and must leave alone at every interval, on made-up pods through normaliser and engine.

use guard_model::engine::{Engine, HIDDEN, SHIPPED};
use guard_model::features::{Normaliser, Signals};

/// What learnt scores of pods look like: each pod at each tick. Pods have no limits.
struct Run {
    interval: f64,
    scores: Vec<Vec<f32>>,
}

/// A small deterministic wobble in -1..1, different in each pod and signal.
fn wobble(pod: usize, signal: usize, tick: usize) -> f64 {
    let seed = (pod * 7919 + signal * 104_729 + tick * 1_299_709) as u64;
    let mixed = (seed ^ 0x9e37_79b9_7f4a_7c15).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    ((mixed ^ (mixed >> 29)) >> 40) as f64 / f64::from(1u32 << 23) - 1.0
}

fn run(interval: f64, ticks: usize, pods: &[&dyn Fn(usize, f64) -> [f64; 4]]) -> Run {
    run_with(SHIPPED, interval, ticks, pods)
}

fn run_with(onnx: &[u8], interval: f64, ticks: usize, pods: &[&dyn Fn(usize, f64) -> [f64; 4]]) -> Run {
    let mut engine = Engine::load(onnx).expect("the shipped model runs");
    let mut normalisers = vec![Normaliser::default(); pods.len()];
    let (mut h, mut c) = (vec![0.0; pods.len() * HIDDEN], vec![0.0; pods.len() * HIDDEN]);
    let mut scores = Vec::new();
    for tick in 0..ticks {
        let at = 1.7e9 + tick as f64 * interval;
        let mut x = Vec::new();
        for (normaliser, pod) in normalisers.iter_mut().zip(pods) {
            let signals = Signals { values: pod(tick, tick as f64 * interval), share: [f64::NAN; 2] };
            x.extend(normaliser.step(at, &signals).input);
        }
        scores.push(engine.step(pods.len(), &x, &mut h, &mut c).expect("the shipped model runs").probability.clone());
    }
    Run { interval, scores }
}

/// Samples until the learnt part speaks.
const LEARNING: usize = 20;

fn steady(pod: usize, level: [f64; 4], noise: f64) -> impl Fn(usize, f64) -> [f64; 4] {
    move |tick, _| {
        std::array::from_fn(|f| level[f] * (1.0 + if f == 1 { noise * 0.1 } else { noise } * wobble(pod, f, tick)))
    }
}

const QUIET: [f64; 4] = [0.004, 3e7, 900.0, 20_000.0];
const BUSY: [f64; 4] = [0.2, 4e8, 60_000.0, 90_000.0];

/// Egress times ten from tick `onset` on, a little CPU with it.
fn exfiltrates(level: [f64; 4], noise: f64, onset: usize) -> impl Fn(usize, f64) -> [f64; 4] {
    let base = steady(3, level, noise);
    move |tick, at| {
        let mut values = base(tick, at);
        if tick >= onset {
            values[3] *= 10.0;
            values[0] *= 1.3;
        }
        values
    }
}

const ONSETS: [usize; 3] = [22, 26, 30];
const INTERVALS: [f64; 4] = [5.0, 10.0, 15.0, 60.0];

#[test]
fn egress_times_ten_without_limits_is_found_within_a_minute_or_three_samples() {
    for interval in INTERVALS {
        // One sample of a minute may well be a blip: at that interval it takes up to three.
        let within = ((60.0 / interval) as usize).max(3);
        for onset in ONSETS {
            for (level, noise) in [(QUIET, 0.02), (QUIET, 0.2), (BUSY, 0.05), (BUSY, 0.2)] {
                let run = run(interval, onset + within, &[&exfiltrates(level, noise, onset)]);
                let best = run.scores[onset..].iter().map(|s| s[0]).fold(0.0, f32::max);
                assert!(best >= 0.7, "each {interval} s, onset {onset}, noise {noise}: {best}");
            }
        }
    }
}

#[test]
fn the_constant_zero_model_finds_none_of_it() {
    let zero = include_bytes!("../golden/zero.onnx");
    let run = run_with(zero, 10.0, 40, &[&exfiltrates(QUIET, 0.02, 25)]);
    assert!(run.scores.iter().all(|s| s[0] < 1e-3));
}

#[test]
fn steady_and_gently_varying_pods_stay_under_the_line() {
    let swinging = |tick: usize, at: f64| {
        let swing = 1.0 + 0.4 * (at / 900.0).sin();
        let noise = 1.0 + 0.1 * wobble(9, 0, tick);
        [0.1 * swing * noise, 2e8, 30_000.0 * swing * noise, 40_000.0 * swing]
    };
    let idle = |_: usize, _: f64| [0.000_02, 1.2e6, 0.0, 0.0];
    let drifting = |tick: usize, at: f64| {
        let grown = 1.0 + at / 30_000.0;
        [0.05 * (1.0 + 0.15 * wobble(11, 0, tick)), 1e8 * grown, 5_000.0, 8_000.0 * (1.0 + 0.1 * wobble(11, 3, tick))]
    };
    let (quiet, busy, noisy) = (steady(1, QUIET, 0.02), steady(2, BUSY, 0.1), steady(3, BUSY, 0.4));
    for interval in INTERVALS {
        let run = run(interval, 400, &[&quiet, &busy, &noisy, &swinging, &idle, &drifting]);
        for pod in 0..6 {
            let worst = run.scores[LEARNING..].iter().map(|s| s[pod]).fold(0.0, f32::max);
            assert!(worst < 0.7, "pod {pod} each {} s: {worst}", run.interval);
        }
    }
}
