//! `undo ID`: the stored inverse of what was done, as a plan of its own, if the field still holds what was written.

use std::time::Duration;

use clap::Args;

use super::listeners::Shared;
use super::session::Session;
use super::undoing::Undoing;
use super::{Accept, FixArgs, Format, Scores, told};
use crate::audit::Journal;
use crate::connect::{Connection, Environment};
use crate::console::Console;
use crate::error::Error;
use crate::exit::Exit;
use crate::flags::dry_run::DryRunFlag;
use crate::flags::{FromSinkFlag, KubeFlags, SinkFlags};
use crate::plan::{DrainOptions, TargetName};
use crate::scores::{Source, portforward};

/// Arguments of `undo`.
#[derive(Args, Clone, Debug)]
pub struct UndoArgs {
    /// What to take back, by the id that history shows
    #[arg(value_name = "ID")]
    id: String,
    /// How far to go.
    #[command(flatten)]
    dry_run: DryRunFlag,
    /// Approve the plan that a dry run showed with this digest, at most ten minutes ago
    #[arg(long, value_name = "sha256:DIGEST")]
    approve: Option<String>,
    #[command(flatten)]
    accept: Accept,
    /// Scale up or raise requests again although pods would fit on no node
    #[arg(long)]
    allow_pending: bool,
    /// Print the plan in this format
    #[arg(short, long, value_enum, value_name = "FORMAT")]
    output: Option<Format>,
    #[command(flatten)]
    sink: SinkFlags,
    #[command(flatten)]
    from: FromSinkFlag,
}

/// Takes back what was done, if it is approved.
///
/// # Errors
/// It cannot be undone, or whatever ends the way of the plan that undoes it.
pub async fn run(args: &UndoArgs, kube: &KubeFlags, console: &Console) -> Result<Exit, Error> {
    let connection = Connection::open(kube, &Environment::of_process())?;
    let journal = Journal::of_user(|name| std::env::var_os(name))?;
    let lines = match args.sink.source(&args.from)? {
        Some(sink) => told(&sink, &connection, console).await?,
        None => journal.read()?,
    };
    let undoing = Undoing::find(&lines, &args.id, &connection.server)?;
    let target = TargetName { kind: undoing.step.target.kind, name: undoing.step.target.name.clone() };
    let fix = inverse(&undoing, args);
    let scores = Scores::of(Source::Exporters { namespace: portforward::NAMESPACE.into() }, &connection, console);
    let mut session = Session {
        undoing: Some(undoing),
        shared: args.sink.shared()?.map(Shared::from),
        ..Session::new(&connection, console, Ok(journal), scores)
    };
    Box::pin(session.run(&fix, Some(target), true)).await
}

/// The arguments with which `fix` would do the inverse. It takes back, so there is nothing to cool down from.
fn inverse(undoing: &Undoing, args: &UndoArgs) -> FixArgs {
    FixArgs {
        no_cool_down: true,
        dry_run: args.dry_run,
        approve: args.approve.clone(),
        accept: args.accept,
        drain: DrainOptions { allow_pending: args.allow_pending, ..DrainOptions::default() },
        output: args.output,
        timeout: Duration::ZERO,
        ..FixArgs::for_action(&undoing.inverse, undoing.in_place)
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::super::undoing::tests::undone;
    use super::*;
    use crate::facts::{Facts, Growth, NodeTarget, Rollout, StatefulFacts, TargetFacts, WorkloadFacts};
    use crate::plan::examples::{facts, node_plan, node_target, plan, resources_plan, revisions, setting, workload};
    use crate::plan::{Action, ActionKind, Kind, amounts};
    use crate::propose::{Proposal, propose};

    /// The arguments of `undo` with these flags.
    fn typed(flags: &[&str]) -> UndoArgs {
        let words = ["guard", "undo", "0123456789ab"].iter().chain(flags);
        match crate::cli::Cli::try_parse_from(words).unwrap().command {
            crate::cli::Command::Undo(args) => args,
            _ => panic!("another command"),
        }
    }

    /// A plan that takes something back meets the same guard rails as any other, and each names the flag that accepts it.
    #[test]
    fn whatever_can_refuse_to_take_something_back_can_be_accepted() {
        let refused_and_accepted = |undoing: &Undoing, facts: &Facts, flag: &[&str]| {
            let wish = |flags: &[&str]| inverse(undoing, &typed(flags)).wish(true);
            let refused = propose(&wish(&[]), None, facts, setting()).unwrap_err().to_string();
            assert!(refused.contains(flag[0]), "{refused}");
            let accepted = propose(&wish(flag), None, facts, setting());
            assert!(matches!(accepted, Ok(Proposal::Plan(_))), "{flag:?}: {accepted:?}");
        };
        let of = |change: &dyn Fn(&mut WorkloadFacts), kind| {
            let mut seen = workload(kind);
            change(&mut seen);
            facts(TargetFacts::Workload(seen))
        };
        let scaled = undone(plan(ActionKind::Scale), "web");
        let deletes = StatefulFacts { ordered: true, first: 0, deletes_volumes: true };
        let set = of(&|set| (set.replicas, set.stateful) = (3, Some(deletes)), Kind::StatefulSet);
        refused_and_accepted(&scaled, &set, &["--allow-volume-loss"]);
        let growth = Growth::Known { quotas: vec![], unplaced: 1, why: "full".into() };
        let grows = Facts { growth, ..of(&|_| (), Kind::Deployment) };
        let up = Undoing { inverse: Action::Scale { replicas: 4 }, ..scaled };
        refused_and_accepted(&up, &grows, &["--allow-pending"]);
        let recreates = of(&|deployment| deployment.rollout = Rollout::Recreate, Kind::Deployment);
        let back = undone(plan(ActionKind::RolloutUndo), "web");
        let back = Undoing { inverse: Action::RolloutUndo { revision: 2 }, ..back };
        refused_and_accepted(&back, &Facts { revisions: revisions(), ..recreates }, &["--allow-downtime"]);
        let uncordoned = undone(node_plan(ActionKind::Uncordon), "n1");
        let node = |change: &dyn Fn(&mut NodeTarget)| {
            let mut seen = node_target();
            change(&mut seen);
            Facts::of(TargetFacts::Node(seen))
        };
        refused_and_accepted(&uncordoned, &node(&|node| node.control_plane = true), &["--allow-control-plane"]);
        refused_and_accepted(&uncordoned, &node(&|node| node.others = 1), &["--min-schedulable", "25"]);
    }

    #[test]
    fn limits_are_taken_back_in_place_where_they_were_set_so() {
        let fix = inverse(&undone(resources_plan(true), "web"), &typed(&[]));
        assert_eq!(
            (fix.container.as_deref(), fix.limits, fix.in_place),
            (Some("web"), amounts("memory=96Mi").ok(), true)
        );
    }
}
