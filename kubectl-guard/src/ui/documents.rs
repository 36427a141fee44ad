//! The documents about plans that the page reads. Pure.

use jiff::Timestamp;
use serde::Serialize;

use crate::approve::{Approval, Screen};
use crate::audit::{Closed, Entry};
use crate::desk::{Look, Shown, Waiting};
use crate::outcome::StepOutcome;
use crate::plan::{GuardRail, Step, Undo, Verdict, diff};
use crate::sanitise;
use crate::ui::look::VERSION;

/// What waits, what is carried out, and whether anything can be approved here.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Proposals {
    api_version: &'static str,
    kind: &'static str,
    /// Why nothing can be approved here; `None` where it can.
    read_only: Option<&'static str>,
    items: Vec<Waiting>,
    job: Option<Job>,
}

impl Proposals {
    pub(super) fn new(read_only: Option<&'static str>, items: Vec<Waiting>, job: Option<Job>) -> Self {
        Self { api_version: VERSION, kind: "Proposals", read_only, items, job }
    }
}

/// A plan that is carried out, or was.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Job {
    pub(super) action: String,
    pub(super) namespace: String,
    pub(super) target: String,
    pub(super) digest: String,
    pub(super) began: Timestamp,
    /// How many of the first lines are not kept any more.
    pub(super) dropped: usize,
    /// What was said about it since then.
    pub(super) lines: Vec<String>,
    pub(super) ended: Option<Ended>,
}

/// What a plan came to.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Ended {
    pub(super) at: Timestamp,
    /// `done`, `not-recovered`, `partial`, `stopped`, `stale`, `not-permitted`, `refused` or `failed`.
    pub(super) outcome: &'static str,
    pub(super) words: String,
}

/// What a look at a target came to.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PlanDocument {
    api_version: &'static str,
    kind: &'static str,
    read_only: Option<&'static str>,
    /// Why there is no plan.
    nothing: Option<String>,
    plan: Option<PlanView>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PlanView {
    digest: String,
    text: String,
    action: String,
    /// What has to be typed.
    name: String,
    target: String,
    /// For what it was looked at, which is what waits: a plan can concern one pod of it alone.
    of: String,
    namespace: String,
    context: String,
    cluster: String,
    server: String,
    identity: String,
    score: Option<f64>,
    reasons: Vec<String>,
    created: Timestamp,
    expires: Timestamp,
    advice: Vec<String>,
    rails: Vec<GuardRail>,
    steps: Vec<StepView>,
    /// Why it cannot be approved, whoever types what.
    blocked: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct StepView {
    action: String,
    place: String,
    only_if: Vec<String>,
    needs: String,
    /// `allowed`, `denied` or `unasked`.
    verdict: &'static str,
    why: String,
    undo: String,
    diff: Vec<String>,
}

impl PlanDocument {
    pub(super) fn new(read_only: Option<&'static str>, look: &Look) -> Self {
        let (nothing, plan) = match look {
            Look::Plan(shown) => (None, Some(PlanView::of(shown))),
            Look::Nothing { why } => (Some(why.clone()), None),
        };
        Self { api_version: VERSION, kind: "Plan", read_only, nothing, plan }
    }
}

impl PlanView {
    fn of(shown: &Shown) -> Self {
        let plan = &shown.plan;
        let lead = plan.lead();
        let target = lead.map(|step| &step.target);
        let evidence = plan.evidence.as_ref();
        let verdicts = shown.verdicts.iter().chain(std::iter::repeat(&Verdict::Unasked));
        let denied = plan.steps.iter().zip(verdicts.clone()).find(|(_, verdict)| **verdict != Verdict::Allowed);
        let refused = plan.refused_by().map(|rail| format!("a guard rail refuses it: {}", rail.detail));
        Self {
            digest: shown.digest.clone(),
            text: shown.text.clone(),
            action: lead.map(|step| step.action.on(&step.target)).unwrap_or_default(),
            name: target.map(|target| target.name.clone()).unwrap_or_default(),
            target: target.map(ToString::to_string).unwrap_or_default(),
            of: shown.of.1.clone(),
            namespace: target.map(|target| target.namespace.clone()).unwrap_or_default(),
            context: plan.place.context.clone(),
            cluster: plan.place.cluster.clone(),
            server: plan.place.server.clone(),
            identity: plan.identity.clone(),
            score: evidence.and_then(|evidence| evidence.score),
            reasons: evidence.iter().flat_map(|of| &of.reasons).map(|reason| reason.text.clone()).collect(),
            created: plan.created,
            expires: plan.expires,
            advice: plan.advice.clone(),
            rails: plan.guard_rails.clone(),
            blocked: refused.or(denied.map(|(step, _)| format!("you may not {}", step.need))),
            steps: plan.steps.iter().zip(verdicts).map(|(step, verdict)| StepView::of(step, verdict)).collect(),
        }
    }
}

impl StepView {
    fn of(step: &Step, verdict: &Verdict) -> Self {
        let (verdict, why) = match verdict {
            Verdict::Allowed => ("allowed", String::new()),
            Verdict::Denied(why) => ("denied", why.clone()),
            Verdict::Unasked => ("unasked", String::new()),
        };
        Self {
            action: step.action.on(&step.target),
            place: step.target.place(),
            only_if: step.preconditions.clone(),
            needs: step.need.to_string(),
            verdict,
            why,
            undo: match &step.undo {
                Undo::Irreversible { why } => format!("cannot be taken back: {why}"),
                Undo::Inverse { action } => format!("can be taken back: {}", action.phrase()),
            },
            diff: diff(step),
        }
    }
}

/// What was done from this machine.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct History {
    api_version: &'static str,
    kind: &'static str,
    /// How many there are in all.
    of: usize,
    items: Vec<Past>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Past {
    at: Timestamp,
    id: String,
    action: String,
    target: String,
    namespace: String,
    context: String,
    identity: String,
    approved: &'static str,
    outcome: &'static str,
    verified: Option<&'static str>,
}

impl History {
    /// The latest `most` of these, the latest first.
    pub(super) fn new(entries: &[Entry], most: usize) -> Self {
        let items = entries.iter().rev().take(most).map(Past::of).collect();
        Self { api_version: VERSION, kind: "History", of: entries.len(), items }
    }
}

impl Past {
    /// The journal is a file: what is in it may be anybody's text.
    fn of(entry: &Entry) -> Self {
        let clean = |text: &String| sanitise::line(text);
        Self {
            at: entry.at,
            id: clean(&entry.id),
            action: clean(&entry.action),
            target: clean(&entry.target),
            namespace: clean(&entry.namespace),
            context: clean(&entry.context),
            identity: clean(&entry.identity),
            approved: match &entry.approval {
                Approval::Typed { on: None, .. } => "at a terminal",
                Approval::Typed { on: Some(Screen::Dashboard), .. } => "in the dashboard",
                Approval::Typed { on: Some(Screen::Tui), .. } => "in the terminal's view",
                Approval::Digest => "by digest",
                Approval::Automatic { .. } => "automatically",
            },
            outcome: match (&entry.outcome, &entry.closed) {
                (Some(StepOutcome::Done { .. }), _) => "done",
                (Some(StepOutcome::NotDone { .. }), _) => "not done",
                (_, Some(Closed::ContinuedBy { .. })) => "gone on with",
                (_, Some(Closed::Aborted)) => "left half-way",
                (Some(StepOutcome::Unknown { .. }) | None, None) => "unknown",
            },
            verified: entry.verified.map(crate::outcome::Outcome::name),
        }
    }
}
