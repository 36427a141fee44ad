//! `fix`: from a score to an approved, verified and recorded change, or to the reason why there is none.
//!
//! facts -> proposal -> shown plan -> access reviews -> server dry run -> approval -> facts again -> journal -> write ->
//! journal -> verification. Every check that fails ends the way; nothing after it runs.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, ValueEnum};
use guard_model::report::NodeReport;
use jiff::Timestamp;

use crate::approve::{NotApproved, Screen, Way};
use crate::audit::{Journal, JournalError, Line};
use crate::connect::{Connection, Environment};
use crate::console::Console;
use crate::error::Error;
use crate::exit::Exit;
use crate::flags::dry_run::DryRunFlag;
use crate::flags::{FromSinkFlag, KubeFlags, Selection, SinkFlags, SourceFlags, duration};
use crate::plan::{self, Action, ActionKind, Amounts, DrainOptions, MAX_FILE_BYTES, PlanFile, TargetName};
use crate::pods;
use crate::propose::{Proposal, Refusal};
use crate::scores::prometheus::Used;
use crate::scores::{Source, Told};
use crate::sink::Sink;
use crate::verify::ScoreSource;
use crate::wish::{ResourceWish, Wish};

pub mod desk;
mod drain;
mod followed;
mod in_place;
mod listeners;
mod moved;
mod past;
mod recorded;
pub mod resume;
mod session;
pub mod shown;
pub mod undo;
mod undoing;

use listeners::Shared;
use resume::CutOff;
use session::Session;

/// Arguments of `fix`.
#[derive(Args, Clone, Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub struct FixArgs {
    /// What to fix, as TYPE/NAME or TYPE NAME; without it, the workload that is worst over its line
    #[arg(value_name = "TYPE/NAME", num_args = 0..=2)]
    target: Vec<String>,
    #[command(flatten)]
    source: SourceFlags,
    /// Look for the worst workload in all namespaces
    #[arg(short = 'A', long, conflicts_with = "target")]
    all_namespaces: bool,
    /// Carry out the plan in a file written by `--dry-run -o yaml`, - for stdin; it is made again and must come out the
    /// same
    #[arg(long, value_name = "FILE", conflicts_with_all = ["target", "all_namespaces", "action", "replicas", "to_revision"])]
    plan: Option<PathBuf>,
    /// Resume a plan that was cut off, by the id that history shows: what became of its writes is looked up, and the
    /// rest is planned and approved again
    #[arg(long, value_name = "ID", conflicts_with_all = ["target", "all_namespaces", "action", "replicas", "to_revision", "plan", "yes"])]
    resume: Option<String>,
    /// Abandon a plan that was cut off: what became of its writes is looked up and recorded
    #[arg(long, value_name = "ID", conflicts_with_all = ["target", "all_namespaces", "action", "replicas", "to_revision", "plan", "yes", "resume"])]
    abort: Option<String>,
    /// What to do; without it, what the reasons of the score suggest
    #[arg(long, value_enum, value_name = "ACTION")]
    action: Option<ActionKind>,
    /// How many replicas to scale to; without it, one more
    #[arg(long, value_name = "N", requires = "action", allow_negative_numbers = true)]
    replicas: Option<i32>,
    /// Which revision to roll back to, as `kubectl rollout history` numbers them; without it, the last one that differs by
    /// more than a restart
    #[arg(long, value_name = "N", requires = "action", value_parser = clap::value_parser!(i64).range(1..))]
    to_revision: Option<i64>,
    /// Container whose limits and requests to change; not needed if there is only one
    #[arg(long, value_name = "NAME", requires = "action")]
    container: Option<String>,
    /// Limits to set, 0 removes one; without --limits and --requests, what the last day in a Prometheus
    /// suggests (--source prometheus)
    #[arg(long, value_name = "cpu=N,memory=N", requires = "action", value_parser = plan::amounts)]
    limits: Option<Amounts>,
    /// Requests to set, 0 removes one
    #[arg(long, value_name = "cpu=N,memory=N", requires = "action", value_parser = plan::amounts)]
    requests: Option<Amounts>,
    /// Resize the running pods first, without a restart where their nodes support it
    #[arg(long, requires = "action")]
    in_place: bool,
    /// How far to go.
    #[command(flatten)]
    dry_run: DryRunFlag,
    /// Approve the plan that a dry run showed with this digest, at most ten minutes ago
    #[arg(long, value_name = "sha256:DIGEST", conflicts_with = "yes")]
    approve: Option<String>,
    /// What was typed on a screen that showed the plan of `approve`; never on a command line.
    #[arg(skip)]
    typed: Option<(Screen, String)>,
    /// Approve without a person; needs --confidence-threshold and fresh scores of the exporter
    #[arg(long, visible_alias = "auto-approve")]
    yes: bool,
    /// How high the score must be for --yes, 0 to 1
    #[arg(long, value_name = "SCORE", requires = "yes")]
    confidence_threshold: Option<f64>,
    #[command(flatten)]
    accept: Accept,
    /// Uncordon a node that was not cordoned by guard
    #[arg(long)]
    foreign_cordon: bool,
    /// Act even if the same target was changed less than ten minutes ago
    #[arg(long)]
    no_cool_down: bool,
    /// What a drain may do.
    #[command(flatten)]
    drain: DrainOptions,
    /// How long to wait for the scores to show whether it helped, 0 does not wait; for a drain, how long to wait for
    /// its pods to go, 0 waits for ever
    #[arg(long, value_name = "DURATION", value_parser = duration::parse, default_value = "5m")]
    timeout: Duration,
    /// Print the plan in this format
    #[arg(short, long, value_enum, value_name = "FORMAT")]
    output: Option<Format>,
    #[command(flatten)]
    sink: SinkFlags,
    #[command(flatten)]
    from: FromSinkFlag,
}

