//! Rows of a table, written one at a time.

use std::io::Write;

use jiff::Timestamp;

use super::column::Column;
use super::{COLUMNS, Row, TableError, guard};
use crate::sample::Termination;

/// Writes rows; the columns are fixed at the start.
#[derive(Debug)]
pub struct Writer<W: Write> {
    csv: csv::Writer<W>,
    columns: Vec<Column>,
}

impl<W: Write> Writer<W> {
    /// Writes the first line: [`COLUMNS`], then those of the user's own.
    ///
    /// # Errors
    /// If writing fails.
    pub fn new(writer: W, own: &[&str]) -> Result<Self, TableError> {
        let mut table = Self::resume(writer, own);
        table
            .csv
            .write_record(COLUMNS.iter().map(|&name| name.to_owned()).chain(own.iter().map(|name| guard(name))))?;
        Ok(table)
    }

    /// Goes on with a table that has the same titles already.
    pub fn resume(writer: W, own: &[&str]) -> Self {
        let known = COLUMNS.into_iter().map(Column::titled);
        let columns = known.chain(own.iter().map(|&name| Column::Own(name.into()))).collect();
        Self { csv: csv::Writer::from_writer(writer), columns }
    }

    /// Writes one row; what it does not know stays empty.
    ///
    /// # Errors
    /// If writing fails.
    pub fn write(&mut self, row: &Row) -> Result<(), TableError> {
        self.csv.write_record(self.columns.iter().map(|column| cell(row, column)))?;
        Ok(())
    }

    /// Hands everything to the writer beneath.
    ///
    /// # Errors
    /// If writing fails.
    pub fn flush(&mut self) -> Result<(), TableError> {
        self.csv.flush().map_err(csv::Error::from)?;
        Ok(())
    }
}

fn cell(row: &Row, column: &Column) -> String {
    let time = |at: Option<Timestamp>| at.map(|at| at.to_string()).unwrap_or_default();
    let ended = |text: &dyn Fn(&Termination) -> String| row.terminated.as_ref().map(text).unwrap_or_default();
    let number = |value: Option<f64>| value.map(|value| value.to_string()).unwrap_or_default();
    let switch = |on: bool| if on { "true".to_owned() } else { String::new() };
    match column {
        Column::Timestamp => row.at.to_string(),
        Column::Namespace => guard(&row.namespace),
        Column::Pod => guard(&row.pod),
        Column::Node => row.node.as_deref().map(guard).unwrap_or_default(),
        Column::Phase => row.phase.map(|p| format!("{p:?}")).unwrap_or_default(),
        Column::Workload => row.workload.as_ref().map(|w| guard(&w.to_string())).unwrap_or_default(),
        Column::Created => time(row.created),
        Column::Started => time(row.started),
        Column::ReadyChanged => time(row.ready_changed),
        Column::Starting => switch(row.starting),
        Column::Deleting => switch(row.deleting),
        Column::Ends => switch(row.ends),
        Column::Waiting => row.waiting.as_deref().map(guard).unwrap_or_default(),
        Column::Unschedulable => row.unschedulable.as_deref().map(guard).unwrap_or_default(),
        Column::TerminatedContainer => ended(&|end| guard(&end.container)),
        Column::TerminatedReason => ended(&|end| guard(&end.reason)),
        Column::TerminatedExitCode => ended(&|end| end.exit_code.to_string()),
        Column::TerminatedAt => ended(&|end| time(end.finished_at)),
        Column::CpuLimitOf => row.cpu_limit_of.as_deref().map(guard).unwrap_or_default(),
        Column::MemoryLimitOf => row.memory_limit_of.as_deref().map(guard).unwrap_or_default(),
        Column::Ignore => switch(row.opt_out.ignore),
        Column::Threshold => number(row.opt_out.threshold),
        Column::HighCpu => switch(row.opt_out.expected_high_cpu),
        Column::Number(name) => number(row.number(*name)),
        Column::Own(name) => number(row.own_number(name)),
    }
}
