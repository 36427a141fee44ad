//! What came of what was done: of one write, of a resize in place, of the whole plan. The journal holds these words.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What a step came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum StepOutcome {
    /// The API server took it.
    Done {
        /// `metadata.generation` that the rollout must reach, where the answer told it.
        generation: Option<i64>,
    },
    /// It was not written.
    NotDone {
        /// Why.
        why: String,
    },
    /// No answer came, and the object does not tell: it may have been written, or be written yet.
    Unknown {
        /// What is known.
        why: String,
    },
}

/// How far a resize has come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(tag = "answer", content = "why", rename_all = "snake_case")]
pub enum Resize {
    /// The containers have what the spec says.
    Done,
    /// The node has not said yet.
    Waiting,
    /// The node has no room for it now, and tries again when it has.
    Deferred(String),
    /// The node can never give it.
    Infeasible(String),
    /// The node tried and could not.
    Failed(String),
    /// The pod is gone, or could not be looked at.
    Unknown(String),
}

impl fmt::Display for Resize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Resize::Done => f.write_str("resized in place"),
            Resize::Waiting => f.write_str("not resized in place yet"),
            Resize::Deferred(why) => write!(f, "deferred, no room on its node now: {why}"),
            Resize::Infeasible(why) => write!(f, "infeasible, its node can never give it: {why}"),
            Resize::Failed(why) => write!(f, "not resized, its node could not: {why}"),
            Resize::Unknown(why) => write!(f, "not known whether it was resized: {why}"),
        }
    }
}

/// What came of a fix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Under its line, and stays there.
    Recovered,
    /// As bad as before, or not rolled out in time.
    Unchanged,
    /// More pods over the line, a higher score, or a hard fact that was not there before.
    Worse,
    /// Nothing speaks against it, but its pods are still too new to be judged.
    Learning,
    /// No scores could be read.
    Unknown,
}

impl Outcome {
    /// A word for tables.
    pub fn name(self) -> &'static str {
        match self {
            Outcome::Recovered => "recovered",
            Outcome::Unchanged => "unchanged",
            Outcome::Worse => "worse",
            Outcome::Learning => "learning",
            Outcome::Unknown => "unknown",
        }
    }
}
