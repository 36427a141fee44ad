//! A write as `fix` does it: in the journal before it is sent and after it, and told to whoever else hears of it.

use std::sync::atomic::Ordering;

use super::listeners::Shared;
use super::session::Session;
use crate::apply::{self, ApplyError};
use crate::approve::{ApprovedPlan, go_on};
use crate::audit::{Anchor, Event, JournalError, plan_agent};
use crate::connect::Connection;
use crate::error::Error;
use crate::facts;
use crate::outcome::StepOutcome;
use crate::propose::pause;
use crate::verify::ScoreSource;

impl<S: ScoreSource> Session<'_, S> {
    /// Nothing forbids the next write of a plan.
    ///
    /// # Errors
    /// Guard was paused meanwhile, or the plan has expired.
    pub(super) async fn go_on(&self, approved: &ApprovedPlan) -> Result<(), Error> {
        let paused = facts::pause(&self.connection.client).await;
        Ok(go_on(approved, &pause(&paused), (self.now)())?)
    }

    /// Writes a step: the intent is on the disk before, the outcome after. The other steps of a drain are written in the
    /// same way by it.
    pub(super) async fn write(&self, approved: &ApprovedPlan, step: usize) -> Result<StepOutcome, Error> {
        let result = self.send(approved, step, self.begins(approved, step)).await?;
        self.came_to(approved, step, &result).await;
        Ok(result?)
    }

    /// The line with which a step begins.
    pub(super) fn begins(&self, approved: &ApprovedPlan, step: usize) -> Event {
        if step == 0 {
            return Event::intent(approved, self.resumes.clone());
        }
        let target = approved.plan().steps.get(step).map(|step| &step.target);
        Event::Next { step, held: target.and_then(|target| target.resource_version.clone()) }
    }

    /// Puts the line on the disk, then sends the step.
    pub(super) async fn send(
        &self,
        approved: &ApprovedPlan,
        step: usize,
        begins: Event,
    ) -> Result<Result<StepOutcome, ApplyError>, Error> {
        let Ok(journal) = &self.journal else { return Err(JournalError::NoPlace.into()) };
        let id = &approved.plan().id;
        let anchor = journal.append((self.now)(), id, begins)?;
        let writer = match self.ready(id, &anchor).await {
            Ok(writer) => writer,
            Err(error) => {
                let outcome = StepOutcome::NotDone { why: error.to_string() };
                journal.append((self.now)(), id, Event::Outcome { step, outcome })?;
                return Err(error);
            }
        };
        Ok(apply::write(&writer.client, approved, step).await)
    }

    /// Records what came of a step, and tells of it.
    pub(super) async fn came_to(&self, approved: &ApprovedPlan, step: usize, result: &Result<StepOutcome, ApplyError>) {
        let Ok(journal) = &self.journal else { return };
        let id = &approved.plan().id;
        let outcome = match result {
            Ok(outcome) => outcome.clone(),
            Err(error @ ApplyError::Unknown { .. }) => StepOutcome::Unknown { why: error.to_string() },
            Err(error) => StepOutcome::NotDone { why: error.to_string() },
        };
        match journal.append((self.now)(), id, Event::Outcome { step, outcome: outcome.clone() }) {
            Ok(anchor) => {
                self.share(id, &anchor).await;
                self.announce(approved, step, &outcome, &anchor).await;
            }
            Err(error) => self
                .console
                .warn(&format!("the write was sent, and its outcome ({outcome:?}) is not recorded: {error}")),
        }
    }

    /// Adds a line to the journal, and tells the sink of it.
    pub(super) async fn record(&self, id: &str, event: Event) -> Result<(), Error> {
        let Ok(journal) = &self.journal else { return Err(JournalError::NoPlace.into()) };
        let anchor = journal.append((self.now)(), id, event)?;
        self.share(id, &anchor).await;
        Ok(())
    }

    /// What a write is sent with: its User-Agent carries where the journal stands. The sink knows of the write by then, or
    /// it was said that it does not.
    ///
    /// # Errors
    /// The sink is required and could not be told, or no client can be made.
    pub(super) async fn ready(&self, id: &str, anchor: &Anchor) -> Result<Connection, Error> {
        match self.tell(id, &anchor.user_agent(id)).await {
            Err(error) if self.shared.as_ref().is_some_and(|shared| shared.required) => {
                return Err(Error::NotShared(Box::new(error)));
            }
            told => self.say(told),
        }
        self.connection.with_user_agent_suffix(&anchor.user_agent(id))
    }

    /// Tells the sink what the journal says of a plan.
    pub(super) async fn share(&self, id: &str, anchor: &Anchor) {
        let told = self.tell(id, &anchor.user_agent(id)).await;
        self.say(told);
    }

    /// Tells the sink what it may have missed: whoever was to tell it was killed between journal and sink.
    pub(super) async fn share_again(&self, id: &str) {
        let told = self.tell(id, &plan_agent(id)).await;
        self.say(told);
    }

    fn say(&self, told: Result<(), Error>) {
        if let (Err(error), Some(shared)) = (told, &self.shared) {
            self.console
                .warn(&format!("{} does not know of it, the journal of this machine does: {error}", shared.sink));
        }
    }

    async fn tell(&self, id: &str, user_agent: &str) -> Result<(), Error> {
        let Some(Shared { sink, .. }) = &self.shared else { return Ok(()) };
        let Ok(journal) = &self.journal else { return Err(JournalError::NoPlace.into()) };
        let lines = journal.lines_of(id)?;
        let writer = self.connection.with_user_agent_suffix(user_agent)?;
        sink.add(&writer.client, id, &lines).await
    }

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
