//! `pod_metrics.csv`: one row a pod and tick, read and written by column name.
//!
//! An empty cell is unknown. Further numeric columns are custom metrics. Rows become [`PodSample`]s by [`Row::sample`].

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::sync::Arc;

use csv::StringRecord;
use jiff::Timestamp;

use crate::rules;
use crate::sample::{Measures, Phase, PodFacts, PodSample, Termination};
use crate::workload::Workload;

/// Columns that every table has.
pub const REQUIRED: [&str; 3] = ["timestamp", "namespace", "pod"];
/// All columns known by name, in the order in which they are written.
pub const COLUMNS: [&str; 35] = [
    "timestamp",
    "namespace",
    "pod",
    "node",
    "cpu_usage_cores",
    "cpu_usage_ratio",
    "memory_working_set_bytes",
    "memory_usage_ratio",
    "network_receive_bytes_per_second",
    "network_transmit_bytes_per_second",
    "network_receive_errors_total",
    "network_transmit_errors_total",
    "network_receive_dropped_total",
    "network_transmit_dropped_total",
    "fs_reads_total",
    "fs_writes_total",
    "syscall_reads",
    "syscall_writes",
    "restarts_total",
    "containers_ready",
    "containers_total",
    "phase",
    "workload",
    "cpu_throttled_ratio",
    "oom_events_total",
    "processes",
    "events_warning_total",
    "created",
    "ready_changed",
    "waiting_reason",
    "unschedulable",
    "terminated_container",
    "terminated_reason",
    "terminated_exit_code",
    "terminated_at",
];

/// Why a table cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// A column that every table has is missing.
    #[error("the table has no column {0:?}; its first line must name the columns, {REQUIRED:?} among them")]
    MissingColumn(&'static str),
    /// A column stands twice.
    #[error("the table has two columns {0:?}; remove one")]
    DuplicateColumn(String),
    /// A cell is not what its column holds.
    #[error("line {line}, column {column:?}: {cell:?} is not {wanted}")]
    Cell {
        /// Line of the file, from 1.
        line: u64,
        /// The column's name.
        column: String,
        /// What stands there, cut at 60 characters.
        cell: String,
        /// What should stand there.
        wanted: &'static str,
    },
    /// The file is no CSV, or reading or writing failed.
    #[error("reading or writing the table failed: {0}")]
    Csv(#[from] csv::Error),
}

/// One pod at one tick.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Row {
    /// When it was measured.
    pub at: Timestamp,
    /// The pod's namespace.
    pub namespace: String,
    /// The pod's name.
    pub pod: String,
    /// Its node.
    pub node: Option<String>,
    /// Where it is in its life.
    pub phase: Option<Phase>,
    /// Its controller.
    pub workload: Option<Workload>,
    /// When it was made.
    pub created: Option<Timestamp>,
    /// Since when it is ready, or not ready.
    pub ready_changed: Option<Timestamp>,
    /// What its containers wait for: `CrashLoopBackOff`, `ImagePullBackOff`, ...
    pub waiting: Option<String>,
    /// Why the scheduler cannot place it.
    pub unschedulable: Option<String>,
    /// How its last container ended.
    pub terminated: Option<Termination>,
    /// Every numeric cell that is known, by column; always finite.
    pub numbers: BTreeMap<Arc<str>, f64>,
}

impl Row {
    /// The number in this column; `None` is unknown.
    pub fn number(&self, column: &str) -> Option<f64> {
        self.numbers.get(column).copied()
    }

    /// Numbers of columns that are not in [`COLUMNS`].
    pub fn custom(&self) -> impl Iterator<Item = (&Arc<str>, f64)> {
        self.numbers.iter().map(|(name, value)| (name, *value)).filter(|(name, _)| !COLUMNS.contains(&&***name))
    }

    /// The row of a sample, read at `at`. Running totals, which a sample does not have, are to be added.
    pub fn of(at: Timestamp, sample: &PodSample) -> Row {
        let (facts, m) = (&sample.facts, &sample.measures);
        let measured = [
            ("cpu_usage_cores", m.cpu_cores),
            ("cpu_usage_ratio", m.cpu_limit_share),
            ("memory_working_set_bytes", m.memory_bytes),
            ("memory_usage_ratio", m.memory_limit_share),
            ("network_receive_bytes_per_second", m.receive_bytes_per_second),
            ("network_transmit_bytes_per_second", m.transmit_bytes_per_second),
            ("cpu_throttled_ratio", m.throttled_share),
            ("processes", m.processes),
            ("restarts_total", Some(f64::from(facts.restarts))),
            ("containers_ready", Some(f64::from(facts.containers_ready))),
            ("containers_total", Some(f64::from(facts.containers_total))),
        ];
        let known = measured.into_iter().filter_map(|(column, value)| Some((Arc::from(column), value?)));
        Row {
            at,
            namespace: facts.namespace.clone(),
            pod: facts.name.clone(),
            node: facts.node.clone(),
            phase: Some(facts.phase),
            workload: facts.workload.clone(),
            created: facts.created,
            ready_changed: facts.ready_changed,
            waiting: facts.waiting.clone(),
            unschedulable: facts.unschedulable.clone(),
            terminated: facts.terminated.clone(),
            numbers: known.filter(|(_, value): &(_, f64)| value.is_finite()).collect(),
        }
    }

