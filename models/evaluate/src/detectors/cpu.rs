//! The rule that alerts of many clusters consist of.

use guard_model::features::Signals;

use super::Detector;

/// CPU use as a share of the limit.
pub(super) struct CpuAtLimit;

impl Detector for CpuAtLimit {
    fn score(&mut self, _at: f64, signals: &Signals) -> f64 {
        if signals.share[0].is_nan() { 0.0 } else { signals.share[0] }
    }
}
