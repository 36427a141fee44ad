//! Scores as a table: one line for each row that was read.

use std::io::{self, Write};

use guard_model::sample::PodFacts;
use guard_model::scorer::Verdict;
use guard_model::table::guard;
use jiff::Timestamp;

use super::document::name;

/// The first line.
const HEADER: [&str; 6] = ["timestamp", "namespace", "pod", "score", "severity", "top_feature"];

/// Writes lines.
pub struct Lines<W: Write> {
    csv: csv::Writer<W>,
}

impl<W: Write> Lines<W> {
    /// Writes the first line.
    ///
    /// # Errors
    /// If writing fails.
    pub fn new(writer: W) -> io::Result<Self> {
        let mut csv = csv::Writer::from_writer(writer);
        csv.write_record(HEADER)?;
        Ok(Self { csv })
    }

    /// One row's score; empty while the pod is learnt and no hard fact speaks, and for a row that could not be scored.
    ///
    /// # Errors
    /// If writing fails.
    pub fn write(&mut self, at: Timestamp, pod: &PodFacts, verdict: Option<&Verdict<'_>>) -> io::Result<()> {
        let score = verdict.and_then(Verdict::score).map(|score| format!("{score:.6}")).unwrap_or_default();
        let severity = verdict.map(|verdict| name(verdict.severity())).unwrap_or_default();
        let feature = verdict.and_then(|verdict| verdict.reasons().first()).map_or("", |reason| reason.cause.name());
        let line = [&at.to_string(), &guard(&pod.namespace), &guard(&pod.name), &score, &severity, feature];
        // What failed is told by its kind: a reader that has gone is no error.
        self.csv.write_record(line).map_err(|error| match error.into_kind() {
            csv::ErrorKind::Io(source) => source,
            other => io::Error::other(format!("{other:?}")),
        })
    }

    /// Hands everything to the writer beneath.
    ///
    /// # Errors
    /// If writing fails.
    pub fn flush(&mut self) -> io::Result<()> {
        self.csv.flush()
    }
}
