//! What the network sees of a pod: each signal against the pod's own running location and scale, in log units.
//!
//! The trainer and the scorer both call [`Normaliser::step`], so training and serving cannot drift apart; the ONNX file
//! carries [`schema_hash`], and [`crate::engine`] refuses a model made for other features. All memories are in seconds:
//! a score must not depend on whether a pod is read each 5 or each 60 s.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::sample::PodSample;

/// Fresh samples until the learnt part speaks of a pod that nothing is known of.
pub(crate) const LEARNING: u32 = 20;

/// CPU, memory, received and sent traffic.
pub const SIGNALS: usize = 4;
/// The place of CPU among them.
pub const CPU: usize = 0;
/// Memory's.
pub const MEMORY: usize = 1;
/// Names of the signals, in their order everywhere.
pub const NAMES: [&str; SIGNALS] = ["cpu", "memory", "receive", "transmit"];
/// Width of the network's input.
pub const INPUTS: usize = 6 * SIGNALS + 7;

/// Scale of a signal before anything is known of it, in log units.
const PRIOR_SCALE: [f64; SIGNALS] = [0.25, 0.02, 0.2, 0.25];
const SCALE_FLOOR: [f64; SIGNALS] = [0.08, 0.01, 0.08, 0.08];
const SCALE_CAP: f64 = 1.5;
/// Centre and spread of the level inputs.
const LEVEL_CENTRE: [f64; SIGNALS] = [2.0, 19.5, 5.5, 7.5];
const LEVEL_SPREAD: [f64; SIGNALS] = [2.0, 1.5, 2.0, 2.0];
/// Seconds of the fast mean, which tells a lasting change from a blip.
const FAST_SECONDS: f64 = 60.0;
/// Shortest and longest memory of the location; in between it remembers as long as it has seen.
const LOCATION_SECONDS: [f64; 2] = [600.0, 7200.0];
/// The same of the scale.
const SCALE_SECONDS: [f64; 2] = [1200.0, 14_400.0];
/// Samples until the running mean by count gives way to the memory in seconds.
const EARLY_SAMPLES: f64 = 15.0;
/// Samples that the prior scale counts for.
const PRIOR_SAMPLES: f64 = 16.0;
/// An update sees at most this many scales, so that a fault barely moves what is normal.
const UPDATE_CLIP: f64 = 3.0;
/// Residuals saturate here.
const RESIDUAL_CLIP: f64 = 40.0;
/// Mean of |x| of a unit normal.
const MEAN_ABSOLUTE: f64 = 0.8;
/// Confidence, in samples and in seconds, after a gap or in a new pod of a known workload.
const INHERITED_SAMPLES: f64 = 8.0;
const INHERITED_SECONDS: f64 = 480.0;
/// A sample this much later than the one before comes after a gap.
const GAP_SECONDS: f64 = 300.0;
/// What an interval is taken for when it is unknown, and its bounds.
const USUAL_INTERVAL: f64 = 15.0;
const INTERVALS: [f64; 2] = [1.0, 120.0];
/// Units of the inputs that tell age and count of what has been seen.
const AGE_SECONDS: f64 = 3600.0;
const AGE_SAMPLES: f64 = 20.0;
/// Half width of the 90 % range of a Student t with three degrees of freedom, the trainer's likelihood.
const RANGE_90: f64 = 2.353;

/// What identifies the features: names, widths and constants, as one line of text.
pub fn schema() -> String {
    format!(
        "guard-features/1 {NAMES:?} inputs={INPUTS} prior={PRIOR_SCALE:?} floor={SCALE_FLOOR:?} cap={SCALE_CAP} \
         level={LEVEL_CENTRE:?}/{LEVEL_SPREAD:?} fast={FAST_SECONDS} location={LOCATION_SECONDS:?} \
         scale={SCALE_SECONDS:?} early={EARLY_SAMPLES}/{PRIOR_SAMPLES} clip={UPDATE_CLIP}/{RESIDUAL_CLIP} \
         inherited={INHERITED_SAMPLES}/{INHERITED_SECONDS} gap={GAP_SECONDS} interval={USUAL_INTERVAL}/{INTERVALS:?} \
         age={AGE_SECONDS}/{AGE_SAMPLES}"
    )
}

/// Lower-case hex of the SHA-256 of [`schema`]; stands in the model file under `schema`.
pub fn schema_hash() -> String {
    hex(&Sha256::digest(schema()))
}

/// Lower-case hex.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        for nibble in [byte >> 4, byte & 15] {
            text.extend(char::from_digit(u32::from(nibble), 16));
        }
        text
    })
}

