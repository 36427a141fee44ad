//! The file to read: what it is, how far it was read, and, if it is followed, what is added to it.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use guard_model::recording::{self, RecordingError};
use guard_model::table;

use crate::analyze::AnalyzeError;
use crate::files::identity;

/// First bytes of a zstd frame, little-endian 0xFD2FB528 (RFC 8878).
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
/// First bytes of a gzip file (RFC 1952).
const GZIP: [u8; 2] = [0x1f, 0x8b];
/// A line of a table is never longer.
const MOST_HELD: usize = 1 << 20;
/// So much is read at once.
const CHUNK: usize = 64 << 10;

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A table as `pod_metrics.csv`.
    Table,
    /// A recording, `.tar.zst`.
    Recording,
}

/// A table or a recording on its way in. It is opened once: a pipe does not give its first bytes a second time.
pub struct Input {
    /// What it is.
    pub kind: Kind,
    /// Its length in bytes; 0 if that is not known.
    pub length: u64,
    bytes: io::Chain<io::Cursor<Vec<u8>>, Box<dyn Read + Send>>,
}

/// Opens the file, or stdin if it is called `-`, and sees by its first bytes what it is.
///
/// # Errors
/// If it cannot be read, or is compressed in a way that nobody takes for a recording.
pub fn open(path: &Path) -> io::Result<Input> {
    let (mut rest, length): (Box<dyn Read + Send>, u64) = if is_stdin(path) {
        (Box::new(io::stdin()), 0)
    } else {
        let file = File::open(path)?;
        let length = file.metadata().map_or(0, |metadata| metadata.len());
        (Box::new(file), length)
    };
    let mut first = Vec::new();
    (&mut rest).take(ZSTD.len() as u64).read_to_end(&mut first)?;
    if first.starts_with(&GZIP) {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "it is compressed by gzip: unpack it with gunzip"));
    }
    let kind = if first == ZSTD { Kind::Recording } else { Kind::Table };
    Ok(Input { kind, length, bytes: io::Cursor::new(first).chain(rest) })
}

/// True if nothing can be added to it that would be seen: it is stdin, a pipe or a device. What is not there may still come.
pub fn cannot_grow(path: &Path) -> bool {
    is_stdin(path) || fs::metadata(path).is_ok_and(|metadata| !metadata.is_file())
}

/// What it is called in what is said of it: `-` is `stdin`.
pub fn called(path: &Path) -> &Path {
    if is_stdin(path) { Path::new("stdin") } else { path }
}

fn is_stdin(path: &Path) -> bool {
    path == Path::new("-")
}

impl Read for Input {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.bytes.read(buffer)
    }
}

impl Input {
    /// Reads as much as shows that the rest can be read: the titles and a row of a table, a tick of a recording. False if
    /// there is none.
    ///
    /// # Errors
    /// If that is not what it should be.
    pub fn has_metrics(self) -> Result<bool, AnalyzeError> {
        match self.kind {
            Kind::Table => Ok(table::Reader::new(self)?.next().transpose()?.is_some()),
            Kind::Recording => match recording::read(self, |_| Err(Begun::Tick)) {
                Ok(()) => Ok(false),
                Err(Begun::Tick) => Ok(true),
                Err(Begun::Failed(error)) => Err(error.into()),
            },
        }
    }
}

/// Why the reading of a recording ended at its first tick.
enum Begun {
    Tick,
    Failed(RecordingError),
}

impl From<RecordingError> for Begun {
    fn from(error: RecordingError) -> Self {
        Begun::Failed(error)
    }
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

/// A table that grows. Only whole lines are given on; what stands behind the last of them is looked at again the next time,
/// for its writer may have been killed there and the next one take it away. A file that was rotated (another file of that name)
/// or truncated is read from its start; its first line must be the same as before.
#[derive(Debug)]
pub struct Tail {
    path: PathBuf,
    file: File,
    identity: u64,
    /// Behind the last whole line.
    at: u64,
    header: Option<Vec<u8>>,
    /// The next line is the first one of a file.
    at_first_line: bool,
}

impl Tail {
    /// Follows `path` from its start.
    ///
    /// # Errors
    /// If the file cannot be opened.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let identity = identity(&file.metadata()?);
        Ok(Self { path: path.to_owned(), file, identity, at: 0, header: None, at_first_line: true })
    }

