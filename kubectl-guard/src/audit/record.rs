//! The lines of the journal, and the table that `history` makes of them. Pure.

use std::collections::BTreeMap;

use guard_model::mute;
use guard_model::silence::Silence;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Hash, Progress};
use crate::approve::{Approval, ApprovedPlan};
use crate::outcome::StepOutcome;
use crate::outcome::{Outcome, Resize};
use crate::plan::Plan;

/// Version of a line; rises with a change that an old reader would misread.
pub const VERSION: u32 = 1;

/// What a line tells.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// A write is about to be sent. Synced to disk before it is.
    Intent {
        /// What was approved.
        plan: Box<Plan>,
        /// Its digest.
        digest: String,
        /// How it was approved.
        approval: Approval,
        /// Which step is about to be written, from 0.
        step: usize,
        /// The plan that was cut off and that this one goes on with.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        resumes: Option<String>,
    },
    /// The next step of the same plan is about to be written, or the same one again, at the version that its object has moved
    /// to. Synced to disk before it is.
    Next {
        /// Which step, from 0.
        step: usize,
        /// The resourceVersion that the write holds; `None` if it holds none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        held: Option<String>,
    },
    /// What became of that write.
    Outcome {
        /// Which step, from 0.
        step: usize,
        /// What it came to.
        outcome: StepOutcome,
    },
    /// What a node made of a pod's resize that the API server had taken.
    Resized {
        /// Which step, from 0.
        step: usize,
        /// What the pod says.
        #[serde(flatten)]
        resize: Resize,
    },
    /// A mute is about to be written, or taken away; it belongs to no plan.
    Mute {
        /// What is about to be silent, or unmuted.
        target: mute::Target,
        /// Until when, why and by whom; `None` if the mute is about to end.
        silence: Option<Silence>,
    },
    /// A plan that was cut off is left as far as it got: nobody goes on with it.
    Aborted,
    /// What the scores said afterwards.
    Verified {
        /// The judgement.
        outcome: Outcome,
    },
}

impl Event {
    /// The intent to write the first step of this plan, which goes on with that of `resumes`.
    pub fn intent(approved: &ApprovedPlan, resumes: Option<String>) -> Self {
        Event::Intent {
            plan: Box::new(approved.plan().clone()),
            digest: approved.digest().to_owned(),
            approval: approved.approval().clone(),
            step: 0,
            resumes,
        }
    }
}

/// One line of the journal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Line {
    /// [`VERSION`] of the writer.
    pub version: u32,
    /// When it was written.
    pub at: Timestamp,
    /// The plan it is about.
    pub plan_id: String,
    /// What happened.
    #[serde(flatten)]
    pub event: Event,
    /// Hash of the line before, 64 zeros in the first; `None` in a line from before there were hashes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prev: Option<Hash>,
}

/// One carried-out plan, as `history` shows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Entry {
    /// The plan's id.
    pub id: String,
    /// When it was about to be written.
    pub at: Timestamp,
    /// The context.
    pub context: String,
    /// The API server.
    pub server: String,
    /// Who did it.
    pub identity: String,
    /// What was done, in words.
    pub action: String,
    /// To what, as `deployment/web`.
    pub target: String,
    /// Its namespace.
    pub namespace: String,
    /// The digest that was approved.
    pub digest: String,
    /// How it was approved.
    pub approval: Approval,
    /// What the write came to; `None` if the journal does not tell: the plugin ended before it knew.
    pub outcome: Option<StepOutcome>,
    /// What the nodes made of pods that were to be resized in place, in the order of the plan.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub resized: Vec<Resized>,
    /// What the scores said afterwards; `None` if nobody waited for them.
    pub verified: Option<Outcome>,
    /// How it was closed after it had been cut off; `None` if it was not.
    pub closed: Option<Closed>,
}

/// A pod that was to be resized in place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Resized {
    /// Its name.
    pub pod: String,
    /// What its node made of it.
    #[serde(flatten)]
    pub resize: Resize,
}

/// What was decided about a plan that was cut off.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(tag = "how", rename_all = "snake_case")]
pub enum Closed {
    /// Another plan does the rest.
    ContinuedBy {
        /// Its id.
        id: String,
    },
    /// It is left as far as it got.
    Aborted,
}

impl Entry {
    /// Nobody knows what became of it, and nobody has decided about it.
    pub fn is_cut_off(&self) -> bool {
        self.closed.is_none() && matches!(self.outcome, None | Some(StepOutcome::Unknown { .. }))
    }
}

/// The plans of these lines, oldest first, each with what is known of it.
pub fn entries(lines: &[Line]) -> Vec<Entry> {
    let mut entries: Vec<Entry> = Vec::new();
    let mut progress: BTreeMap<&str, Progress> = BTreeMap::new();
    let mut plans: BTreeMap<&str, &Plan> = BTreeMap::new();
    for line in lines {
        match &line.event {
            Event::Intent { plan, digest, approval, step, resumes } => {
                let Some(lead) = plan.lead() else { continue };
                progress.insert(&line.plan_id, Progress::begin(plan, *step, line.at));
                plans.insert(&line.plan_id, plan);
                if let Some(earlier) = resumes.as_deref().and_then(|id| of_plan(&mut entries, id)) {
                    earlier.closed = Some(Closed::ContinuedBy { id: line.plan_id.clone() });
                }
                entries.push(Entry {
                    id: line.plan_id.clone(),
                    at: line.at,
                    context: plan.place.context.clone(),
                    server: plan.place.server.clone(),
                    identity: plan.identity.clone(),
                    action: lead.action.phrase(),
                    target: lead.target.to_string(),
                    namespace: lead.target.namespace.clone(),
                    digest: digest.clone(),
                    approval: approval.clone(),
                    outcome: None,
                    resized: Vec::new(),
                    verified: None,
                    closed: None,
                });
            }
            Event::Next { .. } | Event::Outcome { .. } => {
                progress.entry(&line.plan_id).and_modify(|progress| progress.heed(line));
            }
            Event::Aborted => {
                if let Some(entry) = of_plan(&mut entries, &line.plan_id) {
                    entry.closed = Some(Closed::Aborted);
                }
            }
            Event::Resized { step, resize } => {
                let pod = plans.get(&*line.plan_id).and_then(|plan| plan.steps.get(*step));
                if let (Some(entry), Some(step)) = (of_plan(&mut entries, &line.plan_id), pod) {
                    entry.resized.push(Resized { pod: step.target.name.clone(), resize: resize.clone() });
                }
            }
            Event::Mute { .. } => {}
            Event::Verified { outcome } => {
                if let Some(entry) = of_plan(&mut entries, &line.plan_id) {
                    entry.verified = Some(*outcome);
                }
            }
        }
    }
    for entry in &mut entries {
        entry.outcome = progress.get(&*entry.id).and_then(Progress::outcome);
    }
    entries
}

fn of_plan<'a>(entries: &'a mut [Entry], id: &str) -> Option<&'a mut Entry> {
    entries.iter_mut().rev().find(|entry| entry.id == id)
}
