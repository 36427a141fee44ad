//! The only owner of stdout, stderr and the terminal.
//!
//! Data goes to stdout, everything else (warnings, notes, progress, questions) to stderr. If the reader of stdout has
//! gone, [`Error::OutputClosed`] ends the command with exit code 0; stderr never fails a command.

use std::io::{self, BufRead as _, IsTerminal as _, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressDrawTarget};

use crate::error::Error;
use crate::exit::Exit;

mod kept;
mod live;
mod progress;

pub use kept::Kept;
pub use live::Live;
pub use progress::Progress;

/// Columns of an output that is no terminal: wide enough for a log, and the same everywhere.
const COLUMNS_WITHOUT_TERMINAL: usize = 160;

/// From this `-v` level on, requests are shown.
pub const TRACE_REQUESTS_FROM: u8 = 6;

/// A way to make text stand out; never the only carrier of a meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Paint {
    /// Critical.
    Red,
    /// Warning.
    Yellow,
    /// Good, or added.
    Green,
    /// Headings.
    Bold,
    /// Of less interest.
    Dim,
}

impl Paint {
    fn code(self) -> &'static str {
        match self {
            Paint::Red => "31",
            Paint::Yellow => "33",
            Paint::Green => "32",
            Paint::Bold => "1",
            Paint::Dim => "2",
        }
    }
}

/// Where text for people goes.
pub struct Console {
    stdout: Mutex<Box<dyn Write + Send>>,
    stderr: Mutex<Box<dyn Write + Send>>,
    out: Stream,
    err: Stream,
    asks: bool,
    /// What stands at the foot of stderr: lines go above it.
    live: Mutex<Option<MultiProgress>>,
}

/// What one of the two streams can do.
#[derive(Clone, Copy, Debug)]
struct Stream {
    terminal: bool,
    colour: bool,
    columns: usize,
}

impl Stream {
    fn of(terminal: bool) -> Self {
        // NO_COLOR counts by its presence, as in kubectl: even an empty one.
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let colour = terminal && !dumb && std::env::var_os("NO_COLOR").is_none();
        let size = terminal_size::terminal_size().filter(|_| terminal);
        let columns = size.map_or(COLUMNS_WITHOUT_TERMINAL, |(width, _)| usize::from(width.0.max(20)));
        Self { terminal, colour, columns }
    }
}

impl Console {
    /// The console of this process.
    pub fn of_process() -> Self {
        Self {
            stdout: Mutex::new(Box::new(io::stdout())),
            stderr: Mutex::new(Box::new(io::stderr())),
            out: Stream::of(io::stdout().is_terminal()),
            err: Stream::of(io::stderr().is_terminal()),
            asks: io::stdin().is_terminal() && io::stderr().is_terminal(),
            live: Mutex::default(),
        }
    }

    /// A console without a terminal, colours or anybody to ask: each line for people goes to `said`, data goes nowhere.
    pub fn saying(said: impl Fn(&str) + Send + 'static) -> Self {
        let stream = Stream { terminal: false, colour: false, columns: COLUMNS_WITHOUT_TERMINAL };
        let lines = Lines { said: Box::new(said), begun: Vec::new() };
        Self {
            stdout: Mutex::new(Box::new(io::sink())),
            stderr: Mutex::new(Box::new(lines)),
            out: stream,
            err: stream,
            asks: false,
            live: Mutex::default(),
        }
    }

