//! Approval: the only place that can make an [`ApprovedPlan`], and the last word before anything is written.
//!
//! A plan is approved by a person who types the target's name, at the terminal or on a screen that shows the plan, by the
//! digest of a dry run that somebody read, or, within narrow bounds, by `--yes`. Every check ends the way to a write. Pure but for the question it asks.

use std::cmp::Ordering;

use guard_model::report::State;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::error::Failure;
use crate::exit::Exit;
use crate::plan::{Action, Evidence, GuardRail, Latest, Plan, RailState, Source, Step, Target};

/// How many workloads one approval may cover.
pub const MOST_WORKLOADS: usize = 1;

/// A plan that may be carried out. Only [`approve`] makes one; [`crate::apply`] takes nothing else.
#[derive(Clone, Debug, PartialEq)]
pub struct ApprovedPlan {
    plan: Plan,
    digest: String,
    approval: Approval,
}

impl ApprovedPlan {
    /// What was approved.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The digest of what was approved.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// How it was approved.
    pub fn approval(&self) -> &Approval {
        &self.approval
    }
}

/// How a plan was approved, for the record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(tag = "by", rename_all = "snake_case")]
pub enum Approval {
    /// The user typed the target's name.
    Typed {
        /// What was typed.
        name: String,
        /// On which screen; `None` at the prompt of a terminal.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        on: Option<Screen>,
    },
    /// The user gave the digest of a dry run.
    Digest,
    /// `--yes`, with its bounds met.
    Automatic {
        /// `--confidence-threshold`.
        threshold: f64,
        /// The score that met it.
        score: f64,
    },
}

/// A screen on which a plan is shown and its target's name is typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Screen {
    /// A page in a browser on the user's machine.
    Dashboard,
    /// A whole terminal.
    Tui,
}

/// How somebody wants it approved.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Way<'a> {
    /// By asking the person at the terminal.
    Ask,
    /// By the name that a person typed where they were shown the plan of this digest.
    Shown {
        /// Of the plan that was shown.
        digest: &'a str,
        /// What was typed.
        name: &'a str,
        /// Where.
        on: Screen,
    },
    /// By `--approve DIGEST`.
    Digest(&'a str),
    /// By `--yes`.
    Automatic {
        /// `--confidence-threshold`, if it was given.
        threshold: Option<f64>,
    },
}

/// Somebody who can be asked.
pub trait Person {
    /// There is a terminal with somebody at it.
    fn is_there(&self) -> bool;
    /// The answer, or `None` if there is none to be had.
    fn ask(&self, question: &str) -> Option<String>;
}

impl Person for crate::console::Console {
    fn is_there(&self) -> bool {
        self.can_ask()
    }

    fn ask(&self, question: &str) -> Option<String> {
        Self::ask(self, question)
    }
}

/// Why a plan was not approved.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum NotApproved {
    /// A guard rail.
    #[error("{0}")]
    Rail(String),
    /// More than one approval may cover.
    #[error("the plan touches {0} objects; one approval covers {MOST_WORKLOADS}")]
    TooMuch(usize),
    /// Scores from a file.
    #[error("scores from a {0} are for dry runs only: a file cannot justify a write")]
    DryRunOnly(&'static str),
    /// Scores from Prometheus, and nobody who has typed the target's name.
    #[error(
        "scores from prometheus need a person who types the target's name, at a terminal or on the dashboard: whoever may write \
         series there could forge them"
    )]
    PersonOnly,
    /// `--yes` without a threshold.
    #[error("--yes needs --confidence-threshold: how high the score must be to act without a person")]
    NoThreshold,
    /// `--yes` without evidence.
    #[error("--yes needs a score read from the exporter within two ticks: {0}")]
    NoEvidence(String),
    /// `--yes` with too low a score.
    #[error("the score {score:.2} does not meet --confidence-threshold {threshold:.2}")]
    NotConfident {
        /// The target's score.
        score: f64,
        /// What was asked for.
        threshold: f64,
    },
    /// `--yes` over an overridden guard rail.
    #[error("--yes cannot override a guard rail ({0}): a person must approve this")]
    Override(String),
    /// `--yes` for a drain.
    #[error(
        "--yes never drains: a person must read the plan and type the node's name, or give its digest with --approve"
    )]
    NeverAutomatic,
    /// Nobody to ask.
    #[error(
        "there is no terminal to ask for approval; run it with --dry-run, read the plan, then give its digest: --approve sha256:DIGEST"
    )]
    NobodyThere,
    /// Another plan is under way.
    #[error("{0} is being carried out: one plan at a time")]
    Busy(String),
    /// The person said no.
    #[error("not approved: nothing was changed")]
    Declined,
    /// Another digest.
    #[error(
        "the plan is not the one that was approved: the target or a guard rail's finding has changed since, or the approval is older \
         than ten minutes (now {now})"
    )]
    OtherDigest {
        /// The digest of the plan as it would be now.
        now: String,
    },
    /// Too late.
    #[error("the plan expired at {0}; make it again")]
    Expired(Timestamp),
    /// The world has moved on.
    #[error("{0}; nothing was changed, make the plan again")]
    Stale(String),
}