    fn ended(&mut self) -> &mut Termination {
        self.terminated.get_or_insert_default()
    }

    /// Adds what is known to a column.
    pub fn set(&mut self, column: &str, value: Option<f64>) {
        if let Some(value) = value.filter(|value| value.is_finite()) {
            self.numbers.insert(Arc::from(column), value);
        }
    }

    /// The row as a sample. Its UID is `namespace/pod`; what needs the row before (rates of running totals) is added by
    /// [`crate::rows::Rows`]; limits follow from use and its share of the limit.
    pub fn sample(&self) -> PodSample {
        let count = |column: &str| self.number(column).map_or(0, |v| v.max(0.0) as u32);
        let limit = |used: Option<f64>, share: Option<f64>| Some(used? / share.filter(|s| *s > 0.0)?);
        let measures = Measures {
            cpu_cores: self.number("cpu_usage_cores"),
            cpu_limit_share: self.number("cpu_usage_ratio"),
            memory_bytes: self.number("memory_working_set_bytes"),
            memory_limit_share: self.number("memory_usage_ratio"),
            receive_bytes_per_second: self.number("network_receive_bytes_per_second"),
            transmit_bytes_per_second: self.number("network_transmit_bytes_per_second"),
            throttled_share: self.number("cpu_throttled_ratio"),
            processes: self.number("processes"),
            ..Measures::default()
        };
        let (ready, total) = (count("containers_ready"), count("containers_total"));
        let facts = PodFacts {
            uid: format!("{}/{}", self.namespace, self.pod),
            namespace: self.namespace.clone(),
            name: self.pod.clone(),
            node: self.node.clone(),
            workload: self.workload.clone(),
            phase: self.phase.unwrap_or_default(),
            // A table without these columns says nothing against the pod.
            ready: ready >= total,
            containers_ready: ready,
            containers_total: total,
            restarts: count("restarts_total"),
            created: self.created,
            ready_changed: self.ready_changed,
            waiting: self.waiting.clone(),
            unschedulable: self.unschedulable.clone(),
            terminated: self.terminated.clone(),
            cpu_limit_cores: limit(measures.cpu_cores, measures.cpu_limit_share),
            memory_limit_bytes: limit(measures.memory_bytes, measures.memory_limit_share),
            ..PodFacts::default()
        };
        let at = rules::seconds(self.at);
        PodSample { at, fresh: true, reset: false, facts, measures, metrics: Vec::new() }
    }
}

/// Reads rows one at a time.
#[derive(Debug)]
pub struct Reader<R> {
    csv: csv::Reader<R>,
    header: Vec<Arc<str>>,
    record: StringRecord,
}

impl<R: Read> Reader<R> {
    /// Reads the first line.
    ///
    /// # Errors
    /// If a required column is missing, a column stands twice, or the file cannot be read.
    pub fn new(reader: R) -> Result<Self, TableError> {
        let mut csv = csv::Reader::from_reader(reader);
        let header: Vec<Arc<str>> =
            csv.headers()?.iter().map(|h| Arc::from(unguard(h.trim_start_matches('\u{feff}').trim()))).collect();
        for name in REQUIRED {
            if !header.iter().any(|h| &**h == name) {
                return Err(TableError::MissingColumn(name));
            }
        }
        for (i, name) in header.iter().enumerate() {
            if header[..i].contains(name) {
                return Err(TableError::DuplicateColumn(name.to_string()));
            }
        }
        Ok(Self { csv, header, record: StringRecord::new() })
    }

