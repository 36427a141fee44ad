//! The keys: one table, from which they are read, tested and shown in the help.

use super::View;

/// A key as it was pressed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Key {
    /// A letter, digit or sign.
    Char(char),
    /// One with Control.
    Ctrl(char),
    /// Enter.
    Enter,
    /// Escape.
    Esc,
    /// Tab.
    Tab,
    /// Tab with Shift.
    BackTab,
    /// Backspace.
    Backspace,
    /// Arrow up.
    Up,
    /// Arrow down.
    Down,
    /// Page up.
    PageUp,
    /// Page down.
    PageDown,
    /// Home.
    Home,
    /// End.
    End,
    /// A text that was pasted as a whole: it never stands for other keys.
    Pasted(String),
}

/// What a key asks for, where nothing is being typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// The next line.
    Down,
    /// The one before.
    Up,
    /// As many lines on as are shown.
    PageDown,
    /// As many back.
    PageUp,
    /// The first line.
    First,
    /// The last line.
    Last,
    /// A view.
    Show(View),
    /// The view after this one.
    Next,
    /// The view before this one.
    Previous,
    /// What is selected, in depth.
    Open,
    /// What was open before.
    Back,
    /// Only the lines that hold a text.
    Filter,
    /// Another order.
    Sort,
    /// The plan for what is selected; then, to approve it.
    Fix,
    /// To put a proposal aside.
    Decline,
    /// To let all parts wait, or go on.
    Pause,
    /// These keys.
    Help,
    /// To end.
    Quit,
    /// ^C.
    Interrupt,
    /// ^Z.
    Suspend,
}

/// Keys that ask for the same, and the words for it.
#[derive(Clone, Copy, Debug)]
pub struct Binding {
    /// The keys.
    pub keys: &'static [Key],
    /// What they ask for.
    pub command: Command,
    /// The keys in words.
    pub shown: &'static str,
    /// What is asked for in words.
    pub does: &'static str,
}

const fn of(keys: &'static [Key], command: Command, shown: &'static str, does: &'static str) -> Binding {
    Binding { keys, command, shown, does }
}

/// All keys, in the order of the help.
pub const BINDINGS: [Binding; 24] = [
    of(&[Key::Char('j'), Key::Down], Command::Down, "j  Down", "next line"),
    of(&[Key::Char('k'), Key::Up], Command::Up, "k  Up", "line before"),
    of(&[Key::PageDown, Key::Ctrl('f'), Key::Char(' ')], Command::PageDown, "PgDn  ^F", "page on"),
    of(&[Key::PageUp, Key::Ctrl('b')], Command::PageUp, "PgUp  ^B", "page back"),
    of(&[Key::Char('g'), Key::Home], Command::First, "g  Home", "first line"),
    of(&[Key::Char('G'), Key::End], Command::Last, "G  End", "last line"),
    of(&[Key::Char('1')], Command::Show(View::Pods), "1", "pods"),
    of(&[Key::Char('2')], Command::Show(View::Incidents), "2", "incidents"),
    of(&[Key::Char('3')], Command::Show(View::Plans), "3", "plans that wait for you"),
    of(&[Key::Char('4')], Command::Show(View::History), "4", "history"),
    of(&[Key::Char('5')], Command::Show(View::Log), "5", "log of this run"),
    of(&[Key::Tab], Command::Next, "Tab", "next view"),
    of(&[Key::BackTab], Command::Previous, "Shift-Tab", "view before"),
    of(&[Key::Enter], Command::Open, "Enter", "open"),
    of(&[Key::Esc], Command::Back, "Esc", "back; drop the filter"),
    of(&[Key::Char('/')], Command::Filter, "/", "only lines that hold a text"),
    of(&[Key::Char('s')], Command::Sort, "s", "another order"),
    of(&[Key::Char('f'), Key::Char('a')], Command::Fix, "f  a", "show the fix; there, approve it"),
    of(&[Key::Char('d')], Command::Decline, "d", "decline the plan"),
    of(&[Key::Char('p')], Command::Pause, "p", "pause this run, or resume it"),
    of(&[Key::Char('?'), Key::Char('h')], Command::Help, "?", "these keys"),
    of(&[Key::Char('q')], Command::Quit, "q", "quit"),
    of(&[Key::Ctrl('c')], Command::Interrupt, "^C", "interrupt (exit code 130)"),
    of(&[Key::Ctrl('z')], Command::Suspend, "^Z", "suspend; fg comes back"),
];

/// What a key asks for; `None` if nothing.
pub fn command(key: &Key) -> Option<Command> {
    BINDINGS.iter().find(|binding| binding.keys.contains(key)).map(|binding| binding.command)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_key_asks_for_two_things() {
        let all: Vec<&Key> = BINDINGS.iter().flat_map(|binding| binding.keys).collect();
        for (place, key) in all.iter().enumerate() {
            assert!(!all[..place].contains(key), "{key:?}");
        }
    }
}
