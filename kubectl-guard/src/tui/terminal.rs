//! The terminal: raw mode, its other screen, and the thread that draws and reads keys. Whatever ends the program but
//! SIGKILL, the terminal is as it was.

use std::io::{self, IsTerminal as _, Write as _};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, TryRecvError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::event::{
    self, DisableBracketedPaste, EnableBracketedPaste, Event as Input, KeyCode, KeyEvent, KeyEventKind, KeyModifiers,
};
use ratatui::crossterm::terminal::{EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode};
use ratatui::crossterm::{cursor, execute};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::draw::draw;
use super::keys::Key;
use super::screen::{Event, Intent, News, Screen};
use crate::error::Error;

/// What is new is seen after this time, where no key is pressed.
const PATIENCE: Duration = Duration::from_millis(100);
/// The thread ends within [`PATIENCE`], unless the terminal has gone and it reads for ever.
const TO_END: Duration = Duration::from_secs(1);

/// The two ways between the screen and those who do what it asks for.
pub struct Wires {
    /// To the screen.
    pub news: Sender<News>,
    /// From the screen; closed when it has ended.
    pub intents: UnboundedReceiver<Intent>,
}

/// A screen that is shown. The terminal is as it was when this value has gone.
pub struct Held {
    ended: Receiver<io::Result<()>>,
    up: Arc<AtomicBool>,
    fault: Arc<Mutex<Option<String>>>,
}

/// Looks whether a screen can be shown.
///
/// # Errors
/// There is no terminal, or one that cannot move its cursor.
pub fn check() -> Result<(), Error> {
    let dumb = std::env::var_os("TERM").is_none_or(|term| term.is_empty() || term == "dumb");
    if io::stdin().is_terminal() && io::stdout().is_terminal() && !dumb {
        return Ok(());
    }
    Err(Error::Usage {
        message: "--tui needs a terminal on stdin and stdout, and its name in $TERM".to_owned(),
        hint: "leave --tui out: what happens is then logged to stderr, and `kubectl guard run status` shows how it is"
            .to_owned(),
    })
}

/// Shows the screen, until the way to it is closed.
///
/// # Errors
/// The terminal refuses.
pub fn show(mut screen: Screen) -> Result<(Held, Wires), Error> {
    let failed = |source| Error::Io { doing: "use the terminal".to_owned(), source };
    let (columns, lines) = ratatui::crossterm::terminal::size().map_err(failed)?;
    // NO_COLOR counts by its presence, as everywhere.
    screen.colour = std::env::var_os("NO_COLOR").is_none();
    screen.size = (columns, lines);
    let (news, heard) = channel();
    let (said, intents) = unbounded_channel();
    let (end, ended) = channel();
    let up = Arc::new(AtomicBool::new(true));
    let fault = Arc::default();
    keep_panics(&up, &fault);
    // From here on it is put back, whatever fails.
    let held = Held { ended, up, fault };
    enter().map_err(failed)?;
    let work = move || drop(end.send(run(screen, &heard, &said)));
    std::thread::Builder::new().name("screen".to_owned()).spawn(work).map_err(failed)?;
    Ok((held, Wires { news, intents }))
}

impl Held {
    /// Why it ended by itself; `None` if it has not, or for no reason of its own.
    pub fn problem(&self) -> Option<Error> {
        let doing = "show the screen".to_owned();
        match self.ended.recv_timeout(TO_END) {
            Ok(Err(source)) => Some(Error::Io { doing, source }),
            Err(RecvTimeoutError::Disconnected) => {
                let fault = self.fault.lock().unwrap_or_else(PoisonError::into_inner).take();
                let source = io::Error::other(format!("a fault in this program: {}", fault.unwrap_or_default()));
                Some(Error::Io { doing, source })
            }
            Ok(Ok(())) | Err(RecvTimeoutError::Timeout) => None,
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // The thread ends when the way to it is closed, which its owner has done by now.
        drop(self.ended.recv_timeout(TO_END));
        // Nothing more can be done if the terminal has gone.
        drop(leave());
        self.up.store(false, Ordering::SeqCst);
        if std::thread::panicking()
            && let Some(fault) = self.fault.lock().unwrap_or_else(PoisonError::into_inner).take()
        {
            drop(writeln!(io::stderr(), "{fault}"));
        }
    }
}

/// What a panic says would tear the screen: it is kept while there is one. What ends by it says it later.
fn keep_panics(up: &Arc<AtomicBool>, fault: &Arc<Mutex<Option<String>>>) {
    let (up, fault) = (Arc::clone(up), Arc::clone(fault));
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if up.load(Ordering::SeqCst) && cfg!(panic = "abort") {
            // Nothing else will put it back.
            drop(leave());
            before(panic);
        } else if up.load(Ordering::SeqCst) {
            *fault.lock().unwrap_or_else(PoisonError::into_inner) = Some(panic.to_string());
        } else {
            before(panic);
        }
    }));
}

