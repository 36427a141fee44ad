//! Durations as kubectl takes them: `90`, `30s`, `1m30s`, `500ms`, `2h`.

use std::time::Duration;

/// Ten years: longer than anything asked for in earnest, and far from overflow.
const LONGEST_SECONDS: f64 = 3.2e8;

/// Parses a duration; a bare number is seconds.
///
/// # Errors
/// Text of the kind clap shows, if it is no duration of at most ten years.
pub fn parse(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is no duration such as 30s, 1m30s or 2h");
    let seconds = match text.parse::<f64>() {
        Ok(seconds) => seconds,
        Err(_) => sum(text).ok_or_else(wrong)?,
    };
    if !(0.0..=LONGEST_SECONDS).contains(&seconds) {
        return Err(wrong());
    }
    Ok(Duration::from_secs_f64(seconds))
}

fn sum(mut text: &str) -> Option<f64> {
    let mut seconds = 0.0;
    if text.is_empty() {
        return None;
    }
    while !text.is_empty() {
        let number = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (value, rest) = text.split_at(number);
        let unit = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        let (unit, rest) = rest.split_at(unit);
        let scale = match unit {
            "ms" => 0.001,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            "d" => 86400.0,
            _ => return None,
        };
        seconds += value.parse::<f64>().ok()? * scale;
        text = rest;
    }
    Some(seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_kubectl_reads() {
        for (text, seconds) in
            [("0", 0.0), ("90", 90.0), ("1m30s", 90.0), ("500ms", 0.5), ("2h", 7200.0), ("1d", 86400.0)]
        {
            assert_eq!(parse(text), Ok(Duration::from_secs_f64(seconds)), "{text}");
        }
    }

    #[test]
    fn refuses_what_is_no_duration() {
        for text in ["", "s", "-1", "-5s", "1x", "1m2", "nan", "inf", "1e300", "9999999999h", "1..5s", "½s"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
