//! `pod_metrics.csv`: one row a pod and tick, read and written by column name.
//!
//! An empty cell is unknown. Further numeric columns are custom metrics. Rows become [`PodSample`]s by [`crate::rows::Rows`].

use std::sync::Arc;

use jiff::Timestamp;

use crate::sample::{self, ContainerLimits, Measures, OptOut, Phase, PodFacts, PodSample, Termination};
use crate::workload::Workload;

mod column;
mod read;
mod write;

use column::NUMBERS;
pub use column::Number;
pub use read::Reader;
pub use write::Writer;

/// Columns that every table has.
pub const REQUIRED: [&str; 3] = ["timestamp", "namespace", "pod"];
/// All columns known by name, in the order in which they are written.
pub const COLUMNS: [&str; 45] = [
    "timestamp",
    "namespace",
    "pod",
    "node",
    "cpu_usage_cores",
    "cpu_usage_ratio",
    "cpu_usage_ratio_of",
    "memory_working_set_bytes",
    "memory_limit_bytes",
    "memory_usage_ratio",
    "memory_usage_ratio_of",
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
    "started",
    "ready_changed",
    "starting",
    "deleting",
    "ends",
    "waiting_reason",
    "unschedulable",
    "terminated_container",
    "terminated_reason",
    "terminated_exit_code",
    "terminated_at",
    "opt_out_ignore",
    "opt_out_threshold",
    "opt_out_high_cpu",
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
    /// When its node took it.
    pub started: Option<Timestamp>,
    /// Since when it is ready, or not ready.
    pub ready_changed: Option<Timestamp>,
    /// Its startup probe has not let it pass yet.
    pub starting: bool,
    /// Its deletion has begun.
    pub deleting: bool,
    /// It may come to an end by itself.
    pub ends: bool,
    /// What its containers wait for: `CrashLoopBackOff`, `ImagePullBackOff`, ...
    pub waiting: Option<String>,
    /// Why the scheduler cannot place it.
    pub unschedulable: Option<String>,
    /// How its last container ended.
    pub terminated: Option<Termination>,
    /// What its owner asked for.
    pub opt_out: OptOut,
    /// The container whose share of its own CPU limit stands there in place of the pod's.
    pub cpu_limit_of: Option<String>,
    /// The same of memory.
    pub memory_limit_of: Option<String>,
    /// What is known of the columns of numbers, each at its own place; always finite.
    numbers: [Option<f64>; NUMBERS],
    /// What is known of further columns, in their order; always finite.
    own: Vec<(Arc<str>, f64)>,
    unmeasured: Unmeasured,
}

/// The row's table has columns of measures, and none of them says anything of the pod: nobody could measure it then. That is said by
/// the table and by no cell: rows of the same cells are the same.
#[derive(Clone, Copy, Debug, Default)]
struct Unmeasured(bool);

impl PartialEq for Unmeasured {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

/// What one reading of a kubelet's summary measures, or of the metrics API.
const READING: [Number; 10] = [
    Number::CpuCores,
    Number::CpuShare,
    Number::Memory,
    Number::MemoryShare,
    Number::Received,
    Number::Sent,
    Number::ReceiveErrors,
    Number::SendErrors,
    Number::Throttled,
    Number::Processes,
];

impl Row {
    /// The number in this column; `None` is unknown.
    pub fn number(&self, column: Number) -> Option<f64> {
        self.numbers[column as usize]
    }

    /// The number in a column of the user's own; `None` is unknown.
    pub fn own_number(&self, column: &str) -> Option<f64> {
        self.own.iter().find(|(name, _)| **name == *column).map(|(_, value)| *value)
    }

    /// What is known of the columns of the user's own: those that are not in [`COLUMNS`].
    pub fn own(&self) -> &[(Arc<str>, f64)] {
        &self.own
    }

    /// The same, taken out of the row.
    pub(crate) fn take_own(&mut self) -> Vec<(Arc<str>, f64)> {
        std::mem::take(&mut self.own)
    }

    /// Says what is known of a column.
    pub fn set(&mut self, column: Number, value: Option<f64>) {
        self.numbers[column as usize] = value.filter(|value| value.is_finite());
    }

    /// Says what is known of a column of the user's own.
    pub fn set_own(&mut self, column: &str, value: Option<f64>) {
        self.own.retain(|(name, _)| **name != *column);
        self.own.extend(value.filter(|value| value.is_finite()).map(|value| (Arc::from(column), value)));
    }

