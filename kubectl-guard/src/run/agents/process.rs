//! A program as a process of its own: what it gets, what it may write, and its end.

use std::ffi::OsString;
use std::process::Stdio;

use tokio::io::{self, AsyncBufReadExt as _, AsyncRead, BufReader};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::time::{Duration, Instant};

use crate::config::Program;
use crate::sanitise;

/// All of the environment that it gets. Tokens and keys are in none of these, and a file that one of them names is not.
const VARIABLES: [&str; 3] = ["PATH", "HOME", "LANG"];
/// A line that is longer says nothing.
pub(super) const LONGEST_LINE: usize = 16 << 10;
/// Lines of one minute that are heard.
pub(super) const MOST_LINES: u32 = 60;
/// Who writes more within a minute is ended.
const MOST_BYTES: usize = 1 << 20;
const MINUTE: Duration = Duration::from_mins(1);

/// A program that runs. It ends with this value, and with it all that it started.
#[derive(Debug)]
pub(super) struct Process {
    child: Child,
    #[cfg(unix)]
    group: Option<nix::unistd::Pid>,
}

/// What it reads and writes.
#[derive(Debug)]
pub(super) struct Streams {
    pub(super) stdin: ChildStdin,
    pub(super) stdout: ChildStdout,
    pub(super) stderr: ChildStderr,
}

impl Process {
    /// Starts it, with what of the environment it may see.
    ///
    /// # Errors
    /// In words, if it cannot be started.
    pub(super) fn start(
        program: &Program,
        environment: impl Fn(&str) -> Option<OsString>,
    ) -> Result<(Self, Streams), String> {
        let (name, arguments) = program.command.split_first().ok_or("it has no command")?;
        let mut command = Command::new(name);
        command.args(arguments).env_clear();
        command.envs(VARIABLES.iter().filter_map(|name| Some((name, environment(name)?))));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        if let Some(folder) = &program.folder {
            command.current_dir(folder);
        }
        #[cfg(unix)]
        command.process_group(0);
        let mut child =
            command.spawn().map_err(|error| sanitise::line(&format!("{name} cannot be started: {error}")))?;
        let streams = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let process = Self {
            #[cfg(unix)]
            group: child.id().and_then(|id| i32::try_from(id).ok()).map(nix::unistd::Pid::from_raw),
            child,
        };
        let (Some(stdin), Some(stdout), Some(stderr)) = streams else {
            return Err(format!("{} has no pipes", sanitise::line(name)));
        };
        Ok((process, Streams { stdin, stdout, stderr }))
    }

    /// Its number, for words.
    pub(super) fn id(&self) -> String {
        self.child.id().map_or_else(|| "unknown".to_owned(), |id| id.to_string())
    }

    /// Ends it, and says how it had ended if it had.
    pub(super) async fn end(mut self) -> String {
        self.end_group();
        match self.child.wait().await {
            Ok(status) => match status.code() {
                Some(code) => format!("it ended with exit code {code}"),
                None => "it closed its output, and was ended".to_owned(),
            },
            Err(error) => format!("it cannot be waited for: {error}"),
        }
    }

    /// Ends all processes of its group. It has not been waited for: its number is nobody else's yet.
    #[cfg(unix)]
    fn end_group(&mut self) {
        if let Some(group) = self.group.take() {
            // Whoever has gone already needs no end.
            nix::sys::signal::killpg(group, nix::sys::signal::Signal::SIGKILL).ok();
        }
    }

    #[cfg(not(unix))]
    fn end_group(&mut self) {
        drop(self.child.start_kill());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end_group();
    }
}

/// A line that it wrote.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// Without its break.
    Text(Vec<u8>),
    /// It was too long, and was not kept: so many bytes.
    TooLong(usize),
}

/// Lines of a stream, never more than one of them in memory.
pub(super) struct Lines<R> {
    from: BufReader<R>,
    held: Vec<u8>,
    length: usize,
}

impl<R: AsyncRead + Unpin> Lines<R> {
    pub(super) fn of(from: R) -> Self {
        Self { from: BufReader::new(from), held: Vec::new(), length: 0 }
    }

