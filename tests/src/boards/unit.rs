//! Values in the units of a board.

use jiff::Timestamp;

/// What a value is divided by from there on, and the unit then.
type Scale = &'static [(f64, &'static str)];

const SECONDS: Scale =
    &[(1e-9, " ns"), (1e-6, " µs"), (1e-3, " ms"), (1.0, " s"), (60.0, " min"), (3600.0, " h"), (86400.0, " d")];
const BYTES: Scale = &[(1.0, " B"), (1024.0, " KiB"), (1_048_576.0, " MiB"), (1_073_741_824.0, " GiB")];
const BYTES_A_SECOND: Scale = &[(1.0, " B/s"), (1e3, " kB/s"), (1e6, " MB/s"), (1e9, " GB/s")];
const TIMES_A_SECOND: Scale = &[(1.0, " ops/s")];
const PERCENT: Scale = &[(0.01, " %")];
const PLAIN: Scale = &[(1.0, "")];

fn scale(unit: &str) -> Scale {
    match unit {
        "s" => SECONDS,
        "bytes" => BYTES,
        "Bps" => BYTES_A_SECOND,
        "ops" => TIMES_A_SECOND,
        "percentunit" => PERCENT,
        _ => PLAIN,
    }
}

/// What values up to this one are divided by, and the unit then.
pub fn scaled(highest: f64, unit: &str) -> (f64, &'static str) {
    let scale = scale(unit);
    let plain = scale.iter().find(|(by, _)| *by >= 1.0).or(scale.first()).copied().unwrap_or((1.0, ""));
    if highest == 0.0 {
        return plain;
    }
    scale.iter().rev().find(|(by, _)| highest.abs() >= *by).or(scale.first()).copied().unwrap_or(plain)
}

/// A value in its unit, with so many decimals or as many as say something.
pub fn shown(value: f64, unit: &str, decimals: Option<usize>, now: Timestamp) -> String {
    if unit == "dateTimeFromNow" {
        return ago((now.as_millisecond() as f64 - value) / 1000.0);
    }
    let (by, name) = scaled(value, unit);
    format!("{}{name}", number(value / by, decimals))
}

/// A number with so many decimals, or with three digits or all before the point.
pub fn number(value: f64, decimals: Option<usize>) -> String {
    if let Some(decimals) = decimals {
        return format!("{value:.decimals$}");
    }
    let before = if value == 0.0 { 1.0 } else { value.abs().log10().floor() + 1.0 };
    let decimals = (3.0 - before).clamp(0.0, 9.0) as usize;
    let text = format!("{value:.decimals$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

/// A time that has passed, in words.
fn ago(seconds: f64) -> String {
    match seconds {
        ..0.0 => "in a moment".to_owned(),
        0.0..45.0 => "a few seconds ago".to_owned(),
        45.0..90.0 => "a minute ago".to_owned(),
        90.0..3570.0 => format!("{:.0} minutes ago", seconds / 60.0),
        _ => format!("{:.1} hours ago", seconds / 3600.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_told_in_its_unit() {
        let now = Timestamp::from_second(1_795_353_131).unwrap();
        let before = |seconds: f64| 1000.0 * (1_795_353_131.0 - seconds);
        for (value, unit, decimals, text) in [
            (16_777_216.0, "bytes", None, "16 MiB"),
            (2_936_012.0, "Bps", None, "2.94 MB/s"),
            (0.003_906, "s", None, "3.91 ms"),
            (0.0, "s", None, "0 s"),
            (0.25, "percentunit", None, "25 %"),
            (0.003, "percentunit", None, "0.3 %"),
            (0.9375, "", Some(2), "0.94"),
            (1200.0, "", None, "1200"),
            (-4.25, "", None, "-4.25"),
            (0.2, "ops", None, "0.2 ops/s"),
            (before(10.0), "dateTimeFromNow", None, "a few seconds ago"),
            (before(130.0), "dateTimeFromNow", None, "2 minutes ago"),
        ] {
            assert_eq!(shown(value, unit, decimals, now), text, "{value} {unit}");
        }
    }
}
