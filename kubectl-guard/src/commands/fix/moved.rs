//! A plan's lead at the version that its object has right then: a status that is written meanwhile is no change that a plan
//! rests on, and moves the version all the same.

use kube::Client;

use super::session::Session;
use crate::apply::{self, ApplyError};
use crate::approve::{ApprovedPlan, at_latest, renew};
use crate::audit::Event;
use crate::error::Error;
use crate::outcome::StepOutcome;
use crate::plan::{Latest, Plan};
use crate::verify::ScoreSource;

/// How often the version may move between a look and the request behind it. A rollout writes the status of its workload a few
/// times a second, and a request follows its look within hundredths of one.
const AT_MOST: usize = 3;

impl<S: ScoreSource> Session<'_, S> {
    /// The API server would take the plan.
    ///
    /// # Errors
    /// It would not, or somebody has changed the object meanwhile.
    pub(super) async fn would_take(&self, client: &Client, mut plan: Plan) -> Result<(), Error> {
        if let Some(latest) = self.latest(&plan).await {
            plan = at_latest(plan, &latest)?;
        }
        let mut result = apply::dry_run(client, &plan).await;
        for _ in 0..AT_MOST {
            let Some(latest) = self.moved(&plan, &result).await else { break };
            plan = at_latest(plan, &latest)?;
            result = apply::dry_run(client, &plan).await;
        }
        Ok(result?)
    }

    /// Writes the lead, and says with which plan: where only the version has moved between the look and the write, it is sent once
    /// more, recorded before as the first time.
    ///
    /// # Errors
    /// It was not written, as something forbids it by now or for another reason, or nobody can say.
    pub(super) async fn write_lead(&self, mut approved: ApprovedPlan) -> Result<(ApprovedPlan, StepOutcome), Error> {
        self.go_on(&approved).await?;
        if let Some(latest) = self.latest(approved.plan()).await {
            approved = renew(approved, &latest)?;
        }
        let lead = approved.plan().steps.iter().position(|step| Some(step) == approved.plan().lead()).unwrap_or(0);
        let mut result = self.send(&approved, lead, self.begins(&approved, lead)).await?;
        for _ in 0..AT_MOST {
            let Some(latest) = self.moved(approved.plan(), &result).await else { break };
            match renew(approved.clone(), &latest) {
                Ok(renewed) => approved = renewed,
                Err(changed) => {
                    self.came_to(&approved, lead, &result).await;
                    return Err(changed.into());
                }
            }
            let event = Event::Next { step: lead, held: latest.target.resource_version };
            result = self.send(&approved, lead, event).await?;
        }
        self.came_to(&approved, lead, &result).await;
        Ok((approved, result?))
    }

    /// The object of the lead, if its version moves by itself. Of one that cannot be read now the version stays the one that was
    /// seen: the API server compares it.
    async fn latest(&self, plan: &Plan) -> Option<Latest> {
        let lead = plan.lead().filter(|step| step.target.version_moves())?;
        apply::latest(&self.connection.client, lead).await
    }

    /// The same, if a request was refused because that version is another by now than the plan holds.
    async fn moved<T>(&self, plan: &Plan, result: &Result<T, ApplyError>) -> Option<Latest> {
        if !matches!(result, Err(ApplyError::Stale { .. })) {
            return None;
        }
        let held = &plan.target()?.resource_version;
        self.latest(plan).await.filter(|latest| latest.target.resource_version != *held)
    }
}
