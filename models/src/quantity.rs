//! Kubernetes quantities, such as `250m`, `1.5Gi` or `12e6`, as numbers.

/// A quantity in its base unit: cores for CPU, bytes for memory. `None` if it is not a quantity or not finite.
pub fn value(text: &str) -> Option<f64> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let (number, suffix) = if has_exponent(text) { (text, "") } else { (digits, &text[digits.len()..]) };
    // `inf` and `nan` parse as f64 and are no quantities.
    if !number.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.')) {
        return None;
    }
    let number: f64 = number.parse().ok()?;
    Some(number * scale(suffix)?).filter(|v| v.is_finite())
}

/// `12e6` and `1E3`: a decimal exponent, where `E` alone is the suffix exa.
fn has_exponent(text: &str) -> bool {
    let Some((_, digits)) = text.split_once(['e', 'E']) else { return false };
    let digits = digits.strip_prefix(['+', '-']).unwrap_or(digits);
    !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())
}

fn scale(suffix: &str) -> Option<f64> {
    Some(match suffix {
        "" => 1.0,
        "n" => 1e-9,
        "u" => 1e-6,
        "m" => 1e-3,
        "k" => 1e3,
        "M" => 1e6,
        "G" => 1e9,
        "T" => 1e12,
        "P" => 1e15,
        "E" => 1e18,
        "Ki" => 1024.0,
        "Mi" => 1_048_576.0,
        "Gi" => 1_073_741_824.0,
        "Ti" => 1_099_511_627_776.0,
        "Pi" => 1_125_899_906_842_624.0,
        "Ei" => 1_152_921_504_606_846_976.0,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_read_as_kubernetes_reads_them() {
        let cases = [
            ("250m", Some(0.25)),
            ("2", Some(2.0)),
            ("1.5Gi", Some(1_610_612_736.0)),
            ("64Mi", Some(67_108_864.0)),
            ("100k", Some(100_000.0)),
            ("12e6", Some(12e6)),
            ("1E3", Some(1000.0)),
            ("1E", Some(1e18)),
            ("-1", Some(-1.0)),
            ("", None),
            ("Mi", None),
            ("1.5.2", None),
            ("1GiB", None),
            ("inf", None),
            ("nan", None),
            ("1e999", None),
        ];
        for (text, expected) in cases {
            assert_eq!(value(text), expected, "{text:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_panics(text in "\\PC{0,12}") {
            let read = value(&text);
            proptest::prop_assert!(read.is_none_or(f64::is_finite));
        }
    }
}
