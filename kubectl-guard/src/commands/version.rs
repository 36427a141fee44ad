//! `version`: which plugin this is, and which API server it talks to.

use clap::Args;

use crate::cli::KubeFlags;
use crate::connect::{Connection, Environment};
use crate::console::Console;
use crate::error::{Error, Request};
use crate::exit::Exit;
use crate::sanitise;

/// The plugin's version, as in the User-Agent and in plans.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Arguments of `version`.
#[derive(Args)]
pub struct VersionArgs {
    /// Only the plugin's version: no cluster is asked
    #[arg(long)]
    client: bool,
}

/// Prints the versions.
///
/// # Errors
/// If the cluster cannot be reached (the plugin's own version is printed all the same).
pub async fn run(args: &VersionArgs, kube: &KubeFlags, console: &Console) -> Result<Exit, Error> {
    console.line(&format!("kubectl-guard {VERSION}"))?;
    if args.client {
        return Ok(Exit::Done);
    }
    let connection = Connection::open(kube, &Environment::of_process())?;
    let request = Request { verb: "get", resource: "/version", group: "", namespace: None };
    let server = connection.client.apiserver_version().await.map_err(|error| request.failed(&error))?;
    console.line(&format!("Kubernetes {} (context {})", sanitise::line(&server.git_version), connection.context))?;
    Ok(Exit::Done)
}