/// The four signals of one sample in raw units, and CPU and memory as shares of their limits. NaN is unknown.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Signals {
    /// Cores, bytes, bytes received per second, bytes sent per second.
    pub values: [f64; SIGNALS],
    /// Use of the CPU limit and of the memory limit, 0 to 1.
    pub share: [f64; 2],
}

impl Signals {
    /// Nothing known.
    pub const UNKNOWN: Signals = Signals { values: [f64::NAN; SIGNALS], share: [f64::NAN; 2] };
}

/// The signals of a sample; what was not measured, or is negative or not finite, is NaN.
pub fn signals(sample: &PodSample) -> Signals {
    let known = |value: Option<f64>| value.filter(|v| v.is_finite() && *v >= 0.0).unwrap_or(f64::NAN);
    let m = &sample.measures;
    Signals {
        values: [
            known(m.cpu_cores),
            known(m.memory_bytes),
            known(m.receive_bytes_per_second),
            known(m.transmit_bytes_per_second),
        ],
        share: [known(m.cpu_limit_share), known(m.memory_limit_share)],
    }
}

/// Log units of the raw values: log1p of millicores, ln of bytes (from 1 MB), log1p of tens of bytes per second.
pub fn log_values(raw: [f64; SIGNALS]) -> [f64; SIGNALS] {
    // `f64::max` would turn an unknown memory into 1 MB.
    let memory = if raw[1].is_nan() { raw[1] } else { raw[1].max(1e6).ln() };
    [(raw[0] * 1000.0).ln_1p(), memory, (raw[2] / 10.0).ln_1p(), (raw[3] / 10.0).ln_1p()]
}

/// The inverse of [`log_values`] for one signal; NaN stays NaN.
pub fn raw_value(signal: usize, log: f64) -> f64 {
    let raw = match signal {
        0 => log.exp_m1() / 1000.0,
        1 => log.exp(),
        _ => log.exp_m1() * 10.0,
    };
    // Not `max`, which would turn a NaN into 0.
    if raw < 0.0 { 0.0 } else { raw }
}

/// What one sample of one pod gives the network.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Features {
    /// The network's input; always finite.
    pub input: [f32; INPUTS],
    /// Distance of each signal from its location, in scales; also the target of the forecast made one sample before.
    pub residual: [f32; SIGNALS],
    /// 1 where the signal was measured, else 0.
    pub known: [f32; SIGNALS],
}

/// How much of a new value each mean takes, once it goes by seconds: the same for all signals of a sample.
pub(crate) struct Rates {
    fast: f64,
    location: f64,
    scale: f64,
}

impl Rates {
    /// Those of a value `interval` seconds after the one before it; `age` seconds were watched until then.
    pub(crate) fn after(interval: f64, age: f64) -> Rates {
        let memory = |[short, long]: [f64; 2], seconds: f64| seconds.clamp(short, long);
        Rates {
            fast: forget(interval, FAST_SECONDS),
            location: forget(interval, memory(LOCATION_SECONDS, age)),
            scale: forget(interval, memory(SCALE_SECONDS, 2.0 * age)),
        }
    }
}

/// What has been learnt of one signal.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Running {
    location: f64,
    scale: f64,
    /// Mean over the last minute or so; `None` before the first sample.
    fast: Option<f64>,
    /// Confidence, in samples; falls at a gap.
    seen: f64,
}

/// Running location and scale of one pod's signals.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Normaliser {
    signals: [Running; SIGNALS],
    /// Confidence, in seconds.
    age: f64,
    last: Option<f64>,
    steps: u32,
}

impl Default for Normaliser {
    fn default() -> Self {
        Self { signals: std::array::from_fn(|f| Running::new(PRIOR_SCALE[f])), age: 0.0, last: None, steps: 0 }
    }
}

