//! `version`: which plugin this is, which API server it talks to, and which exporters score there.

use std::fmt::Write as _;

use clap::Args;
use serde::Serialize;

use crate::connect::{Connection, Environment};
use crate::console::Console;
use crate::error::Error;
use crate::exit::Exit;
use crate::flags::{ExporterFlags, KubeFlags};
use crate::output::{Format, Formats};
use crate::request::Request;
use crate::sanitise;
use crate::scores::{Scores, portforward};
use crate::version::VERSION;

/// Arguments of `version`.
#[derive(Args)]
pub struct VersionArgs {
    /// Print only the plugin's version; needs no cluster
    #[arg(long)]
    client: bool,
    /// Format of the output
    #[arg(short, long, value_name = "FORMAT", value_parser = Formats::OF_VERSION, default_value = "text")]
    output: Format,
    #[command(flatten)]
    exporters: ExporterFlags,
}

/// All versions, as programs read them; what was not asked for or not told is left out.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Versions {
    client_version: Version,
    #[serde(skip_serializing_if = "Option::is_none")]
    server_version: Option<Version>,
    #[serde(skip_serializing_if = "Option::is_none")]
    exporters: Option<Vec<ExporterVersion>>,
    #[serde(skip)]
    context: String,
}

/// One program's, with kubectl's names for it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Version {
    git_version: String,
    platform: String,
}

/// One version of the exporter.
#[derive(Debug, Serialize)]
struct ExporterVersion {
    version: String,
    nodes: Vec<String>,
}

impl Versions {
    fn of_client() -> Self {
        let platform = format!("{}/{}", std::env::consts::OS, std::env::consts::ARCH);
        let client_version = Version { git_version: format!("v{VERSION}"), platform };
        Self { client_version, server_version: None, exporters: None, context: String::new() }
    }

    fn text(&self) -> String {
        let mut text = format!("kubectl-guard {VERSION}\n");
        let mut line = |words: std::fmt::Arguments| {
            let written = writeln!(text, "{words}");
            debug_assert!(written.is_ok(), "a String takes every text");
        };
        if let Some(server) = &self.server_version {
            line(format_args!("Kubernetes {} (context {})", server.git_version, self.context));
        }
        for exporter in self.exporters.iter().flatten() {
            let nodes = exporter.nodes.len();
            let plural = if nodes == 1 { "" } else { "s" };
            line(format_args!("guard-exporter {} ({nodes} node{plural})", exporter.version));
        }
        text
    }
}

/// Prints the versions.
///
/// # Errors
/// If the cluster cannot be reached (the plugin's own version is printed all the same).
pub async fn run(args: &VersionArgs, kube: &KubeFlags, console: &Console) -> Result<Exit, Error> {
    let mut versions = Versions::of_client();
    let asked = if args.client { Ok(()) } else { ask(args, kube, &mut versions, console).await };
    match &args.output {
        Format::Machine(machine) => console.print(&machine.write(&versions))?,
        _ => console.print(&versions.text())?,
    }
    asked.map(|()| Exit::Done)
}

async fn ask(args: &VersionArgs, kube: &KubeFlags, versions: &mut Versions, console: &Console) -> Result<(), Error> {
    let connection = Connection::open(kube, &Environment::of_process())?;
    read(&connection, &args.exporters, versions, console).await
}

async fn read(
    connection: &Connection,
    exporters: &ExporterFlags,
    versions: &mut Versions,
    console: &Console,
) -> Result<(), Error> {
    let request = Request { verb: "get", resource: "/version", group: "", namespace: None };
    let server = connection.client.apiserver_version().await.map_err(|error| request.failed(&error))?;
    versions.context.clone_from(&connection.context);
    versions.server_version =
        Some(Version { git_version: sanitise::line(&server.git_version), platform: sanitise::line(&server.platform) });
    match portforward::read(connection, &exporters.guard_namespace, console).await {
        Ok(scores) => {
            scores.silences().into_iter().chain(scores.skew()).for_each(|warning| console.warn(&warning));
            versions.exporters = Some(exporter_versions(&scores));
        }
        // The versions of the plugin and of the cluster are an answer without them.
        Err(Error::NoExporter { namespace }) => {
            console.warn(&format!("no exporter in namespace {namespace}"));
            versions.exporters = Some(Vec::new());
        }
        Err(error) => console.warn(&format!("versions of exporters are not known: {error}")),
    }
    Ok(())
}

