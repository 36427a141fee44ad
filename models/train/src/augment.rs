//! Synthetic anomalies, and what only looks like one, on real background.
//!
//! Only material excursions count as anomalies; immaterial ones, blips and proportional changes of load are put in as
//! normal, because they are what a naive detector cries about. What is in between is kept out of the loss.

use std::ops::Range;

use guard_model::features::{SIGNALS, Signals};

use crate::draw::Draw;
use crate::statistics::{larger, median, peak, quantile, smaller};
use crate::track::{BUSY, CPU, MEMORY, RECEIVE, TRANSMIT, Track};

const MIB: f64 = 1_048_576.0;

/// A window with its labels.
pub(crate) struct Example {
    pub(crate) at: Vec<f64>,
    pub(crate) cells: Vec<Signals>,
    /// 1 while an anomaly lasts.
    pub(crate) label: Vec<f32>,
    /// Weight of the label in the loss.
    pub(crate) weight: Vec<f32>,
}

#[derive(Clone, Copy)]
enum Kind {
    Stress,
    Spike,
    CpuDrop,
    NetDrop,
    NetDelay,
    Surge,
    MemoryStep,
    Leak,
    Stop,
    Crash,
    Load,
    Blip,
}

const KINDS: [(Kind, f64); 12] = [
    (Kind::Stress, 0.19),
    (Kind::Spike, 0.09),
    (Kind::CpuDrop, 0.04),
    (Kind::NetDrop, 0.08),
    (Kind::NetDelay, 0.04),
    (Kind::Surge, 0.13),
    (Kind::MemoryStep, 0.06),
    (Kind::Leak, 0.06),
    (Kind::Stop, 0.06),
    (Kind::Crash, 0.05),
    (Kind::Load, 0.09),
    (Kind::Blip, 0.11),
];
const MINUTES: [(f64, f64); 8] =
    [(2.0, 0.12), (3.0, 0.24), (4.0, 0.23), (5.0, 0.14), (6.0, 0.1), (8.0, 0.07), (12.0, 0.05), (30.0, 0.05)];

#[derive(Clone, Copy, PartialEq)]
enum Verdict {
    Anomalous,
    Normal,
    /// Neither: kept out of the loss.
    Unclear,
}
use Verdict::{Anomalous, Normal, Unclear};

/// Grades a value that means nothing under `low` and something from `high` on; the unknown is unclear.
fn material(value: f64, low: f64, high: f64) -> Verdict {
    if value >= high {
        Anomalous
    } else if value <= low {
        Normal
    } else {
        Unclear
    }
}

/// Puts events into the track and labels it.
pub(crate) fn augment(track: Track, draw: &mut Draw) -> Example {
    let samples = track.len();
    let mut pod = Pod {
        typical: std::array::from_fn(|f| median(&track.column(f))),
        cpu_high: quantile(&track.column(CPU), 0.95),
        limits_known: draw.chance(0.6),
        hidden: draw.chance(0.12).then(|| draw.integer(0, SIGNALS)),
        label: vec![0.0; samples],
        weight: vec![1.0; samples],
        track,
    };
    let ceiling = larger(pod.track.cpu_limit, pod.typical[CPU] * 3.0) * 1.03;
    let minute = pod.track.samples(60.0);
    let mut from = draw.integer(20, 90);
    while from + 2 * minute.min(8) < samples {
        let end = pod.event(from, draw);
        let pause =
            if pod.track.interval < 60.0 { 300.0 + draw.exponential(2000.0) } else { 480.0 + draw.exponential(4200.0) };
        from = end + pod.track.samples(pause);
    }
    pod.finish(ceiling)
}

struct Pod {
    track: Track,
    /// Medians before any event.
    typical: [f64; SIGNALS],
    /// 95 % quantile of CPU before any event.
    cpu_high: f64,
    limits_known: bool,
    hidden: Option<usize>,
    label: Vec<f32>,
    weight: Vec<f32>,
}