    fn row(&self) -> Result<Row, TableError> {
        let mut row = Row::default();
        for (name, cell) in self.header.iter().zip(&self.record) {
            let cell = unguard(cell.trim());
            let bad = |wanted| self.bad(name, cell, wanted);
            let time = || cell.parse().map_err(|_| bad("a time like 2026-11-22T13:12:11Z"));
            match &**name {
                "timestamp" => row.at = time()?,
                "namespace" | "pod" if cell.is_empty() => return Err(bad("a name")),
                "namespace" => cell.clone_into(&mut row.namespace),
                "pod" => cell.clone_into(&mut row.pod),
                _ if cell.is_empty() => {}
                "node" => row.node = Some(cell.to_owned()),
                "phase" => row.phase = Some(phase(cell).ok_or_else(|| bad("a pod's phase"))?),
                "workload" => row.workload = Some(cell.parse().map_err(|_| bad("of the form Kind/name"))?),
                "created" => row.created = Some(time()?),
                "ready_changed" => row.ready_changed = Some(time()?),
                "waiting_reason" => row.waiting = Some(cell.to_owned()),
                "unschedulable" => row.unschedulable = Some(cell.to_owned()),
                "terminated_container" => cell.clone_into(&mut row.ended().container),
                "terminated_reason" => cell.clone_into(&mut row.ended().reason),
                "terminated_exit_code" => {
                    row.ended().exit_code = cell.parse().map_err(|_| bad("an exit code"))?;
                }
                "terminated_at" => row.ended().finished_at = Some(time()?),
                _ => {
                    let number: f64 = cell.parse().map_err(|_| bad("a number"))?;
                    if number.is_infinite() {
                        return Err(bad("a finite number"));
                    }
                    // Prometheus writes NaN for what it does not know.
                    if !number.is_nan() {
                        row.numbers.insert(Arc::clone(name), number);
                    }
                }
            }
        }
        Ok(row)
    }

