//! The way of `fix` behind a screen: what a [`Desk`] does on a real cluster.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::shown::Reach;
use crate::approve::Screen;
use crate::audit::Journal;
use crate::connect::Connection;
use crate::console::Console;
use crate::desk::{Asked, Desk, Look, Shown, Turns};
use crate::error::Error;
use crate::exit::Exit;
use crate::plan::TargetName;
use crate::scores::Source;
use crate::sink::Sink;

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
