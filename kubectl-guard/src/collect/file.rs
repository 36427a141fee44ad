//! The table that is collected into: a new one, or one that is gone on with.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use guard_model::table::{COLUMNS, Row, Writer};

use crate::error::Error;
use crate::sanitise;

/// So much is looked at in one go, from the end.
const PIECE: u64 = 8192;

/// A table that grows by whole lines.
pub struct TableFile {
    path: PathBuf,
    writer: Box<Writer<BufWriter<File>>>,
    rows: usize,
}

impl TableFile {
    /// Begins the table with these columns of the user's own, or goes on with the one that is there: behind its last whole
    /// line, for whoever wrote it may have been killed within one, or the disk was full.
    ///
    /// # Errors
    /// If it cannot be written, or what is there is another file: that one is left as it is.
    pub fn open(path: &Path, own: &[&str]) -> Result<Self, Error> {
        let titles = [&COLUMNS[..], own].concat().join(",");
        let begun = look(path, titles.len()).map_err(|source| unwritable(path, source))?;
        let begun = Begun::of(&begun, &titles);
        if begun == Begun::Otherwise {
            let problem = "the file is there already, with other columns".to_owned();
            let hint = "name another file with --output-file, or move this one away".to_owned();
            return Err(Error::BadFile { path: path.to_owned(), problem, hint });
        }
        cut_torn_line(path).map_err(|source| unwritable(path, source))?;
        let file = BufWriter::new(append(path)?);
        let writer = match begun {
            Begun::AsOurs => Writer::resume(file, own),
            _ => Writer::new(file, own).map_err(|error| unwritable(path, io::Error::other(error)))?,
        };
        Ok(Self { path: path.to_owned(), writer: Box::new(writer), rows: 0 })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// How many rows were written since it was opened.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Writes these rows, whole lines.
    ///
    /// # Errors
    /// If the disk does not take them.
    pub fn write(&mut self, rows: &[Row]) -> Result<(), Error> {
        let written = rows.iter().try_for_each(|row| self.writer.write(row)).and_then(|()| self.writer.flush());
        written.map_err(|error| unwritable(&self.path, io::Error::other(error)))?;
        self.rows += rows.len();
        Ok(())
    }
}

/// How what is there begins.
#[derive(Debug, PartialEq, Eq)]
enum Begun {
    /// It does not: there is nothing, or only a piece of our titles.
    NotYet,
    /// With the line of our titles.
    AsOurs,
    /// With anything else.
    Otherwise,
}

impl Begun {
    /// By the first bytes, which are enough for the titles and the end of their line.
    fn of(head: &[u8], titles: &str) -> Self {
        match head.strip_prefix(titles.as_bytes()) {
            Some(rest) if rest.starts_with(b"\n") || rest.starts_with(b"\r\n") => Begun::AsOurs,
            _ if titles.as_bytes().starts_with(head) => Begun::NotYet,
            _ => Begun::Otherwise,
        }
    }
}

/// The first bytes of a file: as many as the titles have, and two for the end of their line.
fn look(path: &Path, titles: usize) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    // A pipe, a device or a terminal holds nothing, and whoever reads from it waits.
    if path.is_file() {
        File::open(path)?.take(titles as u64 + 2).read_to_end(&mut head)?;
    }
    Ok(head)
}

/// Takes away what stands behind the last whole line of a file, if it is there.
fn cut_torn_line(path: &Path) -> io::Result<()> {
    // What is no file is told by whoever opens it to write.
    if !path.is_file() {
        return Ok(());
    }
    let mut file = OpenOptions::new().read(true).write(true).open(path)?;
    let mut end = file.seek(SeekFrom::End(0))?;
    while end > 0 {
        let begin = end.saturating_sub(PIECE);
        let mut piece = Vec::new();
        file.seek(SeekFrom::Start(begin))?;
        (&mut file).take(end - begin).read_to_end(&mut piece)?;
        if let Some(last) = piece.iter().rposition(|byte| *byte == b'\n') {
            end = begin + last as u64 + 1;
            break;
        }
        end = begin;
    }
    if end < file.metadata()?.len() { file.set_len(end) } else { Ok(()) }
}

fn append(path: &Path) -> Result<File, Error> {
    OpenOptions::new().append(true).create(true).open(path).map_err(|source| unwritable(path, source))
}

/// The words for a file that cannot be written.
pub fn unwritable(path: &Path, source: io::Error) -> Error {
    Error::Io { doing: sanitise::line(&format!("write {}", path.display())), source }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn row(pod: &str) -> Row {
        let mut row = Row::default();
        (row.namespace, row.pod) = ("shop".to_owned(), pod.to_owned());
        row
    }

    #[test]
    fn a_table_that_was_torn_anywhere_is_gone_on_with_behind_its_last_whole_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pod_metrics.csv");
        let write = |pods: &[&str]| {
            let mut table = TableFile::open(&path, &[]).unwrap();
            table.write(&pods.iter().map(|pod| row(pod)).collect::<Vec<_>>()).unwrap();
        };
        let long = "x".repeat(20_000);
        write(&["web-1", &long]);
        let whole = fs::read(&path).unwrap();
        let ends: Vec<usize> = (0..whole.len()).filter(|at| whole[*at] == b'\n').map(|at| at + 1).collect();
        for cut in (0..whole.len()).step_by(997).chain(ends.clone()) {
            fs::write(&path, &whole[..cut]).unwrap();
            write(&["web-2"]);
            let kept = ends.iter().copied().filter(|end| *end <= cut).max().unwrap_or(0);
            let text = fs::read_to_string(&path).unwrap();
            assert_eq!(&text.as_bytes()[..kept], &whole[..kept], "cut at {cut}");
            assert_eq!(text.lines().count(), ends.iter().filter(|end| **end <= cut).count().max(1) + 1, "cut at {cut}");
            let columns = |line: &str| line.matches(',').count();
            assert!(text.lines().all(|line| columns(line) == columns(text.lines().next().unwrap())), "cut at {cut}");
        }
    }

    #[test]
    fn another_file_is_refused_and_left_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("taken");
        let titles = COLUMNS.join(",");
        let other = [
            "{\"token\": \"geheim\"}".to_owned(),
            "a,b\n1,2\n3,4".to_owned(),
            format!("{titles},queue\n1,2"),
            format!("{titles}x"),
            format!("{}\n1,2", &titles[..40]),
        ];
        for text in other {
            fs::write(&path, &text).unwrap();
            assert!(matches!(TableFile::open(&path, &[]), Err(Error::BadFile { .. })), "{text}");
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
        for (text, kept) in [(String::new(), ""), (titles[..40].to_owned(), ""), (format!("{titles}\r\n1,2"), "\r")] {
            fs::write(&path, &text).unwrap();
            assert!(TableFile::open(&path, &[]).is_ok(), "{text}");
            assert_eq!(fs::read_to_string(&path).unwrap(), format!("{titles}{kept}\n"));
        }
    }
}