    /// The next line; `None` at the end. Nothing is lost if it is dropped while it waits.
    pub(super) async fn next(&mut self) -> io::Result<Option<Line>> {
        loop {
            let bytes = self.from.fill_buf().await?;
            let at_end = bytes.is_empty();
            let line_break = bytes.iter().position(|byte| *byte == b'\n');
            let part = &bytes[..line_break.unwrap_or(bytes.len())];
            self.length += part.len();
            if self.length <= LONGEST_LINE {
                self.held.extend_from_slice(part);
            }
            let used = part.len() + usize::from(line_break.is_some());
            self.from.consume(used);
            // One that never ends has to be told of as well.
            if line_break.is_some() || (at_end && self.length > 0) || self.length > MOST_BYTES {
                let (held, length) = (std::mem::take(&mut self.held), std::mem::take(&mut self.length));
                return Ok(Some(if length > LONGEST_LINE { Line::TooLong(length) } else { Line::Text(held) }));
            }
            if at_end {
                return Ok(None);
            }
        }
    }
}

/// How much was written in this minute.
#[derive(Debug, Default)]
pub(super) struct Rate {
    since: Option<Instant>,
    lines: u32,
    bytes: usize,
}

impl Rate {
    /// Counts a line.
    ///
    /// # Errors
    /// In words, if that is far too much.
    pub(super) fn take(&mut self, line: &Line) -> Result<(), String> {
        let now = Instant::now();
        if self.since.is_none_or(|since| now.duration_since(since) >= MINUTE) {
            *self = Self { since: Some(now), ..Self::default() };
        }
        self.lines = self.lines.saturating_add(1);
        self.bytes += match line {
            Line::Text(text) => text.len() + 1,
            Line::TooLong(length) => *length,
        };
        if self.bytes > MOST_BYTES {
            return Err(format!("it wrote more than {} kB within a minute, and was ended", MOST_BYTES >> 10));
        }
        Ok(())
    }

    /// Whether the line that was counted last is heard; `None` if it was said already that it is not.
    pub(super) fn keeps(&self) -> Option<bool> {
        match self.lines {
            lines if lines <= MOST_LINES => Some(true),
            lines if lines == MOST_LINES + 1 => Some(false),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn lines(bytes: &[u8]) -> Vec<Line> {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let (mut lines, mut all) = (Lines::of(bytes), Vec::new());
            while let Some(line) = lines.next().await.unwrap() {
                all.push(line);
            }
            all
        })
    }

    #[test]
    fn a_line_that_is_too_long_is_not_kept_and_ends_where_it_ends() {
        let long = "x".repeat(LONGEST_LINE + 1);
        let text = |text: &str| Line::Text(text.into());
        let expected = [text("a"), Line::TooLong(LONGEST_LINE + 1), text(""), text("b")];
        assert_eq!(lines(format!("a\n{long}\n\nb").as_bytes()), expected);
        assert_eq!(lines(&vec![b'x'; LONGEST_LINE]), [Line::Text(vec![b'x'; LONGEST_LINE])]);
    }

    proptest! {
        #[test]
        fn lines_are_those_of_the_text(parts in proptest::collection::vec("[a-z]{0,30000}", 0..5)) {
            let text: String = parts.iter().flat_map(|part| [part.as_str(), "\n"]).collect();
            let kept = |part: &String| match part.len() {
                length if length > LONGEST_LINE => Line::TooLong(length),
                _ => Line::Text(part.clone().into_bytes()),
            };
            prop_assert_eq!(lines(text.as_bytes()), parts.iter().map(kept).collect::<Vec<_>>());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_minute_has_so_many_lines_and_bytes() {
        let line = Line::Text(b"x".to_vec());
        let mut rate = Rate::default();
        let mut kept = Vec::new();
        for _ in 0..MOST_LINES + 3 {
            rate.take(&line).unwrap();
            kept.push(rate.keeps());
        }
        assert_eq!(kept.iter().filter(|kept| **kept == Some(true)).count(), MOST_LINES as usize);
        assert_eq!(kept[MOST_LINES as usize..], [Some(false), None, None]);
        tokio::time::advance(MINUTE).await;
        rate.take(&line).unwrap();
        assert_eq!(rate.keeps(), Some(true));
        let much = rate.take(&Line::TooLong(MOST_BYTES)).unwrap_err();
        assert_eq!(much, "it wrote more than 1024 kB within a minute, and was ended");
    }
}
