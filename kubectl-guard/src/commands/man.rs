//! `man FOLDER`: the manual, made from the definition of the command line, so that it says what `--help` says.

use std::path::PathBuf;

use clap::{Args, Command};

use crate::console::Console;
use crate::error::Error;
use crate::exit::Exit;

/// Arguments of `man`.
#[derive(Args)]
pub struct ManArgs {
    /// Where to write the pages, one a command: `man -l FOLDER/kubectl-guard.1` shows the first
    folder: PathBuf,
}

/// Writes the pages of a command line.
///
/// # Errors
/// If the folder cannot be written.
pub fn run(args: &ManArgs, root: Command, console: &Console) -> Result<Exit, Error> {
    let failed = |source| Error::Io { doing: format!("write the manual into {}", args.folder.display()), source };
    std::fs::create_dir_all(&args.folder).map_err(failed)?;
    clap_mangen::generate_to(named(root), &args.folder).map_err(failed)?;
    console.note(&format!("the manual is in {}", args.folder.display()));
    Ok(Exit::Done)
}

/// What is typed is `kubectl guard status`; what `man` is asked for is `kubectl-guard-status`.
fn named(root: Command) -> Command {
    whole(root.bin_name("kubectl guard").disable_help_subcommand(true))
}

/// A manual has room for what `-h` leaves out.
fn whole(command: Command) -> Command {
    command.mut_args(|arg| arg.hide_short_help(false)).mut_subcommands(whole)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::cli::Cli;

    #[test]
    fn each_command_has_a_page_that_says_what_its_help_says() {
        let folder = tempfile::tempdir().unwrap();
        let args = ManArgs { folder: folder.path().join("man") };
        run(&args, Cli::command(), &crate::console::capture::console(80).0).unwrap();
        let page = |name: &str| std::fs::read_to_string(args.folder.join(name)).unwrap_or_else(|_| panic!("{name}"));
        assert!(page("kubectl-guard.1").contains("kubectl\\-guard\\-status(1)"), "{}", page("kubectl-guard.1"));
        assert!(page("kubectl-guard-audit-verify.1").contains("\\-\\-against"));
        let hidden = args.folder.join("kubectl-guard-complete.1");
        assert!(!hidden.exists(), "hidden commands have no page");
        insta::assert_snapshot!(page("kubectl-guard-undo.1"));
    }
}
