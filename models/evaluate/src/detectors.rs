//! The detectors that the model is measured against. Each sees one pod, one sample after another, as an exporter would,
//! and gives a number that is higher the worse the pod looks. All are written from their published descriptions.

mod cpu;
mod forest;
mod grafana;
mod holt;
mod netdata;
mod robust;
mod window;

use guard_model::features::Signals;

use cpu::CpuAtLimit;
use forest::IsolationForest;
use grafana::{Adaptive, Robust};
use holt::Holt;
use netdata::KMeans;
use robust::{RobustZ, TwoInARow};

/// Something that scores one pod.
pub(crate) trait Detector {
    /// Takes the sample of this time (Unix seconds); what it does not know yet it scores 0.
    fn score(&mut self, at: f64, signals: &Signals) -> f64;
}

/// A detector by its name.
pub(crate) type Make = (&'static str, fn() -> Box<dyn Detector>);

/// The name of the rule that others are beside.
pub(crate) const CPU_AT_LIMIT: &str = "CPU at its limit";

/// All of them.
pub(crate) const BASELINES: [Make; 9] = [
    (CPU_AT_LIMIT, || Box::new(CpuAtLimit)),
    ("robust z", || Box::new(RobustZ::default())),
    ("robust z, two in a row", || Box::new(TwoInARow::of(RobustZ::default()))),
    ("robust z of CPU, two in a row", || Box::new(TwoInARow::of(RobustZ::of_cpu()))),
    ("Holt's bands", || Box::new(Holt::default())),
    ("Grafana's adaptive bands", || Box::new(Adaptive::default())),
    ("Grafana's robust bands", || Box::new(Robust::default())),
    ("Netdata's k-means", || Box::new(KMeans::default())),
    ("isolation forest", || Box::new(IsolationForest::default())),
];

/// What the last six hours looked like ...
const WINDOW_SECONDS: f64 = 6.0 * 3600.0;
/// ... if there are at least so many samples of them.
const LEAST_SAMPLES: usize = 20;
/// A signal that never moves is still allowed to move by a quarter: of 0.05, 0.25 and 0.5 the one that serves the baselines best.
const LEAST_DEVIATION: f64 = 0.25;
/// What is trained is trained anew this often.
const REFIT_SECONDS: f64 = 1200.0;

#[cfg(test)]
mod tests {
    use guard_train::draw::Draw;
    use guard_train::statistics::quantile;

    use super::*;

    /// Scores of a pod that is calm for an hour, and then uses `last` times as much of everything.
    pub(super) fn scores(detector: &mut dyn Detector, last: &[f64]) -> Vec<f64> {
        let mut draw = Draw::new(4);
        let calm = (0..60).map(|_| 1.0 + 0.1 * draw.unit()).collect::<Vec<_>>().into_iter();
        let signals = |factor: f64| Signals {
            values: [0.1 * factor, 1e8 * factor, 1e3 * factor, f64::NAN],
            share: [0.2 * factor, f64::NAN],
        };
        let all = calm.chain(last.iter().copied()).enumerate();
        all.map(|(i, factor)| detector.score(60.0 * i as f64, &signals(factor))).collect()
    }

    #[test]
    fn every_baseline_scores_a_lasting_excess_higher_than_most_of_calm() {
        for (name, make) in BASELINES {
            let scores = scores(&mut *make(), &[4.0; 40]);
            let (calm, excess) = (quantile(&scores[..60], 0.9), quantile(&scores[60..], 1.0));
            assert!(excess > 1.05 * calm, "{name}: {excess} against {calm}");
        }
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
