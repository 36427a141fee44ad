//! What came of a write: which pods get it, and what the scores say of them afterwards.

use jiff::Timestamp;

use super::FixArgs;
use super::in_place::Resizes;
use super::session::{Session, words};
use crate::approve::ApprovedPlan;
use crate::audit::Event;
use crate::error::Error;
use crate::exit::Exit;
use crate::facts::{Facts, Rollout, TargetFacts};
use crate::outcome::Outcome;
use crate::plan::Action;
use crate::verify::{self, ScoreSource, Wait};

impl<S: ScoreSource> Session<'_, S> {
    /// Waits for what the scores say, where pods have what was written, or get it by themselves.
    pub(super) async fn follow(
        &mut self,
        args: &FixArgs,
        approved: &ApprovedPlan,
        facts: &Facts,
        resized: Resizes,
        generation: Option<i64>,
        written: Timestamp,
    ) -> Result<Exit, Error> {
        let by_hand = by_hand(approved, &facts.target);
        if let Some(when) = by_hand {
            let template = format!("its pods get the new template when {when}");
            if resized.is_none() {
                self.console.note(&format!("not verified: {template}"));
                return Ok(resized.exit());
            }
            self.console.note(&format!("{template}; those that are resized have the new values already"));
        }
        let plan = approved.plan();
        let to_zero = plan.steps.iter().any(|step| step.action == Action::Scale { replicas: 0 });
        let judged = !args.timeout.is_zero() && plan.evidence.is_some() && !to_zero;
        let Some(owner) = facts.owner.as_ref().filter(|_| judged) else {
            self.console.note("not verified: there are no scores to wait for, or it was not asked for");
            return Ok(resized.exit());
        };
        let console = self.console;
        let wait = Wait { approved, owner, rolls: by_hand.is_none(), generation, written, limit: args.timeout };
        let outcome = verify::wait(&self.connection.client, &mut self.scores, wait, |line| console.note(line)).await;
        if let Err(error) = self.record(&plan.id, Event::Verified { outcome }).await {
            console.warn(&format!("the verification is not recorded: {error}"));
        }
        console.note(&format!("{}: {}", words(plan), says(outcome)));
        Ok(if outcome == Outcome::Recovered { resized.exit() } else { Exit::NotRecovered })
    }
}

/// The plan changes a template that the controller brings to no pod by itself: when its pods get it.
fn by_hand(approved: &ApprovedPlan, target: &TargetFacts) -> Option<&'static str> {
    let TargetFacts::Workload(workload) = target else { return None };
    let action = &approved.plan().lead()?.action;
    if !matches!(action, Action::RolloutUndo { .. } | Action::SetResources { .. }) {
        return None;
    }
    workload.never_rolls()?;
    Some(match workload.rollout {
        Rollout::OnDelete => "somebody replaces them",
        Rollout::Rolling { .. } | Rollout::Recreate => "its partition is lowered",
    })
}

fn says(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Recovered => "recovered",
        Outcome::Unchanged => "unchanged: as bad as before, or not rolled out in time",
        Outcome::Worse => "worse than before",
        Outcome::Learning => "not known yet: its pods are still too new to be judged",
        Outcome::Unknown => "not known: no scores could be read",
    }
}
