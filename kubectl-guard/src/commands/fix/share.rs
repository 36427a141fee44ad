//! The journal, told elsewhere as well: before a write, and after it.

use super::session::Session;
use crate::audit::{Anchor, JournalError, plan_agent};
use crate::connect::Connection;
use crate::error::Error;
use crate::sink::Sink;

/// Where the journal is told as well.
#[derive(Clone, Debug)]
pub(super) struct Shared {
    sink: Sink,
    /// Nothing is changed that could not be told there first.
    required: bool,
}

impl From<(Sink, bool)> for Shared {
    fn from((sink, required): (Sink, bool)) -> Self {
        Self { sink, required }
    }
}

impl<S> Session<'_, S> {
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
}
