//! A forecast by exponential smoothing, and bands around it.

use guard_model::features::{SIGNALS, Signals, log_values};

use super::{Detector, LEAST_DEVIATION, LEAST_SAMPLES};

/// Weights of the new in level, slope and error.
const ALPHA: f64 = 0.2;
const BETA: f64 = 0.02;
const GAMMA: f64 = 0.1;

/// Holt's double exponential forecast, and the error's distance from its usual size (J. Brutlag, Aberrant Behavior
/// Detection in Time Series for Network Monitoring, LISA 2000, without the season).
#[derive(Default)]
pub(super) struct Holt {
    signals: [Trend; SIGNALS],
}

#[derive(Default)]
struct Trend {
    level: f64,
    slope: f64,
    error: f64,
    seen: usize,
}

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

    #[test]
    fn a_steady_slope_is_forecast_and_a_jump_is_not() {
        let mut trend = Trend::default();
        let steady = (0..400).fold(0.0, |_, i| trend.score(f64::from(i) / 100.0));
        assert!(steady < 0.2, "{steady}");
        assert!(trend.score(6.0) > 5.0);
    }
}