impl Failure for NotApproved {
    fn exit(&self) -> Exit {
        match self {
            NotApproved::Declined => Exit::Declined,
            NotApproved::NoThreshold => Exit::Usage,
            NotApproved::OtherDigest { .. } | NotApproved::Expired(_) | NotApproved::Stale(_) => Exit::Stale,
            NotApproved::Rail(_)
            | NotApproved::TooMuch(_)
            | NotApproved::DryRunOnly(_)
            | NotApproved::PersonOnly
            | NotApproved::NeverAutomatic
            | NotApproved::NoEvidence(_)
            | NotApproved::NotConfident { .. }
            | NotApproved::Override(_)
            | NotApproved::Busy(_)
            | NotApproved::NobodyThere => Exit::Refused,
        }
    }
}

/// Turns a plan into an approved one.
///
/// # Errors
/// The first check that fails. The caller must end there: nothing may be written.
pub fn approve(plan: Plan, way: Way<'_>, now: Timestamp, person: &impl Person) -> Result<ApprovedPlan, NotApproved> {
    within_rails(&plan)?;
    in_time(&plan, now)?;
    let approval = match way {
        Way::Ask => ask(&plan, person)?,
        Way::Shown { digest, name, on } if plan.answers_to(digest) => typed(&plan, name.to_owned(), Some(on))?,
        Way::Digest(_) if source(&plan) == Some(Source::Prometheus) => return Err(NotApproved::PersonOnly),
        Way::Digest(digest) if plan.answers_to(digest) => Approval::Digest,
        Way::Digest(_) | Way::Shown { .. } => return Err(NotApproved::OtherDigest { now: plan.digest() }),
        Way::Automatic { threshold } => automatic(&plan, threshold, now)?,
    };
    // The record holds the digest that was given, not that of the minute in which the plan was made again.
    let digest = match way {
        Way::Digest(given) | Way::Shown { digest: given, .. } => given.to_owned(),
        Way::Ask | Way::Automatic { .. } => plan.digest(),
    };
    Ok(ApprovedPlan { plan, digest, approval })
}

/// Compares an approved plan with the same plan made again from facts read after the approval. What comes back is the
/// approved plan, holding the latest resourceVersions where those move by themselves.
///
/// # Errors
/// What it rested on has changed, or it is too late.
pub fn confirm(mut approved: ApprovedPlan, again: &Plan, now: Timestamp) -> Result<ApprovedPlan, NotApproved> {
    still_holds(&approved, again, now)?;
    for (step, latest) in approved.plan.steps.iter_mut().zip(&again.steps) {
        hold(step, &latest.target);
    }
    Ok(approved)
}

/// Nothing forbids the next write of a plan: what comes before it may have taken minutes.
///
/// # Errors
/// Guard is paused by now, by this finding of that guard rail, or it is too late.
pub fn go_on(approved: &ApprovedPlan, pause: &GuardRail, now: Timestamp) -> Result<(), NotApproved> {
    in_time(&approved.plan, now)?;
    if pause.state == RailState::Refused { Err(NotApproved::Rail(pause.detail.clone())) } else { Ok(()) }
}

/// The approved plan, holding the version that the object of its lead has now: its status, and what was written before it
/// to its pods, have moved it.
///
/// # Errors
/// Its spec is another, or it is another object.
pub fn renew(approved: ApprovedPlan, latest: &Latest) -> Result<ApprovedPlan, NotApproved> {
    Ok(ApprovedPlan { plan: at_latest(approved.plan, latest)?, ..approved })
}

/// The same of a plan that nobody has approved yet, for its dry run.
///
/// # Errors
/// Its spec is another, or it is another object.
pub fn at_latest(mut plan: Plan, latest: &Latest) -> Result<Plan, NotApproved> {
    let lead = plan.lead().cloned();
    for step in plan.steps.iter_mut().filter(|step| Some(&**step) == lead.as_ref()) {
        if !latest.untouched || !latest.target.is_as_seen(&step.target) {
            return Err(NotApproved::Stale(format!("{} has changed since", step.target)));
        }
        hold(step, &latest.target);
    }
    Ok(plan)
}

fn hold(step: &mut Step, latest: &Target) {
    if step.target.version_moves() {
        step.target.resource_version.clone_from(&latest.resource_version);
        step.patch["metadata"]["resourceVersion"] = latest.resource_version.clone().into();
    }
}

