//! Families in the text format of OpenMetrics 1.0, which the `prometheus` crate does not write. Text in, nothing else.

use std::fmt::Write as _;

use prometheus::proto::{Metric, MetricFamily, MetricType};

/// The units that the names of our families end with.
const UNITS: [&str; 2] = ["seconds", "bytes"];

/// The whole exposition, with its end mark.
pub(super) fn encode(families: &[MetricFamily]) -> String {
    let mut text = String::new();
    for family in families {
        write_family(&mut text, family);
    }
    text.push_str("# EOF\n");
    text
}

fn write_family(text: &mut String, family: &MetricFamily) {
    let sample = family.name();
    let (kind, name) = kind(family);
    // Writing to a String cannot fail; neither can anything below.
    let _written = writeln!(text, "# TYPE {name} {kind}");
    if let Some(unit) = UNITS.iter().find(|unit| name.strip_suffix(**unit).is_some_and(|rest| rest.ends_with('_'))) {
        let _written = writeln!(text, "# UNIT {name} {unit}");
    }
    let _written = writeln!(text, "# HELP {name} {}", escape(family.help()));
    for metric in family.get_metric() {
        text.push_str(sample);
        write_labels(text, metric);
        text.push(' ');
        let counted = kind == "counter";
        text.push_str(&number(if counted { metric.get_counter().get_value() } else { metric.get_gauge().get_value() }));
        text.push('\n');
    }
}

/// The family's type, and its name: that of its samples without the suffix that the type brings along.
fn kind(family: &MetricFamily) -> (&'static str, &str) {
    let name = family.name();
    if family.get_field_type() == MetricType::COUNTER {
        ("counter", name.strip_suffix("_total").unwrap_or(name))
    } else if let Some(name) = name.strip_suffix("_info") {
        ("info", name)
    } else {
        ("gauge", name)
    }
}

fn write_labels(text: &mut String, metric: &Metric) {
    let labels = metric.get_label();
    if labels.is_empty() {
        return;
    }
    for (index, label) in labels.iter().enumerate() {
        text.push(if index == 0 { '{' } else { ',' });
        let _written = write!(text, "{}=\"{}\"", label.name(), escape(label.value()));
    }
    text.push('}');
}

/// Help and label values have the same three escapes.
fn escape(text: &str) -> String {
    text.replace('\\', r"\\").replace('"', r#"\""#).replace('\n', r"\n")
}

fn number(value: f64) -> String {
    if value.is_nan() {
        "NaN".to_owned()
    } else if value.is_infinite() {
        if value > 0.0 { "+Inf".to_owned() } else { "-Inf".to_owned() }
    } else {
        value.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_value_must_not_hold_is_escaped() {
        assert_eq!(escape("a\\b\"c\nd"), r#"a\\b\"c\nd"#);
    }

    #[test]
    fn numbers_that_are_none_have_their_own_words() {
        let words = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.0, 1.5, 1_795_353_131.0].map(number);
        assert_eq!(words, ["NaN", "+Inf", "-Inf", "0", "1.5", "1795353131"]);
    }
}