    /// The row of a sample, read at `at`. Running totals, which a sample does not have, are to be added.
    pub fn of(at: Timestamp, sample: &PodSample) -> Row {
        let (facts, m) = (&sample.facts, &sample.measures);
        let named = |place: Option<usize>| Some(facts.container_limits.get(place?)?.name.clone());
        let measured = [
            (Number::CpuCores, m.cpu_cores),
            (Number::CpuShare, m.cpu_limit_share),
            (Number::Memory, m.memory_bytes),
            (Number::MemoryLimit, facts.memory_limit_bytes),
            (Number::MemoryShare, m.memory_limit_share),
            (Number::Received, m.receive_bytes_per_second),
            (Number::Sent, m.transmit_bytes_per_second),
            (Number::Throttled, m.throttled_share),
            (Number::Processes, m.processes),
            (Number::Restarts, Some(f64::from(facts.restarts))),
            (Number::ContainersReady, Some(f64::from(facts.containers_ready))),
            (Number::Containers, Some(f64::from(facts.containers_total))),
        ];
        let mut row = Row {
            at,
            namespace: facts.namespace.clone(),
            pod: facts.name.clone(),
            node: facts.node.clone(),
            phase: Some(facts.phase),
            workload: facts.workload.clone(),
            created: facts.created,
            started: facts.started,
            ready_changed: facts.ready_changed,
            starting: facts.starting,
            deleting: facts.deleting,
            ends: facts.ends,
            waiting: facts.waiting.clone(),
            unschedulable: facts.unschedulable.clone(),
            terminated: facts.terminated.clone(),
            opt_out: facts.opt_out.clone(),
            cpu_limit_of: named(m.cpu_limit_of),
            memory_limit_of: named(m.memory_limit_of),
            ..Row::default()
        };
        for (column, value) in measured {
            row.set(column, value);
        }
        row
    }

    fn ended(&mut self) -> &mut Termination {
        self.terminated.get_or_insert_default()
    }

    /// The row as a sample. Its UID is `namespace/pod`; what needs the row before (rates of running totals) is added by
    /// [`crate::rows::Rows`]; limits of the pod that no column gives follow from its use and its share of them.
    pub fn into_sample(self) -> PodSample {
        let count = |column| self.number(column).map_or(0, |v| v.max(0.0) as u32);
        // A container's share tells nothing of the pod's limit.
        let limit = |used: Option<f64>, share: Option<f64>, of: Option<usize>| {
            Some(used? / share.filter(|share| *share > 0.0 && of.is_none())?)
        };
        let mut container_limits: Vec<ContainerLimits> = Vec::new();
        let mut place = |name: Option<&String>| {
            let name = name?;
            let place = container_limits.iter().position(|limits| limits.name == *name);
            Some(place.unwrap_or_else(|| {
                container_limits.push(ContainerLimits { name: name.clone(), ..ContainerLimits::default() });
                container_limits.len() - 1
            }))
        };
        let measures = Measures {
            cpu_cores: self.number(Number::CpuCores),
            cpu_limit_share: self.number(Number::CpuShare),
            cpu_limit_of: place(self.cpu_limit_of.as_ref()),
            memory_bytes: self.number(Number::Memory),
            memory_limit_share: self.number(Number::MemoryShare),
            memory_limit_of: place(self.memory_limit_of.as_ref()),
            receive_bytes_per_second: self.number(Number::Received),
            transmit_bytes_per_second: self.number(Number::Sent),
            throttled_share: self.number(Number::Throttled),
            processes: self.number(Number::Processes),
            ..Measures::default()
        };
        let (ready, total) = (count(Number::ContainersReady), count(Number::Containers));
        let restarts = count(Number::Restarts);
        let of_use = limit(measures.memory_bytes, measures.memory_limit_share, measures.memory_limit_of);
        let memory_limit_bytes = self.number(Number::MemoryLimit).filter(|bytes| *bytes > 0.0).or(of_use);
        let facts = PodFacts {
            uid: format!("{}/{}", self.namespace, self.pod),
            namespace: self.namespace,
            name: self.pod,
            node: self.node,
            workload: self.workload,
            phase: self.phase.unwrap_or_default(),
            // A table without these columns says nothing against the pod.
            ready: ready >= total,
            containers_ready: ready,
            containers_total: total,
            restarts,
            created: self.created,
            started: self.started,
            ready_changed: self.ready_changed,
            starting: self.starting,
            deleting: self.deleting,
            ends: self.ends,
            waiting: self.waiting,
            unschedulable: self.unschedulable,
            terminated: self.terminated,
            opt_out: self.opt_out,
            cpu_limit_cores: limit(measures.cpu_cores, measures.cpu_limit_share, measures.cpu_limit_of),
            memory_limit_bytes,
            container_limits,
            ..PodFacts::default()
        };
        let at = sample::seconds(self.at);
        PodSample { at, fresh: !self.unmeasured.0, reset: false, facts, measures, metrics: Vec::new() }
    }
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
        assert_eq!(rows[0].number(Number::CpuCores), None);
        assert_eq!(rows[0].own(), [("queue_length".into(), 7.0)]);
        let sample = rows[0].clone().into_sample();
        assert_eq!(sample.measures.cpu_cores, None);
        assert!(sample.facts.ready);
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
    fn what_an_owner_cannot_have_asked_for_is_refused_and_an_empty_cell_asks_for_nothing() {
        let of = |column: &str, cell: &str| {
            read(&format!("timestamp,namespace,pod,{column}\n2026-11-22T13:12:11Z,shop,a,{cell}\n"))
        };
        for column in ["opt_out_ignore", "opt_out_threshold", "opt_out_high_cpu"] {
            assert_eq!(of(column, "").unwrap()[0].opt_out, OptOut::default());
            assert!(of(column, "7").is_err(), "{column}");
        }
        assert!(!of("opt_out_ignore", "false").unwrap()[0].opt_out.ignore);
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
             restarts_total,containers_ready,containers_total,created,started,ready_changed,starting,deleting,ends,waiting_reason,unschedulable,terminated_container,\
             terminated_reason,terminated_exit_code,terminated_at,opt_out_ignore,opt_out_threshold,opt_out_high_cpu\n\
             2026-11-22T13:12:11Z,shop,a,node1,Running,Deployment/a,0.25,0.5,1000000,2,1,1,2026-11-22T13:00:00Z,2026-11-22T13:11:59Z,2026-11-22T13:12:01Z,true,true,true,\
             CrashLoopBackOff,\"0/2 nodes, no room\",main,OOMKilled,137,2026-11-22T13:12:01Z,true,0.9,true\n",
        )
        .unwrap()
        .remove(0);
        let sample = row.clone().into_sample();
        assert_eq!(Row::of(row.at, &sample), row);
        assert!(sample.facts.starting && sample.facts.deleting && sample.facts.ends);
        assert_eq!(sample.facts.opt_out, OptOut { ignore: true, threshold: Some(0.9), expected_high_cpu: true });
        let end = sample.facts.terminated.as_ref().unwrap();
        assert_eq!((&*end.container, &*end.reason, end.exit_code), ("main", "OOMKilled", 137));
        let mut bytes = Vec::new();
        Writer::new(&mut bytes, &[]).unwrap().write(&row).unwrap();
        assert_eq!(read(&String::from_utf8(bytes).unwrap()).unwrap(), [row.clone()]);
        row.set(Number::OomEvents, Some(f64::NAN));
        assert_eq!(row.number(Number::OomEvents), None);
    }

