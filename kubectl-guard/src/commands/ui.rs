//! `ui`: the dashboard in a browser on this machine. What is proposed there can be approved there, by the way of `fix`.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use clap::Args;
use jiff::Timestamp;

use super::fix::desk::ClusterDesk;
use crate::approve::Screen;
use crate::commands::demo;
use crate::connect::{Connection, Environment};
use crate::console::Console;
use crate::desk::{GRACE, Queue, Turns};
use crate::error::Error;
use crate::exit::Exit;
use crate::flags::{KubeFlags, Selection, SinkFlags, SourceFlags};
use crate::pods;
use crate::rows;
use crate::scores::Source;
use crate::signals::Ends;
use crate::ui::approvals::Approvals;
use crate::ui::door::Door;
use crate::ui::look::{Look, Scope};
use crate::ui::server::{Pages, Shown};
use crate::ui::worst;

/// The exporters score every 15 s.
const REFRESH: Duration = Duration::from_secs(15);

/// Arguments of `ui`.
#[derive(Args)]
pub struct UiArgs {
    /// Port on 127.0.0.1; 0 takes a free one
    #[arg(long, value_name = "PORT", default_value_t = 5000)]
    port: u16,
    /// Address to listen on; only 127.0.0.1 is accepted
    #[arg(long, value_name = "IP", value_parser = loopback, default_value = "127.0.0.1")]
    address: Ipv4Addr,
    /// Show a recorded incident; needs no cluster, and nothing can be approved
    #[arg(long)]
    demo: bool,
    /// Show plans without taking approvals
    #[arg(long)]
    read_only: bool,
    #[command(flatten)]
    selection: Selection,
    #[command(flatten)]
    source: SourceFlags,
    #[command(flatten)]
    sink: SinkFlags,
}

fn loopback(text: &str) -> Result<Ipv4Addr, String> {
    match text.parse::<IpAddr>() {
        Ok(IpAddr::V4(Ipv4Addr::LOCALHOST)) => Ok(Ipv4Addr::LOCALHOST),
        _ => {
            Err("the dashboard is for this machine alone; forward the port with ssh -L to see it elsewhere".to_owned())
        }
    }
}

/// Serves the dashboard until ^C or SIGTERM.
///
/// # Errors
/// If the port is taken, or the first look at the cluster fails.
pub async fn run(args: &UiArgs, kube: &KubeFlags, console: &Console) -> Result<Exit, Error> {
    let mut ends = Ends::listen()?;
    let door = Door::open(args.address, args.port).await?;
    let cluster = if args.demo { None } else { Some(Cluster::open(args, kube)?) };
    let first = match &cluster {
        // An API server that does not answer is waited for no longer than somebody wants to.
        Some(cluster) => tokio::select! {
            look = cluster.look(console) => look?,
            end = ends.next() => return Ok(end),
        },
        None => recorded(console)?,
    };
    let (queue, turns) = (Queue::default(), Turns::default());
    let approvals = match &cluster {
        Some(cluster) => {
            let why = args.read_only.then_some("this dashboard was started with --read-only");
            let source = Arc::clone(&cluster.source);
            let desk = ClusterDesk::new(cluster.connection.clone(), source, Screen::Dashboard, turns.clone());
            let desk = desk.telling(args.sink.shared()?);
            Approvals::new(desk, queue.clone(), why)
        }
        None => Approvals::none("this is a recorded incident: there is nothing to approve"),
    };
    queue.set(worst::waiting(&first, &BTreeSet::new()));
    let shown: Shown = Arc::new(RwLock::new(Arc::new(first)));
    let pages = Pages { shown: Arc::clone(&shown), approvals: Arc::new(approvals) };
    console.line(&door.url)?;
    console.note("The URL opens once, in a browser on this machine. ^C ends the dashboard.");
    tokio::select! {
        () = door.serve(pages) => {}
        () = refresh(cluster.as_ref(), console, &shown, &queue) => {}
        _ = ends.next() => {}
    }
    see_to_its_end(&turns, &mut ends, console).await;
    Ok(Exit::Done)
}

/// A plan that is being carried out gets a moment more: a write is under way, or its outcome is not recorded yet.
async fn see_to_its_end(turns: &Turns, ends: &mut Ends, console: &Console) {
    if let Some(what) = turns.now() {
        console.note(&format!("{what} is being carried out; ^C again ends at once"));
    }
    tokio::select! {
        () = turns.over() => {}
        () = tokio::time::sleep(GRACE) => {}
        _ = ends.next() => {}
    }
    if let Some(words) = turns.left() {
        console.warn(&words);
    }
}

/// Whose scores are shown.
struct Cluster<'a> {
    selection: &'a Selection,
    connection: Connection,
    source: Arc<Source>,
}

impl<'a> Cluster<'a> {
    fn open(args: &'a UiArgs, kube: &KubeFlags) -> Result<Self, Error> {
        let environment = Environment::of_process();
        let connection = Connection::open(kube, &environment)?;
        let source = args.source.open(&connection, &environment)?.into();
        Ok(Self { selection: &args.selection, connection, source })
    }

    async fn look(&self, console: &Console) -> Result<Look, Error> {
        let (pods, told) = tokio::try_join!(
            pods::list(&self.connection, self.selection),
            self.source.read(&self.connection, pods::scope(&self.connection, self.selection), console)
        )?;
        let at = Timestamp::now();
        let scores = told.of(&pods.facts, at)?;
        Ok(Look::of(Scope::of(&self.connection, self.selection), &pods, scores, at))
    }
}

/// Looks again and again. A look that fails leaves what was seen before, with why it is old.
async fn refresh(cluster: Option<&Cluster<'_>>, console: &Console, shown: &Shown, queue: &Queue) {
    // A recording stays as it is.
    let Some(cluster) = cluster else { return std::future::pending().await };
    let mut aside = BTreeSet::new();
    loop {
        tokio::time::sleep(REFRESH).await;
        let next = match cluster.look(console).await {
            Ok(look) => look,
            Err(error) => {
                let before = Arc::clone(&shown.read().unwrap_or_else(PoisonError::into_inner));
                before.outdated(&error.to_string())
            }
        };
        // What was declined is put aside until its target has recovered.
        aside.extend(queue.take_declined());
        aside = worst::still(&next, aside);
        queue.set(worst::waiting(&next, &aside));
        *shown.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(next);
    }
}

/// The recorded incident.
pub(crate) fn recorded(console: &Console) -> Result<Look, Error> {
    let recorded = demo::incident(console)?;
    let rows = rows::join(&recorded.scores, &recorded.facts, recorded.at);
    Ok(Look { at: recorded.at, scores: recorded.scores, rows, ..Look::default() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_is_listened_on() {
        assert_eq!(loopback("127.0.0.1"), Ok(Ipv4Addr::LOCALHOST));
        for text in ["0.0.0.0", "::", "::1", "127.0.0.2", "10.0.0.1", "localhost", "::ffff:127.0.0.1", ""] {
            assert!(loopback(text).is_err(), "{text}");
        }
    }
}
