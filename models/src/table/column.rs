//! The columns of a table, by name.

use std::sync::Arc;

/// Columns of numbers that are known by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Number {
    /// Use of CPU, in cores.
    CpuCores,
    /// Use as a share of the limit, the pod's or that of the container nearest to its own.
    CpuShare,
    /// Working set, in bytes.
    Memory,
    /// Working set as a share of the limit, likewise.
    MemoryShare,
    /// Received, in bytes a second.
    Received,
    /// Sent, in bytes a second.
    Sent,
    /// Errors of receiving, a running total.
    ReceiveErrors,
    /// Errors of sending, a running total.
    SendErrors,
    /// Packets dropped in receiving, a running total.
    ReceiveDrops,
    /// Packets dropped in sending, a running total.
    SendDrops,
    /// Read from disk, in bytes, a running total.
    DiskRead,
    /// Written to disk, in bytes, a running total.
    DiskWritten,
    /// System calls that read, if a recorder counted them.
    ReadCalls,
    /// System calls that write, if a recorder counted them.
    WriteCalls,
    /// Restarts of all containers, a running total.
    Restarts,
    /// Containers that are ready.
    ContainersReady,
    /// Containers.
    Containers,
    /// Periods of the CPU's quota in which it was used up, as a share.
    Throttled,
    /// Kills for want of memory, a running total.
    OomEvents,
    /// Processes.
    Processes,
    /// Warnings that the API server holds of the pod.
    Warnings,
    /// The pod's limit of memory, in bytes.
    MemoryLimit,
}

/// How many there are.
pub(super) const NUMBERS: usize = Number::ALL.len();

impl Number {
    /// All of them; each stands at its own place.
    pub const ALL: [Number; 22] = [
        Number::CpuCores,
        Number::CpuShare,
        Number::Memory,
        Number::MemoryShare,
        Number::Received,
        Number::Sent,
        Number::ReceiveErrors,
        Number::SendErrors,
        Number::ReceiveDrops,
        Number::SendDrops,
        Number::DiskRead,
        Number::DiskWritten,
        Number::ReadCalls,
        Number::WriteCalls,
        Number::Restarts,
        Number::ContainersReady,
        Number::Containers,
        Number::Throttled,
        Number::OomEvents,
        Number::Processes,
        Number::Warnings,
        Number::MemoryLimit,
    ];

    /// The title of its column.
    pub fn title(self) -> &'static str {
        match self {
            Number::CpuCores => "cpu_usage_cores",
            Number::CpuShare => "cpu_usage_ratio",
            Number::Memory => "memory_working_set_bytes",
            Number::MemoryShare => "memory_usage_ratio",
            Number::Received => "network_receive_bytes_per_second",
            Number::Sent => "network_transmit_bytes_per_second",
            Number::ReceiveErrors => "network_receive_errors_total",
            Number::SendErrors => "network_transmit_errors_total",
            Number::ReceiveDrops => "network_receive_dropped_total",
            Number::SendDrops => "network_transmit_dropped_total",
            Number::DiskRead => "fs_reads_total",
            Number::DiskWritten => "fs_writes_total",
            Number::ReadCalls => "syscall_reads",
            Number::WriteCalls => "syscall_writes",
            Number::Restarts => "restarts_total",
            Number::ContainersReady => "containers_ready",
            Number::Containers => "containers_total",
            Number::Throttled => "cpu_throttled_ratio",
            Number::OomEvents => "oom_events_total",
            Number::Processes => "processes",
            Number::Warnings => "events_warning_total",
            Number::MemoryLimit => "memory_limit_bytes",
        }
    }
}

/// What a column holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Column {
    Timestamp,
    Namespace,
    Pod,
    Node,
    Phase,
    Workload,
    Created,
    Started,
    ReadyChanged,
    Starting,
    Deleting,
    Ends,
    Waiting,
    Unschedulable,
    TerminatedContainer,
    TerminatedReason,
    TerminatedExitCode,
    TerminatedAt,
    Ignore,
    Threshold,
    HighCpu,
    CpuLimitOf,
    MemoryLimitOf,
    Number(Number),
    /// A metric of the user's own.
    Own(Arc<str>),
}

impl Column {
    /// The column of this title.
    pub(super) fn titled(title: &str) -> Column {
        match title {
            "timestamp" => Column::Timestamp,
            "namespace" => Column::Namespace,
            "pod" => Column::Pod,
            "node" => Column::Node,
            "phase" => Column::Phase,
            "workload" => Column::Workload,
            "created" => Column::Created,
            "started" => Column::Started,
            "ready_changed" => Column::ReadyChanged,
            "starting" => Column::Starting,
            "deleting" => Column::Deleting,
            "ends" => Column::Ends,
            "waiting_reason" => Column::Waiting,
            "unschedulable" => Column::Unschedulable,
            "terminated_container" => Column::TerminatedContainer,
            "terminated_reason" => Column::TerminatedReason,
            "terminated_exit_code" => Column::TerminatedExitCode,
            "terminated_at" => Column::TerminatedAt,
            "cpu_usage_ratio_of" => Column::CpuLimitOf,
            "memory_usage_ratio_of" => Column::MemoryLimitOf,
            "opt_out_ignore" => Column::Ignore,
            "opt_out_threshold" => Column::Threshold,
            "opt_out_high_cpu" => Column::HighCpu,
            other => {
                let number = Number::ALL.into_iter().find(|number| number.title() == other);
                number.map_or_else(|| Column::Own(other.into()), Column::Number)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::COLUMNS;
    use super::*;

    #[test]
    fn every_column_that_is_written_is_known_and_no_two_are_one() {
        let known: Vec<Column> = COLUMNS.into_iter().map(Column::titled).collect();
        for (i, column) in known.iter().enumerate() {
            assert!(!matches!(column, Column::Own(_)), "{column:?}");
            assert!(!known[..i].contains(column), "{column:?}");
        }
        assert!(Number::ALL.into_iter().all(|number| known.contains(&Column::Number(number))));
    }

    #[test]
    fn each_number_stands_at_its_own_place() {
        assert!(Number::ALL.into_iter().enumerate().all(|(place, number)| number as usize == place));
    }
}
