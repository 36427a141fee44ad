//! Which feature the learnt score comes from, and what would have been expected instead.
//!
//! A feature is as telling as it is improbable: against the forecast that the net made one sample before, and against
//! the pod's own baseline. The forecast soon follows a fault that stays; the baseline does not.

use serde::{Deserialize, Serialize};

use crate::cause::Cause;
use crate::features::SIGNALS;
use crate::report::FeatureView;
use crate::words;

/// What is compared with a pod's own past: the model's signals, and disk traffic.
pub const FEATURES: usize = SIGNALS + 1;
/// The place of disk traffic among them.
pub const DISK: usize = SIGNALS;
/// The causes of that name, in the order of the model's signals.
pub const CAUSES: [Cause; FEATURES] = [Cause::Cpu, Cause::Memory, Cause::Receive, Cause::Transmit, Cause::Disk];

const UNITS: [&str; FEATURES] = ["cores", "bytes", "bytes_per_second", "bytes_per_second", "bytes_per_second"];

/// What the net said of the next sample: mean and log variance of each residual.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Forecast {
    /// Expected residual, in scales of the pod.
    pub mean: [f32; SIGNALS],
    /// Log of its variance.
    pub log_variance: [f32; SIGNALS],
}

/// Degrees of freedom of the student t that the net was trained with: heavy tails, as real series have.
const FREEDOM: f64 = 3.0;

/// A log variance beyond this, either way, is taken for it: a model file may hold any number, and a spread of 0 or without end
/// would leave no share that is a number.
const LOG_VARIANCE: f64 = 20.0;

/// Minus the log of a student-t density, up to a constant.
fn surprise(z: f64) -> f64 {
    f64::midpoint(FREEDOM, 1.0) * (z * z / FREEDOM).ln_1p()
}

/// The share, 0 to 1, that each signal has in the surprise of this sample; all 0 if nothing is known.
pub fn shares(residual: &[f32; SIGNALS], known: &[f32; SIGNALS], forecast: Option<&Forecast>) -> [f64; SIGNALS] {
    let mut shares = [0.0; SIGNALS];
    for signal in 0..SIGNALS {
        if known[signal] == 0.0 {
            continue;
        }
        let r = f64::from(residual[signal]);
        let against_forecast = forecast.map_or(0.0, |f| {
            let log_variance = f64::from(f.log_variance[signal]).clamp(-LOG_VARIANCE, LOG_VARIANCE);
            let spread = (log_variance / 2.0).exp();
            surprise((r - f64::from(f.mean[signal])) / spread)
        });
        shares[signal] = surprise(r).max(against_forecast);
    }
    let total: f64 = shares.iter().sum();
    if total > 0.0 {
        for share in &mut shares {
            *share /= total;
        }
    }
    shares
}

/// One line of the table of features.
pub fn view(feature: usize, seen: f64, expected: Option<(f64, f64)>, share: f64) -> FeatureView {
    FeatureView {
        name: CAUSES[feature].name().into(),
        unit: UNITS[feature].into(),
        seen: (!seen.is_nan()).then_some(seen),
        expected_low: expected.map(|range| range.0),
        expected_high: expected.map(|range| range.1),
        share,
    }
}

/// A feature in words: `sent 2.1 MiB/s, expected 40 KiB/s to 180 KiB/s`.
pub fn text(feature: usize, seen: f64, expected: Option<(f64, f64)>) -> String {
    let (verb, figure): (&str, fn(f64) -> String) = match CAUSES[feature] {
        Cause::Cpu => ("CPU", words::cores),
        Cause::Memory => ("memory", words::bytes),
        Cause::Receive => ("received", words::rate),
        Cause::Disk => ("disk", words::rate),
        _ => ("sent", words::rate),
    };
    match expected {
        Some((low, high)) => format!("{verb} {}, expected {} to {}", figure(seen), figure(low), figure(high)),
        None => format!("{verb} {}", figure(seen)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_improbable_feature_has_the_largest_share() {
        let shares = shares(&[0.2, 0.1, 0.4, 9.0], &[1.0; SIGNALS], None);
        assert!(shares[3] > 0.9, "{shares:?}");
        assert!((shares.iter().sum::<f64>() - 1.0).abs() < 1e-9);
    }

    #[test]
    fn a_residual_that_was_forecast_still_counts_against_the_baseline() {
        let forecast = Forecast { mean: [0.0, 0.0, 0.0, 9.0], ..Forecast::default() };
        let shares = shares(&[0.2, 0.1, 0.4, 9.0], &[1.0; SIGNALS], Some(&forecast));
        assert!(shares[3] > 0.9, "{shares:?}");
    }

    #[test]
    fn shares_are_numbers_whatever_a_model_says_of_its_forecast() {
        for log_variance in [f32::MIN, -2000.0, 2000.0, f32::MAX] {
            for mean in [0.0, f32::MAX] {
                let forecast = Forecast { mean: [mean; SIGNALS], log_variance: [log_variance; SIGNALS] };
                let shares = shares(&[0.2, 0.1, 0.4, 9.0], &[1.0; SIGNALS], Some(&forecast));
                assert!((shares.iter().sum::<f64>() - 1.0).abs() < 1e-9, "{log_variance} {mean}: {shares:?}");
            }
        }
    }

    #[test]
    fn what_is_unknown_has_no_share() {
        assert!(shares(&[5.0; SIGNALS], &[0.0; SIGNALS], None).iter().all(|share| share.abs() < f64::EPSILON));
    }

    #[test]
    fn words_give_seen_and_expected() {
        assert_eq!(
            text(3, 2.2 * 1024.0 * 1024.0, Some((40_960.0, 184_320.0))),
            "sent 2.2 MiB/s, expected 40 KiB/s to 180 KiB/s"
        );
        assert_eq!(text(0, 0.25, None), "CPU 250m");
    }
}