impl Normaliser {
    /// Takes the sample measured at `at` (Unix seconds, the kubelet's own) and gives what the network sees of it.
    /// Call it for fresh samples only. Time that stands still or runs backwards counts as one second.
    pub fn step(&mut self, at: f64, signals: &Signals) -> Features {
        let interval = self.interval(at);
        let rates = Rates::after(interval, self.age);
        let mut out = Features { input: [0.0; INPUTS], residual: [0.0; SIGNALS], known: [0.0; SIGNALS] };
        for (f, y) in log_values(signals.values).into_iter().enumerate() {
            out.input[4 * SIGNALS + f] = ((self.signals[f].scale / PRIOR_SCALE[f]).ln() / 2.0) as f32;
            if y.is_finite() {
                self.observe(f, y, &rates, &mut out);
            }
        }
        let rest = &mut out.input[6 * SIGNALS..];
        for (i, share) in signals.share.into_iter().enumerate() {
            if share.is_finite() {
                rest[i] = share.clamp(0.0, 2.0) as f32;
                rest[2 + i] = 1.0;
            }
        }
        rest[4] = (self.age / AGE_SECONDS).min(1.0) as f32;
        rest[5] = (self.confidence() / AGE_SAMPLES).min(1.0) as f32;
        rest[6] = (interval / 30.0).ln() as f32;
        self.age += interval;
        self.steps = self.steps.saturating_add(1);
        out
    }

    /// Seconds since the sample before, within bounds; after a gap, what was learnt counts for less.
    fn interval(&mut self, at: f64) -> f64 {
        let since = self.last.map(|last| at - last).filter(|s| s.is_finite());
        if at.is_finite() {
            self.last = Some(at);
        }
        if since.is_some_and(|since| since > GAP_SECONDS) {
            self.lose_confidence();
        }
        interval(since)
    }

    fn observe(&mut self, f: usize, y: f64, rates: &Rates, out: &mut Features) {
        let s = &mut self.signals[f];
        let residual = s.residual(y);
        let in_scales = |from: f64, to: f64| ((to - from) / s.scale).clamp(-RESIDUAL_CLIP, RESIDUAL_CLIP);
        let before = s.fast.unwrap_or(y);
        let fast = before + rates.fast * (y - before);
        out.input[f] = residual.asinh() as f32;
        out.input[SIGNALS + f] = in_scales(before, y).asinh() as f32;
        out.input[2 * SIGNALS + f] = in_scales(s.location, fast).asinh() as f32;
        out.input[3 * SIGNALS + f] = ((y - LEVEL_CENTRE[f]) / LEVEL_SPREAD[f]) as f32;
        out.input[5 * SIGNALS + f] = 1.0;
        out.residual[f] = residual as f32;
        out.known[f] = 1.0;
        s.fast = Some(fast);
        s.learn(residual, rates, SCALE_FLOOR[f]);
    }

    /// The range, in raw units, in which this signal lies in nine of ten cases by the pod's own baseline. `None` while nothing
    /// is known, or if it is not finite.
    pub fn expected(&self, signal: usize) -> Option<(f64, f64)> {
        let (low, high) = self.signals.get(signal)?.range()?;
        let (low, high) = (raw_value(signal, low), raw_value(signal, high));
        (low.is_finite() && high.is_finite()).then_some((low, high))
    }

    /// Samples taken so far.
    pub fn seen(&self) -> u32 {
        self.steps
    }

    /// What a new pod of the same workload starts from: the same location and scale, held with little confidence.
    #[must_use]
    pub fn inherited(&self) -> Normaliser {
        let mut heir = Normaliser { last: None, steps: 0, ..self.clone() };
        heir.signals.iter_mut().for_each(|s| s.fast = None);
        heir.lose_confidence();
        heir
    }

    fn lose_confidence(&mut self) {
        self.age = self.age.min(INHERITED_SECONDS);
        self.signals.iter_mut().for_each(|s| s.seen = s.seen.min(INHERITED_SAMPLES));
    }

    fn confidence(&self) -> f64 {
        self.signals.iter().map(|s| s.seen).fold(0.0, f64::max)
    }
}

impl Running {
    /// Nothing learnt; `scale` is what is expected before.
    pub(crate) fn new(scale: f64) -> Self {
        Self { location: 0.0, scale, fast: None, seen: 0.0 }
    }

    /// Distance of `y` from the location, in scales; the first value is the location itself.
    pub(crate) fn residual(&mut self, y: f64) -> f64 {
        if self.seen <= 0.0 {
            self.location = y;
        }
        ((y - self.location) / self.scale).clamp(-RESIDUAL_CLIP, RESIDUAL_CLIP)
    }

    /// What nine of ten values lie within; `None` while nothing is known.
    pub(crate) fn range(&self) -> Option<(f64, f64)> {
        let width = RANGE_90 * self.scale;
        (self.seen > 0.0).then_some((self.location - width, self.location + width))
    }

    /// Confidence, in samples.
    pub(crate) fn samples(&self) -> f64 {
        self.seen
    }

