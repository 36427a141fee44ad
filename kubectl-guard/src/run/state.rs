//! How `run` is: each part, what was counted, and the proposals that wait.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Part;
pub use crate::desk::{Queue, Waiting};

/// How a part is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "is")]
pub enum Being {
    /// It works.
    Running,
    /// It failed, and is tried again.
    Restarting {
        /// Why it failed.
        why: String,
        /// When it is tried again.
        at: Timestamp,
    },
    /// It waits to be resumed.
    Paused,
    /// It has ended.
    Ended,
}

/// A part, and what it did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartState {
    /// How it is.
    #[serde(flatten)]
    pub being: Being,
    /// How often it was restarted after a failure.
    pub restarts: u64,
    /// What it did last, in words.
    pub last: Option<String>,
    /// When that was.
    pub last_at: Option<Timestamp>,
}

/// Everything there is to show.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// When the program started.
    pub started: Timestamp,
    /// The process.
    pub pid: u32,
    /// The parts that run.
    pub parts: BTreeMap<Part, PartState>,
    /// Pods over their line.
    pub anomalous: u64,
    /// Proposals that wait.
    pub proposals: Vec<Waiting>,
}

/// The state, as the parts change it.
pub struct Shown {
    state: Mutex<State>,
    queue: Queue,
}

impl Shown {
    /// Nothing runs yet.
    pub fn new(now: Timestamp) -> Self {
        let pid = std::process::id();
        let state = State { started: now, pid, parts: BTreeMap::new(), anomalous: 0, proposals: Vec::new() };
        Self { state: Mutex::new(state), queue: Queue::default() }
    }

    /// The state of this moment.
    pub fn now(&self) -> State {
        State { proposals: self.queue.waiting(), ..self.lock().clone() }
    }

    /// The proposals that wait, for whoever shows and whoever declines them.
    pub fn queue(&self) -> &Queue {
        &self.queue
    }

    /// Says how a part is.
    pub fn set(&self, part: Part, being: Being) {
        let mut state = self.lock();
        let part = state.parts.entry(part).or_insert_with(PartState::new);
        part.restarts += u64::from(matches!(being, Being::Restarting { .. }));
        part.being = being;
    }

    /// Says what a part did.
    pub fn did(&self, part: Part, what: &str) {
        let mut state = self.lock();
        let part = state.parts.entry(part).or_insert_with(PartState::new);
        (part.last, part.last_at) = (Some(what.to_owned()), Some(Timestamp::now()));
    }

    /// Says how many pods are over their line.
    pub fn set_anomalous(&self, count: usize) {
        self.lock().anomalous = count as u64;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PartState {
    fn new() -> Self {
        Self { being: Being::Running, restarts: 0, last: None, last_at: None }
    }
}
