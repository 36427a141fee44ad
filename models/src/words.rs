//! Figures as people read them: bytes, rates, cores, times. The same words in a table, a reason and a file.

/// Bytes in binary units with about three digits: `0 B`, `1.5 MiB`, `240 KiB`.
pub fn bytes(value: f64) -> String {
    const UNITS: [&str; 6] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
    let mut scaled = value.max(0.0);
    let mut unit = 0;
    // 999.5 would be shown as "1000": the next unit reads better.
    while scaled >= 999.5 && unit + 1 < UNITS.len() {
        scaled /= 1024.0;
        unit += 1;
    }
    let digits = usize::from(unit > 0 && scaled < 9.95);
    format!("{scaled:.digits$} {}", UNITS[unit])
}

/// Bytes per second.
pub fn rate(value: f64) -> String {
    format!("{}/s", bytes(value))
}

/// CPU as Kubernetes writes it: `250m` below ten cores, `12.5` above.
pub fn cores(value: f64) -> String {
    let value = value.max(0.0);
    if value < 0.000_95 {
        return if value == 0.0 { "0".to_owned() } else { "<1m".to_owned() };
    }
    if value < 9.9995 { format!("{:.0}m", value * 1000.0) } else { format!("{value:.1}") }
}

/// A share, 0 to 1, as a percentage.
pub fn percent(share: f64) -> String {
    format!("{:.0} %", share * 100.0)
}

/// Seconds as kubectl shows ages: `45s`, `3m20s`, `2h5m`, `3d4h`.
pub fn duration(seconds: f64) -> String {
    let s = seconds.max(0.0) as u64;
    let (minutes, hours, days) = (s / 60, s / 3600, s / 86400);
    match s {
        0..120 => format!("{s}s"),
        120..600 if !s.is_multiple_of(60) => format!("{minutes}m{}s", s % 60),
        120..7200 => format!("{minutes}m"),
        7200..28800 if !minutes.is_multiple_of(60) => format!("{hours}h{}m", minutes % 60),
        7200..172_800 => format!("{hours}h"),
        172_800..691_200 if !hours.is_multiple_of(24) => format!("{days}d{}h", hours % 24),
        _ => format!("{days}d"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_keep_about_three_digits() {
        let cases = [
            (0.0, "0 B"),
            (999.0, "999 B"),
            (1000.0, "1.0 KiB"),
            (1024.0 * 1024.0, "1.0 MiB"),
            (1_572_864.0, "1.5 MiB"),
            (245_760.0, "240 KiB"),
            (f64::NAN, "0 B"),
        ];
        for (value, words) in cases {
            assert_eq!(bytes(value), words, "{value}");
        }
    }

    #[test]
    fn cores_are_millicores_while_small() {
        let cases = [(0.0, "0"), (0.0001, "<1m"), (0.25, "250m"), (1.2, "1200m"), (12.46, "12.5")];
        for (value, words) in cases {
            assert_eq!(cores(value), words, "{value}");
        }
    }

    #[test]
    fn durations_read_as_kubectls_ages() {
        let cases = [
            (0.0, "0s"),
            (119.0, "119s"),
            (120.0, "2m"),
            (200.0, "3m20s"),
            (3_600.0, "60m"),
            (7_500.0, "2h5m"),
            (90_000.0, "25h"),
            (180_000.0, "2d2h"),
            (864_000.0, "10d"),
        ];
        for (seconds, words) in cases {
            assert_eq!(duration(seconds), words, "{seconds}");
        }
    }
}
