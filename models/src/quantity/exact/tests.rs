use proptest::prelude::*;

use super::*;

fn quantity(text: &str) -> Quantity {
    text.parse().unwrap()
}

fn grown(text: &str, percent: u32, finest: &str) -> String {
    quantity(text).plus_percent(percent).unwrap().rounded_up(quantity(finest)).unwrap().to_string()
}

#[test]
fn the_canonical_form_is_kubernetes_own() {
    let cases = [
        ("0", "0"),
        ("0Mi", "0"),
        ("-0", "0"),
        ("1.5Gi", "1536Mi"),
        ("1024Mi", "1Gi"),
        ("0.5Ki", "512"),
        ("1000Ki", "1000Ki"),
        ("1.5", "1500m"),
        ("0.1", "100m"),
        ("+.5", "500m"),
        ("5.", "5"),
        ("1000m", "1"),
        ("1500000", "1500k"),
        ("12e6", "12e6"),
        ("1.5E+2", "150"),
        ("1E3", "1e3"),
        ("1e-3", "1e-3"),
        ("1E", "1E"),
        ("0.0000000001", "1n"),
        ("0.1n", "1n"),
        ("1e-99", "1e-9"),
        ("-2Gi", "-2Gi"),
        ("0001.500", "1500m"),
        ("1.0000001Ki", "1024000102400n"),
        ("9223372036854775807", "9223372036854775807"),
    ];
    for (text, canonical) in cases {
        assert_eq!(quantity(text).to_string(), canonical, "{text:?}");
    }
}

#[test]
fn what_kubernetes_does_not_take_is_no_quantity() {
    let cases = [
        "",
        "x",
        "1x",
        "Mi",
        ".",
        "-",
        "1 Gi",
        "1GiB",
        "1e3Mi",
        "1e1.5",
        "1_000",
        "1.5.2",
        "1-2",
        "--1",
        "inf",
        "nan",
        "1K",
        "8Ei",
        "1e999",
        "1e2147483647",
    ];
    for text in cases {
        assert!(text.parse::<Quantity>().is_err(), "{text:?}");
    }
    assert!("9".repeat(60).parse::<Quantity>().is_err());
}

#[test]
fn a_share_more_is_exact_and_whole_in_its_own_suffixes() {
    assert_eq!(grown("1.5Gi", 50, "1"), "2304Mi");
    assert_eq!(grown("1Gi", 33, "1"), "1362Mi");
    assert_eq!(grown("64Mi", 10, "1"), "71Mi");
    assert_eq!(grown("128Mi", 100, "1"), "256Mi");
    assert_eq!(grown("100M", 15, "1"), "115M");
    assert_eq!(grown("250m", 50, "1m"), "375m");
    assert_eq!(grown("1", 50, "1m"), "1500m");
    assert_eq!(grown("3m", 10, "1m"), "4m");
    assert_eq!(grown("2", 0, "1m"), "2");
}

#[test]
fn beyond_the_largest_there_is_nothing() {
    let largest = quantity("9223372036854775807");
    assert_eq!(largest.plus(quantity("1n")), None);
    assert_eq!(largest.times(2), None);
    assert_eq!(largest.plus_percent(1), None);
    assert_eq!(quantity("-9223372036854775807").minus(quantity("1")), None);
}

#[test]
fn equal_is_what_has_the_same_value() {
    assert_eq!(quantity("1Gi"), quantity("1024Mi"));
    assert!(quantity("1G") < quantity("1Gi") && quantity("999m") < quantity("1"));
    assert_eq!(Quantity::bytes(96 << 20).to_string(), "96Mi");
    assert_eq!(Quantity::thousandths(1250).to_string(), "1250m");
    assert_eq!(quantity("1500u").in_thousandths(), 2, "rounded up");
    assert_eq!(quantity("1.5").in_ones(), 2, "rounded up");
}

#[test]
fn what_no_binary_suffix_fits_is_written_out_as_kubernetes_does() {
    assert_eq!(quantity("62.5Ki").to_string(), "64000");
    assert_eq!(quantity("64000").to_string(), "64k");
}

fn texts() -> impl Strategy<Value = String> {
    let suffix = prop::sample::select(vec!["n", "u", "m", "", "k", "M", "G", "Ki", "Mi", "Gi", "e3", "E-2"]);
    ("[+-]?[0-9]{1,9}(\\.[0-9]{0,6})?", suffix).prop_map(|(number, suffix)| format!("{number}{suffix}"))
}

proptest! {
    #[test]
    fn printed_and_read_again_it_is_the_same(text in texts()) {
        let read = quantity(&text);
        let printed = read.to_string();
        prop_assert_eq!(quantity(&printed), read, "{} -> {}", text, printed);
        // A whole number without a suffix does not tell any more that it was written with a binary one.
        let again = quantity(&printed).to_string();
        let suffix_was_lost = text.ends_with('i') && printed.ends_with(|last: char| last.is_ascii_digit());
        prop_assert!(again == printed || suffix_was_lost, "{} {} {}", text, printed, again);
        prop_assert_eq!(quantity(&again).to_string(), again.clone(), "the canonical form is its own");
        prop_assert!(!printed.contains(['.', '+']), "{}", printed);
    }

    #[test]
    fn it_says_what_the_nearest_float_says(text in texts()) {
        let (exact, float) = (quantity(&text), crate::quantity::value(&text).unwrap());
        let near = exact.billionths as f64 / 1e9;
        // What is finer than a billionth was rounded up to one.
        prop_assert!((near - float).abs() <= float.abs() * 1e-12 + 1e-9, "{} is {} and {}", text, near, float);
    }

    #[test]
    fn what_is_added_can_be_taken_away(one in texts(), other in texts()) {
        let (one, other) = (quantity(&one), quantity(&other));
        let sum = one.plus(other).unwrap();
        prop_assert_eq!(sum.minus(other), Some(one));
        prop_assert_eq!(sum, other.plus(one).unwrap());
        prop_assert_eq!(one.plus(one), one.times(2));
    }

    #[test]
    fn rounded_up_it_is_whole_and_hardly_more(text in "[1-9][0-9]{0,8}(Ki|Mi|Gi|k|M|G|m|)", percent in 0u32..400) {
        let exact = quantity(&text).plus_percent(percent).unwrap();
        for finest in ["1m", "1"] {
            let rounded = exact.rounded_up(quantity(finest)).unwrap();
            prop_assert!(rounded >= exact);
            prop_assert_eq!(rounded.billionths % quantity(finest).billionths, 0);
            let more = rounded.minus(exact).unwrap();
            prop_assert!(more < quantity(finest) || more.times(20).unwrap() < rounded, "{} became {}", exact, rounded);
        }
    }

    #[test]
    fn no_text_panics_and_nothing_is_beyond_the_largest(text in "\\PC{0,12}|[+-]?[0-9]{0,45}\\.?[0-9]{0,45}[numkMGTPEie0-9-]{0,4}") {
        if let Ok(read) = text.parse::<Quantity>() {
            prop_assert!(read.billionths.abs() <= MAX);
            prop_assert_eq!(quantity(&read.to_string()), read);
        }
    }
}
