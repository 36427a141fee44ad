//! `remediation_history.json`: what was proposed, when, on what score, and until when it waited. What was carried out, and
//! whether it helped, is in the journal of `fix`, which nobody else writes.

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
        self.entries.push(Entry { proposal, plan_id: plan_id.to_owned(), withdrawn: None });
        let over = self.entries.len().saturating_sub(MOST);
        self.entries.drain(..over);
        self.write()
    }

    /// Says that the proposals of this target wait no longer.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn withdrawn(&mut self, namespace: &str, target: &str, at: Timestamp) -> Result<(), Error> {
        let of_target = |entry: &&mut Entry| entry.proposal.namespace == namespace && entry.proposal.target == target;
        for entry in self.entries.iter_mut().filter(of_target).filter(|entry| entry.withdrawn.is_none()) {
            entry.withdrawn = Some(at);
        }
        self.write()
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
