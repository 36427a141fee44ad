//! One pod's window at any interval between 5 and 60 s, made from recorded minutes: what augmentation works on.
//!
//! The kubelet is read each 10 to 15 s, and its rates are noisier than the minute averages of the recorded days. A window
//! at a shorter interval is therefore interpolated and given the noise that averaging has taken away, uneven steps, and
//! at times bursts that a minute's average hides.

use guard_model::features::{SIGNALS, Signals, log_values, raw_value};

use crate::draw::Draw;
use crate::statistics::{larger, median};

pub(crate) use guard_model::features::CPU;
pub(crate) const MEMORY: usize = 1;
pub(crate) const RECEIVE: usize = 2;
pub(crate) const TRANSMIT: usize = 3;
/// What moves with load.
pub(crate) const BUSY: [usize; 3] = [CPU, RECEIVE, TRANSMIT];

/// Seconds between samples and how often each is drawn.
const INTERVALS: [(f64, f64); 5] = [(60.0, 0.34), (30.0, 0.1), (15.0, 0.23), (10.0, 0.23), (5.0, 0.1)];
/// Noise of a sub-minute rate never exceeds this, in log units.
const MOST_NOISE: f64 = 0.6;

/// One pod's window: raw values, limits, times.
pub(crate) struct Track {
    pub(crate) interval: f64,
    pub(crate) at: Vec<f64>,
    pub(crate) values: Vec<[f64; SIGNALS]>,
    pub(crate) cpu_limit: f64,
    pub(crate) memory_limit: f64,
}

impl Track {
    /// `minutes` holds at least `steps` minutes; a shorter interval uses the first few of them.
    pub(crate) fn new(minutes: &[Signals], steps: usize, draw: &mut Draw) -> Track {
        let limit = |f: usize| {
            let limits = minutes.iter().map(|m| m.values[f] / m.share[f]).filter(|l| l.is_finite() && *l > 0.0);
            median(&limits.collect::<Vec<_>>())
        };
        let [cpu_limit, memory_limit] = [limit(CPU), limit(MEMORY)];
        let logs: Vec<_> = minutes.iter().map(|m| log_values(m.values)).collect();
        let interval = draw.weighted(&INTERVALS);
        let (at, mut logs) =
            if interval < 60.0 { resample(&logs, steps, interval, draw) } else { whole_minutes(&logs, steps) };
        vary(&mut logs, draw);
        let mut track = Track { interval, at, values: logs.iter().map(raw).collect(), cpu_limit, memory_limit };
        if draw.chance(if interval < 60.0 { 0.3 } else { 0.1 }) {
            track.add_bursts(draw);
        }
        track.set_limits(draw);
        track
    }

    pub(crate) fn len(&self) -> usize {
        self.values.len()
    }

    pub(crate) fn column(&self, f: usize) -> Vec<f64> {
        self.values.iter().map(|v| v[f]).collect()
    }

    /// Samples in this many seconds, at least one.
    pub(crate) fn samples(&self, seconds: f64) -> usize {
        ((seconds / self.interval).round() as usize).max(1)
    }

    /// A job that runs now and then for a while, as all of the pod's life: its bursts are normal.
    fn add_bursts(&mut self, draw: &mut Draw) {
        let (period, length) = if self.interval < 60.0 {
            (draw.log_uniform(30.0, 600.0), draw.log_uniform(3.0, 20.0))
        } else {
            (draw.log_uniform(300.0, 3600.0), draw.log_uniform(60.0, 180.0))
        };
        let signal = draw.pick(&BUSY);
        let (factor, phase) = (draw.log_uniform(2.0, 40.0), draw.uniform(0.0, period));
        for (at, values) in self.at.iter().zip(&mut self.values) {
            // The share of the interval before `at` that the burst covers.
            let into = (at + phase).rem_euclid(period);
            let overlap = (into.min(length) - (into - self.interval).max(0.0)).max(0.0) / self.interval;
            values[signal] *= 1.0 + (factor - 1.0) * overlap.min(1.0) * draw.uniform(0.7, 1.3);
        }
    }