/// What a person accepts that a guard rail would refuse, whether something is done or taken back.
#[derive(Args, Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Accept {
    /// Accept that no pod is ready for a while
    #[arg(long)]
    allow_downtime: bool,
    /// Scale down although the volumes of the pods that go are deleted with them
    #[arg(long)]
    allow_volume_loss: bool,
    /// Act on a node of the control plane too
    #[arg(long)]
    allow_control_plane: bool,
    /// Percentage of the nodes for its pods, by their taints, that must stay schedulable when it is cordoned [default: 50]
    #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(u8).range(0..=100))]
    min_schedulable: Option<u8>,
}

/// Formats of a plan for programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// JSON.
    Json,
    /// YAML.
    Yaml,
}

impl FixArgs {
    /// The target as typed, if one was.
    fn target(&self) -> Result<Option<TargetName>, Error> {
        TargetName::typed(&self.target).map_err(|error| Error::Usage {
            message: error.to_string(),
            hint: "for example: kubectl guard fix deployment/cart --dry-run".into(),
        })
    }

    fn wish(&self, named: bool) -> Wish {
        Wish {
            action: self.action,
            replicas: self.replicas,
            to_revision: self.to_revision,
            resources: ResourceWish {
                container: self.container.clone(),
                limits: self.limits.clone(),
                requests: self.requests.clone(),
                in_place: self.in_place,
            },
            named,
            allow_downtime: self.accept.allow_downtime,
            allow_volume_loss: self.accept.allow_volume_loss,
            allow_control_plane: self.accept.allow_control_plane,
            min_schedulable: self.accept.min_schedulable,
            foreign_cordon: self.foreign_cordon,
            no_cool_down: self.no_cool_down,
            drain: self.drain.clone(),
        }
    }

    /// The same arguments with what a plan asks for that was made before.
    fn of_plan(&self, action: &Action, is_in_place: bool) -> Result<Self, Error> {
        let Self { action, replicas, to_revision, container, limits, requests, in_place, drain, .. } =
            Self::for_action(action, is_in_place);
        // kubectl's flags of a drain are parameters of it; what overrides a guard rail is typed, and never in a plan.
        if self.drain != DrainOptions::default().accepting(&self.drain) {
            return Err(Error::Usage {
                message: "the flags of a drain are part of its plan".into(),
                hint: "leave them out with --plan and --resume, or make another plan with them".into(),
            });
        }
        // What is only left for good deletes nothing any more.
        if drain.disable_eviction && !self.drain.disable_eviction && self.abort.is_none() {
            return Err(Refusal::DeletesUntyped.into());
        }
        let drain = drain.accepting(&self.drain);
        Ok(Self { action, replicas, to_revision, container, limits, requests, in_place, drain, ..self.clone() })
    }

