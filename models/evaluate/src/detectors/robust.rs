//! Distance from the median in robust standard deviations.

use guard_model::features::{SIGNALS, Signals, log_values};
use guard_train::statistics::median;

use super::window::Window;
use super::{Detector, LEAST_DEVIATION, LEAST_SAMPLES, WINDOW_SECONDS};

/// Makes the median of absolute deviations that of a normal distribution's standard deviation.
const MAD_TO_DEVIATION: f64 = 1.4826;

/// The largest distance of a signal from its median, in robust standard deviations (B. Iglewicz and D. Hoaglin, How to
/// Detect and Handle Outliers, 1993).
pub(super) struct RobustZ {
    /// The past of the first few signals.
    seen: Vec<Window>,
}

impl RobustZ {
    /// Of CPU alone.
    pub(super) fn of_cpu() -> RobustZ {
        RobustZ { seen: vec![Window::of(WINDOW_SECONDS)] }
    }
}

impl Default for RobustZ {
    fn default() -> RobustZ {
        RobustZ { seen: (0..SIGNALS).map(|_| Window::of(WINDOW_SECONDS)).collect() }
    }
}

impl Detector for RobustZ {
    fn score(&mut self, at: f64, signals: &Signals) -> f64 {
        let values = log_values(signals.values);
        let scores = self.seen.iter_mut().zip(values).filter(|(_, value)| value.is_finite());
        scores.map(|(seen, value)| robust_z(seen, at, value)).fold(0.0, f64::max)
    }
}

fn robust_z(seen: &mut Window, at: f64, value: f64) -> f64 {
    seen.forget(at);
    let known = seen.len() >= LEAST_SAMPLES;
    let middle = seen.median();
    let deviations: Vec<f64> = seen.sorted().iter().map(|value| (value - middle).abs()).collect();
    seen.push(at, value);
    if known { (value - middle).abs() / (MAD_TO_DEVIATION * median(&deviations)).max(LEAST_DEVIATION) } else { 0.0 }
}

/// The lower of this score and the one before: one odd sample is not enough.
pub(super) struct TwoInARow<D> {
    one: D,
    before: f64,
}

impl<D> TwoInARow<D> {
    pub(super) fn of(one: D) -> TwoInARow<D> {
        TwoInARow { one, before: 0.0 }
    }
}

impl<D: Detector> Detector for TwoInARow<D> {
    fn score(&mut self, at: f64, signals: &Signals) -> f64 {
        let now = self.one.score(at, signals);
        now.min(std::mem::replace(&mut self.before, now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detectors::tests::scores;

    #[test]
    fn two_in_a_row_do_not_speak_of_one() {
        let one = scores(&mut RobustZ::default(), &[4.0]);
        let two = scores(&mut TwoInARow::of(RobustZ::default()), &[4.0]);
        assert!(two[60] < 3.0 && two[60] < one[60], "{} {}", two[60], one[60]);
    }
}
