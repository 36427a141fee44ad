//! Files that are whole at every moment, whenever the process or the machine ends, and that one process at a time may write; and
//! the words for those that cannot be read.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use crate::error::Error;
use crate::sanitise;

/// The words for a file that cannot be read.
pub fn unreadable(path: &Path, source: io::Error) -> Error {
    Error::Io { doing: sanitise::line(&format!("read {}", path.display())), source }
}

/// What tells a file from another one of the same name.
#[cfg(unix)]
pub fn identity(metadata: &fs::Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::ino(metadata)
}

/// Elsewhere a file that was replaced is seen by its length alone.
#[cfg(not(unix))]
pub fn identity(_metadata: &fs::Metadata) -> u64 {
    0
}

/// Puts `text` where `path` is, as a whole or not at all. A link is followed: the file that it names gets the text, and the
/// link stays. What is no file (`/dev/null`, a pipe) is written into: a file in its place would take it from everybody.
///
/// # Errors
/// If it cannot be written; what was there before is there still.
pub fn replace(path: &Path, text: &str) -> io::Result<()> {
    let Some(path) = behind(path) else {
        return OpenOptions::new().write(true).open(path)?.write_all(text.as_bytes());
    };
    let new = beside(&path, ".new");
    let mut file = File::create(&new)?;
    file.write_all(text.as_bytes())?;
    // Else a crash of the machine could leave the new name with nothing behind it.
    file.sync_all()?;
    fs::rename(&new, path)
}

/// Keeps other processes from locking `path`, by a lock on a file beside it, until what it gives is dropped or the process has
/// ended, however that ends. `None` for what is no file: that takes whatever anybody writes.
///
/// # Errors
/// If another process holds the lock, or there can be none.
pub fn lock(path: &Path) -> Result<Option<File>, TryLockError> {
    let Some(path) = behind(path) else { return Ok(None) };
    // The file stays: whoever removed it could take it from somebody who has just opened it.
    let file = OpenOptions::new().write(true).create(true).truncate(false).open(beside(&path, ".lock"));
    let file = file.map_err(TryLockError::Error)?;
    file.try_lock()?;
    Ok(Some(file))
}

/// The file that a name leads to, behind all links; `None` if that is no file.
fn behind(path: &Path) -> Option<PathBuf> {
    match fs::canonicalize(path) {
        Ok(found) => found.is_file().then_some(found),
        // Nothing is there yet, or nothing can be: then the writing says so.
        Err(_) => Some(path.to_owned()),
    }
}

/// The file of the same name with this end.
fn beside(path: &Path, end: &str) -> PathBuf {
    let mut beside = OsString::from(path);
    beside.push(end);
    beside.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_and_nothing_is_left_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        for text in ["the first, which is longer", "the second"] {
            replace(&file, text).unwrap();
            assert_eq!(fs::read_to_string(&file).unwrap(), text);
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_folder_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        assert!(replace(folder.path(), "text").is_err());
        assert!(replace(&folder.path().join("none/file"), "text").is_err());
    }

    #[test]
    fn a_file_is_locked_by_one_at_a_time_by_whatever_name_and_is_not_touched() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        let held = lock(&file).unwrap();
        assert!(held.is_some() && !file.exists());
        assert!(matches!(lock(&file), Err(TryLockError::WouldBlock)));
        assert!(lock(&folder.path().join("other")).unwrap().is_some());
        fs::write(&file, "text").unwrap();
        #[cfg(unix)]
        {
            let link = folder.path().join("link");
            std::os::unix::fs::symlink(&file, &link).unwrap();
            assert!(matches!(lock(&link), Err(TryLockError::WouldBlock)));
        }
        drop(held);
        assert!(lock(&file).unwrap().is_some());
        assert!(lock(folder.path()).unwrap().is_none(), "a folder is no file");
        assert!(matches!(lock(&folder.path().join("none/file")), Err(TryLockError::Error(_))));
        assert_eq!(fs::read_to_string(&file).unwrap(), "text");
    }

    #[cfg(unix)]
    #[test]
    fn a_link_stays_a_link() {
        let folder = tempfile::tempdir().unwrap();
        let [file, link] = ["file", "link"].map(|name| folder.path().join(name));
        fs::write(&file, "before").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        replace(&link, "after").unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read_to_string(&file).unwrap(), "after");
    }

    #[cfg(unix)]
    #[test]
    fn a_pipe_gets_the_text_and_stays_a_pipe() {
        use std::os::unix::fs::FileTypeExt as _;

        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let (from, reader) = (pipe.clone(), std::sync::mpsc::channel());
        std::thread::spawn(move || reader.0.send(fs::read_to_string(from)));
        replace(&pipe, "for whoever reads").unwrap();
        assert!(fs::metadata(&pipe).unwrap().file_type().is_fifo());
        assert_eq!(reader.1.recv().unwrap().unwrap(), "for whoever reads");
    }
}
