//! What `fix` does for a screen: the same plan, shown there, and carried out after its target's name was typed there.

use std::sync::Arc;
use std::time::Duration;

use super::listeners::Shared;
use super::session::Session;
use super::{FixArgs, Scores};
use crate::approve::{NotApproved, Screen};
use crate::audit::{Journal, JournalError};
use crate::connect::Connection;
use crate::console::Console;
use crate::desk::{Asked, Look, Shown};
use crate::error::Error;
use crate::exit::Exit;
use crate::plan::TargetName;
use crate::propose::Proposal;
use crate::scores::Source;
use crate::sink::Sink;
use crate::verify::ScoreSource;
use crate::wish::Wish;

/// How long the scores may take to say what came of it: that of the command line.
const VERIFIED_WITHIN: Duration = Duration::from_mins(5);

/// What `fix` touches, for one target.
pub struct Reach<'a> {
    /// The cluster.
    pub connection: &'a Connection,
    /// Where its scores are read.
    pub source: &'a Arc<Source>,
    /// Where the journal is, if there is a place for it.
    pub journal: Option<&'a Journal>,
    /// Where that is told as well, and whether nothing may be changed without it.
    pub shared: Option<&'a (Sink, bool)>,
    /// Who is told what happens.
    pub console: &'a Console,
}

impl<'a> Reach<'a> {
    fn session(&self, namespace: &str) -> Session<'a, Scores<'a>> {
        let scores = Scores::of(Arc::clone(self.source), self.connection, self.console);
        let scores = Scores { all_namespaces: namespace.is_empty(), ..scores };
        let journal = self.journal.cloned().ok_or(JournalError::NoPlace);
        let shared = self.shared.cloned().map(Shared::from);
        Session { shared, ..Session::new(self.connection, self.console, journal, scores) }
    }

    /// What could be done about this target, or whether what is `asked` can be, from scores read now. Only reads: nobody is
    /// asked, and nothing is recorded.
    ///
    /// # Errors
    /// The scores or the cluster cannot be read, or a guard rail refuses.
    pub async fn look(&self, namespace: &str, target: &TargetName, asked: Option<&Asked>) -> Result<Look, Error> {
        Box::pin(self.session(namespace).look(namespace, target, asked)).await
    }

    /// Makes the plan of this target anew and carries it out, if it is the one that was shown and `name` is its target's.
    ///
    /// # Errors
    /// Whatever ends the way of `fix`.
    pub async fn carry_out(&self, shown: &Shown, name: &str, on: Screen) -> Result<Exit, Error> {
        let namespace = shown.plan.target().map_or("", |target| &target.namespace);
        Box::pin(self.session(namespace).carry_out_shown(shown, name, on)).await
    }
}

impl<S: ScoreSource> Session<'_, S> {
    pub(super) async fn look(
        &mut self,
        namespace: &str,
        target: &TargetName,
        asked: Option<&Asked>,
    ) -> Result<Look, Error> {
        match self.proposed(namespace, target, &wish(asked)).await?.1 {
            Proposal::Plan(plan) => {
                let verdicts = self.access(&plan).await?;
                let of = (namespace.to_owned(), target.to_string());
                Ok(Look::Plan(Box::new(Shown { of, ..Shown::new(*plan, verdicts, asked.cloned()) })))
            }
            Proposal::Healthy { why } => Ok(Look::Nothing { why }),
            Proposal::NothingHelps { why } => {
                Ok(Look::Nothing { why: format!("nothing that guard can do would help: {why}") })
            }
        }
    }

    pub(super) async fn carry_out_shown(&mut self, shown: &Shown, name: &str, on: Screen) -> Result<Exit, Error> {
        let Some(target) = shown.plan.target() else { return Err(NotApproved::TooMuch(0).into()) };
        let args = FixArgs {
            approve: Some(shown.digest.clone()),
            typed: Some((on, name.to_owned())),
            timeout: VERIFIED_WITHIN,
            ..FixArgs::default()
        };
        let named = TargetName { kind: target.kind, name: target.name.clone() };
        let wish = wish(shown.asked.as_ref());
        let (case, proposal) = self.proposed(&target.namespace, &named, &wish).await?;
        let plan = match proposal {
            Proposal::Plan(plan) => *plan,
            Proposal::Healthy { why } | Proposal::NothingHelps { why } => return Err(NotApproved::Stale(why).into()),
        };
        let verdicts = self.access(&plan).await?;
        self.check(&plan, &verdicts).await?;
        self.carry_out(&args, &wish, plan, &case).await
    }
}

fn wish(asked: Option<&Asked>) -> Wish {
    asked.map(Wish::from).unwrap_or_default()
}
