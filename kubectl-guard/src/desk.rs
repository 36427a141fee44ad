//! What a person at a screen can do: look at the plan for a target, and have it carried out by typing the target's name.
//!
//! A screen (a dashboard, a terminal) holds a [`Desk`] and nothing else of `fix`. Behind it is the way of `fix` itself:
//! fresh scores, facts, guard rails, access reviews, a server dry run, one approval, a second look, the journal, the
//! write, and what the scores say afterwards.

use std::sync::Arc;

use tokio::sync::mpsc;

use crate::approve::Screen;
use crate::audit::Journal;
use crate::commands::fix::shown::Reach;
use crate::connect::Connection;
use crate::console::Console;
use crate::error::Error;
use crate::exit::Exit;
use crate::plan::{Plan, TargetName, Verdict, render};
use crate::scores::Source;
use crate::sink::Sink;

mod queue;
mod turns;

pub use queue::{Asked, Key, Proposer, Queue, Waiting};
pub use turns::{GRACE, Turn, Turns};

/// A plan as it is shown to a person.
#[derive(Clone, Debug, PartialEq)]
pub struct Shown {
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
    /// This plan, whether the user may do each step, and what it was asked for.
    pub fn new(plan: Plan, verdicts: Vec<Verdict>, asked: Option<Asked>) -> Self {
        Self { digest: plan.digest(), text: render(&plan, &verdicts), plan, verdicts, asked }
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

/// The desk of a cluster, with the rights of the user of this connection.
#[derive(Clone)]
pub struct ClusterDesk {
    connection: Connection,
    source: Arc<Source>,
    journal: Option<Journal>,
    screen: Screen,
    turns: Turns,
    shared: Option<(Sink, bool)>,
}

impl ClusterDesk {
    /// A desk whose scores are read from `source`, each time anew. Desks that share `turns` carry out one plan at a time.
    pub fn new(connection: Connection, source: impl Into<Arc<Source>>, screen: Screen, turns: Turns) -> Self {
        let journal = Journal::of_user(|name| std::env::var_os(name)).ok();
        Self { connection, source: source.into(), journal, screen, turns, shared: None }
    }

    /// The same desk, whose journal is told there as well; if the flag says so, nothing is changed that could not be.
    #[must_use]
    pub fn telling(self, sink: Option<(Sink, bool)>) -> Self {
        Self { shared: sink, ..self }
    }

    /// A connection to the target's namespace, which is where its scores are looked for.
    fn connection(&self, namespace: &str) -> Connection {
        let mut connection = self.connection.clone();
        if !namespace.is_empty() {
            namespace.clone_into(&mut connection.namespace);
        }
        connection
    }

    fn reach<'a>(&'a self, connection: &'a Connection, console: &'a Console) -> Reach<'a> {
        let (journal, shared) = (self.journal.as_ref(), self.shared.as_ref());
        Reach { connection, source: &self.source, journal, shared, console }
    }
}

impl Desk for ClusterDesk {
    async fn look(&self, namespace: &str, target: &TargetName, asked: Option<&Asked>) -> Result<Look, Error> {
        let (send, mut notes) = mpsc::unbounded_channel();
        let look = {
            let console = Console::saying(move |line| drop(send.send(line.to_owned())));
            self.reach(&self.connection(namespace), &console).look(namespace, target, asked).await?
        };
        let Look::Plan(mut shown) = look else { return Ok(look) };
        while let Some(note) = notes.recv().await {
            shown.text.extend([note.as_str(), "\n"]);
        }
        Ok(Look::Plan(shown))
    }

    async fn carry_out(&self, shown: &Shown, typed: &str, said: &(dyn Fn(&str) + Sync)) -> Result<Exit, Error> {
        let what = shown.plan.lead().map(|step| step.action.on(&step.target)).unwrap_or_default();
        let turn = self.turns.take(&what)?;
        let (send, mut lines) = mpsc::unbounded_channel();
        let (desk, shown, typed) = (self.clone(), shown.clone(), typed.to_owned());
        // A task of its own: a browser that is closed, or a part of `run` that is begun anew, must not cut it off.
        let task = tokio::spawn(async move {
            let _turn = turn;
            let console = Console::saying(move |line| drop(send.send(line.to_owned())));
            let connection = desk.connection(shown.plan.target().map_or("", |target| &target.namespace));
            desk.reach(&connection, &console).carry_out(&shown, &typed, desk.screen).await
        });
        // The console goes with the task, and the lines end.
        while let Some(line) = lines.recv().await {
            said(&line);
        }
        task.await.unwrap_or_else(|gone| {
            let doing = format!("see {what} to its end; `kubectl guard history` tells how far it got");
            Err(Error::Io { doing, source: std::io::Error::other(gone) })
        })
    }
}

#[cfg(test)]
pub(crate) mod fake;
