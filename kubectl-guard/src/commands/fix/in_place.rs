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
use crate::plan::Action;
use crate::verify::{ScoreSource, resized};

/// How many pods were to be resized in place, and how many were.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Resizes {
    done: usize,
    asked: usize,
}

impl fmt::Display for Resizes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} pods are resized in place", self.done, self.asked)
    }
}

impl Resizes {
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

impl<S: ScoreSource> Session<'_, S> {
    /// Writes the resizes; how many were done, and how many there were. A pod that cannot be resized ends nothing: the
    /// template behind it brings the same. What each node said is recorded.
    ///
    /// # Errors
    /// A write could not be recorded, and was not sent.
    pub(super) async fn resize(&self, approved: &ApprovedPlan) -> Result<Resizes, Error> {
        let steps = approved.plan().steps.iter().enumerate();
        let resizes: Vec<_> = steps.filter(|(_, step)| matches!(step.action, Action::ResizePod { .. })).collect();
        let mut done = 0_usize;
        for (index, step) in &resizes {
            let standing = match self.write(approved, *index).await {
                Ok(StepOutcome::Done { .. }) => resized(&self.connection.client, step).await,
                Ok(StepOutcome::NotDone { why } | StepOutcome::Unknown { why }) => Resize::Unknown(why),
                Err(error) if is_answer(&error) => Resize::Failed(error.to_string()),
                Err(unrecorded) => {
                    self.half_done(&approved.plan().id, Resizes { done, asked: resizes.len() });
                    return Err(unrecorded);
                }
            };
            if standing == Resize::Done {
                done += 1;
            } else {
                self.console.warn(&format!("{}: {standing}", step.target));
            }
            let answered = Event::Resized { step: *index, resize: standing };
            if let Err(error) = self.record(&approved.plan().id, answered).await {
                self.console.warn(&format!("what its node said is not recorded: {error}"));
            }
        }
        let resizes = Resizes { done, asked: resizes.len() };
        if resizes.asked > 0 {
            self.console.note(&resizes.to_string());
        }
        Ok(resizes)
    }

    /// Pods were resized, and the template behind them could not be changed: that must not stay unsaid.
    pub(super) fn half_done(&self, id: &str, resized: Resizes) {
        if resized.done > 0 {
            self.console.warn(&format!(
                "{resized} and their template is not changed: the next rollout would take it back; to go on: kubectl guard fix \
                 --resume {id}"
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_that_could_not_be_resized_makes_the_plan_a_part() {
        let exit = |done, asked| Resizes { done, asked }.exit();
        assert_eq!(
            [exit(0, 0), exit(2, 2), exit(1, 2), exit(0, 1)],
            [Exit::Done, Exit::Done, Exit::Partial, Exit::Partial]
        );
    }
}
