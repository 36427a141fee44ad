//! `kubectl guard`: which pods misbehave, why, and what may safely be done about it.
//!
//! A command line ([`cli`]) becomes a [`connect::Connection`] to the cluster, used with the rights of the person who
//! typed it. All text for people leaves through the [`console`]; all text from the cluster passes [`sanitise`] first.
//! Every failure is one [`error::Error`], which owns its wording and its exit code ([`exit`]).

use std::ffi::OsString;
use std::process::ExitCode;
use std::time::Duration;

use clap::{CommandFactory, FromArgMatches};

pub mod analyze;
pub mod apply;
pub mod approve;
pub mod audit;
pub mod cli;
pub mod collect;
pub mod commands;
pub mod config;
pub mod connect;
pub mod console;
mod credentials;
pub mod desk;
pub mod doctor;
pub mod error;
pub mod events;
pub mod exit;
pub mod facts;
pub mod files;
pub mod flags;
pub mod incidents;
pub mod llm;
pub mod logs;
pub mod model;
pub mod mutes;
mod nearest;
pub mod node_cause;
pub mod nodes;
pub mod outcome;
pub mod output;
pub mod plan;
pub mod pods;
pub mod prometheus;
pub mod propose;
pub mod render;
pub mod request;
pub mod rows;
pub mod run;
pub mod sanitise;
pub mod scores;
pub mod setup;
pub mod side;
pub mod signals;
pub mod sink;
pub mod suggest;
pub mod tui;
pub mod ui;
pub mod verify;
pub mod version;
#[cfg(test)]
mod wire;
pub mod wish;
pub mod write_point;

use cli::Cli;
use console::Console;
use error::Error;
use exit::Exit;
use flags::variables;

/// For so long the process waits at its end for what still writes: a disk or a pipe that takes nothing would keep it for ever.
const LAST_WRITES: Duration = Duration::from_millis(500);

/// Runs the command line `args` (with the program's name first) and says how it ended. Never panics, never exits.
pub fn main_impl(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let console = Console::of_process();
    match run(cli::accept_old_spellings(args), &console) {
        Ok(exit) => exit.into(),
        Err(error) => {
            console.error(&error);
            error.process_exit_code().into()
        }
    }
}

fn run(args: Vec<OsString>, console: &Console) -> Result<Exit, Error> {
    let (args, off) = cli::accept_valued_switches(args);
    let command = variables::without_empty(Cli::command(), variables::is_empty);
    let command = command.bin_name(cli::shown_name(args.first()));
    let parsed = command
        .try_get_matches_from(args)
        .and_then(|matches| Ok((Cli::from_arg_matches(&matches)?, flags::dry_run::warning(&matches))));
    let (mut cli, warning) = match parsed {
        Ok(parsed) => parsed,
        Err(error) => return console.clap(&error),
    };
    if let Some(warning) = warning {
        console.warn(&warning);
    }
    cli.switch_off(off);
    cli.kube = cli.kube.without_empty();
    if cli.kube.verbosity >= console::TRACE_REQUESTS_FROM {
        console::trace_requests();
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.map_err(|source| Error::Io { doing: "start the runtime".into(), source })?;
    let ended = runtime.block_on(cli::run(cli, console));
    runtime.shutdown_timeout(LAST_WRITES);
    ended
}