impl Pod {
    /// Puts one event at `from` and gives its end.
    fn event(&mut self, from: usize, draw: &mut Draw) -> usize {
        let kind = draw.weighted(&KINDS);
        let seconds = match kind {
            Kind::Leak => draw.log_uniform(120.0, 3600.0).max(self.track.interval * 8.0),
            Kind::Load => draw.log_uniform(60.0, 2400.0),
            Kind::Blip => draw.uniform(3.0, 30.0).min(self.track.interval * 2.0),
            _ => 60.0 * draw.weighted(&MINUTES) * draw.uniform(0.75, 1.25),
        };
        let end = (from + self.track.samples(seconds)).min(self.track.len());
        let span = from..end;
        let edge = edges(span.len(), draw);
        let (verdict, shown) = match kind {
            Kind::Stress => (self.stress(&span, &edge, draw), CPU),
            Kind::Spike => (self.cpu_excess(&span, &edge, draw), CPU),
            Kind::CpuDrop => (self.fall(&span, &edge, [draw.uniform(0.6, 0.98), 0.0, 0.0], CPU), CPU),
            Kind::NetDrop => (self.traffic_falls(&span, &edge, 0.5..0.99, 0.5, draw), RECEIVE),
            Kind::NetDelay => (self.traffic_falls(&span, &edge, 0.2..0.6, 0.4, draw), RECEIVE),
            Kind::Surge => self.surge(&span, &edge, draw),
            Kind::MemoryStep => (self.memory_step(&span, &edge, draw), MEMORY),
            Kind::Leak => (self.leak(&span, draw), MEMORY),
            Kind::Stop => (self.fall(&span, &vec![1.0; span.len()], [0.99; 3], RECEIVE), RECEIVE),
            Kind::Crash => (self.crash(&span, &edge, draw), MEMORY),
            Kind::Load => (self.load(&span, draw), CPU),
            Kind::Blip => (self.blip(&span, draw), CPU),
        };
        // A label that nothing visible explains would teach noise.
        let verdict = if verdict == Anomalous && self.hidden == Some(shown) { Unclear } else { verdict };
        self.judge(verdict, &span, &edge);
        end
    }

    fn cpu_excess(&mut self, span: &Range<usize>, edge: &[f64], draw: &mut Draw) -> Verdict {
        let high = if self.cpu_high.is_nan() { 0.01 } else { self.cpu_high };
        let target = if draw.chance(0.6) {
            self.track.cpu_limit * draw.uniform(0.5, 1.02)
        } else {
            high * draw.log_uniform(2.2, 30.0)
        };
        let target = smaller(target, self.track.cpu_limit * 1.02);
        for (values, e) in self.track.values[span.clone()].iter_mut().zip(edge) {
            let aim = target * (1.0 + draw.normal(0.0, 0.05));
            values[CPU] = larger(values[CPU], values[CPU] + (aim - values[CPU]) * e);
        }
        let highest = self.peak(span, CPU);
        if highest < 2.0 * self.cpu_high {
            return Unclear;
        }
        if self.limits_known {
            material(highest / self.track.cpu_limit, 0.12, 0.3)
        } else {
            // Without limits only the pod's own past and the size as such can tell.
            material(highest / high, 2.0, 4.0).and(material(highest, 0.02, 0.1))
        }
    }

    fn stress(&mut self, span: &Range<usize>, edge: &[f64], draw: &mut Draw) -> Verdict {
        if draw.chance(0.6) {
            let extra = draw.uniform(4.0, 60.0) * MIB;
            self.track.values[span.clone()].iter_mut().zip(edge).for_each(|(v, e)| v[MEMORY] += extra * e);
        }
        if draw.chance(0.5) {
            let depth = draw.uniform(0.05, 0.95);
            for f in [RECEIVE, TRANSMIT] {
                self.scale(span, edge, f, 1.0 - depth);
            }
        }
        self.cpu_excess(span, edge, draw)
    }

    fn surge(&mut self, span: &Range<usize>, edge: &[f64], draw: &mut Draw) -> (Verdict, usize) {
        let factor = draw.log_uniform(3.5, 30.0);
        let signals: &[usize] = draw.pick(&[&[RECEIVE][..], &[TRANSMIT], &[TRANSMIT], &[RECEIVE, TRANSMIT]]);
        for &f in signals {
            self.scale(span, edge, f, factor);
        }
        if draw.chance(0.5) {
            self.scale(span, edge, CPU, 1.0 + (factor - 1.0) * draw.uniform(0.0, 0.7));
        }
        let reached = peak(signals.iter().map(|&f| self.peak(span, f)));
        let long_enough = if span.len() < 3 && self.track.interval > 30.0 { Unclear } else { Anomalous };
        (material(reached, 1000.0, 3000.0).and(long_enough), signals[0])
    }