    /// Takes the value whose [`Self::residual`] is given.
    pub(crate) fn learn(&mut self, residual: f64, rates: &Rates, floor: f64) {
        let clipped = residual.clamp(-UPDATE_CLIP, UPDATE_CLIP);
        let early = self.seen < EARLY_SAMPLES;
        let location_rate = if early { 1.0 / (self.seen + 1.0) } else { rates.location };
        let scale_rate = if early { 1.0 / (self.seen + PRIOR_SAMPLES) } else { rates.scale };
        self.location += location_rate * self.scale * clipped;
        if self.seen > 2.0 {
            let grown = self.scale * (1.0 + scale_rate * (clipped.abs() / MEAN_ABSOLUTE - 1.0));
            self.scale = grown.clamp(floor, SCALE_CAP);
        }
        self.seen += 1.0;
    }
}

/// The seconds since the sample before, within bounds; the usual ones if they are not known.
pub(crate) fn interval(since: Option<f64>) -> f64 {
    since.map_or(USUAL_INTERVAL, |since| since.clamp(INTERVALS[0], INTERVALS[1]))
}

/// Share of the new in an exponential mean with this memory.
fn forget(interval: f64, memory: f64) -> f64 {
    -(-interval / memory).exp_m1()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Feeds the same pod at this interval: `value(seconds)` of sent traffic until `end`.
    fn fed(interval: f64, end: f64, value: impl Fn(f64) -> f64) -> (Normaliser, Features) {
        let mut normaliser = Normaliser::default();
        let mut last = None;
        let mut at = 0.0;
        while at < end {
            let signals = Signals { values: [0.1, 1e8, 1e4, value(at)], share: [f64::NAN; 2] };
            last = Some(normaliser.step(1.7e9 + at, &signals));
            at += interval;
        }
        (normaliser, last.expect("at least one sample"))
    }

    #[test]
    fn a_step_looks_the_same_at_every_interval() {
        let wave = |at: f64| 1e4 * (0.3 * (at / 700.0).sin()).exp() * if at >= 7200.0 { 10.0 } else { 1.0 };
        let features = [5.0, 10.0, 15.0, 60.0].map(|interval| fed(interval, 7261.0, wave).1);
        for f in &features {
            let ratio = f.residual[3] / features[3].residual[3];
            assert!((0.6..1.7).contains(&ratio), "residual {} {}", f.residual[3], features[3].residual[3]);
            assert!((f.input[2 * SIGNALS + 3] - features[3].input[2 * SIGNALS + 3]).abs() < 0.8);
        }
    }

    #[test]
    fn the_unknown_is_zero_with_a_mask_and_teaches_nothing() {
        let mut normaliser = Normaliser::default();
        let out = normaliser.step(0.0, &Signals::UNKNOWN);
        assert!(out.known.iter().chain(&out.residual).all(|value| value.abs() < f32::EPSILON), "{out:?}");
        assert_eq!(normaliser.expected(0), None);
        assert_eq!(normaliser.seen(), 1);
    }

    #[test]
    fn the_expected_range_holds_what_is_normal_and_is_in_raw_units() {
        let (normaliser, _) = fed(15.0, 1800.0, |_| 2e4);
        let (low, high) = normaliser.expected(3).unwrap();
        assert!(low < 2e4 && high > 2e4 && low > 1e4 && high < 4e4, "{low} {high}");
        assert_eq!(normaliser.expected(9), None);
    }

    #[test]
    fn an_heir_knows_the_level_but_is_not_sure_of_it() {
        let (normaliser, _) = fed(15.0, 7200.0, |_| 2e4);
        let heir = normaliser.inherited();
        assert_eq!(heir.seen(), 0);
        assert!(heir.expected(3).is_some());
        assert!(heir.confidence() <= INHERITED_SAMPLES && heir.age <= INHERITED_SECONDS);
    }

    #[test]
    fn raw_and_log_values_are_inverses() {
        let raw = [0.25, 3e8, 5e3, 7e4];
        for (f, log) in log_values(raw).into_iter().enumerate() {
            assert!((raw_value(f, log) / raw[f] - 1.0).abs() < 1e-9);
        }
    }

    proptest! {
        #[test]
        fn inputs_are_finite_whatever_is_measured(
            samples in prop::collection::vec((any::<f64>(), any::<[f64; SIGNALS]>(), any::<[f64; 2]>()), 1..60),
        ) {
            let mut normaliser = Normaliser::default();
            for (at, values, share) in samples {
                let out = normaliser.step(at, &Signals { values, share });
                prop_assert!(out.input.iter().all(|v| v.is_finite()), "{:?}", out.input);
            }
        }
    }
}
