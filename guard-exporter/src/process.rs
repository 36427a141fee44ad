//! What the exporter itself costs, read from `/proc/self` for the `process_*` series.
//!
//! The `prometheus` crate could do this with its feature `process`, at the price of the crates `procfs` and `libc` and
//! their parsers; the six figures that the convention asks for are a few lines.

use std::fs;
use std::path::Path;

/// Clock ticks a second in `/proc/*/stat`: fixed at 100 in the kernel's interface to programs.
const TICKS: f64 = 100.0;

/// What the process costs at one moment; missing is `None`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Usage {
    /// CPU time used so far, in seconds.
    pub cpu_seconds: Option<f64>,
    /// Memory in RAM, in bytes.
    pub resident_bytes: Option<f64>,
    /// Address space, in bytes.
    pub virtual_bytes: Option<f64>,
    /// Open file descriptors.
    pub open_fds: Option<f64>,
    /// How many it may open.
    pub max_fds: Option<f64>,
    /// When it started, in seconds of Unix time.
    pub start_seconds: Option<f64>,
}

impl Usage {
    /// Reads the figures of this process.
    pub fn read() -> Self {
        Self::from_folder(Path::new("/proc"), &Path::new("/proc").join("self"))
    }

    fn from_folder(system: &Path, process: &Path) -> Self {
        let read = |path: &Path| fs::read_to_string(path).unwrap_or_default();
        let times = read(&process.join("stat"));
        let status = read(&process.join("status"));
        let start = stat_field(&times, 22).map(|ticks| ticks / TICKS);
        let boot = number_after(&read(&system.join("stat")), "btime");
        Self {
            cpu_seconds: stat_field(&times, 14)
                .zip(stat_field(&times, 15))
                .map(|(user, kernel)| (user + kernel) / TICKS),
            resident_bytes: number_after(&status, "VmRSS:").map(|kib| kib * 1024.0),
            virtual_bytes: number_after(&status, "VmSize:").map(|kib| kib * 1024.0),
            open_fds: fs::read_dir(process.join("fd")).ok().map(|entries| entries.count() as f64),
            max_fds: number_after(&read(&process.join("limits")), "Max open files"),
            start_seconds: boot.zip(start).map(|(boot, start)| boot + start),
        }
    }
}

/// The field with this number, as proc(5) counts them. The second is the program's name in brackets and may hold blanks
/// and brackets itself, so counting starts behind its end.
fn stat_field(stat: &str, number: usize) -> Option<f64> {
    let (_, fields) = stat.rsplit_once(')')?;
    fields.split_ascii_whitespace().nth(number.checked_sub(3)?)?.parse().ok()
}

/// The first number on the line that begins with `key`.
fn number_after(text: &str, key: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix(key))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_behind_a_name_with_blanks_and_brackets() {
        let stat = "7 (a) b (c) S 1 7 7 0 -1 4194560 1 0 0 0 250 50 0 0 20 0 3 0 12345 1000 200";
        assert_eq!(stat_field(stat, 14), Some(250.0));
        assert_eq!(stat_field(stat, 15), Some(50.0));
        assert_eq!(stat_field(stat, 22), Some(12345.0));
        assert_eq!(stat_field("", 14), None);
    }

    #[test]
    fn this_process_has_all_figures() {
        let usage = Usage::read();
        assert!(usage.resident_bytes.is_some_and(|bytes| bytes > 100_000.0), "{usage:?}");
        assert!(usage.virtual_bytes > usage.resident_bytes, "{usage:?}");
        assert!(usage.open_fds < usage.max_fds, "{usage:?}");
        assert!(usage.start_seconds.is_some_and(|at| at > 1.0e9), "{usage:?}");
        assert!(usage.cpu_seconds.is_some(), "{usage:?}");
    }

    #[test]
    fn what_cannot_be_read_is_missing() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(Usage::from_folder(folder.path(), folder.path()), Usage::default());
    }
}
