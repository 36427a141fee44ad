//! `run`: collects, scores and proposes, until it is told to end; and the orders to one that runs.

#[cfg(unix)]
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use tokio::sync::watch;

use crate::cli::Off;
use crate::config::flags::ConfigFlags;
use crate::config::{Config, ConfigError, Merged, Origin};
use crate::connect::{Connection, Environment};
use crate::console::Console;
use crate::desk::GRACE;
use crate::error::Error;
use crate::exit::Exit;
use crate::flags::variables::variable;
use crate::flags::{KubeFlags, SinkFlags};
use crate::run::log::Log;
use crate::run::steer::Steering;
use crate::run::supervise::{Pauses, Want, supervise};
use crate::run::{Part, Shared, agents, claim, collect, explain, notices, parts, propose, score, serve};
use crate::signals::Ends;

#[cfg(unix)]
mod order;
mod screen;

/// Arguments of `run`.
#[derive(Args, Clone, Debug)]
#[command(args_conflicts_with_subcommands = true)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub struct RunArgs {
    #[cfg(unix)]
    #[command(subcommand)]
    order: Option<order::OrderArgs>,
    /// Socket on which this run takes orders; each run of the same user needs its own
    #[cfg(unix)]
    #[arg(long, value_name = "FILE")]
    socket: Option<PathBuf>,
    /// Serve the dashboard too, on 127.0.0.1; its URL is printed
    #[arg(long)]
    ui: bool,
    /// Show plans in the dashboard without taking approvals
    #[arg(long, requires = "ui")]
    read_only: bool,
    /// Port of the dashboard; 0 takes a free one
    #[arg(long, value_name = "PORT", default_value_t = 5000, requires = "ui")]
    port: u16,
    /// Show pods, incidents, plans, history and log on this terminal; ? shows the keys
    #[arg(long)]
    tui: bool,
    #[command(flatten)]
    flags: ConfigFlags,
    #[command(flatten)]
    sink: SinkFlags,
    /// Refused: what is proposed here waits for `fix`
    #[arg(long, visible_alias = "yes", hide = true)]
    auto_approve: bool,
    /// Refused: it would stand in the list of processes, for everybody to read
    #[arg(long, hide = true, value_name = "KEY")]
    openai_api_key: Option<String>,
}

impl RunArgs {
    /// Takes these switches for off.
    pub fn switch_off(&mut self, off: Off) {
        self.flags.switch_off(off);
    }
}

/// Runs until ^C, SIGTERM or a second one of them.
///
/// # Errors
/// If the configuration cannot be meant, or there is no kubeconfig and a part needs a cluster.
pub async fn run(args: &RunArgs, kube: &KubeFlags, console: &Console) -> Result<Exit, Error> {
    #[cfg(unix)]
    if let Some(order) = &args.order {
        return order::run(order, console).await;
    }
    refuse(args)?;
    let sink = args.sink.shared()?;
    if args.tui {
        screen::check(kube)?;
    }
    let load = || args.flags.load(kube, variable);
    let merged = load()?;
    let config = Config::of(&merged)?;
    let mut parts = parts(&config);
    if args.ui {
        parts.push(Part::Serve);
    }
    let connection = connection(&config, kube, &parts)?;
    notices::check(&config)?;
    explain::check(&config)?;
    // A screen has the terminal for itself: what would be written to it is kept, and shown there.
    let kept = args.tui.then(Console::kept);
    let (terminal, console) = (console, kept.as_ref().map_or(console, |(console, _)| console));
    let log = Log::open(console, &config.log)?;
    #[cfg(unix)]
    let control = order::listen(args.socket.as_deref()).await?;
    let _claimed = claim::claim(&parts, &config, &log)?;
    let shared = Shared { sink, ..Shared::new(log, connection.as_ref(), console) };
    introduce(&shared, &config, &merged, &parts);
    let watched = kept.as_ref().map(|(_, kept)| screen::watch(&shared, &config, kept));
    let (want, wanted) = watch::channel(Want::Run(Arc::new(config)));
    let dashboard = connection.as_ref().map(|to| serve::Dashboard::new(args.port, args.read_only, to, &shared));
    let supervised = |part: &Part| supervised(*part, dashboard.as_ref(), &shared, wanted.clone());
    let work = futures::future::join_all(parts.iter().map(supervised));
    tokio::pin!(work);
    let steering = Steering::new(&shared, want, merged, load);
    #[cfg(unix)]
    let orders = order::serve(control.as_ref(), &steering, &shared);
    #[cfg(not(unix))]
    let orders = std::future::pending::<()>();
    let mut signals = Signals::listen()?;
    let ended = tokio::select! {
        _ = &mut work => Ok(Exit::Done),
        exit = signals.obey(&steering) => Ok(exit),
        () = orders => Ok(Exit::Done),
        () = steering.watch() => Ok(Exit::Done),
        () = shared.carried.log(&shared.log) => Ok(Exit::Done),
        ended = screen::serve(watched, &shared, &steering, &wanted) => ended,
    };
    shared.log.info(Part::Run, "a second signal ends it at once");
    steering.stop();
    // A plan that is being carried out is no part: it is seen to the end of a write, and not to that of a long wait.
    let end = async {
        work.await;
        shared.turns.over().await;
        shared.carried.log_rest(&shared.log).await;
    };
    tokio::select! {
        () = end => shared.log.info(Part::Run, "ended"),
        _ = signals.next() => shared.log.warn(Part::Run, "ended at once"),
        () = tokio::time::sleep(GRACE) => shared.log.warn(Part::Run, "a part did not end in time, and was let go"),
    }
    shared.carried.log_rest(&shared.log).await;
    if let Some(words) = shared.turns.left() {
        shared.log.warn(Part::Run, &words);
        // The log of a screen has gone with it.
        if args.tui {
            terminal.warn(&words);
        }
    }
    ended
}

