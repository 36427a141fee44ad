//! The pods of a workload, resized in place before its template: each is written, looked at, and told truthfully.

use std::fmt;

use super::session::Session;
use crate::apply::NotWritten;
use crate::approve::ApprovedPlan;
use crate::audit::Event;
use crate::error::Error;
use crate::exit::Exit;
use crate::outcome::Resize;
use crate::outcome::StepOutcome;
use crate::plan::{Action, Plan};
use crate::propose::PROTECTED;
use crate::verify::{ScoreSource, resized};
use crate::wish::Wish;

/// How many pods were to be resized in place, how many were, and how many still may be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Resizes {
    done: usize,
    /// Their nodes have not said, or wait for room.
    pending: usize,
    asked: usize,
    /// The plan that this one goes on with resized pods, and left none to be resized.
    earlier: bool,
}

impl fmt::Display for Resizes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.earlier {
            return f.write_str("its pods are resized in place already");
        }
        write!(f, "{} of {} pods are resized in place", self.done, self.asked)?;
        if self.pending > 0 { write!(f, ", {} may still be", self.pending) } else { Ok(()) }
    }
}

impl Resizes {
    /// No pod has the new values in place, or may still get them so.
    pub(super) fn is_none(self) -> bool {
        self.done + self.pending == 0 && !self.earlier
    }

    /// The exit code of a plan that has done all else: only a part of it was done as it was asked for if a pod has to be
    /// replaced to get what it was to get in place.
    pub(super) fn exit(self) -> Exit {
        if self.done < self.asked { Exit::Partial } else { Exit::Done }
    }
}

/// The write was sent, and refused.
fn is_answer(error: &Error) -> bool {
    error.is::<NotWritten>() || matches!(error, Error::Forbidden { .. })
}

/// How a plan is gone on with. What was accepted has to be accepted again, as no plan says it by itself.
pub(super) fn going_on(plan: &Plan, wish: &Wish) -> String {
    let namespace = plan.target().map_or("", |target| &*target.namespace);
    let mut command = format!("kubectl guard fix --resume {}", plan.id);
    if PROTECTED.contains(&namespace) {
        command.extend([" -n ", namespace]);
    }
    let accepted = [
        (wish.no_cool_down, " --no-cool-down"),
        (wish.allow_downtime, " --allow-downtime"),
        (wish.allow_control_plane, " --allow-control-plane"),
        (wish.drain.wait_for_budgets, " --wait-for-budgets"),
        (wish.drain.disable_eviction, " --disable-eviction"),
        (wish.drain.allow_pending, " --allow-pending"),
    ];
    command.extend(accepted.iter().filter(|(accepted, _)| *accepted).map(|(_, flag)| *flag));
    if let Some(least) = wish.min_schedulable {
        command.extend([" --min-schedulable ", &least.to_string()]);
    }
    command
}

impl<S: ScoreSource> Session<'_, S> {
    /// Writes the resizes; how many were done, and how many there were. A pod that cannot be resized ends nothing: the
    /// template behind it brings the same. What each node said is recorded.
    ///
    /// # Errors
    /// Guard was paused, the plan has expired, or a write could not be recorded: no more is sent.
    pub(super) async fn resize(&self, approved: &ApprovedPlan, wish: &Wish) -> Result<Resizes, Error> {
        let steps = approved.plan().steps.iter().enumerate();
        let resizes: Vec<_> = steps.filter(|(_, step)| matches!(step.action, Action::ResizePod { .. })).collect();
        let earlier = resizes.is_empty() && self.resumes.is_some() && wish.resources.in_place;
        let mut so_far = Resizes { asked: resizes.len(), earlier, ..Resizes::default() };
        for (index, step) in &resizes {
            let written = match self.go_on(approved).await {
                Ok(()) => self.write(approved, *index).await,
                Err(stop) => Err(stop),
            };
            let standing = match written {
                Ok(StepOutcome::Done { .. }) => resized(&self.connection.client, step).await,
                Ok(StepOutcome::NotDone { why } | StepOutcome::Unknown { why }) => Resize::Unknown(why),
                Err(error) if is_answer(&error) => Resize::Failed(error.to_string()),
                Err(stop) => {
                    self.half_done(&going_on(approved.plan(), wish), so_far, &stop);
                    return Err(stop);
                }
            };
            match &standing {
                Resize::Done => so_far.done += 1,
                Resize::Waiting | Resize::Deferred(_) | Resize::Unknown(_) => so_far.pending += 1,
                Resize::Infeasible(_) | Resize::Failed(_) => {}
            }
            if standing != Resize::Done {
                self.console.warn(&format!("{}: {standing}", step.target));
            }
            let answered = Event::Resized { step: *index, resize: standing };
            if let Err(error) = self.record(&approved.plan().id, answered).await {
                self.console.warn(&format!("what its node said is not recorded: {error}"));
            }
        }
        if so_far.asked > 0 {
            self.console.note(&so_far.to_string());
        }
        Ok(so_far)
    }

    /// Pods were resized, and the template behind them was not changed, or nobody can say: that must not stay unsaid.
    pub(super) fn half_done(&self, going_on: &str, resized: Resizes, stop: &Error) {
        if resized.is_none() {
            return;
        }
        let and = if resized.pending > 0 { ", and" } else { " and" };
        let template = if stop.part().is_some_and(NotWritten::is_unknown) {
            "it is not known whether their template is changed: if not, the next rollout would take it back; to find out and go on"
        } else {
            "their template is not changed: the next rollout would take it back; to go on"
        };
        self.console.warn(&format!("{resized}{and} {template}: {going_on}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::DrainOptions;
    use crate::plan::examples::drain_plan;

    #[test]
    fn whoever_goes_on_accepts_again_what_was_accepted() {
        let plan = drain_plan(DrainOptions::default());
        let after = |wish: &Wish| going_on(&plan, wish).split_once(&plan.id).map(|(_, flags)| flags.to_owned());
        assert_eq!(after(&Wish::default()).as_deref(), Some(""));
        let drain =
            DrainOptions { wait_for_budgets: true, allow_pending: true, force: true, ..DrainOptions::default() };
        let wish = Wish { min_schedulable: Some(25), allow_downtime: true, drain, ..Wish::default() };
        let flags = " --allow-downtime --wait-for-budgets --allow-pending --min-schedulable 25";
        assert_eq!(after(&wish).as_deref(), Some(flags), "--force is part of the plan");
    }

    #[test]
    fn a_pod_that_could_not_be_resized_makes_the_plan_a_part() {
        let exit = |done, asked| Resizes { done, asked, ..Resizes::default() }.exit();
        assert_eq!(
            [exit(0, 0), exit(2, 2), exit(1, 2), exit(0, 1)],
            [Exit::Done, Exit::Done, Exit::Partial, Exit::Partial]
        );
    }
}
