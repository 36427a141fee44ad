//! What a pod does by habit is no news.

use crate::words;

/// Why a level is no news.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Habit {
    /// The pod has been there for long.
    Always,
    /// It was never seen elsewhere: whatever brought it there, it was before it was watched.
    SinceFirstSeen,
    /// It is starting.
    WhileStarting,
    /// It came back at equal intervals of this many seconds, no worse than before.
    Every(u32),
    /// It is there to do one piece of work and end: that takes what it may.
    Batch,
}

impl Habit {
    /// As what follows a comma.
    pub(crate) fn words(self) -> String {
        match self {
            Habit::Always => "as always".to_owned(),
            Habit::SinceFirstSeen => "as ever since it was first seen".to_owned(),
            Habit::WhileStarting => "while it starts".to_owned(),
            Habit::Every(seconds) => format!("as every {}", words::duration(f64::from(seconds))),
            Habit::Batch => "as batch work may".to_owned(),
        }
    }
}
