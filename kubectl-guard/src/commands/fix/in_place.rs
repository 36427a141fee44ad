//! The pods of a workload, resized in place before its template: each is written, looked at, and told truthfully.

use super::session::Session;
use crate::apply::StepOutcome;
use crate::approve::ApprovedPlan;
use crate::error::Error;
use crate::plan::Action;
use crate::verify::{Resize, ScoreSource, resized};

impl<S: ScoreSource> Session<'_, S> {
    /// Writes the resizes. A pod that cannot be resized ends nothing: the template behind it brings the same.
    ///
    /// # Errors
    /// A write could not be recorded, and was not sent.
    pub(super) async fn resize(&self, approved: &ApprovedPlan) -> Result<usize, Error> {
        let steps = approved.plan().steps.iter().enumerate();
        let resizes: Vec<_> = steps.filter(|(_, step)| matches!(step.action, Action::ResizePod { .. })).collect();
        let mut done = 0_usize;
        for (index, step) in &resizes {
            let standing = match self.write(approved, *index).await {
                Ok(StepOutcome::Done { .. }) => resized(&self.connection.client, step).await,
                Ok(StepOutcome::NotDone { why } | StepOutcome::Unknown { why }) => Resize::Unknown(why),
                Err(refused @ (Error::Write(_) | Error::Forbidden { .. })) => Resize::Failed(refused.to_string()),
                Err(unrecorded) => return Err(unrecorded),
            };
            if standing == Resize::Done {
                done += 1;
            } else {
                self.console.warn(&format!("{}: {standing}", step.target));
            }
        }
        if !resizes.is_empty() {
            self.console.note(&format!("{done} of {} pods are resized in place", resizes.len()));
        }
        Ok(done)
    }

    /// Pods were resized, and the template behind them could not be changed: that must not stay unsaid.
    pub(super) fn half_done(&self, resized: usize) {
        if resized > 0 {
            self.console.warn(&format!(
                "{resized} pods are resized in place and their template is not changed: the next rollout would take it back; \
                 run the same command again"
            ));
        }
    }
}
