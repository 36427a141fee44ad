//! The journal's file: opened without following a symlink, locked, appended to and synced.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::{Hash, JournalError};
use crate::plan::hex;
use crate::write_point::WritePoint;

/// A locked journal; the lock ends with it.
pub(super) struct Locked {
    file: File,
    path: PathBuf,
}

pub(super) fn error_at(path: &Path, doing: &'static str, source: io::Error) -> JournalError {
    JournalError::Io { path: path.to_owned(), doing, source }
}

/// Opens the journal for appending, makes it if there is none, and waits for its lock.
pub(super) fn open_locked(path: &Path) -> Result<Locked, JournalError> {
    let at = |doing| move |source| error_at(path, doing, source);
    let is_new = !path.exists();
    let file = open_private(path)?;
    file.lock().map_err(at("lock"))?;
    if is_new {
        sync_folder(folder(path)).map_err(at("sync the folder of"))?;
    }
    Ok(Locked { file, path: path.to_owned() })
}

/// Opens a plain file of the user's own for appending, and makes it and its folder if there is none.
pub(super) fn open_private(path: &Path) -> Result<File, JournalError> {
    let at = |doing| move |source| error_at(path, doing, source);
    make_private_folder(folder(path)).map_err(at("make the folder of"))?;
    refuse_all_but_plain(path)?;
    let file = options().append(true).read(true).create(true).open(path).map_err(at("open"))?;
    if !file.metadata().map_err(at("open"))?.is_file() {
        return Err(JournalError::NotPlain { path: path.to_owned(), what: "not a plain file" });
    }
    make_private(&file).map_err(at("protect"))?;
    Ok(file)
}

fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// The journal's bytes; none if there is no file.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, JournalError> {
    refuse_all_but_plain(path)?;
    let mut bytes = Vec::new();
    match options().read(true).open(path) {
        Ok(mut file) => file.read_to_end(&mut bytes).map_err(|source| error_at(path, "read", source))?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
        Err(error) => return Err(error_at(path, "read", error)),
    };
    Ok(bytes)
}

/// Whoever can put a symlink or a pipe there could have our lines written elsewhere, or stop us for ever.
fn refuse_all_but_plain(path: &Path) -> Result<(), JournalError> {
    let not_plain = |what| Err(JournalError::NotPlain { path: path.to_owned(), what });
    match fs::symlink_metadata(path) {
        Ok(found) if found.is_symlink() => not_plain("a symlink"),
        Ok(found) if !found.is_file() => not_plain("not a plain file"),
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error_at(path, "look at", error)),
    }
}

impl Locked {
    pub(super) fn error(&self, doing: &'static str, source: io::Error) -> JournalError {
        error_at(&self.path, doing, source)
    }

    /// Moves what follows the last line break into a file of its own beside the journal.
    pub(super) fn quarantine_torn_line(&mut self, at: Timestamp) -> Result<(), JournalError> {
        let bytes = self.bytes()?;
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        if whole == bytes.len() {
            return Ok(());
        }
        let aside = self.path.with_extension(format!("torn-{}", at.as_nanosecond()));
        let moved = options().write(true).create_new(true).open(&aside).and_then(|mut file| {
            file.write_all(&bytes[whole..])?;
            file.sync_all()
        });
        moved.map_err(|source| self.error("move a torn line out of", source))?;
        // Windows cuts no file that is open for appending alone.
        let cut = || {
            let again = if cfg!(windows) { Some(options().write(true).open(&self.path)?) } else { None };
            again.as_ref().unwrap_or(&self.file).set_len(whole as u64)
        };
        cut().map_err(|source| self.error("cut a torn line off", source))
    }

    /// The hashes of the first and the last line.
    pub(super) fn ends(&mut self) -> Result<Option<[Hash; 2]>, JournalError> {
        let bytes = self.bytes()?;
        let Some(whole) = bytes.strip_suffix(b"\n") else { return Ok(None) };
        let mut lines = whole.split(|byte| *byte == b'\n');
        let first = lines.next().unwrap_or_default();
        Ok(Some([hex(first), hex(lines.next_back().unwrap_or(first))]))
    }

    /// One `write` for the whole line: with `O_APPEND` no other writer's bytes can get between.
    pub(super) fn append(&mut self, line: &[u8]) -> Result<(), JournalError> {
        WritePoint::Journal.write(|| {
            let written = self.file.write(line).map_err(|source| self.error("write", source))?;
            if written < line.len() {
                return Err(self.error("write", io::ErrorKind::StorageFull.into()));
            }
            self.file.sync_all().map_err(|source| self.error("sync", source))
        })
    }

    fn bytes(&mut self) -> Result<Vec<u8>, JournalError> {
        let mut bytes = Vec::new();
        let read = self.file.seek(SeekFrom::Start(0)).and_then(|_| self.file.read_to_end(&mut bytes));
        read.map_err(|source| self.error("read", source))?;
        Ok(bytes)
    }
}

#[cfg(unix)]
fn options() -> OpenOptions {
    use std::os::unix::fs::OpenOptionsExt;
    let mut options = OpenOptions::new();
    options.mode(0o600).custom_flags((nix::fcntl::OFlag::O_NOFOLLOW | nix::fcntl::OFlag::O_CLOEXEC).bits());
    options
}

#[cfg(not(unix))]
fn options() -> OpenOptions {
    OpenOptions::new()
}

#[cfg(unix)]
fn make_private(file: &File) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let others = file.metadata()?.permissions().mode() & 0o077;
    if others > 0 { file.set_permissions(fs::Permissions::from_mode(0o600)) } else { Ok(()) }
}

#[cfg(not(unix))]
fn make_private(_: &File) -> io::Result<()> {
    Ok(())
}

#[cfg(unix)]
fn make_private_folder(folder: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

#[cfg(not(unix))]
fn make_private_folder(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)
}

/// A file that was just made is lost with the power unless its folder is synced too.
#[cfg(unix)]
fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

#[cfg(not(unix))]
fn sync_folder(_: &Path) -> io::Result<()> {
    Ok(())
}
