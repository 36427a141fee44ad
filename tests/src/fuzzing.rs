//! The record of the fuzzers (`fuzz/run`) and its section of `tests/FIGURES.md`: the last run of each target.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};

use crate::figures::{self, Held};

/// A line for each run of a target.
pub const RECORD: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../fuzz/record.csv");
/// The name of its section.
pub const SECTION: &str = "fuzz";
const TITLES: &str = "date,commit,target,seconds,executions,edges,inputs,findings";

/// Tricks that have a test of their own.
pub(crate) const HELD: [Held; 10] = [
    (
        "terminal escapes, bidirectional and zero-width text",
        "nothing_forbidden_ever_leaves",
        "kubectl-guard/src/sanitise.rs",
    ),
    ("formulas in a table", "what_is_written_reads_back_and_holds_no_formula", "models/src/table.rs"),
    ("paths out of a recording", "names_that_are_no_file_of_a_tick_are_refused", "models/src/recording.rs"),
    ("links and devices in a recording", "links_and_devices_are_refused", "models/src/recording.rs"),
    (
        "a file of a recording that claims to be huge",
        "a_file_that_claims_to_be_huge_is_refused_before_it_is_read",
        "models/src/recording.rs",
    ),
    (
        "a journal that is a link, a folder or a pipe",
        "symlinks_folders_and_pipes_are_refused",
        "kubectl-guard/src/audit/tests.rs",
    ),
    (
        "a target's name that leaves its path",
        "refuses_what_could_leave_its_place_in_a_path",
        "kubectl-guard/src/plan/target.rs",
    ),
    ("sets of labels without an end", "what_is_not_well_formed_is_left_out", "models/src/cadvisor.rs"),
    (
        "more pods than a node can run",
        "more_pods_than_a_node_can_run_are_counted_and_left_out",
        "models/src/cadvisor.rs",
    ),
    ("control characters in a label", "control_characters_do_not_reach_a_label", "guard-exporter/src/metrics.rs"),
];

/// What came of one target.
#[derive(Clone, Debug, PartialEq)]
pub struct Fuzzed {
    /// Of which commit.
    pub commit: String,
    /// Its name, that of a function of `tests/hostile`.
    pub target: String,
    /// How long.
    pub seconds: u64,
    /// Inputs that were tried.
    pub executions: u64,
    /// Edges of the program that they reached.
    pub edges: u64,
    /// Inputs that broke something.
    pub findings: u64,
}

/// The last run of each target, by name.
///
/// # Errors
/// If the record cannot be read, or a line of it is none of ours.
pub fn record() -> Result<Vec<Fuzzed>> {
    let text = std::fs::read_to_string(RECORD).context(RECORD)?;
    let mut lines = text.lines();
    ensure!(lines.next() == Some(TITLES), "{RECORD} has other titles");
    let runs = lines.map(|line| read(line).with_context(|| format!("{RECORD}: {line}")));
    let last: BTreeMap<String, Fuzzed> =
        runs.map(|run| run.map(|run| (run.target.clone(), run))).collect::<Result<_>>()?;
    Ok(last.into_values().collect())
}

fn read(line: &str) -> Option<Fuzzed> {
    let cells: Vec<&str> = line.split(',').collect();
    let [_, commit, target, seconds, executions, edges, _, findings] = cells[..] else { return None };
    Some(Fuzzed {
        commit: commit.to_owned(),
        target: target.to_owned(),
        seconds: seconds.parse().ok()?,
        executions: executions.parse().ok()?,
        edges: edges.parse().ok()?,
        findings: findings.parse().ok()?,
    })
}

/// The section, in Markdown.
pub fn section(record: &[Fuzzed]) -> String {
    let mut text = "`fuzz/run`: cargo-fuzz on every reader of foreign bytes, from recorded seeds; the last run of ten minutes \
        of each. What must hold of a reader, whatever the bytes are, is in [hostile](hostile/src/lib.rs); a test bends the same \
        seeds thousands of times in each check, and a minute of each target runs every night.\n\n\
        | reader | seconds | inputs tried | edges reached | findings | commit |\n| --- | --- | --- | --- | --- | --- |\n"
        .to_owned();
    let row = |run: &Fuzzed| {
        let Fuzzed { commit, target, seconds, executions, edges, findings } = run;
        format!("| {target} | {seconds} | {executions} | {edges} | {findings} | {commit} |\n")
    };
    text.extend(record.iter().map(row));
    text + &figures::held("trick", &HELD)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A shorter run tells little.
    const LEAST_SECONDS: u64 = 600;

    #[test]
    fn every_target_was_fuzzed_and_has_no_open_finding() {
        let record = record().unwrap();
        let targets = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../fuzz/fuzz_targets")).unwrap();
        let targets: Vec<std::path::PathBuf> = targets.map(|entry| entry.unwrap().path()).collect();
        assert!(!targets.is_empty());
        for target in targets {
            let name = target.file_stem().unwrap().to_str().unwrap();
            let last = record.iter().find(|run| run.target == name);
            let last = last.unwrap_or_else(|| panic!("{name} was never run"));
            assert!(last.seconds >= LEAST_SECONDS && last.executions > 0, "{last:?}");
            assert_eq!(last.findings, 0, "{name} has a finding that is open: {last:?}");
        }
    }

    /// `GUARD_BLESS=1 cargo test -p guard-tests` writes the section anew.
    #[test]
    fn the_page_tells_of_this_record() {
        let section = section(&record().unwrap());
        if std::env::var_os("GUARD_BLESS").is_some() {
            figures::set(SECTION, &section).unwrap();
        }
        let page = std::fs::read_to_string(figures::PAGE).unwrap();
        assert!(page.contains(section.trim_end()), "the page tells of another record");
    }
}
