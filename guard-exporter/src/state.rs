//! What was learnt, kept over a restart: one file in the pod's own folder, written each minute and when told to stop.
//!
//! The scorer makes and reads the bytes; this file says whose and how old they are. A file that is stale, of another
//! node or version, or broken is no failure: learning then begins anew, and says so.

use std::fs;
use std::io::{self, Read, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};

/// Version of the file that this code writes and the only one it reads.
const VERSION: u32 = 1;
/// Older than this, what was learnt no longer says how pods behave now.
const OLDEST_SECONDS: f64 = 600.0;
/// Farther in the future than this, one of the clocks was wrong.
const AHEAD_SECONDS: f64 = 60.0;
/// How many bytes a file may have.
const LARGEST: u64 = 64 * 1024 * 1024;

/// First line of the file.
#[derive(Debug, Serialize, Deserialize)]
struct Head {
    version: u32,
    node: String,
    saved_at: f64,
}

/// Why a saved state is not used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// It cannot be read or written.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// Its beginning is not that of a state.
    #[error("it is no saved state")]
    Malformed,
    /// It was written by other code.
    #[error("it has version {0}, not {VERSION}")]
    Version(u32),
    /// It was written on another node.
    #[error("it is of node {0:?}")]
    Node(String),
    /// It is too old, or of the future.
    #[error("it was saved {0:.0} s ago")]
    Age(f64),
}

/// Writes `learnt` so that a reader finds the old file or the new one, never a part. It is not forced to the disk: a node
/// that lost power has forgotten more than this, and a torn file is recognised.
///
/// # Errors
/// If the folder cannot be written.
pub fn save(file: &Path, node: &str, now: f64, learnt: &[u8]) -> Result<(), StateError> {
    let head = Head { version: VERSION, node: node.to_owned(), saved_at: now };
    let mut bytes = serde_json::to_vec(&head).map_err(io::Error::from)?;
    bytes.push(b'\n');
    let beside = file.with_extension("tmp");
    let mut written = fs::File::create(&beside)?;
    written.write_all(&bytes)?;
    written.write_all(learnt)?;
    drop(written);
    Ok(fs::rename(&beside, file)?)
}

/// What was saved at most ten minutes before `now` on this node; `None` if there is no file.
///
/// # Errors
/// If there is one that must not be used.
pub fn load(file: &Path, node: &str, now: f64) -> Result<Option<Vec<u8>>, StateError> {
    let mut bytes = Vec::new();
    match fs::File::open(file) {
        Ok(opened) => opened.take(LARGEST).read_to_end(&mut bytes)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let end = bytes.iter().position(|&byte| byte == b'\n').ok_or(StateError::Malformed)?;
    let head: Head = serde_json::from_slice(&bytes[..end]).map_err(|_| StateError::Malformed)?;
    let age = now - head.saved_at;
    if head.version != VERSION {
        return Err(StateError::Version(head.version));
    }
    if head.node != node {
        return Err(StateError::Node(head.node));
    }
    if !(-AHEAD_SECONDS..=OLDEST_SECONDS).contains(&age) {
        return Err(StateError::Age(age));
    }
    bytes.drain(..=end);
    Ok(Some(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: f64 = 1_800_000_000.0;

    #[test]
    fn what_was_saved_is_loaded() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("state");
        for learnt in [&b"first\nwith lines"[..], b""] {
            save(&file, "node1", NOW, learnt).unwrap();
            assert_eq!(load(&file, "node1", NOW + 30.0).unwrap().as_deref(), Some(learnt));
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn no_file_is_no_state() {
        assert!(load(Path::new("/nonexistent/state"), "node1", NOW).unwrap().is_none());
    }

    #[test]
    fn a_state_older_than_ten_minutes_or_of_the_future_is_not_used() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("state");
        save(&file, "node1", NOW, b"x").unwrap();
        assert!(load(&file, "node1", NOW + 600.0).is_ok());
        for now in [NOW + 601.0, NOW - 61.0, f64::NAN] {
            assert!(matches!(load(&file, "node1", now), Err(StateError::Age(_))), "{now}");
        }
    }

    #[test]
    fn a_state_of_another_node_or_version_is_not_used() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("state");
        save(&file, "node1", NOW, b"x").unwrap();
        assert!(matches!(load(&file, "node2", NOW), Err(StateError::Node(_))));
        fs::write(&file, "{\"version\":2,\"node\":\"node1\",\"saved_at\":1800000000}\nx").unwrap();
        assert!(matches!(load(&file, "node1", NOW), Err(StateError::Version(2))));
    }

    #[test]
    fn a_broken_file_is_not_used() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("state");
        for bytes in [&b""[..], b"\n", b"{\"version\":1", b"\xff\xfe\n", b"{}\nx"] {
            fs::write(&file, bytes).unwrap();
            assert!(matches!(load(&file, "node1", NOW), Err(StateError::Malformed)), "{bytes:?}");
        }
    }

    #[test]
    fn a_folder_that_cannot_be_written_is_an_error() {
        assert!(matches!(save(Path::new("/nonexistent/state"), "node1", NOW, b"x"), Err(StateError::Io(_))));
    }
}
