//! What a panel of a board says of itself, and the answers to its queries.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::record::{Answer, Record, Series};
use crate::dashboards::{Board, filled};

/// Columns of a board.
const COLUMNS: i64 = 24;

/// A panel, once for each value that it is repeated for.
#[derive(Debug)]
pub struct Panel<'a> {
    /// All that the board says of it.
    pub json: &'a Value,
    /// Its title.
    pub title: String,
    /// Column, row, columns and rows.
    pub place: [i64; 4],
    /// The answers to its queries.
    pub answers: Vec<&'a Answer>,
}

/// The panels of a board with their answers, and the headings between them.
///
/// # Errors
/// If the record is of another state of the board.
pub fn panels<'a>(board: &'a Board, record: &'a Record) -> Result<Vec<Panel<'a>>> {
    let all = board.json["panels"].as_array().context("no panels")?;
    let mut found = Vec::new();
    for json in all {
        let mine = record.answers.iter().filter(|answer| json["id"] == answer.panel);
        let mut values: Vec<Option<&str>> = mine.clone().map(|answer| answer.repeated.as_deref()).collect();
        values.dedup();
        let is_heading = json["type"] == "row";
        let count = if is_heading { 1 } else { values.len() };
        ensure!(count > 0, "no record of panel {}: tests/run --boards makes one", json["title"]);
        for number in 0..count {
            let value = values.get(number).copied().flatten();
            let answers: Vec<&Answer> = mine.clone().filter(|answer| answer.repeated.as_deref() == value).collect();
            is_asked(json, &answers)?;
            found.push(Panel { json, title: title(json, value), place: place(json, number, count), answers });
        }
    }
    Ok(found)
}

/// The panel asks for what was recorded.
fn is_asked(json: &Value, answers: &[&Answer]) -> Result<()> {
    let asked = json["targets"].as_array().into_iter().flatten().map(|target| target["expr"].as_str());
    let recorded = answers.iter().map(|answer| Some(answer.expression.as_str()));
    ensure!(asked.eq(recorded), "panel {} asks for something else now: tests/run --boards", json["title"]);
    Ok(())
}

fn title(json: &Value, value: Option<&str>) -> String {
    let values: BTreeMap<String, String> = json["repeat"]
        .as_str()
        .zip(value)
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into_iter()
        .collect();
    filled(json["title"].as_str().unwrap_or_default(), &values)
}

/// Repeated ones share the board's width, as far as there may be so many in a row.
fn place(json: &Value, number: usize, count: usize) -> [i64; 4] {
    let [x, y, w, h] = ["x", "y", "w", "h"].map(|side| json["gridPos"][side].as_i64().unwrap_or_default());
    if json["repeat"].is_null() {
        return [x, y, w, h];
    }
    let in_a_row = (count as i64).clamp(1, json["maxPerRow"].as_i64().unwrap_or(4).max(1));
    let (number, w) = (number as i64, COLUMNS / in_a_row);
    [number % in_a_row * w, y + number / in_a_row * h, w, h]
}

impl Panel<'_> {
    /// What kind of panel it is.
    pub fn kind(&self) -> &str {
        self.json["type"].as_str().unwrap_or_default()
    }

    /// Its series, each with its name.
    pub fn series(&self) -> Vec<(String, &Series)> {
        let several = self.answers.iter().map(|answer| answer.series.len()).sum::<usize>() > 1;
        let mut all = Vec::new();
        for answer in &self.answers {
            let legend = self.legend(&answer.query);
            all.extend(answer.series.iter().map(|series| match legend {
                Some(legend) => (named_by(legend, &series.labels), series),
                None if several => (format!("{} {}", self.title, answer.query), series),
                None => (self.title.clone(), series),
            }));
        }
        all
    }

    fn legend(&self, query: &str) -> Option<&str> {
        let mut targets = self.json["targets"].as_array()?.iter();
        targets.find(|target| target["refId"] == query)?["legendFormat"].as_str()
    }

    /// How a field of this name is to be shown: the panel's defaults, with what is said of this field.
    pub fn field(&self, name: &str) -> Value {
        let mut field = self.json["fieldConfig"]["defaults"].clone();
        for other in self.json["fieldConfig"]["overrides"].as_array().into_iter().flatten() {
            if !is_meant(&other["matcher"], name) {
                continue;
            }
            for property in other["properties"].as_array().into_iter().flatten() {
                let path = property["id"].as_str().unwrap_or_default().split('.');
                *path.fold(&mut field, |field, key| &mut field[key]) = property["value"].clone();
            }
        }
        field
    }
}

/// Only plain words stand in the boards' patterns, or those that a name begins with, as a test holds.
fn is_meant(matcher: &Value, name: &str) -> bool {
    let wanted = matcher["options"].as_str().unwrap_or_default();
    match matcher["id"].as_str() {
        Some("byName") => name == wanted,
        Some("byRegexp") => match wanted.trim_matches('/').strip_prefix('^') {
            Some(beginning) => name.starts_with(beginning),
            None => name.contains(wanted.trim_matches('/')),
        },
        _ => false,
    }
}

/// The labels that a legend names.
pub fn placeholders(legend: &str) -> Vec<String> {
    legend.split("{{").skip(1).filter_map(|rest| Some(rest.split_once("}}")?.0.trim().to_owned())).collect()
}

/// A legend with its labels put in, all at once: what a label holds is never read as a legend. A label that is missing leaves
/// nothing, nor the space before it.
fn named_by(legend: &str, labels: &BTreeMap<String, String>) -> String {
    let mut parts = legend.split("{{");
    let mut name = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (label, rest) = part.split_once("}}").unwrap_or((part, ""));
        name += labels.get(label.trim()).map_or("", String::as_str);
        name += rest;
    }
    name.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_legend_is_filled_once() {
        let labels =
            BTreeMap::from([("a", "{{b}}"), ("b", "2")].map(|(name, value)| (name.to_owned(), value.to_owned())));
        assert_eq!(named_by("{{a}}/{{ b }} of {{c}}", &labels), "{{b}}/2 of");
        assert_eq!(placeholders("{{a}}/{{ b }}"), ["a", "b"]);
    }

    #[test]
    fn a_field_is_meant_by_its_name_by_a_word_in_it_or_by_its_beginning() {
        let meant = |id: &str, options: &str, name: &str| is_meant(&json!({"id": id, "options": options}), name);
        assert!(meant("byName", "ok", "ok") && !meant("byName", "ok", "ok east"));
        assert!(meant("byRegexp", "/expected/", "cpu_cores expected east"));
        assert!(meant("byRegexp", "/^ok/", "ok east") && !meant("byRegexp", "/^ok/", "stale tokyo"));
    }

    #[test]
    fn repeated_panels_share_a_row_as_far_as_they_may() {
        let json = json!({"gridPos": {"x": 0, "y": 28, "w": 8, "h": 8}, "repeat": "feature", "maxPerRow": 3});
        assert_eq!(place(&json, 0, 1), [0, 28, 24, 8]);
        assert_eq!(place(&json, 1, 2), [12, 28, 12, 8]);
        assert_eq!(place(&json, 3, 4), [0, 36, 8, 8]);
    }
}
