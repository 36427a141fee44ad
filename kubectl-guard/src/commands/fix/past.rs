//! What is known of the past of a target: what was tried and did not help, and what it has used.

use super::session::Session;
use crate::audit::{Journal, tried};
use crate::error::Error;
use crate::facts::{self, Facts, TargetFacts};
use crate::plan::{ActionKind, is_name};
use crate::propose::recorded_of;
use crate::verify::ScoreSource;
use crate::wish::Wish;

impl<S: ScoreSource> Session<'_, S> {
    /// Adds what the journal and the source of the scores tell, and what has to be known where more than the first
    /// suggestion may be proposed.
    ///
    /// # Errors
    /// The source of the scores cannot be asked.
    pub(super) async fn remember(&self, facts: &mut Facts, wish: &Wish) -> Result<(), Error> {
        let target = facts.target.target().clone();
        // A journal that cannot be read is a guard rail of its own.
        if let Ok(Ok(lines)) = self.journal.as_ref().map(Journal::read) {
            facts.tried = tried(&lines, &target.uid, (self.now)());
        }
        if !matches!(facts.target, TargetFacts::Workload(_)) {
            return Ok(());
        }
        let in_vain = wish.action.is_none() && !facts.tried.is_empty();
        if in_vain {
            facts.vertical = Some(facts::ask_vertical(&self.connection.client, &target).await);
        }
        if let Some(container) = recorded_of(&wish.resources, facts)
            && (in_vain || wish.action == Some(ActionKind::Resources))
        {
            let pods = facts.pods.iter().map(|pod| pod.name.clone()).filter(|name| is_name(name)).collect::<Vec<_>>();
            if let Some(used) = self.scores.used(&target.namespace, &pods, (self.now)()).await? {
                facts.usage = std::mem::take(&mut facts.usage).with_record(&container, used.get(&container));
            }
        }
        Ok(())
    }
}
