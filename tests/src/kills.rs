//! Which kills have to be survived: every moment of every write, of each action of `fix` and of the other commands that
//! write.

use std::fmt;
use std::fs;

use anyhow::{Context, Result};

/// What each kill came to, a line each: action, moment, how it ended, what was done about it.
pub const RECORD: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/kills.csv");

/// Actions, and how many writes to the cluster each has.
const ACTIONS: [(&str, usize); 7] =
    [("restart", 1), ("scale", 1), ("resources", 1), ("in-place", 2), ("cordon", 1), ("uncordon", 1), ("drain", 2)];
/// Actions that are told to a sink as well, and how often each is: before each of its writes, after it, and when a node has
/// answered to a resize.
const TOLD: [(&str, usize); 2] = [("scale", 2), ("in-place", 5)];
/// So long after a write began, in milliseconds, it is on its way or just taken.
const ON_THE_WAY: [u64; 6] = [1, 2, 3, 5, 8, 12];

/// Commands that are simply run again, with the write point of theirs and how many writes each has: a mute, which the
/// journal has a line of; the objects of an installation, certificate and its authority with them.
pub const COMMANDS: [(&str, &str, usize); 4] =
    [("mute", "mutes", 1), ("mute-end", "mutes", 1), ("uninstall", "object", 18), ("install", "object", 17)];

/// What is done after a kill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// The plan is gone on with.
    Resumed,
    /// The plan is left.
    Aborted,
    /// The command is run again.
    Again,
}

impl Then {
    /// Its word in the record.
    pub fn word(self) -> &'static str {
        match self {
            Then::Resumed => "resumed",
            Then::Aborted => "aborted",
            Then::Again => "run again",
        }
    }
}

/// One kill.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kill {
    /// Its place in the list.
    pub number: usize,
    /// What `fix` does, or the command.
    pub action: String,
    /// Where it is killed, as `GUARD_KILL_AT` names it.
    pub at: String,
    /// What is done afterwards.
    pub then: Then,
}

impl Kill {
    /// It is about a node, of which there are few.
    pub fn is_node(&self) -> bool {
        ["cordon", "uncordon", "drain"].contains(&self.action.as_str())
    }

    /// Its journal is told to a sink as well.
    pub fn is_told(&self) -> bool {
        self.at.starts_with("sink.")
    }

    /// How many writes to the cluster it has.
    pub fn writes(&self) -> usize {
        ACTIONS.iter().find(|(action, _)| *action == self.action).map_or(0, |(_, writes)| *writes)
    }
}

impl fmt::Display for Kill {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} killed at {}, then {}", self.action, self.at, self.then.word())
    }
}

/// Before and after each of so many writes of a kind.
fn around(point: &'static str, times: usize) -> impl Iterator<Item = String> {
    (1..=times).flat_map(move |n| ["before", "after"].map(|when| format!("{point}.{when}:{n}")))
}

/// All kills of `fix`. The journal has a line before and after each write, and an Event tells of it.
pub fn plan() -> Vec<Kill> {
    let moments = |(action, writes): (&'static str, usize)| {
        let (journal, steps) = (around("journal", 2 * writes), around("step", writes));
        let under_way = (1..=writes).flat_map(|n| ON_THE_WAY.map(|ms| format!("step.before:{n}:{ms}")));
        journal.chain(steps).chain(under_way).map(move |at| (action, at)).collect::<Vec<_>>()
    };
    let events = |(action, writes): (&'static str, usize)| around("event", writes).map(move |at| (action, at));
    let sink = |(action, times): (&'static str, usize)| around("sink", times).map(move |at| (action, at));
    let all = ACTIONS.into_iter().flat_map(moments).chain(ACTIONS.into_iter().flat_map(events));
    let all = all.chain(TOLD.into_iter().flat_map(sink)).enumerate();
    // Two of three are gone on with.
    let then = |number: usize| if number.is_multiple_of(3) { Then::Aborted } else { Then::Resumed };
    all.map(|(number, (action, at))| Kill { number, action: action.to_owned(), at, then: then(number) }).collect()
}

/// All kills of [`COMMANDS`].
pub fn commands() -> Vec<Kill> {
    let moments = |(command, point, writes): (&'static str, &'static str, usize)| {
        let writes = around(point, writes);
        let under_way = ON_THE_WAY.map(|ms| format!("{point}.before:1:{ms}"));
        let mute = around("journal", 1).chain(under_way).filter(move |_| point == "mutes");
        writes.chain(mute).map(move |at| (command, at))
    };
    let all = COMMANDS.into_iter().flat_map(moments).enumerate();
    all.map(|(number, (action, at))| Kill { number, action: action.to_owned(), at, then: Then::Again }).collect()
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

    /// Every write point is there, before and after, and the record has survived them all.
    #[test]
    fn the_record_has_every_kill() {
        let (plan, commands) = (plan(), commands());
        for when in ["before", "after"] {
            let times = |kills: &[Kill], point: &str| {
                kills.iter().filter(|kill| kill.at == format!("{point}.{when}:1")).count()
            };
            for point in ["journal", "step", "event"] {
                assert_eq!(times(&plan, point), ACTIONS.len(), "{point}.{when}");
            }
            assert_eq!(times(&plan, "sink"), TOLD.len(), "sink.{when}");
            assert_eq!(["journal", "mutes", "object"].map(|point| times(&commands, point)), [2; 3], "{when}");
        }
        let record = record().unwrap();
        let missing: Vec<String> = plan
            .iter()
            .chain(&commands)
            .filter(|kill| !record.iter().any(|(action, at, _)| (action, at) == (&kill.action, &kill.at)))
            .map(ToString::to_string)
            .collect();
        assert!(missing.is_empty(), "tests/run --kills has not survived: {missing:#?}");
        let killed = record.iter().filter(|(_, _, end)| end == "killed").count();
        assert!(killed >= 100, "only {killed} were killed, the others had ended before");
    }
}
