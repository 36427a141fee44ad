//! The log of `run`: lines as text or JSON, to stderr or into files that are put aside when they have grown.
//!
//! A line is one `write`, so that no reader sees half of one. What cannot be logged is said once on stderr, and ends
//! nothing.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;
use serde_json::json;

use super::Part;
use crate::config::{self, Format, Level};
use crate::console::Console;
use crate::error::Error;
use crate::sanitise;

const MEGABYTE: u64 = 1 << 20;

/// Where `run` writes what it does.
pub struct Log<'a> {
    console: &'a Console,
    settings: Mutex<Settings>,
}

struct Settings {
    log: config::Log,
    /// A file that failed was said once.
    complained: bool,
}

impl<'a> Log<'a> {
    /// A log that is written as `settings` says.
    ///
    /// # Errors
    /// If the folder of its files cannot be made.
    pub fn open(console: &'a Console, settings: &config::Log) -> Result<Self, Error> {
        if let Some(folder) = &settings.folder {
            fs::create_dir_all(folder).map_err(|source| Error::Io {
                doing: sanitise::line(&format!("make the folder {}", folder.display())),
                source,
            })?;
        }
        let settings = Settings { log: settings.clone(), complained: false };
        Ok(Self { console, settings: Mutex::new(settings) })
    }

    /// Writes as `settings` says from now on; where to does not change.
    pub fn adjust(&self, settings: &config::Log) {
        let mut held = self.settings.lock().unwrap_or_else(PoisonError::into_inner);
        let folder = held.log.folder.take();
        held.log = config::Log { folder, ..settings.clone() };
    }

    /// Something that is of interest when looking for a fault.
    pub fn debug(&self, part: Part, text: &str) {
        self.write(Level::Debug, part, text);
    }

    /// Something that was done.
    pub fn info(&self, part: Part, text: &str) {
        self.write(Level::Info, part, text);
    }

    /// Something that may need a look.
    pub fn warn(&self, part: Part, text: &str) {
        self.write(Level::Warning, part, text);
    }

    /// Something that went wrong.
    pub fn error(&self, part: Part, text: &str) {
        self.write(Level::Error, part, text);
    }

    fn write(&self, level: Level, part: Part, text: &str) {
        let mut settings = self.settings.lock().unwrap_or_else(PoisonError::into_inner);
        if level < settings.log.level {
            return;
        }
        let line = line(Timestamp::now(), settings.log.format, level, part, text);
        let Some(folder) = &settings.log.folder else { return self.console.note(&line) };
        if let Err(error) = append(&folder.join(part.log_file()), &line, &settings.log)
            && !settings.complained
        {
            settings.complained = true;
            self.console.warn(&sanitise::line(&format!("the log cannot be written: {error}")));
            self.console.note(&line);
        }
    }
}

/// A line without its break.
fn line(at: Timestamp, format: Format, level: Level, part: Part, text: &str) -> String {
    let text = sanitise::line(text);
    let level = level.name();
    let part = part.name();
    match format {
        Format::Text => format!("{at:.3} {level:<7} {part:<7} {text}"),
        Format::Json => json!({ "at": format!("{at:.3}"), "level": level, "part": part, "text": text }).to_string(),
    }
}

fn append(path: &Path, line: &str, settings: &config::Log) -> io::Result<()> {
    let length = fs::metadata(path).map_or(0, |metadata| metadata.len());
    if length > 0 && length + line.len() as u64 >= settings.max_megabytes * MEGABYTE {
        rotate(path, settings.keep)?;
    }
    let mut file: File = OpenOptions::new().append(true).create(true).open(path)?;
    file.write_all(format!("{line}\n").as_bytes())
}

/// `x.log` becomes `x.log.1`, that `x.log.2`, and so on; the oldest makes room.
fn rotate(path: &Path, keep: u64) -> io::Result<()> {
    let aside = |number: u64| -> PathBuf {
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".{number}"));
        name.into()
    };
    for number in (1..keep).rev() {
        match fs::rename(aside(number), aside(number + 1)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    fs::rename(path, aside(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::console::capture::console;

    fn settings(folder: Option<PathBuf>, format: Format) -> config::Log {
        config::Log { level: Level::Info, format, folder, max_megabytes: 1, keep: 2 }
    }

    #[test]
    fn lines_look_the_same_to_people_and_to_programs() {
        let at: Timestamp = "2026-11-23T10:00:00.5Z".parse().unwrap();
        let of = |format| line(at, format, Level::Warning, Part::Collect, "node \"a\"\n\u{1b}[31mred");
        insta::assert_snapshot!(of(Format::Text), @r#"2026-11-23T10:00:00.500Z warning collect node "a" red"#);
        insta::assert_snapshot!(of(Format::Json), @r#"{"at":"2026-11-23T10:00:00.500Z","level":"warning","part":"collect","text":"node \"a\" red"}"#);
    }

    #[test]
    fn what_is_below_the_level_is_left_out() {
        let (console, streams) = console(80);
        let log = Log::open(&console, &settings(None, Format::Text)).unwrap();
        log.debug(Part::Propose, "below");
        log.info(Part::Propose, "above");
        let written = streams.err.text();
        assert!(written.contains("above") && !written.contains("below"), "{written}");
        log.adjust(&config::Log { level: Level::Error, ..settings(None, Format::Text) });
        log.warn(Part::Propose, "quiet");
        assert!(!streams.err.text().contains("quiet"));
    }

    #[test]
    fn a_file_that_has_grown_is_put_aside_and_only_so_many_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let (console, _) = console(80);
        let log = Log::open(&console, &settings(Some(folder.path().join("logs")), Format::Json)).unwrap();
        let text = "x".repeat(500);
        for _ in 0..6500 {
            log.error(Part::Score, &text);
        }
        let mut names: Vec<String> = fs::read_dir(folder.path().join("logs"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        let name = "dataset_generator_agent.log";
        assert_eq!(names, [name.to_owned(), format!("{name}.1"), format!("{name}.2")]);
        for name in names {
            let path = folder.path().join("logs").join(name);
            assert!(fs::metadata(&path).unwrap().len() < MEGABYTE);
            for line in fs::read_to_string(&path).unwrap().lines() {
                serde_json::from_str::<serde_json::Value>(line).unwrap();
            }
        }
    }
}
