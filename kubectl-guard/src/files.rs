//! Files that are whole at every moment, whenever the process or the machine ends, and the words for those that cannot be read.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;

use crate::error::Error;
use crate::sanitise;

/// The words for a file that cannot be read.
pub fn unreadable(path: &Path, source: io::Error) -> Error {
    Error::Io { doing: sanitise::line(&format!("read {}", path.display())), source }
}

/// Puts `text` where `path` is, as a whole or not at all.
///
/// # Errors
/// If it cannot be written; what was there before is there still.
pub fn replace(path: &Path, text: &str) -> io::Result<()> {
    let mut beside = OsString::from(path);
    beside.push(".new");
    let mut file = File::create(&beside)?;
    file.write_all(text.as_bytes())?;
    // Else a crash of the machine could leave the new name with nothing behind it.
    file.sync_all()?;
    fs::rename(&beside, path)
}
