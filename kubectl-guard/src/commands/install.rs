//! `install`: puts the exporter and its certificate into the cluster by server-side apply, waits until the exporters are
//! ready, and takes away what an earlier install left.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, ValueEnum};

use crate::connect::{Connection, Environment};
use crate::console::Console;
use crate::doctor;
use crate::error::Error;
use crate::exit::Exit;
use crate::flags::{DryRun, DryRunFlag, KubeFlags, duration};
use crate::sanitise;
use crate::scores::portforward;
use crate::setup::manifests::{self, Choices, Kubelet, Object};
use crate::setup::objects::{self, Applied, Manner};
use crate::setup::rollout::{self, Patience, Progress};
use crate::setup::{NAMESPACE, certificates, leftovers};

/// A sound exporter is ready by then; one that is not can say why.
const FIRST_LOOK: Duration = Duration::from_secs(25);

/// Arguments of `install`.
#[derive(Args)]
pub struct InstallArgs {
    /// Image of the exporter, instead of the published one of this version
    #[arg(long, value_name = "IMAGE")]
    image: Option<String>,
    /// Secret in namespace guard-system to pull the image with
    #[arg(long, value_name = "NAME")]
    image_pull_secret: Option<String>,
    /// When to pull the image
    #[arg(long, value_enum, value_name = "POLICY")]
    image_pull_policy: Option<PullPolicy>,
    /// Time between two samples, 1s to 60s [default: 15s]
    #[arg(long, value_name = "DURATION", value_parser = interval)]
    interval: Option<String>,
    /// File with the authorities (PEM) that sign the kubelets' certificates, if the cluster's own does not
    #[arg(long, value_name = "FILE", conflicts_with = "kubelet_insecure_tls")]
    kubelet_ca: Option<PathBuf>,
    /// Do not verify the kubelets' certificates: the exporter's token then goes to whoever answers at a node's address
    #[arg(long)]
    kubelet_insecure_tls: bool,
    /// Take over fields that somebody else manages
    #[arg(long)]
    force_conflicts: bool,
    /// How long to wait for one more exporter to get ready; 0 does not wait
    #[arg(long, value_name = "DURATION", value_parser = duration::parse, default_value = "2m")]
    timeout: Duration,
    /// Print the objects without the certificate, and apply nothing; needs no cluster
    #[arg(short, long, value_enum, value_name = "FORMAT")]
    output: Option<Format>,
    #[command(flatten)]
    dry_run: DryRunFlag,
}

/// When to pull the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "PascalCase")]
enum PullPolicy {
    Always,
    IfNotPresent,
    Never,
}

impl PullPolicy {
    fn name(self) -> &'static str {
        match self {
            PullPolicy::Always => "Always",
            PullPolicy::IfNotPresent => "IfNotPresent",
            PullPolicy::Never => "Never",
        }
    }
}

/// How to print the objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Yaml,
}

/// Installs.
///
/// # Errors
/// If a file cannot be used, the user may not, the API server does not answer, or the exporters do not become ready.
pub async fn run(args: &InstallArgs, kube: &KubeFlags, console: &Console) -> Result<Exit, Error> {
    let mut objects = manifests::objects(&choices(args)?);
    if args.output.is_some() {
        console.print(&manifests::yaml(&objects))?;
        return Ok(Exit::Done);
    }
    let connection = Connection::open(kube, &Environment::of_process())?;
    console.note(&format!("context {}, {}", connection.context, connection.server));
    // Before the DaemonSet, which comes last: its pods then start with the certificate.
    let before = objects.len().saturating_sub(1);
    objects.splice(before..before, certificates::objects(&connection.client, jiff::Timestamp::now()).await?);
    apply_all(args, &connection, &objects, console).await?;
    let waits = args.dry_run.dry_run == DryRun::None && !args.timeout.is_zero();
    if waits {
        let (progress, away) = wait(&connection, args.timeout, console).await?;
        judge(progress, &away, args.timeout)?;
        if !away.is_empty() {
            console.warn(&format!("not Ready, and without an exporter until then: {}", away.join(", ")));
        }
    }
    // The exporters of before may need it until they are replaced.
    clear(args, &connection, &objects, console).await?;
    if waits {
        console.note("`kubectl guard status` shows scores after two samples");
    }
    Ok(Exit::Done)
}

