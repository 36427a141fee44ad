//! A row of small bars: how a value went.

const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// One character a value, oldest first, scaled to `top`; a blank where nothing is known.
pub fn draw(values: impl IntoIterator<Item = Option<f64>>, top: f64) -> String {
    let bar = |value: f64| {
        let share = if top > 0.0 { (value / top).clamp(0.0, 1.0) } else { 0.0 };
        BARS[((share * 8.0) as usize).min(7)]
    };
    values.into_iter().map(|value| value.filter(|v| v.is_finite()).map_or(' ', bar)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_become_bars_and_the_unknown_a_gap() {
        assert_eq!(draw([Some(0.0), Some(0.5), None, Some(1.0), Some(7.0), Some(f64::NAN)], 1.0), "▁▅ ██ ");
        assert_eq!(draw([Some(1.0)], 0.0), "▁");
    }
}
