//! The detectors that the model is measured against. Each sees one pod, one sample after another, as an exporter would,
//! and gives a number that is higher the worse the pod looks.

use std::collections::VecDeque;

use guard_model::features::{SIGNALS, Signals, log_values};
use guard_train::statistics::median;

/// Something that scores one pod.
pub(crate) trait Detector {
    /// Takes the sample of this time (Unix seconds); what it does not know yet it scores 0.
    fn score(&mut self, at: f64, signals: &Signals) -> f64;
}

/// A detector by its name.
pub(crate) type Make = (&'static str, fn() -> Box<dyn Detector>);

/// All of them.
pub(crate) const BASELINES: [Make; 5] = [
    ("CPU at its limit", || Box::new(CpuAtLimit)),
    ("robust z", || Box::new(RobustZ::of(SIGNALS))),
    ("robust z, two in a row", || Box::new(TwoInARow { one: RobustZ::of(SIGNALS), before: 0.0 })),
    ("robust z of CPU, two in a row", || Box::new(TwoInARow { one: RobustZ::of(1), before: 0.0 })),
    ("Holt's bands", || Box::new(Holt::default())),
];

/// CPU use as a share of the limit.
struct CpuAtLimit;

impl Detector for CpuAtLimit {
    fn score(&mut self, _at: f64, signals: &Signals) -> f64 {
        if signals.share[0].is_nan() { 0.0 } else { signals.share[0] }
    }
}

/// What the last six hours looked like ...
const WINDOW_SECONDS: f64 = 6.0 * 3600.0;
/// ... if there are at least so many samples of them.
const LEAST_SAMPLES: usize = 20;
/// Makes the median of absolute deviations that of a normal distribution's standard deviation.
const MAD_TO_DEVIATION: f64 = 1.4826;
/// A signal that never moves is still allowed to move by a quarter: of 0.05, 0.25 and 0.5 the one that serves the baselines best.
const LEAST_DEVIATION: f64 = 0.25;

/// The largest distance of a signal from its median, in robust standard deviations (Iglewicz and Hoaglin 1993).
struct RobustZ {
    /// The past of the first few signals.
    seen: Vec<VecDeque<(f64, f64)>>,
}

impl RobustZ {
    fn of(signals: usize) -> RobustZ {
        RobustZ { seen: vec![VecDeque::new(); signals] }
    }
}

impl Detector for RobustZ {
    fn score(&mut self, at: f64, signals: &Signals) -> f64 {
        let values = log_values(signals.values);
        let scores = self.seen.iter_mut().zip(values).filter(|(_, value)| value.is_finite());
        scores.map(|(seen, value)| robust_z(seen, at, value)).fold(0.0, f64::max)
    }
}

fn robust_z(seen: &mut VecDeque<(f64, f64)>, at: f64, value: f64) -> f64 {
    while seen.front().is_some_and(|(then, _)| at - then > WINDOW_SECONDS) {
        seen.pop_front();
    }
    let past: Vec<f64> = seen.iter().map(|(_, value)| *value).collect();
    seen.push_back((at, value));
    if past.len() < LEAST_SAMPLES {
        return 0.0;
    }
    let middle = median(&past);
    let deviations: Vec<f64> = past.iter().map(|value| (value - middle).abs()).collect();
    (value - middle).abs() / (MAD_TO_DEVIATION * median(&deviations)).max(LEAST_DEVIATION)
}

/// The lower of this score and the one before: one odd sample is not enough.
struct TwoInARow<D> {
    one: D,
    before: f64,
}

impl<D: Detector> Detector for TwoInARow<D> {
    fn score(&mut self, at: f64, signals: &Signals) -> f64 {
        let now = self.one.score(at, signals);
        now.min(std::mem::replace(&mut self.before, now))
    }
}

/// Holt's double exponential forecast, and the error's distance from its usual size (Brutlag 2000, without the season).
#[derive(Default)]
struct Holt {
    signals: [Trend; SIGNALS],
}

#[derive(Default)]
struct Trend {
    level: f64,
    slope: f64,
    error: f64,
    seen: usize,
}

/// Weights of the new in level, slope and error.
const ALPHA: f64 = 0.2;
const BETA: f64 = 0.02;
const GAMMA: f64 = 0.1;

impl Detector for Holt {
    fn score(&mut self, _at: f64, signals: &Signals) -> f64 {
        let values = log_values(signals.values);
        let scores = self.signals.iter_mut().zip(values).filter(|(_, value)| value.is_finite());
        scores.map(|(trend, value)| trend.score(value)).fold(0.0, f64::max)
    }
}

impl Trend {
    fn score(&mut self, value: f64) -> f64 {
        if self.seen == 0 {
            self.level = value;
        }
        let error = value - (self.level + self.slope);
        let score = error.abs() / self.error.max(LEAST_DEVIATION);
        let before = self.level;
        self.level += self.slope + ALPHA * error;
        self.slope += BETA * (self.level - before - self.slope);
        self.error += GAMMA * (error.abs() - self.error);
        self.seen += 1;
        if self.seen > LEAST_SAMPLES { score } else { 0.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A pod that is calm for an hour, and then uses `last` times as much CPU.
    fn last_score(detector: &mut dyn Detector, last: &[f64]) -> f64 {
        let mut score = 0.0;
        let calm = (0..60).map(|i| 1.0 + 0.1 * f64::from(i % 7));
        for (i, factor) in calm.chain(last.iter().copied()).enumerate() {
            let signals = Signals { values: [0.1 * factor, 1e8, 1e3, f64::NAN], share: [0.2 * factor, f64::NAN] };
            score = detector.score(60.0 * i as f64, &signals);
        }
        score
    }

    #[test]
    fn every_baseline_scores_a_lasting_excess_higher_than_calm() {
        for (name, make) in BASELINES {
            let (calm, excess) = (last_score(&mut *make(), &[]), last_score(&mut *make(), &[4.0, 4.0]));
            assert!(excess > 2.0 * calm, "{name}: {excess} against {calm}");
        }
    }

    #[test]
    fn two_in_a_row_do_not_speak_of_one() {
        let mut detector = TwoInARow { one: RobustZ::of(SIGNALS), before: 0.0 };
        assert!(last_score(&mut detector, &[4.0]) < 3.0);
        assert!(last_score(&mut detector, &[4.0]) < last_score(&mut RobustZ::of(SIGNALS), &[4.0]));
    }

    #[test]
    fn the_unknown_is_no_anomaly() {
        for (name, make) in BASELINES {
            let mut detector = make();
            let worst = (0..40).map(|i| detector.score(f64::from(i), &Signals::UNKNOWN)).fold(0.0, f64::max);
            assert!(worst <= 0.0, "{name}: {worst}");
        }
    }
}