fn enter() -> io::Result<()> {
    enable_raw_mode()?;
    execute!(io::stdout(), EnterAlternateScreen, EnableBracketedPaste, cursor::Hide)
}

fn leave() -> io::Result<()> {
    let screen = execute!(io::stdout(), cursor::Show, DisableBracketedPaste, LeaveAlternateScreen);
    disable_raw_mode().and(screen)
}

/// Draws, and takes keys and news, until the way of either is closed.
fn run(mut screen: Screen, news: &Receiver<News>, intents: &UnboundedSender<Intent>) -> io::Result<()> {
    let mut terminal = Terminal::new(CrosstermBackend::new(io::stdout()))?;
    loop {
        terminal.draw(|frame| draw(&screen, frame))?;
        for event in next(news)? {
            let Some(event) = event else { return Ok(()) };
            let asked = screen.take(event);
            if asked == Some(Intent::Suspend) {
                suspend()?;
                terminal.clear()?;
            } else if asked.is_some_and(|intent| intents.send(intent).is_err()) {
                return Ok(());
            }
        }
    }
}

/// What happens next: keys, or news; `None` when there will be no more.
fn next(news: &Receiver<News>) -> io::Result<Vec<Option<Event>>> {
    let mut events = Vec::new();
    loop {
        if event::poll(PATIENCE)? {
            events.extend(of_input(event::read()?).map(Some));
        }
        loop {
            match news.try_recv() {
                Ok(new) => events.push(Some(Event::News(Box::new(new)))),
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) => {
                    events.push(None);
                    break;
                }
            }
        }
        if !events.is_empty() {
            return Ok(events);
        }
    }
}

/// Gives the terminal back to the shell until it continues this program.
#[cfg(unix)]
fn suspend() -> io::Result<()> {
    leave()?;
    nix::sys::signal::raise(nix::sys::signal::Signal::SIGTSTP)?;
    enter()
}

#[cfg(not(unix))]
fn suspend() -> io::Result<()> {
    Ok(())
}

fn of_input(input: Input) -> Option<Event> {
    match input {
        Input::Key(key) if key.kind != KeyEventKind::Release => of_key(key).map(Event::Key),
        Input::Paste(text) => Some(Event::Key(Key::Pasted(text))),
        Input::Resize(columns, lines) => Some(Event::Size(columns, lines)),
        _ => None,
    }
}

fn of_key(key: KeyEvent) -> Option<Key> {
    let control = key.modifiers.contains(KeyModifiers::CONTROL);
    // A chord with another modifier is none of ours: Alt-q must not quit. AltGr is Control and Alt where it is told at all.
    let other = KeyModifiers::SUPER | KeyModifiers::META | KeyModifiers::HYPER;
    let alt = key.modifiers.contains(KeyModifiers::ALT);
    if key.modifiers.intersects(other) || (alt && !control) {
        return None;
    }
    let control = control && !alt;
    Some(match key.code {
        KeyCode::Char(c) if control => Key::Ctrl(c.to_ascii_lowercase()),
        KeyCode::Char(c) => Key::Char(c),
        KeyCode::Enter => Key::Enter,
        KeyCode::Esc => Key::Esc,
        KeyCode::Tab => Key::Tab,
        KeyCode::BackTab => Key::BackTab,
        KeyCode::Backspace => Key::Backspace,
        KeyCode::Up => Key::Up,
        KeyCode::Down => Key::Down,
        KeyCode::PageUp => Key::PageUp,
        KeyCode::PageDown => Key::PageDown,
        KeyCode::Home => Key::Home,
        KeyCode::End => Key::End,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_the_terminal_are_keys_of_the_table() {
        let of = |code, modifiers| of_key(KeyEvent::new(code, modifiers));
        assert_eq!(of(KeyCode::Char('C'), KeyModifiers::CONTROL), Some(Key::Ctrl('c')));
        assert_eq!(of(KeyCode::Char('G'), KeyModifiers::SHIFT), Some(Key::Char('G')));
        assert_eq!(of(KeyCode::Char('q'), KeyModifiers::ALT), None);
        assert_eq!(of(KeyCode::PageDown, KeyModifiers::NONE), Some(Key::PageDown));
        assert_eq!(of(KeyCode::F(1), KeyModifiers::NONE), None);
        let mut release = KeyEvent::new(KeyCode::Char('q'), KeyModifiers::NONE);
        release.kind = KeyEventKind::Release;
        assert!(of_input(Input::Key(release)).is_none());
    }
}
