//! Files that are whole at every moment, whenever the process or the machine ends, and the words for those that cannot be read.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;

use crate::error::Error;
use crate::sanitise;

/// The words for a file that cannot be read.
pub fn unreadable(path: &Path, source: io::Error) -> Error {
    Error::Io { doing: sanitise::line(&format!("read {}", path.display())), source }
}

/// Puts `text` where `path` is, as a whole or not at all. A link is followed: the file that it names gets the text, and the
/// link stays. What is no file (`/dev/null`, a pipe) is written into: a file in its place would take it from everybody.
///
/// # Errors
/// If it cannot be written; what was there before is there still.
pub fn replace(path: &Path, text: &str) -> io::Result<()> {
    let path = match fs::canonicalize(path) {
        Ok(found) if !found.is_file() => return OpenOptions::new().write(true).open(found)?.write_all(text.as_bytes()),
        Ok(found) => found,
        // Nothing is there yet, or nothing can be: then the writing says so.
        Err(_) => path.to_owned(),
    };
    let mut beside = OsString::from(&path);
    beside.push(".new");
    let mut file = File::create(&beside)?;
    file.write_all(text.as_bytes())?;
    // Else a crash of the machine could leave the new name with nothing behind it.
    file.sync_all()?;
    fs::rename(&beside, path)
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
