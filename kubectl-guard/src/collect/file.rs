//! The table that is collected into: a new one, or one that is gone on with.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, BufWriter};
use std::path::{Path, PathBuf};

use guard_model::table::{COLUMNS, Row, Writer};

use crate::error::Error;
use crate::sanitise;

/// A table that grows by whole lines.
pub struct TableFile {
    path: PathBuf,
    writer: Box<Writer<BufWriter<File>>>,
    rows: usize,
}

impl TableFile {
    /// Begins the table with these columns of the user's own, or goes on with the one that is there.
    ///
    /// # Errors
    /// If it cannot be written, or what is there has other columns.
    pub fn open(path: &Path, own: &[&str]) -> Result<Self, Error> {
        let writer = match titles(path).map_err(|source| unwritable(path, source))? {
            None => Writer::new(BufWriter::new(append(path)?), own)
                .map_err(|error| unwritable(path, io::Error::other(error)))?,
            Some(titles) if titles == [&COLUMNS[..], own].concat().join(",") => {
                Writer::resume(BufWriter::new(append(path)?), own)
            }
            Some(_) => {
                let problem = "the file is there already, with other columns".to_owned();
                let hint = "name another file with --output-file, or move this one away".to_owned();
                return Err(Error::BadFile { path: path.to_owned(), problem, hint });
            }
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

/// The first line of a table that is there; `None` if there is none, or it is empty.
fn titles(path: &Path) -> io::Result<Option<String>> {
    let mut line = String::new();
    match File::open(path) {
        Ok(file) => BufReader::new(file).read_line(&mut line)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
        Err(error) => return Err(error),
    };
    Ok((!line.is_empty()).then(|| line.trim_end().to_owned()))
}

fn append(path: &Path) -> Result<File, Error> {
    OpenOptions::new().append(true).create(true).open(path).map_err(|source| unwritable(path, source))
}

/// The words for a file that cannot be written.
pub fn unwritable(path: &Path, source: io::Error) -> Error {
    Error::Io { doing: sanitise::line(&format!("write {}", path.display())), source }
}
