//! The record of `fuzz/run`: every target was run, and found nothing that is still open.

use std::fs;
use std::path::Path;

/// A shorter run tells little.
const LEAST_SECONDS: u64 = 600;

#[test]
fn every_target_was_fuzzed_and_has_no_open_finding() {
    let fuzz = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz"));
    let record = fs::read_to_string(fuzz.join("record.csv")).unwrap();
    let mut lines = record.lines();
    assert_eq!(lines.next(), Some("date,commit,target,seconds,executions,edges,inputs,findings"));
    let runs: Vec<Vec<&str>> = lines.map(|line| line.split(',').collect()).collect();
    let targets = fs::read_dir(fuzz.join("fuzz_targets")).unwrap().map(|entry| entry.unwrap().path());
    let names: Vec<String> = targets.map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned()).collect();
    assert!(!names.is_empty());
    for name in names {
        let last = runs.iter().rev().find(|run| run[2] == name).unwrap_or_else(|| panic!("{name} was never run"));
        let number = |column: usize| last[column].parse::<u64>().unwrap();
        assert!(number(3) >= LEAST_SECONDS && number(4) > 0, "{name}: {last:?}");
        assert_eq!(number(7), 0, "{name} has a finding that is open: {last:?}");
    }
}
