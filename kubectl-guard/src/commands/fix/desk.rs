//! The way of `fix` behind a screen: what a [`Desk`] does on a real cluster.

use std::sync::Arc;

use tokio::sync::mpsc::{self, UnboundedSender};

use super::shown::Reach;
use crate::approve::Screen;
use crate::audit::Journal;
use crate::connect::Connection;
use crate::console::Console;
use crate::desk::{Asked, Desk, Look, Shown, Told, Turns};
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
    log: Option<UnboundedSender<Told>>,
}

impl ClusterDesk {
    /// A desk whose scores are read from `source`, each time anew. Desks that share `turns` carry out one plan at a time.
    pub fn new(connection: Connection, source: impl Into<Arc<Source>>, screen: Screen, turns: Turns) -> Self {
        let journal = Journal::of_user(|name| std::env::var_os(name)).ok();
        Self { connection, source: source.into(), journal, screen, turns, shared: None, log: None }
    }

    /// The same desk, whose journal is told there as well; if the flag says so, nothing is changed that could not be.
    #[must_use]
    pub fn telling(self, sink: Option<(Sink, bool)>) -> Self {
        Self { shared: sink, ..self }
    }

    /// The same desk; what it carries out, and what that came to, is told there too, also when its screen has gone.
    #[must_use]
    pub fn logged_by(self, log: UnboundedSender<Told>) -> Self {
        Self { log: Some(log), ..self }
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

/// What is logged at the end of a plan that was approved on this screen.
fn outcome(what: &str, shown: &Shown, screen: Screen, came_to: &Result<Exit, Error>) -> Told {
    let place = match shown.plan.target().map(|target| target.namespace.as_str()) {
        Some(namespace) if !namespace.is_empty() => format!(" in namespace {namespace}"),
        _ => String::new(),
    };
    let screen = match screen {
        Screen::Dashboard => "dashboard",
        Screen::Tui => "terminal",
    };
    let words = came_to.as_ref().map_or_else(Error::in_one_line, |exit| exit.of_a_plan().to_owned());
    Told { well: matches!(came_to, Ok(Exit::Done)), text: format!("{what}{place}, approved at the {screen}: {words}") }
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
        let (desk, shown, typed, named) = (self.clone(), shown.clone(), typed.to_owned(), what.clone());
        // A task of its own: a browser that is closed, or a part of `run` that is begun anew, must not cut it off.
        let task = tokio::spawn(async move {
            let _turn = turn;
            let log = desk.log.clone();
            let console = Console::saying(move |line| {
                if let Some(log) = &log {
                    drop(log.send(Told { well: true, text: line.to_owned() }));
                }
                drop(send.send(line.to_owned()));
            });
            let connection = desk.connection(shown.plan.target().map_or("", |target| &target.namespace));
            let came_to = desk.reach(&connection, &console).carry_out(&shown, &typed, desk.screen).await;
            if let Some(log) = &desk.log {
                drop(log.send(outcome(&named, &shown, desk.screen, &came_to)));
            }
            came_to
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
mod tests {
    use serde_json::json;

    use super::*;
    use crate::desk::fake::shown;
    use crate::scores::portforward::NAMESPACE;
    use crate::wire;

    #[tokio::test]
    async fn what_a_plan_came_to_is_told_to_the_log() {
        let (connection, _) = wire::server(|_, _| (500, json!({"message": "away"}))).await;
        let (log, mut told) = mpsc::unbounded_channel();
        let source = Source::Exporters { namespace: NAMESPACE.to_owned() };
        let desk = ClusterDesk::new(connection, source, Screen::Tui, Turns::default()).logged_by(log);
        let error = desk.carry_out(&shown(), "web", &|_| ()).await.unwrap_err();
        drop(desk);
        let mut last = None;
        while let Some(next) = told.recv().await {
            last = Some(next);
        }
        let text =
            format!("restart deployment/web in namespace shop, approved at the terminal: {}", error.in_one_line());
        assert_eq!(last, Some(Told { well: false, text }));
        let helped_not = outcome("cordon node/n1", &shown(), Screen::Dashboard, &Ok(Exit::NotRecovered));
        assert!(
            helped_not.text.ends_with(", approved at the dashboard: done, and the scores do not say that it helped")
        );
    }
}
