//! The screen of `run --tui`: pods, incidents, plans that wait, history and log, in a terminal.
//!
//! What runs -> [`watch`] -> [`snapshot`] -> [`screen`] (pure: an event in, at most one intent out) -> [`draw`] (pure). The
//! two edges: [`terminal`] has the terminal and a thread of its own, so that keys are answered while others work; [`drive`]
//! carries intents to those who can do them. A plan is approved by typing its target's name, at a [`crate::desk`].

pub mod draw;
pub mod drive;
pub mod keys;
pub mod page;
pub mod screen;
pub mod snapshot;
pub mod table;
pub mod terminal;
pub mod text;
pub mod watch;

/// What is shown as a table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum View {
    /// All pods.
    #[default]
    Pods,
    /// Anomalies that belong together.
    Incidents,
    /// Proposals that wait.
    Plans,
    /// What was proposed and done.
    History,
    /// What the parts of the run say.
    Log,
}

impl View {
    /// All of them, in the order of their keys.
    pub const ALL: [View; 5] = [View::Pods, View::Incidents, View::Plans, View::History, View::Log];

    /// Where it is among them.
    pub fn place(self) -> usize {
        self as usize
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            View::Pods => "Pods",
            View::Incidents => "Incidents",
            View::Plans => "Plans",
            View::History => "History",
            View::Log => "Log",
        }
    }
}

#[cfg(test)]
mod tests;
