//! How sure a figure is.

/// Two-sided 95 % of a normal distribution.
const Z: f64 = 1.959_964;

/// 95 % interval of a proportion (Wilson 1927).
pub(crate) fn wilson(hits: usize, of: usize) -> [f64; 2] {
    if of == 0 {
        return [0.0, 1.0];
    }
    let (n, p) = (of as f64, hits as f64 / of as f64);
    let centre = p + Z * Z / (2.0 * n);
    let half = Z * (p * (1.0 - p) / n + Z * Z / (4.0 * n * n)).sqrt();
    [centre - half, centre + half].map(|end| (end / (1.0 + Z * Z / n)).clamp(0.0, 1.0))
}

/// 95 % interval of the mean of a Poisson count (Byar's approximation, Breslow and Day 1987).
pub(crate) fn byar(count: usize) -> [f64; 2] {
    let end = |n: f64, sign: f64| {
        if n <= 0.0 { 0.0 } else { n * (1.0 - 1.0 / (9.0 * n) + sign * Z / (3.0 * n.sqrt())).powi(3) }
    };
    [end(count as f64, -1.0).max(0.0), end(count as f64 + 1.0, 1.0)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_are_those_of_the_tables() {
        let [low, high] = wilson(18, 18);
        assert!((low - 0.824).abs() < 0.002 && (high - 1.0).abs() < 1e-9);
        let [low, high] = wilson(0, 0);
        assert!(low.abs() < 1e-9 && (high - 1.0).abs() < 1e-9);
        let [low, high] = byar(5);
        assert!((low - 1.62).abs() < 0.05 && (high - 11.67).abs() < 0.05, "{low} {high}");
        assert!(byar(0)[0] < 1e-12 && (byar(0)[1] - 3.7).abs() < 0.2);
    }
}
