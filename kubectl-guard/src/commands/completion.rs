//! `completion SHELL`: a script that completes commands and flags, and the shim by which kubectl completes its plugin.

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use crate::cli::Cli;
use crate::console::Console;
use crate::error::Error;
use crate::exit::Exit;

/// Arguments of `completion`.
#[derive(Args)]
#[command(after_help = INSTALL)]
pub struct CompletionArgs {
    /// The shell to complete in
    shell: Shell,
}

const INSTALL: &str = "\
For `kubectl-guard` typed as one word:
  bash        kubectl-guard completion bash > ~/.local/share/bash-completion/completions/kubectl-guard
  zsh         kubectl-guard completion zsh > \"${fpath[1]}/_kubectl-guard\"
  fish        kubectl-guard completion fish > ~/.config/fish/completions/kubectl-guard.fish
  powershell  kubectl-guard completion powershell >> $PROFILE";

/// Prints the script.
///
/// # Errors
/// If stdout cannot be written.
pub fn run(args: &CompletionArgs, console: &Console) -> Result<Exit, Error> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "kubectl-guard", &mut script);
    console.print(&String::from_utf8_lossy(&script))?;
    Ok(Exit::Done)
}
