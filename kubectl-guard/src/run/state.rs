//! How `run` is: each part, what was counted, and the proposals that wait.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Part;
pub use crate::desk::{Proposer, Queue, Waiting};
use crate::llm::{Explained, Pattern};

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

/// A program of the user's, and what it did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentState {
    /// How it is.
    #[serde(flatten)]
    pub being: Being,
    /// How often it was restarted.
    pub restarts: u64,
    /// Lines that it was given.
    pub told: u64,
    /// Notes that it made.
    pub notes: u64,
    /// Proposals that it made, and that could be looked at.
    pub proposals: u64,
    /// Lines of its that were refused.
    pub refused: u64,
    /// Its latest note.
    pub last: Option<String>,
    /// When that was.
    pub last_at: Option<Timestamp>,
}

impl Default for AgentState {
    fn default() -> Self {
        Self {
            being: Being::Running,
            restarts: 0,
            told: 0,
            notes: 0,
            proposals: 0,
            refused: 0,
            last: None,
            last_at: None,
        }
    }
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
    /// Programs of the user's, by name.
    #[serde(default)]
    pub agents: BTreeMap<String, AgentState>,
    /// What incidents were said to be, the oldest first.
    #[serde(default)]
    pub explanations: Vec<Explained>,
    /// What a model thinks that they have in common.
    #[serde(default)]
    pub patterns: Vec<Pattern>,
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
        let state = State {
            started: now,
            pid,
            parts: BTreeMap::new(),
            agents: BTreeMap::new(),
            explanations: Vec::new(),
            patterns: Vec::new(),
            anomalous: 0,
            proposals: Vec::new(),
        };
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

    /// Says what incidents are.
    pub fn set_explanations(&self, explanations: Vec<Explained>, patterns: Vec<Pattern>) {
        let mut state = self.lock();
        (state.explanations, state.patterns) = (explanations, patterns);
    }

    /// Changes what is shown of a program.
    pub fn agent(&self, name: &str, change: impl FnOnce(&mut AgentState)) {
        change(self.lock().agents.entry(name.to_owned()).or_default());
    }

    /// Forgets programs that are no longer wanted.
    pub fn keep_agents(&self, wanted: impl Fn(&str) -> bool) {
        self.lock().agents.retain(|name, _| wanted(name));
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