    /// What was added since the last look, at most some 64 KiB of it or one longer line: the first line, and the whole lines that are new.
    /// `None`: nothing yet.
    ///
    /// # Errors
    /// If the file cannot be read, or another one with other columns has taken its place.
    pub fn more(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut lines = self.new_lines()?;
        // What is left in the old file comes first.
        if lines.is_empty() && self.was_replaced()? {
            self.file = File::open(&self.path)?;
            self.identity = identity(&self.file.metadata()?);
            (self.at, self.at_first_line) = (0, true);
            lines = self.new_lines()?;
        }
        self.at += lines.len() as u64;
        self.below_titles(lines)
    }

    /// The whole lines behind the last one: some 64 KiB of them, or one that is longer.
    fn new_lines(&mut self) -> io::Result<Vec<u8>> {
        self.file.seek(SeekFrom::Start(self.at))?;
        let mut read = Vec::new();
        for most in [CHUNK, MOST_HELD + 1] {
            let missing = (most - read.len()) as u64;
            (&mut self.file).take(missing).read_to_end(&mut read)?;
            if let Some(end) = read.iter().rposition(|byte| *byte == b'\n') {
                read.truncate(end + 1);
                return Ok(read);
            }
        }
        if read.len() > MOST_HELD {
            return Err(io::Error::other("a line of more than a mebibyte: this is no table"));
        }
        Ok(Vec::new())
    }

    fn was_replaced(&self) -> io::Result<bool> {
        match fs::metadata(&self.path) {
            Ok(now) => Ok(identity(&now) != self.identity || now.len() < self.at),
            // A file that is gone for a moment is being rotated.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The lines below the titles of the table.
    fn below_titles(&mut self, mut lines: Vec<u8>) -> io::Result<Option<Vec<u8>>> {
        if lines.is_empty() {
            return Ok(None);
        }
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
    fn what_is_behind_the_last_whole_line_may_be_taken_away_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("m.csv");
        append(&path, "a,b\n1,2\n3,torn by a ki");
        let mut tail = Tail::open(&path).unwrap();
        assert_eq!(more(&mut tail).unwrap(), "a,b\n1,2\n");
        fs::OpenOptions::new().write(true).open(&path).unwrap().set_len("a,b\n1,2\n".len() as u64).unwrap();
        append(&path, "5,6\n");
        assert_eq!(more(&mut tail).unwrap(), "a,b\n5,6\n");
        append(&path, &format!("{},7\n", "x".repeat(CHUNK)));
        assert_eq!(more(&mut tail).unwrap().len(), "a,b\n".len() + CHUNK + ",7\n".len());
        append(&path, &"y".repeat(MOST_HELD + 1));
        assert!(tail.more().unwrap_err().to_string().contains("mebibyte"));
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
    fn a_recording_is_known_by_its_first_bytes_which_are_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let recording = [0x28, 0xb5, 0x2f, 0xfd, 0];
        for (bytes, kind) in [
            (&recording[..], Kind::Recording),
            (b"timestamp,namespace,pod\n", Kind::Table),
            (b"a", Kind::Table),
            (b"", Kind::Table),
        ] {
            fs::write(&path, bytes).unwrap();
            let mut input = open(&path).unwrap();
            assert_eq!((input.kind, input.length), (kind, bytes.len() as u64));
            let mut read = Vec::new();
            input.read_to_end(&mut read).unwrap();
            assert_eq!(read, bytes);
        }
        fs::write(&path, [0x1f, 0x8b, 8, 0]).unwrap();
        assert!(open(&path).err().unwrap().to_string().contains("gunzip"));
        assert!(open(folder.path()).is_err() && open(&folder.path().join("none")).is_err());
    }

    #[test]
    fn a_test_reads_titles_and_a_row_or_a_tick() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let tested = |bytes: &[u8]| {
            fs::write(&path, bytes).unwrap();
            open(&path).unwrap().has_metrics().map_err(|error| error.to_string())
        };
        assert_eq!(tested(b"timestamp,namespace,pod\n2026-11-22T13:00:00Z,shop,cart\n"), Ok(true));
        assert_eq!(tested(b"timestamp,namespace,pod\n"), Ok(false));
        assert!(tested(b"a,b\n1,2\n").unwrap_err().contains("timestamp"));
        assert!(tested(b"timestamp,namespace,pod\nyesterday,shop,cart\n").unwrap_err().contains("yesterday"));
        assert!(tested(b"").is_err());
        assert_eq!(tested(include_bytes!("../../demo/incident.tar.zst")), Ok(true));
        assert!(tested(&[0x28, 0xb5, 0x2f, 0xfd, 0]).is_err());
        assert_eq!((called(Path::new("-")), called(&path)), (Path::new("stdin"), path.as_path()));
        assert!(cannot_grow(Path::new("-")) && cannot_grow(folder.path()));
        assert!(!cannot_grow(&path) && !cannot_grow(&folder.path().join("none")));
    }
}
