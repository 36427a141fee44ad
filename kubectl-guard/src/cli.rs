//! The command line: what can be typed, and which command it is for. Each command's own arguments live with the command.

use std::cell::LazyCell;
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::Path;

use clap::{ArgAction, CommandFactory, Parser, Subcommand};

use crate::console::Console;
use crate::error::Error;
use crate::exit::Exit;
use crate::flags::KubeFlags;
use crate::{commands, exit};

/// Finds pods that misbehave, says why, and proposes what may safely be done about it.
#[derive(Parser)]
#[command(name = "kubectl-guard", version, after_help = exit::HELP, propagate_version = false)]
#[command(subcommand_required = true, arg_required_else_help = true, max_term_width = 110)]
pub struct Cli {
    /// Which cluster, and as whom.
    #[command(flatten)]
    pub kube: KubeFlags,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What can be done.
#[derive(Subcommand)]
pub enum Command {
    /// Show which pods misbehave, why, and what may help
    Status(Box<commands::status::StatusArgs>),
    /// Show one pod, workload or node in depth: what was seen, what was expected, and since when
    Explain(commands::explain::ExplainArgs),
    /// Collect metrics of pods into a table or a recording, without an exporter
    Collect(commands::collect::CollectArgs),
    /// Collect, score and propose in one program, until ^C
    Run(commands::run::RunArgs),
    /// Score a file of metrics, or a recording, without a cluster
    Analyze(commands::analyze::AnalyzeArgs),
    /// Show the configuration of run, and where each value comes from
    Config(commands::config::ConfigArgs),
    /// Show status, explain and fix on a recorded incident; needs no cluster
    Demo(commands::demo::DemoArgs),
    /// Show the dashboard in a browser on this machine, where plans can be approved too
    Ui(commands::ui::UiArgs),
    /// Propose what may safely be done about a pod or workload, and do it once it is approved
    Fix(Box<commands::fix::FixArgs>),
    /// Take back what was done, by the id that history shows, if nobody has changed it since
    Undo(commands::fix::undo::UndoArgs),
    /// Show anomalies that belong together, which pod began, and what helped before
    Incidents(Box<commands::incidents::IncidentsArgs>),
    /// Mute a pod, workload or node for a while, or list what is muted
    Mute(commands::mute::MuteArgs),
    /// Show what was done from this machine, and whether it helped
    History(commands::history::HistoryArgs),
    /// Check this machine's journal of what was done
    Audit(commands::audit::AuditArgs),
    /// Complete commands and flags in a shell, or in kubectl
    Completion(commands::completion::CompletionArgs),
    /// Look for what keeps guard from working, and say what to do
    Doctor(commands::doctor::DoctorArgs),
    /// Answer kubectl's questions about what may be typed
    #[command(hide = true)]
    Complete(commands::completion::CompleteArgs),
    /// Write the manual, a page for each command
    Man(commands::man::ManArgs),
    /// Put the exporter into the cluster, or bring it up to this version
    Install(commands::install::InstallArgs),
    /// Remove from the cluster what install put there
    Uninstall(commands::uninstall::UninstallArgs),
    /// Print the versions of the plugin and of the cluster
    Version(commands::version::VersionArgs),
}

impl Cli {
    /// Says of switches that they were typed as off: over a file that switches them on, that is not the same as left out.
    pub fn switch_off(&mut self, off: Off) {
        match &mut self.command {
            Command::Config(args) => args.switch_off(off),
            Command::Run(args) => args.switch_off(off),
            _ => {}
        }
    }
}

/// Runs the command.
///
/// # Errors
/// Whatever the command fails with.
pub async fn run(cli: Cli, console: &Console) -> Result<Exit, Error> {
    match cli.command {
        Command::Analyze(args) => commands::analyze::run(&args, cli.kube.namespace.as_deref(), console).await,
        Command::Audit(args) => commands::audit::run(&args, console),
        Command::Collect(args) => commands::collect::run(&args, &cli.kube, console).await,
        Command::Complete(args) => commands::completion::complete(&args, &Cli::command(), console),
        Command::Completion(args) => commands::completion::run(&args, &mut Cli::command(), console),
        Command::Config(args) => commands::config::run(&args, &cli.kube, console),
        Command::Demo(args) => commands::demo::run(&args, console),
        Command::Doctor(args) => commands::doctor::run(&args, &cli.kube, console).await,
        Command::Explain(args) => commands::explain::run(&args, &cli.kube, console).await,
        Command::Fix(args) => commands::fix::run(&args, &cli.kube, console).await,
        Command::History(args) => commands::history::run(&args, &cli.kube, console).await,
        Command::Incidents(args) => commands::incidents::run(&args, &cli.kube, console).await,
        Command::Mute(args) => commands::mute::run(&args, &cli.kube, console).await,
        Command::Man(args) => commands::man::run(&args, Cli::command(), console),
        Command::Run(args) => commands::run::run(&args, &cli.kube, console).await,
        Command::Status(args) => commands::status::run(*args, &cli.kube, console).await,
        Command::Ui(args) => commands::ui::run(&args, &cli.kube, console).await,
        Command::Install(args) => commands::install::run(&args, &cli.kube, console).await,
        Command::Uninstall(args) => commands::uninstall::run(&args, &cli.kube, console).await,
        Command::Undo(args) => commands::fix::undo::run(&args, &cli.kube, console).await,
        Command::Version(args) => commands::version::run(&args, &cli.kube, console).await,
    }
}

/// The older tool had two flags with one dash and many letters.
pub fn accept_old_spellings(args: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let spelt = |arg: OsString| match arg.to_str() {
        Some("-agent") => "--agent-only".into(),
        Some("-fetch") => "--fetch-only".into(),
        _ => arg,
    };
    args.into_iter().map(spelt).collect()
}

/// Switches that were typed as off, by the names that were typed: `--enable-llm` of `--enable-llm=false`.
pub type Off = BTreeSet<String>;

/// Takes switches with a value, which kubectl's may have (`--watch=true`, `-A=false`), for what they mean: on, or left out;
/// which of them were left out so is given as well. Any other value stays, to be refused.
pub fn accept_valued_switches(args: impl IntoIterator<Item = OsString>) -> (Vec<OsString>, Off) {
    let (mut all_are_words, mut off) = (false, Off::new());
    let known = LazyCell::new(|| switches(&Cli::command()));
    let meant = |arg: OsString| {
        all_are_words |= arg == "--";
        let switch = arg.to_str().and_then(|text| text.split_once('=')).filter(|_| !all_are_words);
        let switch = switch.and_then(|(name, value)| Some((name, is_true(value)?)));
        match switch.filter(|(name, _)| known.contains(*name)) {
            Some((name, true)) => Some(name.into()),
            Some((name, false)) => {
                off.insert(name.to_owned());
                None
            }
            None => Some(arg),
        }
    };
    let args = args.into_iter().filter_map(meant).collect();
    (args, off)
}

/// What Go's flags take for a boolean, if it is one.
fn is_true(value: &str) -> Option<bool> {
    match value {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

/// The names of flags that are switches in each command that has them: what takes a value somewhere may mean it.
fn switches(root: &clap::Command) -> BTreeSet<String> {
    let (mut switches, mut others) = (BTreeSet::new(), BTreeSet::new());
    let mut commands = vec![root];
    while let Some(command) = commands.pop() {
        for arg in command.get_arguments() {
            let long = arg.get_long().into_iter().chain(arg.get_all_aliases().into_iter().flatten());
            let short = arg.get_short().into_iter().chain(arg.get_all_short_aliases().into_iter().flatten());
            let names = long.map(|name| format!("--{name}")).chain(short.map(|name| format!("-{name}")));
            if matches!(arg.get_action(), ArgAction::SetTrue) { switches.extend(names) } else { others.extend(names) }
        }
        commands.extend(command.get_subcommands());
    }
    switches.difference(&others).cloned().collect()
}

/// The name to use in usage lines: `kubectl guard` if kubectl may have started us, else the name of the executable.
pub fn shown_name(program: Option<&OsString>) -> String {
    let stem = program.and_then(|p| Path::new(p).file_stem()).and_then(|s| s.to_str()).unwrap_or("kubectl-guard");
    match stem.strip_prefix("kubectl-") {
        Some(rest) => format!("kubectl {rest}"),
        None => stem.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use clap::Args;

    use super::*;
    use crate::flags::source_flags::PrometheusFlags;
    use crate::flags::{FromSinkFlag, SinkFlags};
    use crate::llm::LlmArgs;
    use crate::plan::DrainOptions;

    #[test]
    fn the_definition_holds_together() {
        Cli::command().debug_assert();
    }

    /// A heading that clap takes from a group of flags holds for all flags behind that group too.
    #[test]
    fn a_heading_of_the_help_holds_the_flags_of_its_group_and_no_others() {
        let ids = |command: clap::Command| command.get_arguments().map(|arg| arg.get_id().clone()).collect::<Vec<_>>();
        let groups = [
            ("Connection", ids(KubeFlags::augment_args(clap::Command::new("g")))),
            ("Prometheus", ids(PrometheusFlags::augment_args(clap::Command::new("g")))),
            ("Shared journal", ids(FromSinkFlag::augment_args(SinkFlags::augment_args(clap::Command::new("g"))))),
            ("Language model", ids(LlmArgs::augment_args(clap::Command::new("g")))),
            ("Drain", ids(DrainOptions::augment_args(clap::Command::new("g")))),
        ];
        let mut seen = 0;
        let mut commands = vec![Cli::command()];
        while let Some(command) = commands.pop() {
            for arg in command.get_arguments() {
                let Some(heading) = arg.get_help_heading() else { continue };
                let (_, ids) = groups.iter().find(|(name, _)| *name == heading).unwrap();
                assert!(ids.contains(arg.get_id()), "{} of {} is under {heading}", arg.get_id(), command.get_name());
                seen += 1;
            }
            commands.extend(command.get_subcommands().cloned());
        }
        assert!(seen > 50, "{seen}");
    }

    #[test]
    fn the_older_tools_flags_are_taken() {
        let args = accept_old_spellings(["g", "analyze", "-agent", "--input-file", "m.csv"].map(OsString::from));
        assert!(Cli::try_parse_from(args).is_ok());
        let refused = accept_old_spellings(["g", "analyze", "-fetch", "-agent"].map(OsString::from));
        assert!(Cli::try_parse_from(refused).is_err());
    }

    #[test]
    fn kubectls_switches_take_a_value_as_they_do_there() {
        let read = |line: &str| accept_valued_switches(line.split(' ').map(OsString::from)).0;
        let words = |line: &str| line.split(' ').map(OsString::from).collect::<Vec<_>>();
        assert_eq!(read("g status -A=true --watch=false --no-headers=1 -w=F"), words("g status -A --no-headers"));
        assert_eq!(read("g complete -- -A=true"), words("g complete -- -A=true"), "what is being typed stays");
        let status = Cli::try_parse_from(read(
            "g status --all-namespaces=true --watch=true --no-headers=true --show-labels=true \
             --insecure-skip-tls-verify=true --disable-compression=true",
        ));
        assert!(status.is_ok_and(|status| status.kube.insecure_skip_tls_verify && status.kube.disable_compression));
        for line in [
            "g version --client=true",
            "g install --force-conflicts=true",
            "g fix node/a --action drain --ignore-daemonsets=true --delete-emptydir-data=true --force=true",
            "g fix --yes=false",
        ] {
            assert!(Cli::try_parse_from(read(line)).is_ok(), "{line}");
        }
        assert_eq!(
            read("g analyze -n=true --dry-run=true"),
            words("g analyze -n=true --dry-run=true"),
            "these take values"
        );
        assert!(Cli::try_parse_from(read("g status -A=perhaps")).is_err());
    }

    #[test]
    fn a_flag_that_needs_another_is_refused_without_it() {
        for (line, needed) in
            [("g fix deployment/a --confidence-threshold 0.9", "--yes"), ("g analyze --watch-interval 10s", "--follow")]
        {
            let refused = Cli::try_parse_from(line.split(' ')).err().map(|error| error.to_string());
            assert!(refused.is_some_and(|told| told.contains(&format!("  {needed}"))), "{line}");
            assert!(Cli::try_parse_from(format!("{line} {needed}").split(' ')).is_ok(), "{line} {needed}");
        }
        assert!(Cli::try_parse_from("g fix --auto-approve --confidence-threshold 0.9".split(' ')).is_ok());
    }

    #[test]
    fn usage_names_the_way_it_was_started() {
        for (program, name) in [
            ("/usr/local/bin/kubectl-guard", "kubectl guard"),
            ("kubectl-guard.exe", "kubectl guard"),
            ("./guard", "guard"),
        ] {
            assert_eq!(shown_name(Some(&program.into())), name);
        }
        assert_eq!(shown_name(None), "kubectl guard");
    }

    #[test]
    fn kubectls_flags_are_taken_before_and_after_the_command() {
        for line in ["g --context a version", "g version --context a", "g version --context=a -n b"] {
            let cli = Cli::try_parse_from(line.split(' ')).unwrap();
            assert_eq!(cli.kube.context.as_deref(), Some("a"), "{line}");
        }
    }
}
