//! Kubernetes quantities, such as `250m`, `1.5Gi` or `12e6`: as the nearest number for what is measured ([`value`]), and
//! exact for what is written to a cluster ([`Quantity`]).

mod exact;

pub use exact::{NotAQuantity, Quantity};

/// A quantity in its base unit: cores for CPU, bytes for memory. The nearest `f64` to what the text says; `None` if it is
/// not a quantity or not finite.
pub fn value(text: &str) -> Option<f64> {
    let end = text.find(|c: char| !c.is_ascii_digit() && !matches!(c, '+' | '-' | '.')).unwrap_or(text.len());
    let (number, suffix) = text.split_at(end);
    let value = match suffix {
        "" => number.parse().ok()?,
        // An exact power of ten divides exactly where a thousandth would already be rounded.
        "n" => number.parse::<f64>().ok()? / 1e9,
        "u" => number.parse::<f64>().ok()? / 1e6,
        "m" => number.parse::<f64>().ok()? / 1e3,
        _ => match scale(suffix) {
            Some(scale) => number.parse::<f64>().ok()? * scale,
            None => exponent(number, suffix)?,
        },
    };
    Some(value).filter(|v| v.is_finite())
}

/// `12e6` and `1E3`: a decimal exponent, where `E` alone is the suffix exa.
fn exponent(number: &str, suffix: &str) -> Option<f64> {
    let exponent: i16 = suffix.strip_prefix(['e', 'E'])?.parse().ok()?;
    format!("{number}e{exponent}").parse().ok()
}

fn scale(suffix: &str) -> Option<f64> {
    Some(match suffix {
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
            ("1e-3", Some(0.001)),
            ("1.5E+2", Some(150.0)),
            ("-1", Some(-1.0)),
            ("+.5", Some(0.5)),
            ("5.", Some(5.0)),
            ("1e3Mi", None),
            ("1e1.5", None),
            ("1 Gi", None),
            ("1_000", None),
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
        fn what_is_written_in_thousandths_is_read_as_the_nearest_number(thousandths in 0u32..1_000_000_000) {
            let decimal = format!("{}.{:03}", thousandths / 1000, thousandths % 1000);
            proptest::prop_assert_eq!(value(&format!("{thousandths}m")), decimal.parse().ok());
            proptest::prop_assert_eq!(value(&format!("{thousandths}e-3")), decimal.parse().ok());
        }

        #[test]
        fn whole_bytes_come_back_whole(mebibytes in 0u32..u32::MAX) {
            let bytes = u64::from(mebibytes) << 20;
            let all = [format!("{bytes}"), format!("{mebibytes}Mi"), format!("{}Ki", u64::from(mebibytes) << 10)];
            proptest::prop_assert!(all.iter().all(|text| value(text) == Some(bytes as f64)), "{:?}", all);
        }

        #[test]
        fn no_text_panics(text in "\\PC{0,12}") {
            let read = value(&text);
            proptest::prop_assert!(read.is_none_or(f64::is_finite));
        }
    }
}