/// Waits for the exporters; not to the end if they say that it is a certificate that keeps them from their kubelets. How far
/// they got, and the nodes that were not waited for because they are not Ready.
async fn wait(
    connection: &Connection,
    patience: Duration,
    console: &Console,
) -> Result<(Option<Progress>, Vec<String>), Error> {
    let first = patience.min(FIRST_LOOK);
    let look = Patience { first, step: first };
    let progress = rollout::wait(&connection.client, 0, look, console).await?;
    if progress.is_some_and(|progress| progress.is_done(0)) {
        return Ok((progress, Vec::new()));
    }
    // Exporters that do not answer yet have nothing to say against waiting on.
    let scores = portforward::read(connection, NAMESPACE, console).await;
    if let Some(cause) = scores.ok().and_then(|scores| doctor::certificate_problem(&scores.reports)) {
        let state = progress.map_or(cause.clone(), |p| format!("{} of {} nodes are ready: {cause}", p.ready, p.wanted));
        return Err(Error::NotReady { state, hint: doctor::KUBELET_TLS.into() });
    }
    let away = rollout::away(&connection.client).await;
    let rest = Patience { first: patience.saturating_sub(first), step: patience };
    let later = rollout::wait(&connection.client, away.len(), rest, console).await?.or(progress);
    // All of them were ready in the end.
    let away = if later.is_some_and(|progress| progress.is_done(0)) { Vec::new() } else { away };
    Ok((later, away))
}

async fn apply_all(
    args: &InstallArgs,
    connection: &Connection,
    objects: &[Object],
    console: &Console,
) -> Result<(), Error> {
    let how = args.dry_run.dry_run;
    let manner = Manner { dry_run: how == DryRun::Server, force: args.force_conflicts };
    for object in objects {
        let applied = match how {
            DryRun::Client => Applied::Done,
            DryRun::None | DryRun::Server => objects::apply(&connection.client, object, manner).await?,
        };
        let outcome = match applied {
            Applied::Done => "applied",
            Applied::NotTried => "not tried: its namespace does not exist yet",
        };
        console.line(&format!("{} {outcome}{}", object.title(), how.suffix()))?;
    }
    Ok(())
}

/// Deletes what an earlier install made and this one does not. Who may not look for it, or not delete it, has installed all
/// the same.
async fn clear(
    args: &InstallArgs,
    connection: &Connection,
    objects: &[Object],
    console: &Console,
) -> Result<(), Error> {
    let how = args.dry_run.dry_run;
    let found = match leftovers::find(&connection.client, objects).await {
        Ok(found) => found,
        Err(error) => {
            console.warn(&format!("what an earlier install may have left was not looked for: {error}"));
            return Ok(());
        }
    };
    for object in found {
        let title = sanitise::line(&object.title());
        let gone = match how {
            DryRun::Client => Ok(true),
            DryRun::None | DryRun::Server => objects::delete(&connection.client, &object, how == DryRun::Server).await,
        };
        match gone {
            Ok(true) => console.line(&format!("{title} deleted, left by an earlier install{}", how.suffix()))?,
            Ok(false) => {}
            Err(error) => console.warn(&format!("{title}, left by an earlier install, stays: {error}")),
        }
    }
    Ok(())
}

fn choices(args: &InstallArgs) -> Result<Choices, Error> {
    let kubelet = match &args.kubelet_ca {
        Some(file) => Kubelet::Authority(authority(file)?),
        None if args.kubelet_insecure_tls => Kubelet::Insecure,
        None => Kubelet::Cluster,
    };
    Ok(Choices {
        image: args.image.clone(),
        pull_secret: args.image_pull_secret.clone(),
        pull_policy: args.image_pull_policy.map(PullPolicy::name),
        interval: args.interval.clone(),
        kubelet,
    })
}

/// Reads the authorities; a private key beside them stays where it is.
fn authority(file: &Path) -> Result<String, Error> {
    let text = std::fs::read_to_string(file)
        .map_err(|source| Error::Io { doing: format!("read {}", file.display()), source })?;
    let bad = |problem: &str| Error::BadFile {
        path: file.to_owned(),
        problem: problem.into(),
        hint: "name a PEM file with the certificates of the authorities that sign the kubelets' certificates".into(),
    };
    if text.contains("PRIVATE KEY") {
        return Err(bad("holds a private key, which must not go into a ConfigMap"));
    }
    if !text.contains("-----BEGIN CERTIFICATE-----") {
        return Err(bad("holds no certificate"));
    }
    Ok(text)
}

