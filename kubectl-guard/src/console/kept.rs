//! A console whose text is kept in memory, for a screen that owns the terminal meanwhile.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

use super::{Console, Stream};

/// The oldest lines make room.
const MOST: usize = 1000;
/// A line that never ends is broken here.
const LONGEST: usize = 4096;

/// The latest lines that were written to a console, oldest first.
#[derive(Clone, Debug, Default)]
pub struct Kept(Arc<Mutex<Lines>>);

#[derive(Debug, Default)]
struct Lines {
    whole: VecDeque<String>,
    begun: Vec<u8>,
    /// How many lines there were in all: whoever shows them sees by it that there are new ones.
    count: u64,
}

impl Kept {
    /// How many lines were written since the beginning.
    pub fn count(&self) -> u64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).count
    }

    /// The lines, oldest first.
    pub fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).whole.iter().cloned().collect()
    }
}

impl Lines {
    fn end(&mut self) {
        let line = String::from_utf8_lossy(&self.begun).into_owned();
        self.begun.clear();
        self.whole.push_back(line);
        self.count += 1;
        if self.whole.len() > MOST {
            self.whole.pop_front();
        }
    }
}

impl Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for byte in bytes {
            if *byte == b'\n' || lines.begun.len() >= LONGEST {
                lines.end();
            }
            if *byte != b'\n' {
                lines.begun.push(*byte);
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Console {
    /// A console that writes nothing to the terminal and asks nobody: its latest lines are kept.
    pub fn kept() -> (Self, Kept) {
        let kept = Kept::default();
        let stream = Stream { terminal: false, colour: false, columns: super::COLUMNS_WITHOUT_TERMINAL };
        let console = Self {
            stdout: Mutex::new(Box::new(kept.clone())),
            stderr: Mutex::new(Box::new(kept.clone())),
            out: stream,
            err: stream,
            asks: false,
            live: Mutex::default(),
        };
        (console, kept)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_lines_of_both_streams_are_kept_whole() {
        let (console, kept) = Console::kept();
        console.print("one, ").unwrap();
        console.line("in two pieces").unwrap();
        console.warn("two");
        assert_eq!(kept.lines(), ["one, in two pieces", "warning: two"]);
        for number in 0..MOST {
            console.note(&number.to_string());
        }
        assert_eq!((kept.lines().len(), kept.lines()[0].as_str(), kept.count()), (MOST, "0", MOST as u64 + 2));
        assert_eq!(console.ask("sure?"), None);
    }

    #[test]
    fn a_line_without_an_end_is_broken() {
        let (console, kept) = Console::kept();
        console.note(&"x".repeat(LONGEST * 2 + 1));
        assert_eq!(kept.lines().iter().map(String::len).collect::<Vec<_>>(), [LONGEST, LONGEST, 1]);
    }
}