    /// What has to be typed for this action.
    fn for_action(action: &Action, in_place: bool) -> Self {
        let change = match action {
            Action::SetResources { change } => Some(change.clone()),
            _ => None,
        };
        Self {
            action: Some(action.kind()),
            replicas: match action {
                Action::Scale { replicas } => Some(*replicas),
                _ => None,
            },
            to_revision: match action {
                Action::RolloutUndo { revision } => Some(*revision),
                _ => None,
            },
            container: change.as_ref().map(|change| change.container.clone()),
            limits: change.as_ref().map(|change| change.limits.clone()),
            requests: change.map(|change| change.requests),
            in_place,
            drain: match action {
                Action::Drain { options } => options.clone(),
                _ => DrainOptions::default(),
            },
            ..Self::default()
        }
    }

    fn way(&self) -> Way<'_> {
        match (&self.approve, &self.typed) {
            (Some(digest), Some((on, name))) => Way::Shown { digest, name, on: *on },
            (Some(digest), None) => Way::Digest(digest),
            (None, _) if self.yes => Way::Automatic { threshold: self.confidence_threshold },
            (None, _) => Way::Ask,
        }
    }

    fn check(&self) -> Result<(), Error> {
        self.target()?;
        if self.confidence_threshold.is_some_and(|threshold| !(0.0..=1.0).contains(&threshold)) {
            return Err(Error::Usage {
                message: "--confidence-threshold must be between 0 and 1".into(),
                hint: "for example: --yes --confidence-threshold 0.9".into(),
            });
        }
        if self.yes && self.confidence_threshold.is_none() {
            return Err(Error::Usage {
                message: NotApproved::NoThreshold.to_string(),
                hint: "for example: --yes --confidence-threshold 0.9".into(),
            });
        }
        // Room is also a matter of scaling up and of requests.
        let shared = DrainOptions { allow_pending: self.drain.allow_pending, ..DrainOptions::default() };
        if self.action.is_some_and(|action| action != ActionKind::Drain) && self.drain != shared {
            return Err(Error::Usage {
                message: "flags of a drain are given, and it is none".into(),
                hint: "leave them out, or say --action drain".into(),
            });
        }
        Ok(())
    }
}

/// Proposes a fix, and carries it out if it is approved.
///
/// # Errors
/// Whatever ends the way; the error's exit code says which kind it was.
pub async fn run(args: &FixArgs, kube: &KubeFlags, console: &Console) -> Result<Exit, Error> {
    args.check()?;
    let expected = args.plan.as_deref().map(read).transpose()?;
    let environment = Environment::of_process();
    let mut connection = Connection::open(kube, &environment)?;
    let journal = Journal::of_user(|name| std::env::var_os(name));
    let shared = args.sink.shared()?;
    let cut = match (args.resume.as_ref().or(args.abort.as_ref()), args.sink.source(&args.from)?, &journal) {
        (Some(id), Some(sink), _) => {
            Some(CutOff::find(&told(&sink, &connection, console).await?, id, &connection.server)?)
        }
        (Some(id), None, Ok(journal)) => Some(CutOff::find(&journal.read()?, id, &connection.server)?),
        (Some(_), None, Err(_)) => return Err(JournalError::NoPlace.into()),
        (None, Some(_), _) => {
            return Err(Error::Usage {
                message: "--sink is for a plan that was made elsewhere".into(),
                hint: "name it with --resume ID or --abort ID; history --sink shows them".into(),
            });
        }
        (None, None, _) => None,
    };
    let (args, target, namespace) = match (&expected, &cut) {
        (Some(file), _) => {
            (&args.of_plan(file.action(), file.is_in_place())?, Some(file.target()), file.namespace().to_owned())
        }
        (None, Some(cut)) => {
            let lead = cut.lead()?;
            (&args.of_plan(&lead.action, cut.is_in_place())?, None, lead.target.namespace.clone())
        }
        (None, None) => (args, args.target()?, String::new()),
    };
    if !namespace.is_empty() {
        connection.namespace = namespace;
    }
    let source = args.source.open(&connection, &environment)?;
    // A namespace from the environment was not typed for this command: it names nothing. Nor does that of a file.
    let from_environment = std::env::var("K8S_NAMESPACE").ok();
    let typed = kube.namespace.as_ref().filter(|namespace| Some(*namespace) != from_environment.as_ref());
    let named = (target.is_some() || cut.is_some()) && typed == Some(&connection.namespace);
    let scores = Scores { all_namespaces: args.all_namespaces, ..Scores::of(source, &connection, console) };
    let mut session = Session {
        expected: args.plan.clone().zip(expected.clone()),
        shared: shared.map(Shared::from),
        ..Session::new(&connection, console, journal, scores)
    };
    match cut {
        Some(cut) => Box::pin(session.take_up(args, cut, named)).await,
        None => Box::pin(session.run(args, target, named)).await,
    }
}

