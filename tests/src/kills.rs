//! Which kills `fix` has to survive: every moment of every write of each action.

use std::fmt;
use std::fs;

use anyhow::{Context, Result};

/// What each kill came to, a line each: action, moment, how it ended, what was done about it.
pub const RECORD: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/kills.csv");

/// Actions, and how many writes to the cluster each has.
const ACTIONS: [(&str, usize); 7] =
    [("restart", 1), ("scale", 1), ("resources", 1), ("in-place", 2), ("cordon", 1), ("uncordon", 1), ("drain", 2)];
/// So long after a write began, in milliseconds, it is on its way or just taken.
const ON_THE_WAY: [u64; 6] = [1, 2, 3, 5, 8, 12];

/// One kill.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kill {
    /// Its place in the list.
    pub number: usize,
    /// What `fix` does.
    pub action: String,
    /// Where it is killed, as `GUARD_KILL_AT` names it.
    pub at: String,
    /// It is gone on with afterwards; else it is left.
    pub resume: bool,
}

impl Kill {
    /// It is about a node, of which there are few.
    pub fn is_node(&self) -> bool {
        ["cordon", "uncordon", "drain"].contains(&self.action.as_str())
    }

    /// How many writes to the cluster it has.
    pub fn writes(&self) -> usize {
        ACTIONS.iter().find(|(action, _)| *action == self.action).map_or(0, |(_, writes)| *writes)
    }
}

impl fmt::Display for Kill {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} killed at {}, then {}", self.action, self.at, if self.resume { "resumed" } else { "aborted" })
    }
}

/// All kills. The journal has a line before and after each write.
pub fn plan() -> Vec<Kill> {
    let moments = |(action, writes): (&'static str, usize)| {
        let journal = (1..=2 * writes).flat_map(|n| ["before", "after"].map(|when| format!("journal.{when}:{n}")));
        let steps = (1..=writes).flat_map(|n| ["before", "after"].map(|when| format!("step.{when}:{n}")));
        let under_way = (1..=writes).flat_map(|n| ON_THE_WAY.map(|ms| format!("step.before:{n}:{ms}")));
        journal.chain(steps).chain(under_way).map(move |at| (action, at)).collect::<Vec<_>>()
    };
    let all = ACTIONS.into_iter().flat_map(moments).enumerate();
    // Two of three are gone on with.
    all.map(|(number, (action, at))| Kill { number, action: action.to_owned(), at, resume: number % 3 != 0 }).collect()
}

/// The record's lines: action, moment, and how it ended.
///
/// # Errors
/// It is there and cannot be read, or has a line that is none of ours.
pub fn record() -> Result<Vec<(String, String, String)>> {
    let Ok(text) = fs::read_to_string(RECORD) else { return Ok(Vec::new()) };
    let read = |line: &str| {
        let mut cells = line.split(',').map(str::to_owned);
        Some((cells.next()?, cells.next()?, cells.next()?))
    };
    text.lines().map(|line| read(line).with_context(|| format!("{RECORD}: {line}"))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every write point of `fix` is there, before and after, and the record has survived them all.
    #[test]
    fn the_record_has_every_kill() {
        let plan = plan();
        for point in ["journal", "step"] {
            for when in ["before", "after"] {
                let at = format!("{point}.{when}:1");
                assert_eq!(plan.iter().filter(|kill| kill.at == at).count(), ACTIONS.len(), "{at}");
            }
        }
        let record = record().unwrap();
        let missing: Vec<String> = plan
            .iter()
            .filter(|kill| !record.iter().any(|(action, at, _)| (action, at) == (&kill.action, &kill.at)))
            .map(ToString::to_string)
            .collect();
        assert!(missing.is_empty(), "tests/run --kills has not survived: {missing:#?}");
        let killed = record.iter().filter(|(_, _, end)| end == "killed").count();
        assert!(killed >= 100, "only {killed} were killed, the others had ended before");
    }
}
