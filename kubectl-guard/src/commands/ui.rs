//! `ui`: the dashboard in a browser on this machine. It only shows; nothing can be changed from it.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use clap::Args;
use jiff::Timestamp;
use tokio::net::TcpListener;

use crate::cli::{KubeFlags, Selection, SourceFlags};
use crate::commands::demo;
use crate::connect::{Connection, Environment};
use crate::console::Console;
use crate::error::Error;
use crate::exit::Exit;
use crate::plan::hex;
use crate::pods;
use crate::rows;
use crate::scores::Source;
use crate::ui::gate::Gate;
use crate::ui::look::Look;
use crate::ui::server::{self, Shown};

/// The exporters score every 15 s.
const REFRESH: Duration = Duration::from_secs(15);
const SECRET_BYTES: usize = 32;

/// Arguments of `ui`.
#[derive(Args)]
pub struct UiArgs {
    /// Port on 127.0.0.1; 0 takes a free one
    #[arg(long, value_name = "PORT", default_value_t = 5000)]
    port: u16,
    /// Address to listen on; only 127.0.0.1 is taken
    #[arg(long, value_name = "IP", value_parser = loopback, default_value = "127.0.0.1")]
    address: Ipv4Addr,
    /// Show a recorded incident; needs no cluster
    #[arg(long)]
    demo: bool,
    #[command(flatten)]
    selection: Selection,
    #[command(flatten)]
    source: SourceFlags,
}

fn loopback(text: &str) -> Result<Ipv4Addr, String> {
    match text.parse::<IpAddr>() {
        Ok(IpAddr::V4(Ipv4Addr::LOCALHOST)) => Ok(Ipv4Addr::LOCALHOST),
        _ => {
            Err("the dashboard is for this machine alone; forward the port with ssh -L to see it elsewhere".to_owned())
        }
    }
}

/// Serves the dashboard until ^C.
///
/// # Errors
/// If the port is taken, or the first look at the cluster fails.
pub async fn run(args: &UiArgs, kube: &KubeFlags, console: &Console) -> Result<Exit, Error> {
    let failed = |doing: &str| {
        let doing = doing.to_owned();
        move |source| Error::Io { doing, source }
    };
    let listener = TcpListener::bind((args.address, args.port)).await;
    let listener = listener.map_err(failed(&format!("listen on {}:{}", args.address, args.port)))?;
    let port = listener.local_addr().map_err(failed("learn the port"))?.port();
    let cluster = if args.demo { None } else { Some(Cluster::open(args, kube)?) };
    let first = match &cluster {
        Some(cluster) => cluster.look(console).await?,
        None => recorded(console)?,
    };
    let shown: Shown = Arc::new(RwLock::new(Arc::new(first)));
    let token = secret()?;
    let gate = Gate::new(port, token.clone(), secret()?);
    console.line(&format!("http://{}:{port}/?token={token}", args.address))?;
    console.note("The URL opens once, in a browser on this machine. ^C ends the dashboard.");
    tokio::select! {
        () = server::serve(listener, gate, Arc::clone(&shown)) => {}
        () = refresh(cluster.as_ref(), console, &shown) => {}
        _ = tokio::signal::ctrl_c() => {}
    }
    Ok(Exit::Done)
}

/// Whose scores are shown.
struct Cluster<'a> {
    selection: &'a Selection,
    connection: Connection,
    source: Source,
}

impl<'a> Cluster<'a> {
    fn open(args: &'a UiArgs, kube: &KubeFlags) -> Result<Self, Error> {
        let environment = Environment::of_process();
        let connection = Connection::open(kube, &environment)?;
        let source = args.source.open(&connection, &environment)?;
        Ok(Self { selection: &args.selection, connection, source })
    }

    async fn look(&self, console: &Console) -> Result<Look, Error> {
        let (pods, told) = tokio::try_join!(
            pods::list(&self.connection, self.selection),
            self.source.read(&self.connection, pods::scope(&self.connection, self.selection), console)
        )?;
        let at = Timestamp::now();
        let scores = told.of(&pods.facts, at)?;
        let mut rows = rows::join(&scores, &pods.facts, at);
        rows::label(&mut rows, &pods.labels);
        Ok(Look { at, recorded: false, warnings: scores.warnings(at), scores, rows })
    }
}

/// Looks again and again. A look that fails leaves what was seen before, with why it is old.
async fn refresh(cluster: Option<&Cluster<'_>>, console: &Console, shown: &Shown) {
    // A recording stays as it is.
    let Some(cluster) = cluster else { return std::future::pending().await };
    loop {
        tokio::time::sleep(REFRESH).await;
        let next = match cluster.look(console).await {
            Ok(look) => look,
            Err(error) => {
                let before = Arc::clone(&shown.read().unwrap_or_else(PoisonError::into_inner));
                before.outdated(&error.to_string())
            }
        };
        *shown.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(next);
    }
}

fn recorded(console: &Console) -> Result<Look, Error> {
    let recorded = demo::incident(console)?;
    let rows = rows::join(&recorded.scores, &recorded.facts, recorded.at);
    Ok(Look { at: recorded.at, recorded: true, scores: recorded.scores, rows, warnings: Vec::new() })
}

/// Letters and digits that nobody can guess.
fn secret() -> Result<String, Error> {
    let mut bytes = [0; SECRET_BYTES];
    getrandom::fill(&mut bytes).map_err(|error| Error::Io {
        doing: "draw random bytes".into(),
        source: std::io::Error::other(error.to_string()),
    })?;
    Ok(hex(&bytes))
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

    #[test]
    fn secrets_are_long_and_differ() {
        let (one, other) = (secret().unwrap(), secret().unwrap());
        assert_eq!(one.len(), 2 * SECRET_BYTES);
        assert_ne!(one, other);
    }
}
