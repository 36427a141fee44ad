//! "CPU at its limit" as a probability: the one rule that finds most CPU faults alone.

/// Half way, as a share of the limit: CPU use of a pod that is throttled shows as 0.8 to 1.0.
const CENTRE: f64 = 0.85;
const WIDTH: f64 = 0.04;
/// Never quite sure: a pod may be meant to run at its limit.
const CEILING: f64 = 0.98;

/// How much CPU use at this share of its limit (0 to 1, or a little more) speaks against a pod, 0 to 1.
/// Constants: chosen on the training days of `models/data/nezha`. An unknown share (NaN) gives 0.
pub fn saturation(cpu_limit_share: f64) -> f64 {
    if cpu_limit_share.is_nan() {
        return 0.0;
    }
    CEILING / (1.0 + (-(cpu_limit_share - CENTRE) / WIDTH).exp())
}

/// Two independent grounds for suspicion as one probability: `1 - (1 - a)(1 - b)`. One that is no number is no ground, and
/// hides no other.
pub fn either(a: f64, b: f64) -> f64 {
    1.0 - (1.0 - known(a)) * (1.0 - known(b))
}

/// A probability, or 0 for what is no number.
pub(crate) fn known(p: f64) -> f64 {
    if p.is_nan() { 0.0 } else { p }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rises_with_use_and_knows_the_unknown() {
        assert!(saturation(0.5) < 0.001);
        assert!((saturation(0.85) - 0.49).abs() < 1e-9);
        assert!(saturation(1.0) > 0.95);
        assert!(saturation(f64::NAN).abs() < f64::EPSILON);
    }

    #[test]
    fn either_is_at_least_each_and_at_most_one() {
        for (a, b) in [(0.0, 0.0), (0.3, 0.5), (1.0, 0.2), (0.7, 0.7)] {
            let both = either(a, b);
            assert!(both >= a.max(b) && both <= 1.0, "{a} {b}");
        }
    }

    #[test]
    fn what_is_no_number_hides_no_fact() {
        for both in [either(f64::NAN, 0.97), either(0.97, f64::NAN)] {
            assert!((both - 0.97).abs() < 1e-12, "{both}");
        }
    }
}
