//! The configuration as `config print` shows it: each value, and who said it.

use serde_json::{Map, Value, json};

use super::merge::Merged;
use super::shown::shown;

/// YAML that can be read back, but for addresses that may be secrets, with the origin of each value behind it.
pub fn yaml(merged: &Merged) -> String {
    let lines: Vec<(String, String)> = lines(merged);
    let width = lines.iter().filter(|(_, origin)| !origin.is_empty()).map(|(line, _)| line.chars().count()).max();
    let width = width.unwrap_or_default();
    let shown = lines.into_iter().map(|(line, origin)| match origin.as_str() {
        "" => format!("{line}\n"),
        _ => format!("{line:width$}  # {origin}\n"),
    });
    shown.collect()
}

/// Each line, and the origin of its value.
fn lines(merged: &Merged) -> Vec<(String, String)> {
    let mut lines = Vec::new();
    let mut open: Vec<String> = Vec::new();
    for leaf in merged.leaves() {
        let Some((last, sections)) = leaf.path.split_last() else { continue };
        let same = open.iter().zip(sections).take_while(|(open, section)| open == *section).count();
        for (depth, section) in sections.iter().enumerate().skip(same) {
            lines.push((format!("{}{}:", "  ".repeat(depth), key(section)), String::new()));
        }
        open = sections.iter().map(ToString::to_string).collect();
        let indent = "  ".repeat(sections.len());
        let (value, left_out) = shown(&leaf.path.join("."), leaf.value);
        // A setting that nobody made, or whose value is not shown, is no line to be read back.
        let (mark, origin) = match leaf.value {
            Value::Null => ("# ", "not set".to_owned()),
            _ if left_out => ("# ", format!("{}; it may be a secret and is not shown whole", leaf.origin)),
            _ => ("", leaf.origin.to_string()),
        };
        let value = if value.is_null() { String::new() } else { format!(" {}", scalar(&value)) };
        lines.push((format!("{indent}{mark}{}:{value}", key(last)), origin));
    }
    lines
}

/// A name that the user chose may be anything.
fn key(name: &str) -> String {
    scalar(&json!(name))
}

/// Plain where YAML reads the same back, else in quotes: JSON's quotes are YAML's too.
fn scalar(value: &Value) -> String {
    match value {
        Value::String(text) if is_plain(text) => text.clone(),
        other => other.to_string(),
    }
}

fn is_plain(text: &str) -> bool {
    let word = |c: char| c.is_ascii_alphanumeric() || "_-./".contains(c);
    let starts = text.chars().next().is_some_and(|c| c.is_ascii_alphabetic() || c == '/');
    let means_more = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"];
    starts && text.chars().all(word) && !means_more.contains(&text.to_ascii_lowercase().as_str())
}

/// The same for programs: the settings, and by key who said each.
pub fn json(merged: &Merged) -> Value {
    let origins: Map<String, Value> =
        merged.leaves().map(|leaf| (leaf.path.join("."), json!(leaf.origin.to_string()))).collect();
    json!({ "config": merged.tree_of(|key, value| shown(key, value).0), "origins": origins })
}
