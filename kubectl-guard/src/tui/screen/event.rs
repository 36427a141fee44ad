//! What happens to the screen, and what it asks for.

use crate::desk::{Asked, Look, Shown};
use crate::exit::Exit;
use crate::plan::TargetName;
use crate::tui::keys::Key;
use crate::tui::snapshot::Snapshot;

/// What happens to the screen.
#[derive(Clone, Debug)]
pub enum Event {
    /// A key was pressed.
    Key(Key),
    /// It has these columns and lines now.
    Size(u16, u16),
    /// There is something new.
    News(Box<News>),
}

/// Something new.
#[derive(Clone, Debug)]
pub enum News {
    /// What there is to show now.
    Seen(Snapshot),
    /// What came of the look that was asked for with this number.
    Looked(u64, Result<Look, String>),
    /// A line about the plan that is being carried out.
    Said(String),
    /// What carrying it out came to.
    Ended(Result<Exit, String>),
    /// A line for the person, such as what came of a pause.
    Told(String),
}

/// What is asked for, of whoever can do it.
#[derive(Clone, Debug, PartialEq)]
pub enum Intent {
    /// A plan for this target; the answer carries the number.
    Look {
        /// Its number.
        number: u64,
        /// The namespace.
        namespace: String,
        /// The target.
        target: TargetName,
        /// What is proposed for it, where that is not left to the evidence.
        asked: Option<Asked>,
    },
    /// To carry out what was shown; this name was typed for it.
    CarryOut {
        /// The plan as it was shown.
        shown: Box<Shown>,
        /// What was typed.
        typed: String,
    },
    /// To put the proposal for this target aside.
    Decline {
        /// Its namespace.
        namespace: String,
        /// Its target.
        target: String,
    },
    /// To let all parts of the run wait.
    Pause,
    /// To let them go on.
    Resume,
    /// To end.
    Quit,
    /// To end as by ^C.
    Interrupt,
    /// To stop, until the shell says otherwise.
    Suspend,
}

/// What is being typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Typing {
    /// A filter; what it was before.
    Filter(String),
    /// The name that approves a plan, so far.
    Name(String),
}

/// What a yes is waited for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    /// To end while a plan is being carried out.
    Quit,
    /// To decline the proposal for a target of a namespace.
    Decline {
        /// The namespace.
        namespace: String,
        /// The target.
        target: String,
    },
}

impl Question {
    /// Its words.
    pub fn words(&self) -> String {
        match self {
            Question::Quit => "A plan is being carried out: it gets 4 s to end, then fix --resume. Quit? (y/n)".into(),
            Question::Decline { target, .. } => {
                format!(
                    "Decline the plan for {target}? It comes back when {target} has recovered and fails anew. (y/n)"
                )
            }
        }
    }
}