    /// Writes data to stdout as it is.
    ///
    /// # Errors
    /// [`Error::OutputClosed`] if the reader has gone; [`Error::Io`] if it cannot be written, as on a full disk.
    pub fn print(&self, text: &str) -> Result<(), Error> {
        let mut stdout = lock(&self.stdout);
        stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).map_err(|source| match source.kind() {
            io::ErrorKind::BrokenPipe => Error::OutputClosed,
            _ => Error::Io { doing: "write the output".into(), source },
        })
    }

    /// Writes a line of data to stdout.
    ///
    /// # Errors
    /// As [`Self::print`].
    pub fn line(&self, text: &str) -> Result<(), Error> {
        self.print(&format!("{text}\n"))
    }

    /// Writes a line to stderr. It cannot fail: there is nowhere left to complain.
    pub fn note(&self, text: &str) {
        let say = || drop(writeln!(lock(&self.stderr), "{text}"));
        let live = lock(&self.live).clone();
        match live {
            Some(live) => live.suspend(say),
            None => say(),
        }
    }

    /// Writes a warning to stderr.
    pub fn warn(&self, text: &str) {
        self.note(&format!("{} {text}", self.paint_err(Paint::Yellow, "warning:")));
    }

    /// Writes an error and its hint to stderr; nothing if the reader of the output has only gone away.
    pub fn error(&self, error: &Error) {
        if !matches!(error, Error::OutputClosed) {
            self.note(&error.shown());
        }
    }

    /// The text in a colour, if stdout shows colours.
    pub fn paint(&self, paint: Paint, text: &str) -> String {
        painted(self.out.colour, paint, text)
    }

    /// The text in a colour, if stderr shows colours.
    pub fn paint_err(&self, paint: Paint, text: &str) -> String {
        painted(self.err.colour, paint, text)
    }

    /// Columns of stdout.
    pub fn columns(&self) -> usize {
        self.out.columns
    }

    /// True if stdout shows colours.
    pub fn colour(&self) -> bool {
        self.out.colour
    }

    /// True if stdout is a terminal.
    pub fn is_terminal(&self) -> bool {
        self.out.terminal
    }

    /// True if there is a person to ask.
    pub fn can_ask(&self) -> bool {
        self.asks
    }

    /// Asks on stderr and reads one line from the terminal; `None` if there is nobody to ask or the input ends.
    pub fn ask(&self, question: &str) -> Option<String> {
        if !self.asks {
            return None;
        }
        {
            let mut stderr = lock(&self.stderr);
            drop(write!(stderr, "{question} ").and_then(|()| stderr.flush()));
        }
        let mut answer = String::new();
        match io::stdin().lock().read_line(&mut answer) {
            Ok(n) if n > 0 => Some(answer.trim().to_owned()),
            _ => None,
        }
    }

    /// Clears the screen of a terminal, for a view that redraws itself.
    ///
    /// # Errors
    /// As [`Self::print`].
    pub fn clear(&self) -> Result<(), Error> {
        if self.out.terminal { self.print("\u{1b}[H\u{1b}[2J") } else { Ok(()) }
    }

    /// A progress bar on stderr that shows itself after `patience`, and only on a terminal.
    pub fn progress(&self, steps: usize, what: &str, patience: Duration) -> Progress {
        Progress::new(self.err.terminal.then_some(patience), steps, what)
    }

    /// A table on stderr of what is under way, if it is a terminal; `noun` is the head of the column of names.
    pub fn live<'n>(&self, noun: &'n str, names: impl Iterator<Item = &'n str>) -> Live<'_> {
        Live::new(self, self.err.terminal.then(ProgressDrawTarget::stderr), lines, noun, names)
    }

    /// Shows what clap has to say: help and version on stdout, complaints on stderr.
    ///
    /// # Errors
    /// As [`Self::print`].
    pub fn clap(&self, error: &clap::Error) -> Result<Exit, Error> {
        let text = error.render();
        if error.use_stderr() {
            let text = if self.err.colour { text.ansi().to_string() } else { text.to_string() };
            self.note(text.trim_end());
            return Ok(Exit::Usage);
        }
        self.print(&if self.out.colour { text.ansi().to_string() } else { text.to_string() })?;
        Ok(Exit::Done)
    }
}

/// Lines of the terminal as it is now; those of the smallest that there is where it does not say.
fn lines() -> usize {
    terminal_size::terminal_size().map_or(24, |(_, height)| usize::from(height.0))
}

