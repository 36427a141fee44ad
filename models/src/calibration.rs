//! What a model's output is worth as a probability, by two numbers that its file may carry (Platt 1999): a model that was
//! trained on as many faults as calm minutes cries too loud where faults are rare, and its file can say so.

use std::str::FromStr;

/// Steepest change that is believed to be meant.
const STEEPEST: f64 = 100.0;
/// Furthest shift, in log odds: beyond it the score is constant.
const FURTHEST: f64 = 50.0;

/// The probability is `1 / (1 + exp(-(slope * ln(p / (1 - p)) + offset)))` of the model's output `p`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Calibration {
    slope: f64,
    offset: f64,
}

impl Default for Calibration {
    /// The output as it is.
    fn default() -> Self {
        Self { slope: 1.0, offset: 0.0 }
    }
}

impl FromStr for Calibration {
    type Err = String;

    /// Reads `SLOPE,OFFSET`; nothing is the output as it is.
    fn from_str(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Ok(Self::default());
        }
        let shown: String = text.chars().take(60).collect();
        let wrong = || {
            format!(
                "calibration {shown:?} is not SLOPE,OFFSET with a slope above 0 and up to {STEEPEST} and an offset of {FURTHEST} at most"
            )
        };
        let (slope, offset) = text.split_once(',').ok_or_else(wrong)?;
        let number = |text: &str| text.trim().parse::<f64>().ok().filter(|n| n.is_finite());
        let (slope, offset) = number(slope).zip(number(offset)).ok_or_else(wrong)?;
        if slope <= 0.0 || slope > STEEPEST || offset.abs() > FURTHEST {
            return Err(wrong());
        }
        Ok(Self { slope, offset })
    }
}

impl Calibration {
    /// The probability that `output`, 0 to 1, stands for.
    pub(crate) fn probability(self, output: f32) -> f32 {
        if self == Self::default() {
            return output;
        }
        let p = f64::from(output);
        // At 0 and 1 the log odds are infinite, and what comes out is 0 and 1 again.
        let log_odds = self.slope * (p / (1.0 - p)).ln() + self.offset;
        (1.0 / (1.0 + (-log_odds).exp())) as f32
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn it_shifts_what_a_model_of_even_odds_says_to_rare_faults() {
        // Trained on one fault to one calm minute, used where it is one to a hundred.
        let rare: Calibration = "1, -4.605".parse().unwrap();
        assert!((rare.probability(0.5) - 0.0099).abs() < 1e-4);
        assert!((rare.probability(0.999) - 0.909).abs() < 1e-3);
        let none: Calibration = "".parse().unwrap();
        assert!((none.probability(0.123) - 0.123).abs() < f32::EPSILON);
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for text in ["1", "0,0", "-1,0", "nan,0", "1,inf", "1,0,0", "1000,0", "1,51", "a,b"] {
            assert!(text.parse::<Calibration>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn it_is_a_probability_and_keeps_the_order(
            slope in 0.001..100.0_f64, offset in -50.0..50.0_f64, a in 0.0..=1.0_f32, b in 0.0..=1.0_f32,
        ) {
            let calibration = Calibration { slope, offset };
            let (low, high) = (calibration.probability(a.min(b)), calibration.probability(a.max(b)));
            prop_assert!((0.0..=1.0).contains(&low) && (0.0..=1.0).contains(&high) && low <= high);
        }
    }
}
