//! `completion SHELL`: a script that completes commands and flags, and the answers for kubectl, which completes its
//! plugins by calling `kubectl_complete-NAME` with the words typed so far; `completion install` puts that there.

use std::fmt::Write as _;
use std::path::PathBuf;

use clap::{Args, Command, ValueEnum};
use clap_complete::Shell;

use crate::console::Console;
use crate::error::Error;
use crate::exit::Exit;

mod shim;

/// Arguments of `completion`.
#[derive(Args)]
#[command(after_help = INSTALL)]
pub struct CompletionArgs {
    /// Shell to complete in; `install` puts kubectl's completion helper on the PATH
    #[arg(value_enum)]
    place: Place,
    /// Folder of the PATH to install into [default: the first below your home, else that of kubectl-guard]
    #[arg(long, value_name = "FOLDER")]
    folder: Option<PathBuf>,
}

/// Arguments of the hidden command that the shim calls.
#[derive(Args)]
pub struct CompleteArgs {
    /// The words typed after `kubectl guard`; the last one is being typed
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    words: Vec<String>,
}

/// A shell, or kubectl itself.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Place {
    /// For kubectl-guard typed as one word
    Bash,
    /// For kubectl-guard typed as one word
    Zsh,
    /// For kubectl-guard typed as one word
    Fish,
    /// For kubectl-guard typed as one word
    Powershell,
    /// For `kubectl guard`, in every shell that kubectl completes in
    Kubectl,
    /// The same, written to a folder of your PATH
    Install,
}

const INSTALL: &str = "\
How to install it:
  kubectl guard completion install                      for `kubectl guard`
  kubectl guard completion bash > ~/.local/share/bash-completion/completions/kubectl-guard
  kubectl guard completion zsh > \"${fpath[1]}/_kubectl-guard\"
  kubectl guard completion fish > ~/.config/fish/completions/kubectl-guard.fish
  kubectl guard completion powershell >> $PROFILE";

/// Prints the script for a command line, or installs it.
///
/// # Errors
/// If stdout or the folder cannot be written, or there is none.
pub fn run(args: &CompletionArgs, root: &mut Command, console: &Console) -> Result<Exit, Error> {
    let shell = match args.place {
        Place::Bash => Shell::Bash,
        Place::Zsh => Shell::Zsh,
        Place::Fish => Shell::Fish,
        Place::Powershell => Shell::PowerShell,
        Place::Kubectl => {
            console.print(shim::TEXT)?;
            return Ok(Exit::Done);
        }
        Place::Install => {
            let file = shim::install(args.folder.as_deref())?;
            console.note(&format!("{} completes `kubectl guard` wherever kubectl is completed", file.display()));
            return Ok(Exit::Done);
        }
    };
    let mut script = Vec::new();
    clap_complete::generate(shell, root, "kubectl-guard", &mut script);
    console.print(&String::from_utf8_lossy(&script))?;
    Ok(Exit::Done)
}

/// Answers kubectl: one choice a line with its description, and a last line that says not to complete file names.
///
/// # Errors
/// If stdout cannot be written.
pub fn complete(args: &CompleteArgs, root: &Command, console: &Console) -> Result<Exit, Error> {
    console.print(&choices(root, &args.words))?;
    Ok(Exit::Done)
}

fn choices(root: &Command, words: &[String]) -> String {
    let (typed, before) = words.split_last().map_or(("", &[][..]), |(last, before)| (last.as_str(), before));
    let mut command = root;
    for word in before {
        command = command.find_subcommand(word).unwrap_or(command);
    }
    let mut found: Vec<(String, String)> = Vec::new();
    if typed.starts_with('-') {
        let global = root.get_arguments().filter(|arg| arg.is_global_set());
        for arg in command.get_arguments().chain(global).filter(|arg| !arg.is_hide_set()) {
            let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
            found.extend(arg.get_long().map(|long| (format!("--{long}"), help)));
        }
    } else {
        for sub in command.get_subcommands().filter(|sub| !sub.is_hide_set()) {
            found.push((sub.get_name().to_owned(), sub.get_about().map(ToString::to_string).unwrap_or_default()));
        }
        for value in command.get_positionals().flat_map(clap::Arg::get_possible_values) {
            found.push((value.get_name().to_owned(), value.get_help().map(ToString::to_string).unwrap_or_default()));
        }
    }
    found.retain(|(choice, _)| choice.starts_with(typed));
    found.sort();
    found.dedup();
    let mut text = String::new();
    for (choice, help) in found {
        let line = if help.is_empty() { writeln!(text, "{choice}") } else { writeln!(text, "{choice}\t{help}") };
        debug_assert!(line.is_ok(), "a String takes every text");
    }
    text + ":4\n"
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::cli::Cli;

    fn answer(words: &[&str]) -> String {
        choices(&Cli::command(), &words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn kubectl_is_told_commands_values_and_flags() {
        assert!(answer(&["st"]).starts_with("status\t"));
        assert!(answer(&["status", "wo"]).starts_with("workloads\t"));
        assert!(answer(&["status", "--guard"]).starts_with("--guard-namespace\t"));
        assert!(answer(&["status", "--cont"]).starts_with("--context\t"));
    }

    #[test]
    fn files_are_never_completed() {
        for words in [&[][..], &["nonsense"], &["status", "-"], &["status", "x", "y"]] {
            assert!(answer(words).ends_with(":4\n"));
        }
    }
}
