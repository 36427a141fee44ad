//! The journal: what was about to be written, what came of it, and what it did, one JSON line each, chained by hashes.
//!
//! The intent is on the disk before the write is sent; if it cannot be, nothing is written. The file is 0600, never a
//! symlink, appended to by one `write` a line under a lock, and synced. Paths and times are given from outside.

mod against;
mod anchor;
mod chain;
mod claim;
mod file;
mod progress;
mod record;
mod tried;

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

pub use against::{Findings, Heads, compare};
pub use anchor::{Anchor, plan_agent};
pub use chain::{Chain, Flaw, check};
pub use claim::Claim;
pub use progress::Progress;
pub use record::{Closed, Entry, Event, Line, Resized, VERSION, entries};
pub use tried::{Tried, tried};

use crate::error::Failure;
use crate::plan::hex;

/// Lower-case hex of the SHA-256 of a line, without its line break.
pub type Hash = String;

/// What the first line of a journal carries as hash of the line before.
const NOTHING_BEFORE: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// Why the journal cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// Neither a path nor a home is known.
    #[error("there is no place for the journal: set GUARD_JOURNAL, XDG_STATE_HOME or HOME")]
    NoPlace,
    /// Not a plain file of one's own.
    #[error("the journal {} is {what}; it must be a plain file, name another with GUARD_JOURNAL", path.display())]
    NotPlain {
        /// Where.
        path: PathBuf,
        /// What it is.
        what: &'static str,
    },
    /// The disk says no.
    #[error("cannot {doing} the journal {}: {source}", path.display())]
    Io {
        /// Where.
        path: PathBuf,
        /// What was tried.
        doing: &'static str,
        /// Why not.
        source: std::io::Error,
    },
    /// A line that no journal of ours holds.
    #[error("line {line} of the journal {} cannot be read: {why}", path.display())]
    Broken {
        /// Where.
        path: PathBuf,
        /// Which line, from 1.
        line: usize,
        /// Why not.
        why: String,
    },
}

/// Nothing may be written to the cluster then.
impl Failure for JournalError {}

/// A journal file.
#[derive(Clone, Debug)]
pub struct Journal {
    path: PathBuf,
}

impl Journal {
    /// The journal at this path; nothing is opened yet.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// The journal of the user: `GUARD_JOURNAL`, else `kubectl-guard/journal.jsonl` under `XDG_STATE_HOME`, else under
    /// `~/.local/state` (`USERPROFILE` where there is no `HOME`).
    ///
    /// # Errors
    /// None of these is set.
    pub fn of_user(environment: impl Fn(&str) -> Option<OsString>) -> Result<Self, JournalError> {
        let set = |name: &str| environment(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        if let Some(path) = set("GUARD_JOURNAL") {
            return Ok(Self::at(path));
        }
        let home = || set("HOME").or_else(|| set("USERPROFILE")).map(|home| home.join(".local").join("state"));
        // The XDG specification has relative paths ignored.
        let state = set("XDG_STATE_HOME").filter(|path| path.is_absolute()).or_else(home);
        state.map(|state| Self::at(state.join("kubectl-guard").join("journal.jsonl"))).ok_or(JournalError::NoPlace)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Appends a line and waits until it is on the disk. A torn last line, left by a crash or a full disk, is moved aside
    /// first. Returns where the journal stands then, for the User-Agent of the write that follows.
    ///
    /// # Errors
    /// It is not certain that the line is on the disk: then nothing may be written to the cluster.
    pub fn append(&self, at: Timestamp, plan_id: &str, event: Event) -> Result<Anchor, JournalError> {
        let mut file = file::open_locked(&self.path)?;
        file.quarantine_torn_line(at)?;
        let ends = file.ends()?;
        let (first, prev) = ends.map_or((None, NOTHING_BEFORE.to_owned()), |[first, last]| (Some(first), last));
        let line = Line { version: VERSION, at, plan_id: plan_id.to_owned(), event, prev: Some(prev) };
        let mut bytes = serde_json::to_vec(&line).map_err(|error| file.error("write", error.into()))?;
        let hash = hex(&bytes);
        bytes.push(b'\n');
        file.append(&bytes)?;
        Ok(Anchor::new(&first.unwrap_or_else(|| hash.clone()), hash))
    }

    /// The file as it is, for [`check`]; nothing if there is no journal yet.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn bytes(&self) -> Result<Vec<u8>, JournalError> {
        file::read(&self.path)
    }

    /// The lines of one plan, as they were written.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn lines_of(&self, plan_id: &str) -> Result<Vec<String>, JournalError> {
        let bytes = file::read(&self.path)?;
        let is_of = |line: &str| serde_json::from_str::<Line>(line).is_ok_and(|line| line.plan_id == plan_id);
        let lines = bytes.split_inclusive(|byte| *byte == b'\n').filter_map(|line| line.strip_suffix(b"\n"));
        let texts = lines.filter_map(|line| std::str::from_utf8(line).ok());
        Ok(texts.filter(|line| is_of(line)).map(str::to_owned).collect())
    }

    /// All lines, oldest first; none if there is no journal yet. A torn last line is left out.
    ///
    /// # Errors
    /// It cannot be read, or holds a line that is none of ours.
    pub fn read(&self) -> Result<Vec<Line>, JournalError> {
        let bytes = file::read(&self.path)?;
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(&[][..], |end| &bytes[..end]);
        let lines = whole.split(|byte| *byte == b'\n').enumerate();
        lines
            .filter(|(_, line)| !line.is_empty())
            .map(|(index, line)| {
                serde_json::from_slice(line).map_err(|error| JournalError::Broken {
                    path: self.path.clone(),
                    line: index + 1,
                    why: error.to_string(),
                })
            })
            .collect()
    }
}

#[cfg(test)]
mod tests;
