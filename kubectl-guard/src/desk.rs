//! What a person at a screen can do: look at the plan for a target, and have it carried out by typing the target's name.
//!
//! A screen (a dashboard, a terminal) holds a [`Desk`] and nothing else of `fix`. Behind that of a cluster is the way of `fix` itself:
//! fresh scores, facts, guard rails, access reviews, a server dry run, one approval, a second look, the journal, the
//! write, and what the scores say afterwards.

use crate::error::Error;
use crate::exit::Exit;
use crate::plan::{Plan, TargetName, Verdict, render};

mod queue;
mod turns;

pub use queue::{Asked, Key, Proposer, Queue, Waiting};
pub use turns::{GRACE, Turn, Turns};

/// A plan as it is shown to a person.
#[derive(Clone, Debug, PartialEq)]
pub struct Shown {
    /// For what it was looked at: the target that may wait for a word, of which the plan can concern one pod alone.
    pub of: Key,
    /// The plan.
    pub plan: Plan,
    /// Whether the user may do each of its steps.
    pub verdicts: Vec<Verdict>,
    /// What an approval of it must name.
    pub digest: String,
    /// What `fix` would print, without colours: plan, diff, guard rails, rights.
    pub text: String,
    /// What was asked for; `None` left it to the evidence.
    pub asked: Option<Asked>,
}

impl Shown {
    /// This plan, looked at for its own target, whether the user may do each step, and what it was asked for.
    pub fn new(plan: Plan, verdicts: Vec<Verdict>, asked: Option<Asked>) -> Self {
        let of = plan.target().map(|target| (target.namespace.clone(), target.to_string())).unwrap_or_default();
        Self { of, digest: plan.digest(), text: render(&plan, &verdicts), plan, verdicts, asked }
    }
}

/// What a look at a target came to.
#[derive(Clone, Debug, PartialEq)]
pub enum Look {
    /// There is a plan.
    Plan(Box<Shown>),
    /// There is none.
    Nothing {
        /// Why, for people.
        why: String,
    },
}

/// What is told of a plan that is carried out, for a log.
#[derive(Clone, Debug, PartialEq)]
pub struct Told {
    /// Nothing went wrong.
    pub well: bool,
    /// In words.
    pub text: String,
}

/// Where plans are looked at and approved.
pub trait Desk: Send + Sync {
    /// What could be done about this target now, or whether what is `asked` can be; `namespace` is empty for a node. Only
    /// reads.
    ///
    /// # Errors
    /// The scores or the cluster cannot be read, or a guard rail refuses.
    fn look(
        &self,
        namespace: &str,
        target: &TargetName,
        asked: Option<&Asked>,
    ) -> impl Future<Output = Result<Look, Error>> + Send;

    /// Carries out the plan that was shown, if it still comes out the same and `typed` is the name of its target. Whoever
    /// stops waiting for it stops nothing: it goes on to its end. Each line about it is given to `said`.
    ///
    /// # Errors
    /// Whatever ends the way of `fix`; another plan is being carried out.
    fn carry_out(
        &self,
        shown: &Shown,
        typed: &str,
        said: &(dyn Fn(&str) + Sync),
    ) -> impl Future<Output = Result<Exit, Error>> + Send;
}

#[cfg(test)]
pub(crate) mod fake;