/// Hands on what is written, line by line.
struct Lines {
    said: Box<dyn Fn(&str) + Send>,
    begun: Vec<u8>,
}

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.begun.extend_from_slice(bytes);
        while let Some(end) = self.begun.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.begun.drain(..=end).collect();
            (self.said)(String::from_utf8_lossy(&line[..end]).as_ref());
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn painted(colour: bool, paint: Paint, text: &str) -> String {
    if colour { format!("\u{1b}[{}m{text}\u{1b}[0m", paint.code()) } else { text.to_owned() }
}

/// A thread that panicked while printing leaves a usable stream behind.
fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Shows each request (method, URL, status; never headers) on stderr.
pub fn trace_requests() {
    let subscriber = tracing_subscriber::fmt()
        .with_writer(io::stderr)
        .with_ansi(false)
        .with_env_filter(tracing_subscriber::EnvFilter::new("kube_client=debug"))
        .finish();
    // A second call changes nothing; the first one stays.
    drop(tracing_subscriber::util::SubscriberInitExt::try_init(subscriber));
}

#[cfg(test)]
pub(crate) mod capture {
    //! A console that keeps what it is given.

    use std::sync::Arc;

    use super::*;

    /// What was written to the two streams.
    #[derive(Clone, Default)]
    pub(crate) struct Captured {
        pub(crate) out: Buffer,
        pub(crate) err: Buffer,
    }

    #[derive(Clone, Default)]
    pub(crate) struct Buffer(Arc<Mutex<Vec<u8>>>);

    impl Buffer {
        pub(crate) fn text(&self) -> String {
            String::from_utf8(lock(&self.0).clone()).unwrap()
        }
    }

    impl Write for Buffer {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            lock(&self.0).write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// No terminal, no colour, nobody to ask.
    pub(crate) fn console(columns: usize) -> (Console, Captured) {
        let captured = Captured::default();
        let stream = Stream { terminal: false, colour: false, columns };
        let console = Console {
            stdout: Mutex::new(Box::new(captured.out.clone())),
            stderr: Mutex::new(Box::new(captured.err.clone())),
            out: stream,
            err: stream,
            asks: false,
            live: Mutex::default(),
        };
        (console, captured)
    }

    /// A terminal: both streams on one screen, `out`.
    pub(crate) fn terminal(columns: usize) -> (Console, Captured) {
        let (mut console, captured) = console(columns);
        console.stderr = Mutex::new(Box::new(captured.out.clone()));
        (console.out.terminal, console.err.terminal) = (true, true);
        (console, captured)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Closed;

    impl Write for Closed {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_reader_that_has_gone_ends_the_command_without_an_error() {
        let (mut console, captured) = capture::console(80);
        console.stdout = Mutex::new(Box::new(Closed));
        let error = console.line("x").unwrap_err();
        assert_eq!(error.process_exit_code(), Exit::Done);
        console.error(&error);
        assert_eq!(captured.err.text(), "");
    }

    #[test]
    fn a_closed_stderr_is_survived() {
        let (mut console, _) = capture::console(80);
        console.stderr = Mutex::new(Box::new(Closed));
        console.warn("x");
    }

    #[test]
    fn data_and_words_go_their_own_ways() {
        let (console, captured) = capture::console(80);
        console.line("data").unwrap();
        console.warn("careful");
        assert_eq!((captured.out.text().as_str(), captured.err.text().as_str()), ("data\n", "warning: careful\n"));
    }

    #[test]
    fn lines_are_handed_on_whole() {
        let (send, receive) = std::sync::mpsc::channel();
        let console = Console::saying(move |line| drop(send.send(line.to_owned())));
        console.warn("careful");
        console.note("one\ntwo");
        console.line("data").unwrap();
        drop(console);
        assert_eq!(receive.iter().collect::<Vec<_>>(), ["warning: careful", "one", "two"]);
    }

    #[test]
    fn nobody_is_asked_without_a_terminal() {
        let (console, captured) = capture::console(80);
        assert_eq!(console.ask("sure?"), None);
        assert_eq!(captured.err.text(), "");
    }
}
