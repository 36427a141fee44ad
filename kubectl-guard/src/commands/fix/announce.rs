//! Events on what was written. They help whoever looks at the object, and nothing depends on them.

use std::sync::atomic::{AtomicBool, Ordering};

use super::session::Session;
use crate::apply;
use crate::approve::ApprovedPlan;
use crate::audit::Anchor;
use crate::outcome::StepOutcome;

/// Whether Events are made. One that could not be is told once, and no other is tried: of a drain there may be hundreds.
#[derive(Debug, Default)]
pub(super) struct Events {
    given_up: AtomicBool,
}

impl<S> Session<'_, S> {
    /// Makes an Event of a step whose outcome the journal has, at `anchor`.
    pub(super) async fn announce(&self, approved: &ApprovedPlan, step: usize, outcome: &StepOutcome, anchor: &Anchor) {
        if self.events.given_up.load(Ordering::Relaxed) {
            return;
        }
        let agent = anchor.user_agent(&approved.plan().id);
        let told = match self.connection.with_user_agent_suffix(&agent) {
            Ok(writer) => apply::announce(&writer.client, approved, step, outcome, (self.now)()).await,
            Err(error) => Err(error.to_string()),
        };
        if let Err(why) = told
            && !self.events.given_up.swap(true, Ordering::Relaxed)
        {
            self.console.note(&format!("no Event tells of it in the cluster: {why}; the journal does"));
        }
    }
}
