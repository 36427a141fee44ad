//! The files of `run`, as whoever reads them may rely on.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

/// The table of metrics.
pub const TABLE: &str = "pod_metrics.csv";
/// What is written anew as a whole; neither is there before there was something to say.
const DOCUMENTS: [&str; 2] = ["pod_insights.json", "remediation_history.json"];

/// How many whole lines the table has. Each has all columns, but for the last one, which a kill may have torn, and which the next
/// `run` takes away; the documents are JSON.
///
/// # Errors
/// If any of it is not so.
pub fn whole_lines(folder: &Path) -> Result<usize> {
    let table = fs::read_to_string(folder.join(TABLE))?;
    let end = table.rfind('\n').map_or(0, |at| at + 1);
    let columns = table.lines().next().context("an empty table")?.matches(',').count();
    let torn = table[..end].lines().find(|line| line.matches(',').count() != columns);
    ensure!(torn.is_none(), "a line within the table is torn: {torn:?}");
    for name in DOCUMENTS {
        if let Ok(text) = fs::read_to_string(folder.join(name)) {
            serde_json::from_str::<Value>(&text).with_context(|| format!("{name}: {text}"))?;
        }
    }
    Ok(table[..end].lines().count())
}

/// The same of a `run` that could see its last write to its end.
///
/// # Errors
/// If any of it is not so, or the table ends within a line.
pub fn all_lines(folder: &Path) -> Result<usize> {
    let whole = whole_lines(folder)?;
    let table = fs::read_to_string(folder.join(TABLE))?;
    ensure!(table.ends_with('\n'), "the table ends within a line: {:?}", table.lines().last());
    Ok(whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(table: &str, insights: &str) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(TABLE), table).unwrap();
        fs::write(folder.path().join(DOCUMENTS[0]), insights).unwrap();
        folder
    }

    #[test]
    fn only_the_last_line_may_be_torn_and_only_by_a_kill() {
        let whole = with("a,b\n1,2\n3,4\n", "{}");
        assert_eq!((whole_lines(whole.path()).unwrap(), all_lines(whole.path()).unwrap()), (3, 3));
        let killed = with("a,b\n1,2\n3", "{}");
        assert_eq!(whole_lines(killed.path()).unwrap(), 2);
        assert!(all_lines(killed.path()).unwrap_err().to_string().contains("within a line"));
        let torn = with("a,b\n1\n3,4\n", "{}");
        assert!(whole_lines(torn.path()).unwrap_err().to_string().contains("is torn"));
        assert!(whole_lines(with("a,b\n", "{").path()).is_err());
    }
}