    fn bad(&self, column: &str, cell: &str, wanted: &'static str) -> TableError {
        let line = self.record.position().map_or(0, csv::Position::line);
        TableError::Cell { line, column: column.to_owned(), cell: cell.chars().take(60).collect(), wanted }
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

/// Writes rows; the custom columns are fixed at the start.
#[derive(Debug)]
pub struct Writer<W: Write> {
    csv: csv::Writer<W>,
    custom: Vec<String>,
}

impl<W: Write> Writer<W> {
    /// Writes the first line: [`COLUMNS`], then `custom`.
    ///
    /// # Errors
    /// If writing fails.
    pub fn new(writer: W, custom: &[&str]) -> Result<Self, TableError> {
        let mut csv = csv::Writer::from_writer(writer);
        let custom: Vec<String> = custom.iter().map(|&name| name.to_owned()).collect();
        csv.write_record(COLUMNS.iter().map(|&name| name.to_owned()).chain(custom.iter().map(|name| guard(name))))?;
        Ok(Self { csv, custom })
    }

    /// Goes on with a table that has the same titles already.
    pub fn resume(writer: W, custom: &[&str]) -> Self {
        let custom = custom.iter().map(|&name| name.to_owned()).collect();
        Self { csv: csv::Writer::from_writer(writer), custom }
    }

    /// Writes one row; what it does not know stays empty.
    ///
    /// # Errors
    /// If writing fails.
    pub fn write(&mut self, row: &Row) -> Result<(), TableError> {
        let columns = COLUMNS.into_iter().chain(self.custom.iter().map(String::as_str));
        self.csv.write_record(columns.map(|column| cell(row, column)))?;
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

fn cell(row: &Row, column: &str) -> String {
    let time = |at: Option<Timestamp>| at.map(|at| at.to_string()).unwrap_or_default();
    let ended = |text: &dyn Fn(&Termination) -> String| row.terminated.as_ref().map(text).unwrap_or_default();
    match column {
        "timestamp" => row.at.to_string(),
        "namespace" => guard(&row.namespace),
        "pod" => guard(&row.pod),
        "node" => row.node.as_deref().map(guard).unwrap_or_default(),
        "phase" => row.phase.map(|p| format!("{p:?}")).unwrap_or_default(),
        "workload" => row.workload.as_ref().map(|w| guard(&w.to_string())).unwrap_or_default(),
        "created" => time(row.created),
        "ready_changed" => time(row.ready_changed),
        "waiting_reason" => row.waiting.as_deref().map(guard).unwrap_or_default(),
        "unschedulable" => row.unschedulable.as_deref().map(guard).unwrap_or_default(),
        "terminated_container" => ended(&|end| guard(&end.container)),
        "terminated_reason" => ended(&|end| guard(&end.reason)),
        "terminated_exit_code" => ended(&|end| end.exit_code.to_string()),
        "terminated_at" => ended(&|end| time(end.finished_at)),
        _ => row.number(column).map(|v| v.to_string()).unwrap_or_default(),
    }
}

fn phase(text: &str) -> Option<Phase> {
    let all = [Phase::Pending, Phase::Running, Phase::Succeeded, Phase::Failed, Phase::Unknown];
    all.into_iter().find(|p| format!("{p:?}") == text)
}

/// What a spreadsheet would take for a formula.
fn is_formula(text: &str) -> bool {
    text.starts_with(['=', '+', '-', '@', '\t', '\r', '\0'])
}

/// Text that no spreadsheet runs as a formula.
pub fn guard(text: &str) -> String {
    if is_formula(text) { format!("'{text}") } else { text.to_owned() }
}

fn unguard(text: &str) -> &str {
    text.strip_prefix('\'').filter(|rest| is_formula(rest)).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<Row>, TableError> {
        Reader::new(text.as_bytes())?.collect()
    }

    #[test]
    fn an_empty_cell_is_unknown_and_further_columns_are_custom() {
        let rows =
            read("pod,timestamp,namespace,cpu_usage_cores,queue_length\na,2026-11-22T13:12:11Z,shop,,7\n").unwrap();
        assert_eq!(rows[0].number("cpu_usage_cores"), None);
        assert_eq!(rows[0].custom().collect::<Vec<_>>(), [(&"queue_length".into(), 7.0)]);
        assert_eq!(rows[0].sample().measures.cpu_cores, None);
        assert!(rows[0].sample().facts.ready);
    }

    #[test]
    fn a_bad_cell_is_named_by_line_and_column() {
        let error = read(
            "timestamp,namespace,pod,cpu_usage_cores\n2026-11-22T13:12:11Z,shop,a,1\n2026-11-22T13:12:21Z,shop,a,x\n",
        );
        let text = error.unwrap_err().to_string();
        assert_eq!(text, r#"line 3, column "cpu_usage_cores": "x" is not a number"#);
    }

    #[test]
    fn a_table_without_its_columns_is_refused() {
        assert!(matches!(read("time,pod\n1,a\n"), Err(TableError::MissingColumn("timestamp"))));
        assert!(matches!(read(""), Err(TableError::MissingColumn("timestamp"))));
        let twice = read("timestamp,namespace,pod,pod\n");
        assert!(matches!(twice, Err(TableError::DuplicateColumn(name)) if name == "pod"));
    }

    #[test]
    fn what_is_written_reads_back_and_holds_no_formula() {
        let mut row = read("timestamp,namespace,pod,cpu_usage_cores,phase,workload,q\n2026-11-22T13:12:11Z,shop,a,0.25,Running,Deployment/a,-3\n")
            .unwrap()
            .remove(0);
        row.node = Some("=cmd|' /C calc'!A0".to_owned());
        let mut bytes = Vec::new();
        let mut writer = Writer::new(&mut bytes, &["q"]).unwrap();
        writer.write(&row).unwrap();
        writer.flush().unwrap();
        drop(writer);
        let text = String::from_utf8(bytes).unwrap();
        assert!(text.contains(",'=cmd"), "{text}");
        assert_eq!(read(&text).unwrap(), [row]);
    }

    #[test]
    fn a_sample_comes_back_from_its_row() {
        let mut row = read(
            "timestamp,namespace,pod,node,phase,workload,cpu_usage_cores,cpu_usage_ratio,memory_working_set_bytes,\
             restarts_total,containers_ready,containers_total,created,ready_changed,waiting_reason,unschedulable,terminated_container,\
             terminated_reason,terminated_exit_code,terminated_at\n\
             2026-11-22T13:12:11Z,shop,a,node1,Running,Deployment/a,0.25,0.5,1000000,2,1,1,2026-11-22T13:00:00Z,2026-11-22T13:12:01Z,\
             CrashLoopBackOff,\"0/2 nodes, no room\",main,OOMKilled,137,2026-11-22T13:12:01Z\n",
        )
        .unwrap()
        .remove(0);
        let sample = row.sample();
        assert_eq!(Row::of(row.at, &sample), row);
        let end = sample.facts.terminated.as_ref().unwrap();
        assert_eq!((&*end.container, &*end.reason, end.exit_code), ("main", "OOMKilled", 137));
        let mut bytes = Vec::new();
        Writer::new(&mut bytes, &[]).unwrap().write(&row).unwrap();
        assert_eq!(read(&String::from_utf8(bytes).unwrap()).unwrap(), [row.clone()]);
        row.set("oom_events_total", Some(f64::NAN));
        assert_eq!(row.number("oom_events_total"), None);
    }
}
