//! The two sorts of bands of Grafana's PromQL anomaly detection (J. Creixell and M. Costa, "How to use Prometheus to
//! efficiently detect anomalies at scale", 2024, and the recording rules of <https://github.com/grafana/promql-anomaly-detection>
//! that it describes), on each signal in raw units; zeros are left out, as the rules do.
//!
//! A score of 1 is the edge of the band. The rules' long-term bands, of a day and of a week ago, have nothing to look back on in
//! days of at most 20 hours, and the product's hysteresis stands in for their `for: 5m`.

use guard_model::features::{SIGNALS, Signals};

use super::window::Window;
use super::{Detector, LEAST_SAMPLES};

const HOUR: f64 = 3600.0;
/// The bands are at least half as wide as their middle is high: the rules' `margin_multiplier`.
const MARGIN: f64 = 0.5;
/// Standard deviations, or medians of absolute deviations, of the band.
const MULTIPLIER: f64 = 2.0;
/// Only a deviation of more than this share of the mean widens the adaptive band: `threshold_by_covar`.
const VARIABLE: f64 = 0.5;

/// How far from the middle, in half widths of the band.
fn in_bands(level: f64, middle: f64, spread: f64) -> f64 {
    let half = (MULTIPLIER * spread).max(MARGIN * middle);
    let lower = (middle - half).max(0.0);
    if level >= middle { (level - middle) / half } else { (middle - level) / (middle - lower) }
}

/// The largest distance of a signal from its middle.
fn largest<B>(bands: &mut [B; SIGNALS], signals: &Signals, score: impl Fn(&mut B, f64) -> f64) -> f64 {
    let known = bands.iter_mut().zip(signals.values).filter(|(_, value)| value.is_finite() && *value > 0.0);
    known.map(|(bands, value)| score(bands, value)).fold(0.0, f64::max)
}

/// Mean of the last hour, and the deviation in hours of much change, smoothed over 26 hours.
pub(super) struct Adaptive([AdaptiveBands; SIGNALS]);

struct AdaptiveBands {
    hour: Window,
    deviations: Window,
}

impl Default for Adaptive {
    fn default() -> Adaptive {
        let bands = |_| AdaptiveBands { hour: Window::of(HOUR), deviations: Window::of(26.0 * HOUR) };
        Adaptive(std::array::from_fn(bands))
    }
}

impl Detector for Adaptive {
    fn score(&mut self, at: f64, signals: &Signals) -> f64 {
        largest(&mut self.0, signals, |bands, value| bands.score(at, value))
    }
}

impl AdaptiveBands {
    fn score(&mut self, at: f64, value: f64) -> f64 {
        self.hour.push(at, value);
        let (mean, deviation) = self.hour.mean_and_deviation();
        self.deviations.forget(at);
        if deviation > VARIABLE * mean {
            self.deviations.push(at, deviation);
        }
        if self.hour.len() <= LEAST_SAMPLES {
            return 0.0;
        }
        let smoothed = if self.deviations.len() == 0 { 0.0 } else { self.deviations.mean_and_deviation().0 };
        in_bands(value, mean, smoothed)
    }
}

/// Median of the last hour against the median of the day, in medians of the day's absolute deviations.
pub(super) struct Robust([RobustBands; SIGNALS]);

struct RobustBands {
    hour: Window,
    day: Window,
    deviations: Window,
}

impl Default for Robust {
    fn default() -> Robust {
        let bands = |_| RobustBands {
            hour: Window::of(HOUR),
            day: Window::of(24.0 * HOUR),
            deviations: Window::of(24.0 * HOUR),
        };
        Robust(std::array::from_fn(bands))
    }
}

impl Detector for Robust {
    fn score(&mut self, at: f64, signals: &Signals) -> f64 {
        largest(&mut self.0, signals, |bands, value| bands.score(at, value))
    }
}

impl RobustBands {
    fn score(&mut self, at: f64, value: f64) -> f64 {
        self.hour.push(at, value);
        self.day.push(at, value);
        let middle = self.day.median();
        self.deviations.push(at, (value - middle).abs());
        if self.day.len() <= LEAST_SAMPLES {
            return 0.0;
        }
        in_bands(self.hour.median(), middle, self.deviations.median())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The score of the last value, after `calm` minutes between 9 and 11.
    fn after(calm: i32, mut score: impl FnMut(f64, f64) -> f64, then: &[f64]) -> f64 {
        let steady = (0..calm).map(|i| 10.0 + f64::from(i % 3 - 1));
        steady.chain(then.iter().copied()).enumerate().map(|(i, v)| score(60.0 * i as f64, v)).last().unwrap()
    }

    #[test]
    fn the_margin_is_half_of_the_middle_and_the_lower_band_ends_at_zero() {
        assert!((in_bands(15.0, 10.0, 1.0) - 1.0).abs() < 1e-12);
        assert!((in_bands(20.0, 10.0, 5.0) - 1.0).abs() < 1e-12);
        assert!((in_bands(0.0, 10.0, 50.0) - 1.0).abs() < 1e-12);
    }

    #[test]
    fn one_large_value_leaves_the_adaptive_band_at_once() {
        let Adaptive([mut bands, ..]) = Adaptive::default();
        let score = after(60, |at, v| bands.score(at, v), &[40.0]);
        // The hour holds it, too: (40 - 10.5) / (2 x 3.83 is less than half of 10.5).
        assert!((score - 5.6).abs() < 0.2, "{score}");
    }

    #[test]
    fn a_varied_hour_widens_the_adaptive_band() {
        let Adaptive([mut calm, ..]) = Adaptive::default();
        let Adaptive([mut varied, ..]) = Adaptive::default();
        let bursts: Vec<f64> = (0..300).map(|i| if i % 4 == 0 { 60.0 } else { 1.0 }).collect();
        let quiet = after(300, |at, v| calm.score(at, v), &[60.0]);
        let busy = after(0, |at, v| varied.score(at, v), &bursts.into_iter().chain([60.0]).collect::<Vec<_>>());
        assert!(busy < 1.0 && quiet > 3.0, "{busy} {quiet}");
    }

    #[test]
    fn the_robust_level_moves_only_after_half_an_hour() {
        let Robust([mut bands, ..]) = Robust::default();
        let short = after(300, |at, v| bands.score(at, v), &[40.0; 6]);
        let Robust([mut bands, ..]) = Robust::default();
        let long = after(300, |at, v| bands.score(at, v), &[40.0; 40]);
        assert!(short < 0.5 && long > 5.0, "{short} {long}");
    }
}