fn refuse(args: &RunArgs) -> Result<(), Error> {
    if args.openai_api_key.is_some() {
        return Err(Error::Usage {
            message: "a key on the command line can be read by everybody on this machine".to_owned(),
            hint: "put it into a file and name that with --openai-api-key-file, or into $OPENAI_API_KEY".to_owned(),
        });
    }
    if args.auto_approve {
        return Err(Error::Usage {
            message: "run proposes, and approves nothing: its scores come from a table that anybody may write"
                .to_owned(),
            hint: "kubectl guard fix TYPE/NAME --yes --confidence-threshold 0.9 approves by the exporter's scores"
                .to_owned(),
        });
    }
    Ok(())
}

/// The cluster, if a part needs one.
fn connection(config: &Config, kube: &KubeFlags, parts: &[Part]) -> Result<Option<Connection>, Error> {
    if !parts.iter().any(|part| {
        matches!(part, Part::Collect | Part::Propose | Part::Notify | Part::Agents | Part::Explain | Part::Serve)
    }) {
        return Ok(None);
    }
    let namespace = config.dataset_generator.namespace.clone();
    let kube = KubeFlags { namespace: namespace.or_else(|| kube.namespace.clone()), ..kube.clone() };
    Connection::open(&kube, &Environment::of_process()).map(Some)
}

/// Says what begins, and what of the configuration is not acted on.
fn introduce(shared: &Shared<'_>, config: &Config, merged: &Merged, parts: &[Part]) {
    let names: Vec<&str> = parts.iter().map(|part| part.name()).collect();
    let said = format!("kubectl-guard {} runs: {}", env!("CARGO_PKG_VERSION"), names.join(", "));
    shared.log.info(Part::Run, &said);
    let unread = merged.origin("dataset_generator.prometheus_url").is_some_and(|origin| *origin != Origin::Default);
    if unread && config.prometheus.queries.is_empty() {
        shared.log.warn(
            Part::Run,
            "Prometheus is not asked: metrics are collected from the kubelets, and prometheus.queries is empty",
        );
    }
    if config.remediation.auto_approve {
        shared.log.warn(Part::Run, "remediation.auto_approve has no effect: run proposes, and approves nothing");
    }
}

/// One part, kept going.
async fn supervised(
    part: Part,
    dashboard: Option<&serve::Dashboard>,
    shared: &Shared<'_>,
    want: watch::Receiver<Want>,
) {
    supervise(part, shared, Pauses::default(), want, async |config: Arc<Config>| {
        match (part, shared.connection, dashboard) {
            (Part::Collect, Some(connection), _) => collect::collect(&config, connection, shared).await,
            (Part::Propose, Some(connection), _) => propose::propose(&config, connection, shared).await,
            (Part::Agents, Some(connection), _) => agents::keep(&config, connection, shared).await,
            (Part::Explain, Some(connection), _) => explain::explain(&config, connection, shared).await,
            (Part::Notify, Some(connection), _) => notices::notify(&config, connection, shared).await,
            (Part::Serve, Some(connection), Some(dashboard)) => {
                serve::serve(&config, connection, shared, dashboard).await
            }
            (Part::Score, ..) => score::score(&config, shared).await,
            // A connection is opened before any part that needs one.
            _ => Ok(()),
        }
    })
    .await;
}

/// The signals that `run` obeys.
struct Signals {
    ends: Ends,
    #[cfg(unix)]
    hang_up: tokio::signal::unix::Signal,
}

impl Signals {
    fn listen() -> Result<Self, Error> {
        let ends = Ends::listen()?;
        #[cfg(unix)]
        let hang_up = {
            use tokio::signal::unix::{SignalKind, signal};
            let failed = |source| Error::Io { doing: "listen for signals".to_owned(), source };
            signal(SignalKind::hangup()).map_err(failed)?
        };
        Ok(Self {
            ends,
            #[cfg(unix)]
            hang_up,
        })
    }

    /// The next one that ends it.
    async fn next(&mut self) -> Exit {
        self.ends.next().await
    }

    /// Reloads at each SIGHUP, until a signal that ends it.
    #[cfg(unix)]
    async fn obey(&mut self, steering: &Steering<'_, impl Fn() -> Result<Merged, ConfigError>>) -> Exit {
        loop {
            tokio::select! {
                exit = self.ends.next() => return exit,
                // It says itself what came of it.
                _ = self.hang_up.recv() => drop(steering.reload()),
            }
        }
    }

    #[cfg(not(unix))]
    async fn obey(&mut self, _: &Steering<'_, impl Fn() -> Result<Merged, ConfigError>>) -> Exit {
        self.next().await
    }
}
