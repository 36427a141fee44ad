//! `remediation_history.json`: what was proposed, in which cluster, when, on what score, until when it waited, and whether somebody
//! declined it.
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
    /// The URL of the API server of its cluster; absent in files of earlier versions, which count for any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,
    /// When somebody declined it on a screen; it is not proposed again until it was withdrawn.
    #[serde(default)]
    pub declined: Option<Timestamp>,
    /// When its target was no longer over the line; absent while it waits.
    pub withdrawn: Option<Timestamp>,
}

impl Entry {
    /// It was proposed in the cluster of this API server, and not withdrawn.
    fn stands(&self, server: &str) -> bool {
        self.withdrawn.is_none() && self.server.as_deref().is_none_or(|of| of == server)
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Document {
    version: u32,
    proposals: Vec<Entry>,
}

/// All proposals that a file holds, of whichever cluster, oldest first.
///
/// # Errors
/// If there is another kind of file of this name.
pub fn read(path: &Path) -> Result<Vec<Entry>, Error> {
    let foreign = |problem: String| Error::BadFile {
        path: path.to_owned(),
        problem,
        hint: "move it away, or name another with remediation.history_file".to_owned(),
    };
    let bytes = match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Ok(metadata) if metadata.len() > MAX_BYTES => return Err(foreign("too large for a history".to_owned())),
        _ => fs::read(path).map_err(|error| foreign(format!("it cannot be read: {error}")))?,
    };
    let document: Document =
        serde_json::from_slice(&bytes).map_err(|error| foreign(format!("no history of guard: {error}")))?;
    if document.version != VERSION {
        return Err(foreign(format!("a history of version {}, not {VERSION}", document.version)));
    }
    Ok(document.proposals)
}

/// The file, in memory, for the proposals of one cluster; those of others are kept as they are.
#[derive(Debug)]
pub struct History {
    path: PathBuf,
    server: String,
    entries: Vec<Entry>,
}

impl History {
    /// The file, as it was left, for the cluster of the API server with this URL.
    ///
    /// # Errors
    /// If there is another kind of file of this name: it is not overwritten.
    pub fn open(path: &Path, server: &str) -> Result<Self, Error> {
        Ok(Self { path: path.to_owned(), server: server.to_owned(), entries: read(path)? })
    }

    /// Adds a proposal.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn proposed(&mut self, proposal: Waiting, plan_id: &str) -> Result<(), Error> {
        let (plan_id, server) = (plan_id.to_owned(), Some(self.server.clone()));
        self.entries.push(Entry { proposal, plan_id, server, declined: None, withdrawn: None });
        let over = self.entries.len().saturating_sub(MOST);
        self.entries.drain(..over);
        self.write()
    }

    /// Says that the proposals of this target were declined.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn declined(&mut self, namespace: &str, target: &str, at: Timestamp) -> Result<(), Error> {
        for entry in self.standing_of(namespace, target).filter(|entry| entry.declined.is_none()) {
            entry.declined = Some(at);
        }
        self.write()
    }

    /// Says that the proposals of this target wait no longer.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn withdrawn(&mut self, namespace: &str, target: &str, at: Timestamp) -> Result<(), Error> {
        for entry in self.standing_of(namespace, target) {
            entry.withdrawn = Some(at);
        }
        self.write()
    }

    /// What was proposed in this cluster and not withdrawn, oldest first.
    pub fn standing(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(|entry| entry.stands(&self.server))
    }

    /// What was proposed for this target and not withdrawn.
    fn standing_of(&mut self, namespace: &str, target: &str) -> impl Iterator<Item = &mut Entry> {
        let is_of = move |entry: &&mut Entry| entry.proposal.namespace == namespace && entry.proposal.target == target;
        self.entries.iter_mut().filter(is_of).filter(|entry| entry.stands(&self.server))
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

    const SERVER: &str = "https://10.0.0.1:6443";

    #[test]
    fn what_is_declined_stays_so_until_it_is_withdrawn() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("remediation_history.json");
        let at = |second| Timestamp::from_second(second).unwrap();
        let mut history = History::open(&path, SERVER).unwrap();
        history.proposed(waiting(), "first").unwrap();
        history.declined("shop", "deployment/web", at(1)).unwrap();
        history.declined("shop", "deployment/web", at(2)).unwrap();
        history.declined("shop", "deployment/cart", at(3)).unwrap();
        let told =
            || -> Vec<_> { read(&path).unwrap().iter().map(|entry| (entry.declined, entry.withdrawn)).collect() };
        let mut again = History::open(&path, SERVER).unwrap();
        assert_eq!(told(), [(Some(at(1)), None)]);
        again.withdrawn("shop", "deployment/web", at(4)).unwrap();
        again.proposed(waiting(), "second").unwrap();
        assert_eq!(told(), [(Some(at(1)), Some(at(4))), (None, None)]);
    }

    #[test]
    fn what_is_open_in_another_cluster_is_kept_and_says_nothing_of_this_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("remediation_history.json");
        let at = |second| Timestamp::from_second(second).unwrap();
        let mut staging = History::open(&path, "https://staging:6443").unwrap();
        staging.proposed(waiting(), "first").unwrap();
        staging.declined("shop", "deployment/web", at(1)).unwrap();
        let mut prod = History::open(&path, SERVER).unwrap();
        assert_eq!(prod.standing().count(), 0);
        prod.proposed(waiting(), "second").unwrap();
        prod.withdrawn("shop", "deployment/web", at(2)).unwrap();
        let staging = History::open(&path, "https://staging:6443").unwrap();
        let told: Vec<_> = staging.standing().map(|entry| (&*entry.plan_id, entry.declined)).collect();
        assert_eq!(told, [("first", Some(at(1)))]);
        let servers: Vec<_> = read(&path).unwrap().into_iter().map(|entry| entry.server).collect();
        assert_eq!(servers, [Some("https://staging:6443".to_owned()), Some(SERVER.to_owned())]);
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
        assert_eq!(read(&path).unwrap()[0].declined, None);
        assert_eq!(History::open(&path, SERVER).unwrap().standing().count(), 1, "it is of any cluster");
    }
}