fn exporter_versions(scores: &Scores) -> Vec<ExporterVersion> {
    let version = |(version, nodes): (&str, Vec<&str>)| ExporterVersion {
        version: version.to_owned(),
        nodes: nodes.into_iter().map(str::to_owned).collect(),
    };
    scores.versions().into_iter().map(version).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::console::capture;
    use crate::output::Machine;
    use crate::rows::tests::node;
    use crate::wire::server;

    fn of_cluster() -> Versions {
        let mut old = node("node3", Vec::new());
        old.scored_by = "guard-exporter 0.0.9".into();
        let scores =
            Scores { reports: vec![node("node1", Vec::new()), node("node2", Vec::new()), old], ..Scores::default() };
        let version = |git_version: &str| Version { git_version: git_version.into(), platform: "linux/amd64".into() };
        Versions {
            client_version: version("v0.1.0"),
            server_version: Some(version("v1.35.4")),
            exporters: Some(exporter_versions(&scores)),
            context: "kind".into(),
        }
    }

    #[test]
    fn every_version_has_its_line() {
        insta::assert_snapshot!(of_cluster().text(), @r"
        kubectl-guard 0.1.0
        Kubernetes v1.35.4 (context kind)
        guard-exporter 0.0.9 (1 node)
        guard-exporter 0.1.0 (2 nodes)
        ");
        assert_eq!(Versions::of_client().text(), format!("kubectl-guard {VERSION}\n"));
    }

    #[test]
    fn programs_find_kubectls_names() {
        insta::assert_snapshot!(Machine::Yaml.write(&of_cluster()), @r"
        clientVersion:
          gitVersion: v0.1.0
          platform: linux/amd64
        serverVersion:
          gitVersion: v1.35.4
          platform: linux/amd64
        exporters:
        - version: 0.0.9
          nodes:
          - node3
        - version: 0.1.0
          nodes:
          - node1
          - node2
        ");
        let client: Value = serde_json::from_str(&Machine::Json.write(&Versions::of_client())).unwrap();
        assert_eq!(client.as_object().unwrap().keys().collect::<Vec<_>>(), ["clientVersion"]);
    }

    fn version_of_server(path: &str) -> Option<(u16, Value)> {
        let version = json!({"major": "1", "minor": "35", "gitVersion": "v1.35.4", "gitCommit": "", "gitTreeState": "",
            "buildDate": "", "goVersion": "", "compiler": "", "platform": "linux/amd64"});
        (path == "/version").then_some((200, version))
    }

    async fn asked(answer: fn(&str, usize) -> (u16, Value)) -> (Result<(), Error>, Versions, String) {
        let (connection, _) = server(answer).await;
        let (console, captured) = capture::console(120);
        let mut versions = Versions::of_client();
        let exporters = ExporterFlags { guard_namespace: "guard-system".into() };
        let result = read(&connection, &exporters, &mut versions, &console).await;
        (result, versions, captured.err.text())
    }

    #[tokio::test]
    async fn a_missing_right_is_a_warning() {
        let (result, versions, err) = asked(|path, _| {
            version_of_server(path).unwrap_or_else(|| {
                (
                    403,
                    json!({"kind": "Status", "status": "Failure", "reason": "Forbidden", "code": 403, "message": "no"}),
                )
            })
        })
        .await;
        result.unwrap();
        assert!(versions.exporters.is_none());
        assert_eq!(
            err,
            "warning: versions of exporters are not known: you may not list pods in namespace guard-system\n"
        );
    }

    #[tokio::test]
    async fn a_cluster_without_exporters_says_so() {
        let (result, versions, err) = asked(|path, _| {
            let none = (200, json!({"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": []}));
            version_of_server(path).unwrap_or(none)
        })
        .await;
        result.unwrap();
        assert_eq!(err, "warning: no exporter in namespace guard-system\n");
        assert!(versions.exporters.unwrap().is_empty());
    }

    #[tokio::test]
    async fn a_silent_node_is_a_warning() {
        let (result, versions, err) = asked(|path, _| {
            let pod = json!({"metadata": {"name": "x"}, "spec": {"nodeName": "node1", "containers": []},
                "status": {"phase": "Pending"}});
            let list = json!({"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": [pod]});
            version_of_server(path).unwrap_or((200, list))
        })
        .await;
        result.unwrap();
        assert!(versions.exporters.is_none());
        assert!(err.contains("node node1: its exporter x is not running"), "{err}");
    }
}
