//! What a Prometheus answered to the queries of one board, small enough to be committed.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// The answers to all queries of a board.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// The board's name.
    pub board: String,
    /// The time of the first value.
    pub from: Timestamp,
    /// The time of the last one, and of what was asked about one moment.
    pub to: Timestamp,
    /// Seconds from one value to the next.
    pub step: u32,
    /// The values of the board's variables.
    pub variables: BTreeMap<String, String>,
    /// An answer to each query of each panel.
    pub answers: Vec<Answer>,
}

/// The answer to one query.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// The panel's number.
    pub panel: i64,
    /// The query's letter.
    pub query: String,
    /// What was asked, as the board has it.
    pub expression: String,
    /// The value that a repeated panel is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repeated: Option<String>,
    /// In the order of the answer.
    pub series: Vec<Series>,
}

/// One series of an answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Series {
    /// The labels that the panel shows.
    pub labels: BTreeMap<String, String>,
    /// Four digits each, or all before the point; none where there was no value, or one that is no number.
    pub values: Vec<Option<f64>>,
}

impl Series {
    /// The last value that there is.
    pub fn last(&self) -> Option<f64> {
        self.values.iter().rev().find_map(|value| *value)
    }
}

impl Record {
    /// The text of its file: a line for each answer.
    ///
    /// # Errors
    /// If it cannot be written as JSON.
    pub fn text(&self) -> Result<String> {
        let head = serde_json::to_string(&Self { answers: Vec::new(), ..self.clone() })?;
        let head = head.strip_suffix("]}").context("the answers are not the last field")?;
        let lines = self.answers.iter().map(serde_json::to_string).collect::<Result<Vec<_>, _>>()?;
        Ok(format!("{head}\n{}\n]}}\n", lines.join(",\n")))
    }

    /// Writes its file into a folder, which is made if need be.
    ///
    /// # Errors
    /// If that fails.
    pub fn write(&self, folder: &Path) -> Result<()> {
        fs::create_dir_all(folder)?;
        let file = folder.join(format!("{}.json", self.board));
        fs::write(&file, self.text()?).with_context(|| file.display().to_string())
    }

    /// The record of a board, if its folder has one.
    ///
    /// # Errors
    /// If it is none of ours.
    pub fn read(folder: &Path, board: &str) -> Result<Option<Self>> {
        let file = folder.join(format!("{board}.json"));
        let Ok(text) = fs::read_to_string(&file) else { return Ok(None) };
        serde_json::from_str(&text).map(Some).with_context(|| file.display().to_string())
    }
}

/// A number as a record keeps it; none if it is no number.
pub fn rounded(value: f64) -> Option<f64> {
    // Times and bytes have more digits before the point, and mean something by them.
    let text = if value.abs() >= 1000.0 { format!("{value:.0}") } else { format!("{value:.3e}") };
    text.parse().ok().filter(|value: &f64| value.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn four_digits_are_kept_or_all_before_the_point() {
        for (value, kept) in [
            (0.123_456, 0.1235),
            (-1.999_99, -2.0),
            (0.000_012_345_6, 0.000_012_35),
            (123_456.7, 123_457.0),
            (0.0, 0.0),
            (1_795_353_131_250.0, 1_795_353_131_250.0),
        ] {
            assert_eq!(rounded(value), Some(kept), "{value}");
        }
        assert_eq!((rounded(f64::NAN), rounded(f64::INFINITY)), (None, None));
    }

    #[test]
    fn a_record_is_read_as_it_was_written() {
        let series = Series {
            labels: BTreeMap::from([("pod".to_owned(), "a".to_owned())]),
            values: vec![Some(1.0), None, Some(0.5)],
        };
        let answer = |repeated| Answer {
            panel: 1,
            query: "A".to_owned(),
            expression: "up".to_owned(),
            repeated,
            series: vec![series.clone()],
        };
        let record = Record {
            board: "fleet".to_owned(),
            from: Timestamp::from_second(1_795_353_120).unwrap(),
            to: Timestamp::from_second(1_795_353_130).unwrap(),
            step: 5,
            variables: BTreeMap::new(),
            answers: vec![answer(None), answer(Some("cpu".to_owned()))],
        };
        let folder = tempfile::tempdir().unwrap();
        record.write(folder.path()).unwrap();
        assert_eq!(Record::read(folder.path(), "fleet").unwrap(), Some(record));
        assert_eq!(Record::read(folder.path(), "node").unwrap(), None);
        let text = fs::read_to_string(folder.path().join("fleet.json")).unwrap();
        assert_eq!(text.lines().count(), 4, "{text}");
    }
}
