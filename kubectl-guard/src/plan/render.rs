//! A plan for human eyes: where and as whom first, then why, then what, as a diff of the touched fields.

use std::fmt::Write;

use serde_json::Value;
use similar::TextDiff;

use super::{Evidence, Plan, RailState, Step, Undo};
use crate::sanitise;

/// Whether the user may do a step, as a SelfSubjectAccessReview answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Yes, as far as RBAC goes; admission may still refuse.
    Allowed,
    /// No, with the server's reason, which is often empty.
    Denied(String),
    /// Not asked.
    Unasked,
}

/// The plan as text, one verdict a step; missing verdicts count as not asked.
pub fn render(plan: &Plan, verdicts: &[Verdict]) -> String {
    let mut text = String::new();
    write_plan(&mut text, plan, verdicts).expect("a String takes every write");
    // Text from the cluster was cleaned at the door. What is written is not: it is shown as it is, spelled out.
    text.lines().map(|line| sanitise::spelled(line) + "\n").collect()
}

fn write_plan(out: &mut String, plan: &Plan, verdicts: &[Verdict]) -> std::fmt::Result {
    writeln!(out, "Plan {}, good until {:.0}", plan.id, plan.expires)?;
    writeln!(out, "  context   {}", plan.place.context)?;
    writeln!(out, "  cluster   {} ({})", plan.place.cluster, plan.place.server)?;
    writeln!(out, "  as        {}", plan.identity)?;
    write_evidence(out, plan.evidence.as_ref())?;
    for (index, step) in plan.steps.iter().enumerate() {
        write_step(out, index + 1, step, verdicts.get(index).unwrap_or(&Verdict::Unasked))?;
    }
    writeln!(out, "Guard rails")?;
    for rail in &plan.guard_rails {
        let state = match rail.state {
            RailState::Held => "held",
            RailState::Overridden => "OVERRIDDEN",
            RailState::Refused => "REFUSED",
        };
        writeln!(out, "  {:<20} {state}: {}", rail.name, rail.detail)?;
    }
    for advice in &plan.advice {
        writeln!(out, "Note: {advice}")?;
    }
    writeln!(out, "Digest {}", plan.digest())
}

fn write_evidence(out: &mut String, evidence: Option<&Evidence>) -> std::fmt::Result {
    let Some(evidence) = evidence else {
        return writeln!(out, "Why\n  on the user's word: no score of this target could be read");
    };
    let score = evidence.score.map_or_else(|| "no score yet".into(), |score| format!("score {score:.2}"));
    let model: String = evidence.model_sha256.chars().take(12).collect();
    writeln!(out, "Why")?;
    writeln!(
        out,
        "  {score} (line {:.2}), {} of {} pods over the line",
        evidence.threshold,
        evidence.over,
        evidence.pods.len()
    )?;
    for reason in &evidence.reasons {
        writeln!(out, "  {}: {}", reason.cause.name(), reason.text)?;
    }
    let model = if model.is_empty() { "no model".into() } else { format!("model {model}") };
    writeln!(out, "  read from {} at {}, {model}", evidence.source.name(), evidence.at)
}

fn write_step(out: &mut String, number: usize, step: &Step, verdict: &Verdict) -> std::fmt::Result {
    let target = &step.target;
    if step.action.ends_pod() && number > 1 {
        // A drain has many of them: one line each.
        let verdict = if *verdict == Verdict::Allowed { "you may" } else { "you may NOT, or it was not asked" };
        return writeln!(
            out,
            "Step {number}: {}{} ({}; {verdict})",
            step.action.on(target),
            target.place(),
            step.preconditions.join(", ")
        );
    }
    writeln!(out, "Step {number}: {}{}", step.action.on(target), target.place())?;
    writeln!(out, "  only if   {}", step.preconditions.join(", "))?;
    let verdict = match verdict {
        Verdict::Allowed => "you may",
        Verdict::Denied(why) if why.is_empty() => "you may NOT",
        Verdict::Denied(why) => &format!("you may NOT: {why}"),
        Verdict::Unasked => "not asked",
    };
    writeln!(out, "  needs     {} ({verdict})", step.need)?;
    match &step.undo {
        Undo::Irreversible { why } => writeln!(out, "  undo      none: {why}")?,
        Undo::Inverse { action } => writeln!(out, "  undo      {}", action.phrase())?,
    }
    for line in diff(step) {
        writeln!(out, "  {line}")?;
    }
    Ok(())
}

/// The lines of the touched fields: what goes with `-`, what comes with `+`, what stays with a space in front.
pub fn diff(step: &Step) -> Vec<String> {
    let (before, after) = (yaml(&step.before), yaml(&step.after));
    let diff = TextDiff::from_lines(&before, &after).unified_diff().context_radius(6).to_string();
    diff.lines().filter(|line| !line.starts_with("@@")).map(sanitise::spelled).collect()
}

/// YAML with sorted keys; nothing for nothing.
fn yaml(value: &Value) -> String {
    if value.is_null() {
        return String::new();
    }
    // serde_norway can fail only on keys that are no strings, which JSON does not have.
    serde_norway::to_string(value).unwrap_or_else(|_| value.to_string())
}