    fn set_limits(&mut self, draw: &mut Draw) {
        let [cpu, memory] = [CPU, MEMORY].map(|f| median(&self.column(f)));
        let cpu_limit = if self.cpu_limit.is_nan() { draw.pick(&[0.2, 0.5, 1.0, 2.0]) } else { self.cpu_limit };
        self.cpu_limit = larger(cpu_limit, cpu * draw.uniform(2.0, 20.0));
        self.memory_limit = if self.memory_limit.is_nan() {
            memory * draw.uniform(1.2, 8.0)
        } else {
            larger(self.memory_limit, memory * 1.1)
        };
    }
}

fn raw(logs: &[f64; SIGNALS]) -> [f64; SIGNALS] {
    std::array::from_fn(|f| if logs[f].is_nan() { f64::NAN } else { raw_value(f, logs[f]) })
}

fn whole_minutes(logs: &[[f64; SIGNALS]], steps: usize) -> (Vec<f64>, Vec<[f64; SIGNALS]>) {
    ((0..steps).map(|t| t as f64 * 60.0).collect(), logs[..steps].to_vec())
}

fn resample(logs: &[[f64; SIGNALS]], steps: usize, interval: f64, draw: &mut Draw) -> (Vec<f64>, Vec<[f64; SIGNALS]>) {
    let extra = (60.0 / interval - 1.0).sqrt();
    let liveliness = draw.log_uniform(0.3, 1.5);
    let noise: [f64; SIGNALS] = std::array::from_fn(|f| {
        let jumps: Vec<f64> = logs.windows(2).map(|w| (w[1][f] - w[0][f]).abs()).collect();
        let share = if f == MEMORY { 0.2 } else { 1.0 };
        (median(&jumps) * extra * liveliness * share).min(MOST_NOISE)
    });
    let (mut now, mut at, mut out) = (0.0, Vec::with_capacity(steps), Vec::with_capacity(steps));
    let uneven = draw.pick(&[0.02, 0.2]);
    for _ in 0..steps {
        let (minute, part) = ((now / 60.0) as usize, (now / 60.0_f64).fract());
        let (a, b) = (logs[minute.min(logs.len() - 1)], logs[(minute + 1).min(logs.len() - 1)]);
        at.push(now);
        out.push(std::array::from_fn(|f| a[f] + (b[f] - a[f]) * part + draw.normal(0.0, 1.0) * noise[f]));
        now += interval * draw.uniform(1.0 - uneven, 1.0 + uneven);
    }
    (at, out)
}

/// Shifts each signal's level, stretches or calms its noise, and lets load walk slowly.
fn vary(logs: &mut [[f64; SIGNALS]], draw: &mut Draw) {
    let calm = if draw.chance(0.3) { draw.log_uniform(0.02, 0.5) } else { 1.0 };
    for (f, spread) in [0.7, 0.4, 0.7, 0.7].into_iter().enumerate() {
        let middle = median(&logs.iter().map(|v| v[f]).collect::<Vec<_>>());
        let (stretch, shift) = (calm * draw.normal(0.0, 0.25).exp(), draw.normal(0.0, spread));
        for v in logs.iter_mut() {
            v[f] = middle + stretch * (v[f] - middle) + shift;
        }
    }
    let height = draw.pick(&[0.0, 0.1, 0.3]);
    let walk = smooth_walk(logs.len(), height, draw);
    for (v, step) in logs.iter_mut().zip(walk) {
        for f in BUSY {
            v[f] = larger(v[f] + step, 0.0);
        }
    }
}

/// Normal draws about every forty samples, joined smoothly.
fn smooth_walk(samples: usize, height: f64, draw: &mut Draw) -> Vec<f64> {
    let knots: Vec<f64> = (0..samples / 40 + 3).map(|_| draw.normal(0.0, height)).collect();
    let between = |t: usize| {
        let at = t as f64 / samples as f64 * (knots.len() - 1) as f64;
        let (i, u) = (at as usize, at.fract());
        let blend = u * u * (3.0 - 2.0 * u);
        knots[i] * (1.0 - blend) + knots[i + 1] * blend
    };
    (0..samples).map(between).collect()
}
