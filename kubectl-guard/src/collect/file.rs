//! The table that is collected into: a new one, or one that is gone on with.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use guard_model::table::{COLUMNS, Row, Writer};

use crate::error::Error;
use crate::files::identity;
use crate::sanitise;

/// So much is looked at in one go, from the end.
const PIECE: u64 = 8192;

/// A table that grows by whole lines.
pub struct TableFile {
    path: PathBuf,
    own: Vec<String>,
    /// What the writer writes to, whatever has become of its name.
    file: File,
    writer: Box<Writer<BufWriter<File>>>,
    /// Its length in bytes behind the last row; `None` of a pipe or a device, which has none.
    length: Option<u64>,
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
        let file = append(path)?;
        let buffer = BufWriter::new(file.try_clone().map_err(|source| unwritable(path, source))?);
        let writer = match begun {
            Begun::AsOurs => Ok(Writer::resume(buffer, own)),
            _ => Writer::new(buffer, own),
        };
        let flushed = writer.and_then(|mut writer| writer.flush().map(|()| writer));
        let writer = Box::new(flushed.map_err(|error| unwritable(path, io::Error::other(error)))?);
        let length = length(&file).map_err(|source| unwritable(path, source))?;
        let own = own.iter().map(|&name| name.to_owned()).collect();
        Ok(Self { path: path.to_owned(), own, file, writer, length, rows: 0 })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// How many rows were written, to this file and to those that had its name before.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Writes these rows, whole lines: to the file that has the name now, for whoever reads looks for that. Gives what is to be
    /// said, if that is another one than before, or was cut.
    ///
    /// # Errors
    /// If the disk does not take them, or what has the name now is no table with these columns.
    pub fn write(&mut self, rows: &[Row]) -> Result<Option<String>, Error> {
        let is_other = self.is_other().map_err(|source| unwritable(&self.path, source))?;
        if is_other {
            let own: Vec<&str> = self.own.iter().map(String::as_str).collect();
            *self = Self { rows: self.rows, ..Self::open(&self.path, &own)? };
        }
        let written = rows.iter().try_for_each(|row| self.writer.write(row)).and_then(|()| self.writer.flush());
        written.map_err(|error| unwritable(&self.path, io::Error::other(error)))?;
        self.length = length(&self.file).map_err(|source| unwritable(&self.path, source))?;
        self.rows += rows.len();
        let said = || {
            sanitise::line(&format!(
                "{} was moved, rotated or cut: rows go to what has its name now",
                self.path.display()
            ))
        };
        Ok(is_other.then(said))
    }

    /// True if the name is no longer that of the file that is written to, as after `mv` or logrotate's `create`, or the file is
    /// shorter than it was, as after `copytruncate`.
    fn is_other(&self) -> io::Result<bool> {
        let Some(length) = self.length else { return Ok(false) };
        match fs::metadata(&self.path) {
            Ok(now) => Ok(identity(&now) != identity(&self.file.metadata()?) || now.len() < length),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
            Err(error) => Err(error),
        }
    }
}

/// The length of a file, if it is one that has a length.
fn length(file: &File) -> io::Result<Option<u64>> {
    let metadata = file.metadata()?;
    Ok(metadata.is_file().then_some(metadata.len()))
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
    use super::*;
    use crate::analyze::input::Tail;

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
    fn what_was_moved_rotated_or_cut_is_begun_anew_and_whoever_follows_it_sees_what_comes() {
        type Change = fn(&Path, &Path);
        let changes: [(&str, Change, bool); 6] = [
            ("nothing", |_, _| (), false),
            ("mv", |path, old| fs::rename(path, old).unwrap(), true),
            ("rm", |path, _| fs::remove_file(path).unwrap(), true),
            ("rotated", |path, old| fs::rename(path, old).and_then(|()| fs::write(path, "")).unwrap(), true),
            ("copied and cut", |path, old| fs::copy(path, old).and_then(|_| fs::write(path, "")).unwrap(), true),
            (
                "a line was taken out",
                |path, _| {
                    let text = fs::read_to_string(path).unwrap();
                    fs::write(path, text.split_inclusive('\n').take(2).collect::<String>()).unwrap();
                },
                true,
            ),
        ];
        for (name, change, is_told) in changes {
            let folder = tempfile::tempdir().unwrap();
            let [path, old] = ["pod_metrics.csv", "old.csv"].map(|name| folder.path().join(name));
            let mut table = TableFile::open(&path, &["queue"]).unwrap();
            assert_eq!(table.write(&[row("web-1"), row("web-2")]).unwrap(), None);
            let mut tail = Tail::open(&path).unwrap();
            let mut new = || tail.more().unwrap().map(|lines| String::from_utf8(lines).unwrap()).unwrap_or_default();
            assert!(new().contains("web-2"));
            change(&path, &old);
            // It looks more often than rows come.
            new();
            assert_eq!(table.write(&[row("web-3")]).unwrap().is_some(), is_told, "{name}");
            assert_eq!(table.write(&[row("web-4")]).unwrap(), None, "{name}");
            let text = fs::read_to_string(&path).unwrap();
            let titles = format!("{},queue\n", COLUMNS.join(","));
            assert!(text.starts_with(&titles) && text.matches(&titles).count() == 1, "{name}: {text}");
            let seen = new();
            assert!(seen.contains("web-3") && seen.contains("web-4"), "{name}: {seen}");
            assert_eq!(table.rows(), 4, "{name}");
        }
    }

    #[test]
    fn another_table_that_took_the_name_is_left_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pod_metrics.csv");
        let mut table = TableFile::open(&path, &[]).unwrap();
        fs::write(&path, "a,b\n").unwrap();
        assert!(matches!(table.write(&[row("web-1")]), Err(Error::BadFile { .. })));
        assert_eq!(fs::read_to_string(&path).unwrap(), "a,b\n");
    }

    #[cfg(unix)]
    #[test]
    fn what_has_no_length_is_written_on() {
        let mut table = TableFile::open(Path::new("/dev/null"), &[]).unwrap();
        assert_eq!(table.write(&[row("web-1")]).unwrap(), None);
        assert_eq!(table.write(&[row("web-1")]).unwrap(), None);
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
