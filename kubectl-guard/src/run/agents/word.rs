//! What a program says: a note or a proposal, each a line of JSON. Whatever else it says is refused. Pure.

use serde::Deserialize;

use super::super::due::Proposable;
use crate::plan::{ActionKind, TargetName};
use crate::sanitise;

/// Columns of a program's text that are kept.
const COLUMNS: usize = 300;

/// One line on the program's output.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Word {
    /// Something for the log and for `run status`.
    Note(Note),
    /// Something that a person may want to do.
    Proposal(Ask),
}

/// A note.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Note {
    /// What is to be noted, at most 300 columns of it.
    pub text: String,
    /// The incident that it is about.
    pub incident: Option<String>,
}

/// A proposal.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Ask {
    /// The namespace of the target.
    pub namespace: String,
    /// The target, as the input names it among `targets`: `deployment/cart`.
    pub target: String,
    /// What is to be done, one of the actions that the input names for the target.
    pub action: ActionKind,
    /// How many replicas there are to be, with `scale`; without it, one more.
    #[cfg_attr(test, schemars(range(min = 1, max = 1000)))]
    pub replicas: Option<i32>,
    /// Why, at most 300 columns of it.
    pub reason: String,
}

/// Text of a program, ready to be shown.
pub(super) fn fit(text: &str) -> String {
    sanitise::fit(&sanitise::line(text), COLUMNS)
}

impl Word {
    /// Reads a line.
    ///
    /// # Errors
    /// Why it says nothing that there is, in words that are ready to be shown.
    pub fn read(line: &[u8]) -> Result<Self, String> {
        serde_json::from_slice(line).map_err(|error| fit(&format!("no note and no proposal: {error}")))
    }
}

impl Ask {
    /// The target, if this may be proposed about it.
    ///
    /// # Errors
    /// Why not, in words that are ready to be shown.
    pub fn check(&self, targets: &[Proposable]) -> Result<TargetName, String> {
        let target: TargetName =
            self.target.parse().map_err(|error: crate::plan::NotATarget| fit(&error.to_string()))?;
        let known = targets.iter().find(|known| known.namespace == self.namespace && known.target == target);
        let Some(known) = known else {
            return Err(format!("{target} in {} is not over its line, or was never scored", fit(&self.namespace)));
        };
        if !known.actions().contains(&self.action) {
            return Err(format!("{} is no action for {target}", self.action.name()));
        }
        match self.replicas {
            Some(_) if self.action != ActionKind::Scale => Err("replicas are for the action scale".to_owned()),
            Some(replicas) if !(1..=1000).contains(&replicas) => {
                Err(format!("{replicas} replicas are none that a program may propose"))
            }
            _ => Ok(target),
        }
    }

    /// Why, ready to be shown.
    pub fn reason(&self) -> String {
        fit(&self.reason)
    }
}
