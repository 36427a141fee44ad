//! What was learnt, kept over a restart: one file in the pod's own folder, written each minute and when told to stop.
//!
//! The scorer makes the bytes and judges them when they come back (version, model, age). Here they are only kept whole.

use std::fs;
use std::io::{self, Read, Write};
use std::path::Path;

/// How many bytes a file may have; a full node's is some hundred kilobytes.
const LARGEST: u64 = 64 * 1024 * 1024;

/// Writes `learnt` so that a reader finds the old file or the new one, never a part. It is not forced to the disk: a node
/// that lost power has forgotten more than this, and the scorer recognises a torn file.
///
/// # Errors
/// If the folder cannot be written.
pub fn save(file: &Path, learnt: &[u8]) -> io::Result<()> {
    let beside = file.with_extension("tmp");
    fs::File::create(&beside)?.write_all(learnt)?;
    fs::rename(&beside, file)
}

/// What was saved last; `None` if nothing was.
///
/// # Errors
/// If there is a file that cannot be read, or that is too large to be one of ours.
pub fn load(file: &Path) -> io::Result<Option<Vec<u8>>> {
    let opened = match fs::File::open(file) {
        Ok(opened) => opened,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut bytes = Vec::new();
    opened.take(LARGEST + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LARGEST {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "it is too large to be a saved state"));
    }
    Ok(Some(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_saved_last_is_loaded_and_nothing_else_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("state");
        for learnt in [&b"first, the longer one"[..], b"second"] {
            save(&file, learnt).unwrap();
            assert_eq!(load(&file).unwrap().as_deref(), Some(learnt));
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn no_file_is_no_state() {
        assert!(load(Path::new("/nonexistent/state")).unwrap().is_none());
    }

    #[test]
    fn a_file_too_large_to_be_ours_is_not_taken_into_memory() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("state");
        fs::File::create(&file).unwrap().set_len(LARGEST * 1000).unwrap();
        assert_eq!(load(&file).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
    }

    #[test]
    fn a_folder_that_cannot_be_written_is_an_error() {
        assert!(save(Path::new("/nonexistent/state"), b"x").is_err());
    }
}
