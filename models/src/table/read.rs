//! Rows of a table, read one at a time.

use std::io::Read;

use csv::StringRecord;
use jiff::Timestamp;

use super::column::Column;
use super::{READING, REQUIRED, Row, TableError, Unmeasured, unguard};
use crate::sample::Phase;

/// Reads rows one at a time.
#[derive(Debug)]
pub struct Reader<R> {
    csv: csv::Reader<R>,
    titles: Vec<String>,
    columns: Vec<Column>,
    /// There is a column of what a reading measures, so that a row can be without one.
    measures: bool,
    record: StringRecord,
}

impl<R: Read> Reader<R> {
    /// Reads the first line.
    ///
    /// # Errors
    /// If a required column is missing, a column stands twice, or the file cannot be read.
    pub fn new(reader: R) -> Result<Self, TableError> {
        let mut csv = csv::Reader::from_reader(reader);
        let titles: Vec<String> =
            csv.headers()?.iter().map(|h| unguard(h.trim_start_matches('\u{feff}').trim()).to_owned()).collect();
        for name in REQUIRED {
            if !titles.iter().any(|title| title == name) {
                return Err(TableError::MissingColumn(name));
            }
        }
        for (i, name) in titles.iter().enumerate() {
            if titles[..i].contains(name) {
                return Err(TableError::DuplicateColumn(name.clone()));
            }
        }
        let columns: Vec<Column> = titles.iter().map(|title| Column::titled(title)).collect();
        let measures = columns.iter().any(|column| matches!(column, Column::Number(name) if READING.contains(name)));
        Ok(Self { csv, titles, columns, measures, record: StringRecord::new() })
    }

    fn row(&self) -> Result<Row, TableError> {
        let mut row = Row::default();
        for (place, (column, cell)) in self.columns.iter().zip(&self.record).enumerate() {
            let cell = unguard(cell.trim());
            take(&mut row, column, cell).map_err(|wanted| self.bad(place, cell, wanted))?;
        }
        let is_empty = || row.own.is_empty() && READING.iter().all(|column| row.number(*column).is_none());
        row.unmeasured = Unmeasured(self.measures && is_empty());
        Ok(row)
    }

    fn bad(&self, place: usize, cell: &str, wanted: &'static str) -> TableError {
        let line = self.record.position().map_or(0, csv::Position::line);
        let column = self.titles.get(place).cloned().unwrap_or_default();
        TableError::Cell { line, column, cell: cell.chars().take(60).collect(), wanted }
    }
}

impl<R: Read> Iterator for Reader<R> {
    type Item = Result<Row, TableError>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.csv.read_record(&mut self.record) {
            Ok(true) => Some(self.row()),
            Ok(false) => None,
            Err(error) => Some(Err(error.into())),
        }
    }
}

/// Takes what stands in a cell.
///
/// # Errors
/// What should stand there.
fn take(row: &mut Row, column: &Column, cell: &str) -> Result<(), &'static str> {
    match column {
        Column::Timestamp => row.at = time(cell)?,
        Column::Namespace | Column::Pod if cell.is_empty() => return Err("a name"),
        Column::Namespace => cell.clone_into(&mut row.namespace),
        Column::Pod => cell.clone_into(&mut row.pod),
        _ if cell.is_empty() => {}
        Column::Number(name) => row.set(*name, number(cell)?),
        Column::Own(name) => row.own.extend(number(cell)?.map(|value| (name.clone(), value))),
        Column::Node => row.node = Some(cell.to_owned()),
        Column::Phase => row.phase = Some(phase(cell)?),
        Column::Workload => row.workload = Some(cell.parse().map_err(|_| "of the form Kind/name")?),
        Column::Created => row.created = Some(time(cell)?),
        Column::Started => row.started = Some(time(cell)?),
        Column::ReadyChanged => row.ready_changed = Some(time(cell)?),
        Column::Starting => row.starting = switch(cell)?,
        Column::Deleting => row.deleting = switch(cell)?,
        Column::Ends => row.ends = switch(cell)?,
        Column::Waiting => row.waiting = Some(cell.to_owned()),
        Column::Unschedulable => row.unschedulable = Some(cell.to_owned()),
        Column::TerminatedContainer => cell.clone_into(&mut row.ended().container),
        Column::TerminatedReason => cell.clone_into(&mut row.ended().reason),
        Column::TerminatedExitCode => row.ended().exit_code = cell.parse().map_err(|_| "an exit code")?,
        Column::TerminatedAt => row.ended().finished_at = Some(time(cell)?),
        Column::CpuLimitOf => row.cpu_limit_of = Some(cell.to_owned()),
        Column::MemoryLimitOf => row.memory_limit_of = Some(cell.to_owned()),
        Column::Ignore => row.opt_out.ignore = switch(cell)?,
        Column::Threshold => row.opt_out.threshold = Some(line(cell)?),
        Column::HighCpu => row.opt_out.expected_high_cpu = switch(cell)?,
    }
    Ok(())
}

fn time(cell: &str) -> Result<Timestamp, &'static str> {
    cell.parse().map_err(|_| "a time like 2026-11-22T13:12:11Z")
}

/// A number; `None` is what Prometheus does not know and writes as NaN.
fn number(cell: &str) -> Result<Option<f64>, &'static str> {
    let number: f64 = cell.parse().map_err(|_| "a number")?;
    if number.is_infinite() {
        return Err("a finite number");
    }
    Ok(Some(number).filter(|number| !number.is_nan()))
}

fn switch(cell: &str) -> Result<bool, &'static str> {
    cell.parse().map_err(|_| "true or false")
}

fn line(cell: &str) -> Result<f64, &'static str> {
    let line = cell.parse().ok().filter(|line| *line > 0.0 && *line <= 1.0);
    line.ok_or("a number above 0 and up to 1")
}

fn phase(cell: &str) -> Result<Phase, &'static str> {
    let all = [Phase::Pending, Phase::Running, Phase::Succeeded, Phase::Failed, Phase::Unknown];
    all.into_iter().find(|phase| format!("{phase:?}") == cell).ok_or("a pod's phase")
}
