//! Quantiles and extremes. NaN is unknown: it stays unknown where values meet, and is left out of quantiles.

/// The larger; NaN if either is.
pub(crate) fn larger(a: f64, b: f64) -> f64 {
    if a.is_nan() || b.is_nan() { f64::NAN } else { a.max(b) }
}

/// The smaller; NaN if either is.
pub(crate) fn smaller(a: f64, b: f64) -> f64 {
    if a.is_nan() || b.is_nan() { f64::NAN } else { a.min(b) }
}

/// Middle of the known values; NaN if there is none.
pub fn median(values: &[f64]) -> f64 {
    quantile(values, 0.5)
}

/// Interpolated quantile of the known values; NaN if there is none.
pub fn quantile(values: &[f64], q: f64) -> f64 {
    let mut known: Vec<f64> = values.iter().copied().filter(|v| !v.is_nan()).collect();
    if known.is_empty() {
        return f64::NAN;
    }
    known.sort_by(f64::total_cmp);
    let at = q * (known.len() - 1) as f64;
    let (low, high) = (known[at.floor() as usize], known[at.ceil() as usize]);
    low + at.fract() * (high - low)
}

/// The largest known value; NaN if there is none.
pub(crate) fn peak(values: impl Iterator<Item = f64>) -> f64 {
    values.fold(f64::NAN, f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_unknown_is_left_out_of_quantiles_and_stays_unknown_elsewhere() {
        assert!((quantile(&[4.0, f64::NAN, 1.0, 2.0, 3.0], 0.5) - 2.5).abs() < 1e-12);
        assert!(median(&[f64::NAN]).is_nan() && larger(f64::NAN, 1.0).is_nan() && smaller(1.0, f64::NAN).is_nan());
    }
}
