//! The file to read: what it is, how far it was read, and, if it is followed, what is added to it.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// First bytes of a zstd frame, little-endian 0xFD2FB528 (RFC 8878).
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
/// A line of a table is never longer.
const MOST_HELD: usize = 1 << 20;

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A table as `pod_metrics.csv`.
    Table,
    /// A recording, `.tar.zst`.
    Recording,
}

/// What the file is, by its first bytes.
///
/// # Errors
/// If it cannot be read.
pub fn kind(path: &Path) -> io::Result<Kind> {
    let mut first = Vec::new();
    File::open(path)?.take(ZSTD.len() as u64).read_to_end(&mut first)?;
    Ok(if first == ZSTD { Kind::Recording } else { Kind::Table })
}

/// Counts the bytes that are read through it.
#[derive(Debug)]
pub struct Counted<R> {
    inner: R,
    read: Arc<AtomicU64>,
}

impl<R> Counted<R> {
    /// Adds to `read`.
    pub fn new(inner: R, read: Arc<AtomicU64>) -> Self {
        Self { inner, read }
    }
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let bytes = self.inner.read(buffer)?;
        self.read.fetch_add(bytes as u64, Ordering::Relaxed);
        Ok(bytes)
    }
}

/// A table that grows. Only whole lines are given on. A file that was rotated (another file of that name) or truncated is
/// read from its start; its first line must be the same as before.
#[derive(Debug)]
pub struct Tail {
    path: PathBuf,
    file: File,
    identity: u64,
    at: u64,
    header: Option<Vec<u8>>,
    /// The next line is the first one of a file.
    at_first_line: bool,
    held: Vec<u8>,
}

impl Tail {
    /// Follows `path` from its start.
    ///
    /// # Errors
    /// If the file cannot be opened.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let identity = identity(&file.metadata()?);
        Ok(Self { path: path.to_owned(), file, identity, at: 0, header: None, at_first_line: true, held: Vec::new() })
    }

    /// What was added since the last look, at most some 64 KiB of it: the first line, and the whole lines that are new.
    /// `None`: nothing yet.
    ///
    /// # Errors
    /// If the file cannot be read, or another one with other columns has taken its place.
    pub fn more(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut chunk = vec![0; 64 << 10];
        let mut bytes = self.file.read(&mut chunk)?;
        // What is left in the old file comes first.
        if bytes == 0 && self.was_replaced()? {
            self.file = File::open(&self.path)?;
            self.identity = identity(&self.file.metadata()?);
            (self.at, self.at_first_line) = (0, true);
            self.held.clear();
            bytes = self.file.read(&mut chunk)?;
        }
        self.at += bytes as u64;
        self.held.extend_from_slice(&chunk[..bytes]);
        if self.held.len() > MOST_HELD {
            return Err(io::Error::other("a line of more than a mebibyte: this is no table"));
        }
        self.whole_lines()
    }

    fn was_replaced(&self) -> io::Result<bool> {
        match fs::metadata(&self.path) {
            Ok(now) => Ok(identity(&now) != self.identity || now.len() < self.at),
            // A file that is gone for a moment is being rotated.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn whole_lines(&mut self) -> io::Result<Option<Vec<u8>>> {
        let Some(end) = self.held.iter().rposition(|byte| *byte == b'\n') else { return Ok(None) };
        let mut lines: Vec<u8> = self.held.drain(..=end).collect();
        if std::mem::take(&mut self.at_first_line) {
            let first = lines.iter().position(|byte| *byte == b'\n').map_or(lines.len(), |end| end + 1);
            let header: Vec<u8> = lines.drain(..first).collect();
            if self.header.as_ref().is_some_and(|before| *before != header) {
                return Err(io::Error::other("the file was replaced by one with other columns"));
            }
            self.header = Some(header);
        }
        if lines.is_empty() {
            return Ok(None);
        }
        let mut table = self.header.clone().unwrap_or_default();
        table.extend(lines);
        Ok(Some(table))
    }
}

#[cfg(unix)]
fn identity(metadata: &fs::Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::ino(metadata)
}

/// Elsewhere a file that was replaced is seen by its length alone.
#[cfg(not(unix))]
fn identity(_metadata: &fs::Metadata) -> u64 {
    0
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn append(path: &Path, text: &str) {
        let mut file = fs::OpenOptions::new().append(true).create(true).open(path).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }

    fn more(tail: &mut Tail) -> Option<String> {
        tail.more().unwrap().map(|bytes| String::from_utf8(bytes).unwrap())
    }

    #[test]
    fn only_whole_lines_are_given_on() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("m.csv");
        append(&path, "a,b\n1,");
        let mut tail = Tail::open(&path).unwrap();
        assert_eq!(more(&mut tail), None);
        append(&path, "2\n3,4\n5");
        assert_eq!(more(&mut tail).unwrap(), "a,b\n1,2\n3,4\n");
        assert_eq!(more(&mut tail), None);
        append(&path, ",6\n");
        assert_eq!(more(&mut tail).unwrap(), "a,b\n5,6\n");
    }

    #[test]
    fn a_rotated_and_a_truncated_file_are_read_from_their_start() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("m.csv");
        append(&path, "a,b\n1,2\n");
        let mut tail = Tail::open(&path).unwrap();
        assert_eq!(more(&mut tail).unwrap(), "a,b\n1,2\n");
        append(&path, "3,4\n");
        fs::rename(&path, folder.path().join("m.csv.1")).unwrap();
        assert_eq!(more(&mut tail).unwrap(), "a,b\n3,4\n", "the rest of the old file");
        assert_eq!(more(&mut tail), None, "the new one is not there yet");
        append(&path, "a,b\n5,6\n");
        assert_eq!(more(&mut tail).unwrap(), "a,b\n5,6\n");
        fs::write(&path, "a,b\n").unwrap();
        assert_eq!(more(&mut tail), None);
        append(&path, "7,8\n");
        assert_eq!(more(&mut tail).unwrap(), "a,b\n7,8\n");
        fs::write(&path, "x\n").unwrap();
        assert!(tail.more().unwrap_err().to_string().contains("other columns"));
    }

    #[test]
    fn a_recording_is_known_by_its_first_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, [0x28, 0xb5, 0x2f, 0xfd, 0]).unwrap();
        assert_eq!(kind(&path).unwrap(), Kind::Recording);
        fs::write(&path, "timestamp,namespace,pod\n").unwrap();
        assert_eq!(kind(&path).unwrap(), Kind::Table);
        fs::write(&path, "").unwrap();
        assert_eq!(kind(&path).unwrap(), Kind::Table);
    }
}
