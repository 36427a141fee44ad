//! Which kills have to be survived: every moment of every write, of each action of `fix` and of the other commands that
//! write.

use std::fmt;
use std::fs;
use std::io::Write as _;

use anyhow::{Context, Result};
use jiff::Timestamp;

/// What each kill came to, a line each: action, moment, how it ended, what was done about it, when, and of which commit.
pub const RECORD: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/kills.csv");

const KILLED: &str = "killed";
const ENDED_BEFORE: &str = "ended before";

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

/// A kill that was survived, as the record has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Survived {
    /// What `fix` did, or the command.
    pub action: String,
    /// Where it was killed.
    pub at: String,
    /// It was killed; else it had ended before.
    pub killed: bool,
    /// What was done about it.
    pub then: String,
    /// When; empty in lines of before there was a date.
    pub date: String,
    /// Of which commit; empty as well.
    pub commit: String,
}

impl Survived {
    /// It is this kill's.
    fn is_of(&self, kill: &Kill) -> bool {
        (self.action.as_str(), self.at.as_str(), self.then.as_str()) == (&kill.action, &kill.at, kill.then.word())
    }
}

impl fmt::Display for Survived {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { action, at, killed, then, date, commit } = self;
        write!(f, "{action},{at},{},{then},{date},{commit}", if *killed { KILLED } else { ENDED_BEFORE })
    }
}

/// Those of these kills that a record does not have yet.
pub fn open(kills: Vec<Kill>, record: &[Survived]) -> Vec<Kill> {
    kills.into_iter().filter(|kill| !record.iter().any(|line| line.is_of(kill))).collect()
}

/// Begins the record anew if it has every kill.
///
/// # Errors
/// If it cannot be read, or not be taken away.
pub fn begin_if_whole() -> Result<()> {
    let all = [plan(), commands()].concat();
    if open(all, &record()?).is_empty() { Ok(fs::remove_file(RECORD)?) } else { Ok(()) }
}

/// Adds a kill that was survived to the record.
///
/// # Errors
/// If it cannot be written.
pub fn note(kill: &Kill, killed: bool) -> Result<()> {
    let line = Survived {
        action: kill.action.clone(),
        at: kill.at.clone(),
        killed,
        then: kill.then.word().to_owned(),
        date: Timestamp::now().round(jiff::Unit::Second)?.to_string(),
        commit: std::env::var("GUARD_E2E_COMMIT").unwrap_or_default(),
    };
    let mut file = fs::OpenOptions::new().append(true).create(true).open(RECORD)?;
    Ok(file.write_all(format!("{line}\n").as_bytes())?)
}

/// The record's lines.
///
/// # Errors
/// If one is none of ours.
pub fn record() -> Result<Vec<Survived>> {
    let Ok(text) = fs::read_to_string(RECORD) else { return Ok(Vec::new()) };
    text.lines().map(|line| read(line).with_context(|| format!("{RECORD}: {line}"))).collect()
}

fn read(line: &str) -> Option<Survived> {
    let cells: Vec<&str> = line.split(',').collect();
    let (action, at, end, then, date, commit) = match cells[..] {
        [action, at, end, then] => (action, at, end, then, "", ""),
        [action, at, end, then, date, commit] => (action, at, end, then, date, commit),
        _ => return None,
    };
    let killed = end == KILLED;
    let [action, at, then, date, commit] = [action, at, then, date, commit].map(str::to_owned);
    (killed || end == ENDED_BEFORE).then_some(Survived { action, at, killed, then, date, commit })
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
        let all = [plan, commands].concat();
        let other: Vec<&Survived> = record.iter().filter(|line| !all.iter().any(|kill| line.is_of(kill))).collect();
        assert!(other.is_empty(), "nobody kills there: {other:#?}");
        // Only one on its way may have been quicker.
        let late: Vec<&Survived> =
            record.iter().filter(|line| !line.killed && line.at.matches(':').count() == 1).collect();
        assert!(late.is_empty(), "these were not killed: {late:#?}");
        let missing: Vec<String> = open(all, &record).iter().map(ToString::to_string).collect();
        assert!(missing.is_empty(), "tests/run --kills has not survived: {missing:#?}");
        let killed = record.iter().filter(|line| line.killed).count();
        assert!(killed >= 100, "only {killed} were killed, the others had ended before");
    }

    #[test]
    fn lines_with_a_date_and_without_are_read() {
        let old = "scale,step.before:1:3,ended before,resumed";
        let read_old = read(old).unwrap();
        assert!(!read_old.killed && read_old.date.is_empty() && read_old.commit.is_empty(), "{read_old:?}");
        let new = "mute,mutes.after:1,killed,run again,2026-11-30T00:00:00Z,4bdb9eb00000";
        assert_eq!(read(new).unwrap().to_string(), new);
        let kill = commands().into_iter().find(|kill| kill.at == "mutes.after:1" && kill.action == "mute").unwrap();
        assert_eq!(open(vec![kill.clone()], &[read(new).unwrap()]), []);
        assert_eq!(open(vec![kill.clone()], &[read_old]), [kill]);
        assert_eq!(read("scale,step.before:1,survived,resumed"), None);
    }
}
