//! How `run` is: each part, what was counted, and the proposals that wait.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Part;

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

/// A proposal that waits for somebody to carry it out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Waiting {
    /// Its namespace.
    pub namespace: String,
    /// Its target, as `deployment/cart`.
    pub target: String,
    /// What is proposed, in words.
    pub action: String,
    /// The score behind it.
    pub score: Option<f64>,
    /// Why, in words.
    pub reason: Option<String>,
    /// Since when it waits.
    pub at: Timestamp,
    /// What carries it out, after an approval.
    pub command: String,
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
pub struct Shown(Mutex<State>);

impl Shown {
    /// Nothing runs yet.
    pub fn new(now: Timestamp) -> Self {
        let pid = std::process::id();
        Self(Mutex::new(State { started: now, pid, parts: BTreeMap::new(), anomalous: 0, proposals: Vec::new() }))
    }

    /// The state of this moment.
    pub fn now(&self) -> State {
        self.lock().clone()
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

    /// Says which proposals wait.
    pub fn set_proposals(&self, proposals: Vec<Waiting>) {
        self.lock().proposals = proposals;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PartState {
    fn new() -> Self {
        Self { being: Being::Running, restarts: 0, last: None, last_at: None }
    }
}
