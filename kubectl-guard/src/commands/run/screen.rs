//! `run --tui`: the screen beside what runs.

use std::io::{self, IsTerminal as _};

use tokio::sync::watch::Receiver;

use crate::approve;
use crate::audit::Journal;
use crate::config::{Config, ConfigError, Merged};
use crate::console::{Kept, TRACE_REQUESTS_FROM};
use crate::error::Error;
use crate::exit::Exit;
use crate::flags::KubeFlags;
use crate::run::steer::Steering;
use crate::run::supervise::Want;
use crate::run::{Part, Shared};
use crate::tui::drive::{End, Run, drive};
use crate::tui::screen::Screen;
use crate::tui::terminal;
use crate::tui::watch::Watch;

/// Looks whether there is a terminal for a screen, and nobody else who would write to it.
pub(super) fn check(kube: &KubeFlags) -> Result<(), Error> {
    if kube.verbosity >= TRACE_REQUESTS_FROM && io::stderr().is_terminal() {
        return Err(Error::Usage {
            message: format!("-v {} shows requests on stderr, which is the screen of --tui", kube.verbosity),
            hint: "send them elsewhere: 2> requests.txt".to_owned(),
        });
    }
    terminal::check()
}

/// Watches the run for a screen.
pub(super) fn watch<'a>(shared: &'a Shared<'a>, config: &Config, kept: &Kept) -> Watch<'a> {
    let journal = Journal::of_user(|name| std::env::var_os(name));
    if let Err(error) = &journal {
        shared.log.warn(Part::Run, &format!("the history is left out: {error}"));
    }
    Watch::new(shared, config, kept.clone(), journal.ok())
}

/// Shows the screen until somebody at it wants to end; for ever if there is none to be shown.
pub(super) async fn serve<L: Fn() -> Result<Merged, ConfigError>>(
    watched: Option<Watch<'_>>,
    shared: &Shared<'_>,
    steering: &Steering<'_, L>,
    wanted: &Receiver<Want>,
) -> Result<Exit, Error> {
    let Some(watched) = watched else { return std::future::pending().await };
    let desk = shared.connection.map(|connection| shared.desk(connection, approve::Screen::Tui));
    let (held, wires) = terminal::show(Screen { approves: desk.is_some(), ..Screen::default() })?;
    let run = Steered { steering, shared, wanted };
    match drive(watched, shared.reports.subscribe(), desk.as_ref(), &run, wires).await {
        End::Wanted(exit) => Ok(exit),
        End::Lost => held.problem().map_or(Ok(Exit::Interrupted), Err),
    }
}

/// What a person at the screen can ask of the run.
struct Steered<'a, L> {
    steering: &'a Steering<'a, L>,
    shared: &'a Shared<'a>,
    wanted: &'a Receiver<Want>,
}

impl<L: Fn() -> Result<Merged, ConfigError>> Run for Steered<'_, L> {
    fn pause(&self) -> String {
        self.steering.pause().to_owned()
    }

    fn resume(&self) -> String {
        self.steering.resume().to_owned()
    }

    fn decline(&self, namespace: &str, target: &str) -> String {
        if self.shared.state.queue().decline(namespace, target) {
            return format!("declined: {target}");
        }
        format!("there is no plan for {target} any longer")
    }

    fn refuses(&self) -> Option<&'static str> {
        let dry = match &*self.wanted.borrow() {
            Want::Run(config) | Want::Pause(config) => config.remediation.dry_run,
            Want::Stop => return Some("this run ends"),
        };
        dry.then_some("remediation.dry_run is set: nothing may be approved in this run")
    }

    fn is_alone(&self) -> bool {
        !io::stdin().is_terminal()
    }
}