/// The lines of a sink; what speaks against some of them is said.
pub(crate) async fn told(sink: &Sink, connection: &Connection, console: &Console) -> Result<Vec<Line>, Error> {
    let held = sink.read(&connection.client).await?;
    held.doubts.iter().for_each(|doubt| console.warn(&format!("{sink}: {doubt}")));
    Ok(held.lines)
}

/// What could be done about a target, by these scores: what `fix` would propose. Only read, nothing is asked, written or
/// recorded.
///
/// # Errors
/// If the cluster cannot be read, or a guard rail refuses.
pub async fn proposal(
    connection: &Connection,
    console: &Console,
    namespace: &str,
    target: &TargetName,
    wish: &Wish,
    scores: impl ScoreSource,
) -> Result<Proposal, Error> {
    let journal = Journal::of_user(|name| std::env::var_os(name));
    let mut session = Session::new(connection, console, journal, scores);
    Ok(Box::pin(session.proposed(namespace, target, wish)).await?.1)
}

/// Reads the plan of a file, or of stdin; never more than a plan can have.
fn read(path: &Path) -> Result<PlanFile, Error> {
    let failed = |source| Error::Io { doing: format!("read {}", path.display()), source };
    let input: Box<dyn Read> = match path.to_str() {
        Some("-") => Box::new(std::io::stdin()),
        _ => Box::new(std::fs::File::open(path).map_err(failed)?),
    };
    let mut bytes = Vec::new();
    input.take(MAX_FILE_BYTES as u64 + 1).read_to_end(&mut bytes).map_err(failed)?;
    PlanFile::read(&String::from_utf8_lossy(&bytes), Timestamp::now()).map_err(|error| error.of(path).into())
}

/// The scores of the cluster, asked for anew each time.
struct Scores<'a> {
    source: Arc<Source>,
    connection: &'a Connection,
    all_namespaces: bool,
    console: &'a Console,
    /// What there is to know about the scores of a Prometheus has been told.
    warned: bool,
}

impl<'a> Scores<'a> {
    fn of(source: impl Into<Arc<Source>>, connection: &'a Connection, console: &'a Console) -> Self {
        Self { source: source.into(), connection, all_namespaces: false, console, warned: false }
    }
}

impl ScoreSource for Scores<'_> {
    async fn read(&mut self) -> Result<Vec<NodeReport>, Error> {
        let selection = Selection { all_namespaces: self.all_namespaces, ..Selection::default() };
        let scope = pods::scope(self.connection, &selection);
        match self.source.read(self.connection, scope, self.console).await? {
            Told::Scores(scores) => Ok(scores.reports),
            told @ Told::Series(_) => {
                let pods = pods::list(self.connection, &selection).await?;
                let now = Timestamp::now();
                let scores = told.of(&pods.facts, now)?;
                if !std::mem::replace(&mut self.warned, true) {
                    scores.warnings(now).iter().for_each(|warning| self.console.warn(warning));
                }
                Ok(scores.reports)
            }
        }
    }

    fn kind(&self) -> plan::Source {
        self.source.kind()
    }

    async fn used(
        &self,
        namespace: &str,
        pods: &[String],
        now: Timestamp,
    ) -> Result<Option<BTreeMap<String, Used>>, Error> {
        self.source.used(namespace, pods, now).await
    }
}

#[cfg(test)]
mod tests;