fn still_holds(approved: &ApprovedPlan, again: &Plan, now: Timestamp) -> Result<(), NotApproved> {
    let plan = &approved.plan;
    in_time(plan, now)?;
    within_rails(again)?;
    let stale = |why: String| Err(NotApproved::Stale(why));
    if plan.place != again.place {
        return stale(format!("the context now leads to {}", again.place.server));
    }
    if plan.identity != again.identity {
        return stale(format!("the plan was made for {:?}, now you are {:?}", plan.identity, again.identity));
    }
    for (old, new) in plan.steps.iter().zip(&again.steps) {
        if old.target.uid != new.target.uid {
            return stale(format!("{} was deleted and made again since", old.target));
        }
        if !new.target.is_as_seen(&old.target) {
            return stale(format!("{} has changed since", old.target));
        }
    }
    let was_anomalous = plan.evidence.as_ref().is_some_and(Evidence::is_anomalous);
    if was_anomalous && !again.evidence.as_ref().is_some_and(Evidence::is_anomalous) {
        return stale("the score is no longer over its line".into());
    }
    if !again.answers_to(&approved.digest) {
        return stale("what would be done is no longer what was approved".into());
    }
    Ok(())
}

fn within_rails(plan: &Plan) -> Result<(), NotApproved> {
    if let Some(rail) = plan.refused_by() {
        return Err(NotApproved::Rail(rail.detail.clone()));
    }
    // A drain covers its one node, and nothing but the pods on it.
    let (first, rest) = plan.steps.split_first().ok_or(NotApproved::TooMuch(0))?;
    let one_drain = matches!(first.action, Action::Drain { .. }) && rest.iter().all(|step| step.action.ends_pod());
    // Its pods are resized in place before a workload's own template.
    let workloads = plan.steps.iter().filter(|step| !matches!(step.action, Action::ResizePod { .. })).count();
    if !one_drain && workloads != MOST_WORKLOADS {
        return Err(NotApproved::TooMuch(plan.steps.len()));
    }
    match source(plan) {
        Some(file @ (Source::Csv | Source::Recording)) => Err(NotApproved::DryRunOnly(file.name())),
        _ => Ok(()),
    }
}

fn in_time(plan: &Plan, now: Timestamp) -> Result<(), NotApproved> {
    if now >= plan.expires { Err(NotApproved::Expired(plan.expires)) } else { Ok(()) }
}

fn source(plan: &Plan) -> Option<Source> {
    plan.evidence.as_ref().map(|evidence| evidence.source)
}

/// The name is to be typed, so that a habit of saying yes approves nothing.
fn ask(plan: &Plan, person: &impl Person) -> Result<Approval, NotApproved> {
    if !person.is_there() {
        return Err(NotApproved::NobodyThere);
    }
    let Some(step) = plan.lead() else { return Err(NotApproved::Declined) };
    let target = &step.target;
    let question = format!(
        "{}{} of context {} ({}) as {}?\nType its name ({}) to approve, anything else to leave it:",
        step.action.on(target),
        target.place(),
        plan.place.context,
        plan.place.server,
        plan.identity,
        target.name
    );
    typed(plan, person.ask(&question).ok_or(NotApproved::Declined)?, None)
}

fn typed(plan: &Plan, name: String, on: Option<Screen>) -> Result<Approval, NotApproved> {
    if plan.target().is_none_or(|target| name != target.name) {
        return Err(NotApproved::Declined);
    }
    Ok(Approval::Typed { name, on })
}

fn automatic(plan: &Plan, threshold: Option<f64>, now: Timestamp) -> Result<Approval, NotApproved> {
    if plan.is_drain() {
        return Err(NotApproved::NeverAutomatic);
    }
    let Some(threshold) = threshold else { return Err(NotApproved::NoThreshold) };
    let none = |why: &str| Err(NotApproved::NoEvidence(why.into()));
    let Some(evidence) = &plan.evidence else { return none("there is none") };
    match evidence.source {
        Source::Exporter => {}
        Source::Prometheus => return Err(NotApproved::PersonOnly),
        other @ (Source::Csv | Source::Recording) => return none(&format!("it is from a {}", other.name())),
    }
    if !evidence.is_fresh(now) {
        return none(&format!("it is of {}", evidence.at));
    }
    let lead = evidence.pods.first().filter(|pod| pod.state == State::Anomalous);
    let Some(score) = lead.and_then(|pod| pod.score) else { return none("the target is not over its line") };
    // Written so that a NaN is never confident.
    if score.partial_cmp(&threshold).is_none_or(Ordering::is_lt) {
        return Err(NotApproved::NotConfident { score, threshold });
    }
    if let Some(rail) = plan.guard_rails.iter().find(|rail| rail.state == RailState::Overridden) {
        return Err(NotApproved::Override(rail.name.clone()));
    }
    Ok(Approval::Automatic { threshold, score })
}

#[cfg(test)]
mod tests;