    fn traffic_falls(
        &mut self,
        span: &Range<usize>,
        edge: &[f64],
        depth: Range<f64>,
        least: f64,
        draw: &mut Draw,
    ) -> Verdict {
        let depth = draw.uniform(depth.start, depth.end);
        let depths = [depth * draw.uniform(0.3, 1.0), depth, depth * draw.uniform(least, 1.0)];
        self.fall(span, edge, depths, RECEIVE)
    }

    /// `depths` are those of CPU, received and sent traffic; `shown` is the one that must have been worth something.
    fn fall(&mut self, span: &Range<usize>, edge: &[f64], depths: [f64; 3], shown: usize) -> Verdict {
        for (&f, depth) in BUSY.iter().zip(depths) {
            self.scale(span, edge, f, 1.0 - depth);
        }
        let worth = if shown == CPU { 0.003 } else { 300.0 };
        material(self.typical[shown], worth / 3.0, worth)
    }

    fn memory_step(&mut self, span: &Range<usize>, edge: &[f64], draw: &mut Draw) -> Verdict {
        // By its own size, or by its limit: a small pod may rise many times over.
        let rise = if draw.chance(0.5) {
            self.track.memory_limit * draw.uniform(0.1, 0.6) / self.typical[MEMORY]
        } else {
            draw.uniform(0.15, 1.0)
        };
        self.scale(span, edge, MEMORY, 1.0 + rise);
        self.memory_matters(span, rise)
    }

    fn leak(&mut self, span: &Range<usize>, draw: &mut Draw) -> Verdict {
        let rise = draw.uniform(0.2, 1.0);
        let last = (span.len() - 1).max(1) as f64;
        for (i, values) in self.track.values[span.clone()].iter_mut().enumerate() {
            values[MEMORY] *= 1.0 + i as f64 / last * rise;
        }
        // Nobody can see the first of it.
        let blind = span.start..(span.start + (span.len() / 5).max(2)).min(span.end);
        self.weight[blind].fill(0.0);
        self.memory_matters(span, rise)
    }

    fn memory_matters(&self, span: &Range<usize>, rise: f64) -> Verdict {
        if self.limits_known {
            material(self.peak(span, MEMORY) / self.track.memory_limit, 0.25, 0.35)
        } else {
            material(rise, 0.1, 0.4)
        }
    }

    fn crash(&mut self, span: &Range<usize>, edge: &[f64], draw: &mut Draw) -> Verdict {
        for f in BUSY {
            self.track.values[span.start][f] *= 0.1;
        }
        let left = draw.uniform(0.2, 0.7);
        let start_up = self.track.cpu_limit * draw.uniform(0.3, 1.0);
        for (i, (values, e)) in self.track.values[span.clone()].iter_mut().zip(edge).enumerate() {
            values[MEMORY] *= left;
            if i > 0 {
                values[CPU] = larger(values[CPU], start_up * e);
            }
        }
        Anomalous
    }

    fn load(&mut self, span: &Range<usize>, draw: &mut Draw) -> Verdict {
        let factor: f64 = draw.uniform(-0.8, 0.8).exp();
        let powers = [draw.uniform(0.6, 1.1), 1.0, draw.uniform(0.8, 1.1)];
        for (&f, power) in BUSY.iter().zip(powers) {
            self.track.values[span.clone()].iter_mut().for_each(|v| v[f] *= factor.powf(power));
        }
        Normal
    }

    fn blip(&mut self, span: &Range<usize>, draw: &mut Draw) -> Verdict {
        let signals: &[usize] = draw.pick(&[&[CPU][..], &[RECEIVE], &[TRANSMIT], &[RECEIVE, TRANSMIT], &BUSY]);
        let factor = if draw.chance(0.65) { draw.log_uniform(2.0, 30.0) } else { (-draw.uniform(0.7, 6.0)).exp() };
        for values in &mut self.track.values[span.clone()] {
            for &f in signals {
                values[f] *= factor;
            }
        }
        Normal
    }

