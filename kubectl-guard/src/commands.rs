//! What each command does: arguments in, text to the console and an exit code out.

use crate::cli::{Cli, Command};
use crate::console::Console;
use crate::error::Error;
use crate::exit::Exit;

pub mod analyze;
pub mod audit;
pub mod collect;
pub mod completion;
pub mod config;
pub mod demo;
pub mod doctor;
pub mod explain;
pub mod fix;
pub mod history;
pub mod incidents;
pub mod install;
pub mod man;
pub mod mute;
pub mod run;
pub mod status;
pub mod ui;
pub mod uninstall;
pub mod version;

/// Runs the command.
///
/// # Errors
/// Whatever the command fails with.
pub async fn run(cli: Cli, console: &Console) -> Result<Exit, Error> {
    match cli.command {
        Command::Analyze(args) => analyze::run(&args, console).await,
        Command::Audit(args) => audit::run(&args, console),
        Command::Collect(args) => collect::run(&args, &cli.kube, console).await,
        Command::Complete(args) => completion::complete(&args, console),
        Command::Completion(args) => completion::run(&args, console),
        Command::Config(args) => config::run(&args, &cli.kube, console),
        Command::Demo(args) => demo::run(&args, console),
        Command::Doctor(args) => doctor::run(&args, &cli.kube, console).await,
        Command::Explain(args) => explain::run(&args, &cli.kube, console).await,
        Command::Fix(args) => fix::run(&args, &cli.kube, console).await,
        Command::History(args) => history::run(&args, &cli.kube, console).await,
        Command::Incidents(args) => incidents::run(&args, &cli.kube, console).await,
        Command::Mute(args) => mute::run(&args, &cli.kube, console).await,
        Command::Man(args) => man::run(&args, console),
        Command::Run(args) => run::run(&args, &cli.kube, console).await,
        Command::Status(args) => status::run(*args, &cli.kube, console).await,
        Command::Ui(args) => ui::run(&args, &cli.kube, console).await,
        Command::Install(args) => install::run(&args, &cli.kube, console).await,
        Command::Uninstall(args) => uninstall::run(&args, &cli.kube, console).await,
        Command::Undo(args) => fix::undo::run(&args, &cli.kube, console).await,
        Command::Version(args) => version::run(&args, &cli.kube, console).await,
    }
}
