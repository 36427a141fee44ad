//! How improbable a reading is against the pod's own running location and scale, without a model.
//!
//! A reading's distance `z` from its location, in running scales (a mean of absolute deviations whose updates are clipped,
//! so that a fault barely moves it), becomes a probability by `z^4 / (z^4 + half^4)`. The line 0.7 lies at six scales: rare
//! in a calm pod, whose readings have heavier tails than a normal distribution's, and soon reached by a fault.

/// The distance, in scales, that is given 0.7.
const LINE_SCALES: f64 = 6.0;
/// How steeply suspicion grows: 0.13 at three scales, 0.97 at twelve.
const POWER: i32 = 4;
/// Odds of 0.7.
const LINE_ODDS: f64 = 0.7 / 0.3;

/// The probability, 0 to 1, that a reading at this distance from its location, in scales, is wrong; 0 for what is no number.
pub(crate) fn probability(scales: f64) -> f64 {
    if scales.is_nan() {
        return 0.0;
    }
    // Beyond this it is 1 to nine digits, and its powers stay finite.
    let odds = LINE_ODDS * (scales.abs().min(1e3) / LINE_SCALES).powi(POWER);
    odds / (1.0 + odds)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_line_is_at_six_scales() {
        for (scales, wanted) in [(0.0, 0.0), (3.0, 0.127), (6.0, 0.7), (-6.0, 0.7), (12.0, 0.974)] {
            assert!((probability(scales) - wanted).abs() < 1e-3, "{scales}: {}", probability(scales));
        }
    }

    proptest! {
        #[test]
        fn it_is_a_probability_whatever_the_distance(scales in any::<f64>()) {
            prop_assert!((0.0..=1.0).contains(&probability(scales)));
        }
    }
}