    /// Multiplies by `factor`, less at the edges.
    fn scale(&mut self, span: &Range<usize>, edge: &[f64], f: usize, factor: f64) {
        for (values, e) in self.track.values[span.clone()].iter_mut().zip(edge) {
            values[f] *= 1.0 + e * (factor - 1.0);
        }
    }

    fn peak(&self, span: &Range<usize>, f: usize) -> f64 {
        peak(self.track.values[span.clone()].iter().map(|v| v[f]))
    }

    fn judge(&mut self, verdict: Verdict, span: &Range<usize>, edge: &[f64]) {
        let after = |seconds: f64, least: usize| span.end + self.track.samples(seconds).max(least);
        match verdict {
            Anomalous => {
                let settled = after(150.0, 5).min(self.label.len());
                self.label[span.clone()].fill(1.0);
                self.weight[span.end..settled].fill(0.0);
                // At first it cannot be told from a blip.
                let early = (span.start + self.track.samples(15.0)).min(span.end);
                if self.track.interval < 30.0 || edge[0] < 0.4 {
                    self.weight[span.start..early].iter_mut().for_each(|w| *w = w.min(0.2));
                }
                self.weight[span.end - 1] = self.weight[span.end - 1].min(0.5);
            }
            Unclear => {
                let settled = after(90.0, 3).min(self.label.len());
                self.weight[span.start..settled].fill(0.0);
            }
            Normal => {}
        }
    }

    fn finish(mut self, ceiling: f64) -> Example {
        let (cpu_limit, memory_limit) = (self.track.cpu_limit, self.track.memory_limit);
        let cell = |values: &mut [f64; SIGNALS]| {
            values[CPU] = smaller(values[CPU], ceiling);
            let share = [values[CPU] / cpu_limit, values[MEMORY] / memory_limit];
            if let Some(hidden) = self.hidden {
                values[hidden] = f64::NAN;
            }
            Signals { values: *values, share: if self.limits_known { share } else { [f64::NAN; 2] } }
        };
        let cells = self.track.values.iter_mut().map(cell).collect();
        Example { at: self.track.at, cells, label: self.label, weight: self.weight }
    }
}

impl Verdict {
    /// The milder of the two.
    fn and(self, other: Verdict) -> Verdict {
        match (self, other) {
            (Normal, _) | (_, Normal) => Normal,
            (Unclear, _) | (_, Unclear) => Unclear,
            _ => Anomalous,
        }
    }
}

/// The share of an event's height at each of its samples: the first and the last are partial if there are more than two.
fn edges(samples: usize, draw: &mut Draw) -> Vec<f64> {
    let mut edge = vec![1.0; samples];
    if samples > 2 {
        edge[0] = draw.uniform(0.05, 1.0);
        edge[samples - 1] = draw.uniform(0.05, 1.0);
    }
    edge
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example(minutes: &[Signals], seed: u64) -> Example {
        let mut draw = Draw::new(seed);
        augment(Track::new(minutes, 120, &mut draw), &mut draw)
    }

    #[test]
    fn a_pod_of_which_nothing_is_known_stays_unknown_and_unlabelled() {
        let example = example(&[Signals::UNKNOWN; 120], 1);
        assert!(example.cells.iter().all(|c| c.values.iter().all(|v| v.is_nan())));
    }

    #[test]
    fn every_interval_has_anomalies_and_leaves_most_samples_normal() {
        let minute = Signals { values: [0.05, 2e8, 2e4, 3e4], share: [0.1, 0.4] };
        let (mut anomalous, mut all) = (0.0, 0.0);
        for seed in 0..200 {
            let example = example(&[minute; 120], seed);
            assert!(example.at.windows(2).all(|w| w[1] > w[0]));
            anomalous += example.label.iter().sum::<f32>();
            all += example.label.len() as f32;
        }
        let share = anomalous / all;
        assert!((0.02..0.2).contains(&share), "{share}");
    }

    #[test]
    fn the_immaterial_is_normal_and_the_unknown_unclear() {
        assert!(material(0.1, 0.12, 0.3) == Normal && material(0.3, 0.12, 0.3) == Anomalous);
        assert!(material(f64::NAN, 0.12, 0.3) == Unclear && Anomalous.and(Unclear) == Unclear);
    }
}