    #[test]
    fn whose_share_it_is_comes_back_and_no_limit_of_the_pod_is_made_of_a_containers() {
        let row = read(
            "timestamp,namespace,pod,cpu_usage_cores,cpu_usage_ratio,cpu_usage_ratio_of,memory_working_set_bytes,memory_limit_bytes,\
             memory_usage_ratio,memory_usage_ratio_of,restarts_total,containers_ready,containers_total,phase\n\
             2026-11-22T13:12:11Z,shop,a,0.5,0.98,main,1000,,0.8,proxy,0,2,2,Running\n",
        )
        .unwrap()
        .remove(0);
        let sample = row.clone().into_sample();
        let named = |place: Option<usize>| sample.facts.container_limits[place.unwrap()].name.as_str();
        assert_eq!((named(sample.measures.cpu_limit_of), named(sample.measures.memory_limit_of)), ("main", "proxy"));
        assert_eq!((sample.facts.cpu_limit_cores, sample.facts.memory_limit_bytes), (None, None));
        assert_eq!(Row::of(row.at, &sample), row);
        let mut limited = row;
        limited.set(Number::MemoryLimit, Some(2e9));
        assert_eq!(limited.into_sample().facts.memory_limit_bytes, Some(2e9));
    }

    #[test]
    fn a_row_of_which_nothing_was_measured_is_no_reading_unless_its_table_measures_nothing() {
        let fresh = |columns: &str, cells: &str| {
            let text = format!("timestamp,namespace,pod,{columns}\n2026-11-22T13:12:11Z,shop,a,{cells}\n");
            read(&text).unwrap().remove(0).into_sample().fresh
        };
        assert!(!fresh("phase,cpu_usage_cores,memory_working_set_bytes", "Running,,"));
        assert!(fresh("phase,cpu_usage_cores,memory_working_set_bytes", "Running,,0"));
        assert!(fresh("phase,cpu_usage_cores,queue_length", "Running,,7"));
        assert!(fresh("phase,restarts_total", "Running,3"));
    }

    #[test]
    fn a_row_of_a_table_that_measures_nothing_reads_back_from_one_that_does() {
        let row = read("timestamp,namespace,pod,phase\n2026-11-22T13:12:11Z,shop,a,Running\n").unwrap().remove(0);
        let mut bytes = Vec::new();
        Writer::new(&mut bytes, &[]).unwrap().write(&row).unwrap();
        assert_eq!(read(&String::from_utf8(bytes).unwrap()).unwrap(), [row]);
    }
}