/// Checks an interval as the exporter will, and writes it as the exporter reads it.
fn interval(text: &str) -> Result<String, String> {
    let value = duration::parse(text)?;
    if !(Duration::from_secs(1)..=Duration::from_mins(1)).contains(&value) {
        return Err("must lie between 1s and 60s".into());
    }
    Ok(if value.subsec_millis() == 0 { format!("{}s", value.as_secs()) } else { format!("{}ms", value.as_millis()) })
}

/// The end of the wait, as an error unless every exporter is ready that could be.
fn judge(progress: Option<Progress>, away: &[String], patience: Duration) -> Result<(), Error> {
    let seconds = patience.as_secs();
    let state = match progress {
        Some(progress) if progress.is_done(away.len()) => return Ok(()),
        Some(Progress { ready, wanted }) => format!("{ready} of {wanted} nodes are ready, and no more for {seconds} s"),
        None => format!("no controller has looked at its DaemonSet for {seconds} s"),
    };
    let again = "run the same install again then: it also removes what an earlier version left";
    let (state, hint) = if away.is_empty() {
        (state, format!("`kubectl guard doctor` looks for the cause; {again}"))
    } else {
        // By the DaemonSet's maxUnavailable.
        let held_up =
            "a node that is not Ready can hold up the new exporters of the others: bring it back or delete it";
        (format!("{state}; not Ready: {}", away.join(", ")), format!("{held_up}; {again}"))
    };
    Err(Error::NotReady { state, hint })
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;
    use serde_json::{Value, json};

    use super::*;
    use crate::cli::{Cli, Command};
    use crate::console::capture;

    fn parse(line: &str) -> Result<InstallArgs, clap::Error> {
        match Cli::try_parse_from(format!("kubectl-guard install {line}").split_whitespace())?.command {
            Command::Install(args) => Ok(args),
            _ => unreachable!("the line says install"),
        }
    }

    fn output(line: &str) -> Result<String, Error> {
        let (console, captured) = capture::console(80);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let nowhere = KubeFlags { kubeconfig: Some("/nonexistent".into()), ..KubeFlags::default() };
        runtime.block_on(run(&parse(line).unwrap(), &nowhere, &console)).map(|_| captured.out.text())
    }

    #[test]
    fn the_yaml_needs_no_cluster_and_holds_the_choices() {
        let text =
            output("-o yaml --image x/y:1 --image-pull-policy Never --interval 5s --kubelet-insecure-tls").unwrap();
        for part in ["image: x/y:1", "imagePullPolicy: Never", "value: 5s", "GUARD_KUBELET_INSECURE_TLS"] {
            assert!(text.contains(part), "{part}");
        }
        assert_eq!(text.matches("\nkind: ").count() + usize::from(text.starts_with("kind: ")), 15);
    }

    #[test]
    fn a_bare_dry_run_is_one_of_the_client_as_in_kubectl() {
        assert_eq!(parse("--dry-run").unwrap().dry_run.dry_run, DryRun::Client);
        assert_eq!(parse("--dry-run=server").unwrap().dry_run.dry_run, DryRun::Server);
        assert_eq!(parse("").unwrap().dry_run.dry_run, DryRun::None);
        assert!(parse("--dry-run=maybe").is_err());
    }

    #[test]
    fn intervals_are_those_that_the_exporter_takes() {
        assert_eq!(interval("15s").as_deref(), Ok("15s"));
        assert_eq!(interval("1m").as_deref(), Ok("60s"));
        assert_eq!(interval("2500ms").as_deref(), Ok("2500ms"));
        for text in ["0", "500ms", "61s", "soon"] {
            assert!(interval(text).is_err(), "{text}");
        }
    }

    #[test]
    fn an_authority_must_be_a_certificate_and_no_key() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ca.pem");
        for (text, good) in [
            ("-----BEGIN CERTIFICATE-----\n", true),
            ("-----BEGIN CERTIFICATE-----\n-----BEGIN PRIVATE KEY-----\n", false),
            ("no PEM", false),
        ] {
            std::fs::write(&file, text).unwrap();
            assert_eq!(authority(&file).is_ok(), good, "{text}");
        }
        assert!(parse("--kubelet-ca a --kubelet-insecure-tls").is_err());
    }

    #[test]
    fn exporters_that_are_not_ready_are_part_of_a_success() {
        let some = |ready| Some(Progress { ready, wanted: 3 });
        let judge = |progress, away: &[&str]| {
            let away: Vec<String> = away.iter().map(|&name| name.to_owned()).collect();
            judge(progress, &away, Duration::from_secs(9))
        };
        assert!(judge(some(3), &[]).is_ok());
        assert!(judge(some(2), &["node2"]).is_ok(), "a node that is down is not waited for");
        let error = judge(some(2), &[]).unwrap_err();
        assert_eq!(error.process_exit_code(), Exit::Partial);
        insta::assert_snapshot!(error.shown(), @r"
        error: the exporter is installed, but 2 of 3 nodes are ready, and no more for 9 s
        hint: `kubectl guard doctor` looks for the cause; run the same install again then: it also removes what an earlier version left
        ");
        insta::assert_snapshot!(judge(some(0), &["node2"]).unwrap_err().shown(), @r"
        error: the exporter is installed, but 0 of 3 nodes are ready, and no more for 9 s; not Ready: node2
        hint: a node that is not Ready can hold up the new exporters of the others: bring it back or delete it; run the same install again then: it also removes what an earlier version left
        ");
        insta::assert_snapshot!(judge(None, &[]).unwrap_err().shown(), @r"
        error: the exporter is installed, but no controller has looked at its DaemonSet for 9 s
        hint: `kubectl guard doctor` looks for the cause; run the same install again then: it also removes what an earlier version left
        ");
    }

    /// An API server with one ConfigMap that an earlier install made.
    fn left(path: &str, _: usize) -> (u16, Value) {
        if path.contains("/configmaps/guard-kubelet-ca") {
            return (200, json!({"kind": "Status", "apiVersion": "v1", "status": "Success"}));
        }
        let fields = json!([{"manager": "kubectl-guard", "operation": "Apply"}]);
        let map = json!({"metadata": {"name": "guard-kubelet-ca", "uid": "7", "managedFields": fields}});
        let items = if path.contains("/configmaps?") { vec![map] } else { vec![] };
        let kind = "PartialObjectMetadataList";
        (200, json!({"kind": kind, "apiVersion": "meta.k8s.io/v1", "metadata": {}, "items": items}))
    }

    fn forbidden(_: &str, _: usize) -> (u16, Value) {
        (403, json!({"kind": "Status", "status": "Failure", "code": 403, "reason": "Forbidden", "message": "no"}))
    }

    /// One whose user may look and not delete.
    fn kept(path: &str, n: usize) -> (u16, Value) {
        if path.contains("/configmaps/guard-kubelet-ca") { forbidden(path, n) } else { left(path, n) }
    }

    /// What `clear` says of what is left, and how often it has asked the API server about it by name.
    async fn cleared(line: &str, answer: fn(&str, usize) -> (u16, Value)) -> (String, usize) {
        let (connection, seen) = crate::wire::server(answer).await;
        let (console, captured) = capture::console(80);
        clear(&parse(line).unwrap(), &connection, &manifests::objects(&Choices::default()), &console).await.unwrap();
        let seen = seen.lock().unwrap();
        assert!(!seen.iter().any(|path| path.contains("secrets")), "{seen:?}");
        let asked = seen.iter().filter(|path| path.contains("/guard-kubelet-ca")).count();
        (captured.out.text() + &captured.err.text(), asked)
    }

    #[tokio::test]
    async fn what_an_earlier_install_left_goes_and_a_dry_run_only_tells_of_it() {
        let said = "configmap/guard-kubelet-ca deleted, left by an earlier install";
        assert_eq!(cleared("", left).await, (format!("{said}\n"), 1));
        assert_eq!(cleared("--dry-run=server", left).await, (format!("{said} (server dry run)\n"), 1));
        assert_eq!(cleared("--dry-run=client", left).await, (format!("{said} (dry run)\n"), 0));
    }

    #[tokio::test]
    async fn who_may_not_delete_what_is_left_is_told_and_has_installed() {
        let (said, _) = cleared("", kept).await;
        insta::assert_snapshot!(said);
        let (said, _) = cleared("", forbidden).await;
        insta::assert_snapshot!(said);
    }
}
