//! `remediation_history.json`: what was proposed, when, on what score, until when it waited, and whether somebody declined it.
//! What was carried out, and whether it helped, is in the journal of `fix`, which nobody else writes.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::collect::file::unwritable;
use crate::error::Error;
use crate::files;

use super::state::Waiting;

/// Version of the document.
const VERSION: u32 = 1;
/// The oldest make room.
const MOST: usize = 1000;
/// Some bytes a proposal; what is larger was not written here.
const MAX_BYTES: u64 = 8 << 20;

/// One proposal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// What, why and since when.
    #[serde(flatten)]
    pub proposal: Waiting,
    /// The plan that it was.
    pub plan_id: String,
    /// When somebody declined it on a screen; it is not proposed again until it was withdrawn.
    #[serde(default)]
    pub declined: Option<Timestamp>,
    /// When its target was no longer over the line; absent while it waits.
    pub withdrawn: Option<Timestamp>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Document {
    version: u32,
    proposals: Vec<Entry>,
}

/// The file, in memory.
#[derive(Debug)]
pub struct History {
    path: PathBuf,
    entries: Vec<Entry>,
}

impl History {
    /// The file, as it was left.
    ///
    /// # Errors
    /// If there is another kind of file of this name: it is not overwritten.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let foreign = |problem: String| Error::BadFile {
            path: path.to_owned(),
            problem,
            hint: "move it away, or name another with remediation.history_file".to_owned(),
        };
        let path = path.to_owned();
        let bytes = match fs::metadata(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self { path, entries: Vec::new() }),
            Ok(metadata) if metadata.len() > MAX_BYTES => return Err(foreign("too large for a history".to_owned())),
            _ => fs::read(&path).map_err(|error| foreign(format!("it cannot be read: {error}")))?,
        };
        let document: Document =
            serde_json::from_slice(&bytes).map_err(|error| foreign(format!("no history of guard: {error}")))?;
        if document.version != VERSION {
            return Err(foreign(format!("a history of version {}, not {VERSION}", document.version)));
        }
        Ok(Self { path, entries: document.proposals })
    }

    /// Adds a proposal.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn proposed(&mut self, proposal: Waiting, plan_id: &str) -> Result<(), Error> {
        self.entries.push(Entry { proposal, plan_id: plan_id.to_owned(), declined: None, withdrawn: None });
        let over = self.entries.len().saturating_sub(MOST);
        self.entries.drain(..over);
        self.write()
    }

    /// Says that the proposals of this target were declined.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn declined(&mut self, namespace: &str, target: &str, at: Timestamp) -> Result<(), Error> {
        for entry in self.standing(namespace, target).filter(|entry| entry.declined.is_none()) {
            entry.declined = Some(at);
        }
        self.write()
    }

    /// Says that the proposals of this target wait no longer.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn withdrawn(&mut self, namespace: &str, target: &str, at: Timestamp) -> Result<(), Error> {
        for entry in self.standing(namespace, target) {
            entry.withdrawn = Some(at);
        }
        self.write()
    }

    /// What was proposed for this target and not withdrawn.
    fn standing(&mut self, namespace: &str, target: &str) -> impl Iterator<Item = &mut Entry> {
        let is_of = move |entry: &&mut Entry| entry.proposal.namespace == namespace && entry.proposal.target == target;
        self.entries.iter_mut().filter(is_of).filter(|entry| entry.withdrawn.is_none())
    }

    /// All proposals, oldest first.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    fn write(&self) -> Result<(), Error> {
        let document = serde_json::json!({ "version": VERSION, "proposals": self.entries });
        files::replace(&self.path, &format!("{document:#}\n")).map_err(|source| unwritable(&self.path, source))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::desk::fake::waiting;

    #[test]
    fn what_is_declined_stays_so_until_it_is_withdrawn() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("remediation_history.json");
        let at = |second| Timestamp::from_second(second).unwrap();
        let mut history = History::open(&path).unwrap();
        history.proposed(waiting(), "first").unwrap();
        history.declined("shop", "deployment/web", at(1)).unwrap();
        history.declined("shop", "deployment/web", at(2)).unwrap();
        history.declined("shop", "deployment/cart", at(3)).unwrap();
        let told = |history: &History| -> Vec<_> {
            history.entries().iter().map(|entry| (entry.declined, entry.withdrawn)).collect()
        };
        let mut again = History::open(&path).unwrap();
        assert_eq!(told(&again), [(Some(at(1)), None)]);
        again.withdrawn("shop", "deployment/web", at(4)).unwrap();
        again.proposed(waiting(), "second").unwrap();
        assert_eq!(told(&History::open(&path).unwrap()), [(Some(at(1)), Some(at(4))), (None, None)]);
    }

    #[test]
    fn a_file_of_an_earlier_version_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("remediation_history.json");
        let mut entry = serde_json::to_value(waiting()).unwrap();
        entry["plan_id"] = "first".into();
        entry["withdrawn"] = serde_json::Value::Null;
        let text = serde_json::json!({ "version": VERSION, "proposals": [entry] }).to_string();
        fs::write(&path, text).unwrap();
        assert_eq!(History::open(&path).unwrap().entries()[0].declined, None);
    }
}
