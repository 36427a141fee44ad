//! `completion SHELL`: a script that completes commands and flags, and the answers for kubectl, which completes its
//! plugins by calling `kubectl_complete-NAME` with the words typed so far; `completion install` puts that there.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use clap::{Args, Command, ValueEnum};
use clap_complete::Shell;

use crate::connect::{self, Environment, Named};
use crate::console::Console;
use crate::error::Error;
use crate::exit::Exit;

mod shim;
mod words;

use words::Typed;

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

/// What kubectl's completion understands as: complete file names, if nothing else fits.
const FILES: &str = ":0\n";
/// And as: do not.
const NO_FILES: &str = ":4\n";

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

/// Answers kubectl: one choice a line with its description, and a last line that says whether to complete file names.
///
/// # Errors
/// If stdout cannot be written.
pub fn complete(args: &CompleteArgs, root: &Command, console: &Console) -> Result<Exit, Error> {
    let environment = Environment::of_process();
    console.print(&answer(root, &args.words, |kind, kubeconfig| connect::names(kind, kubeconfig, &environment)))?;
    Ok(Exit::Done)
}

/// The answer; `names` are those that a kubeconfig has of a kind.
fn answer(root: &Command, words: &[String], names: impl Fn(Named, Option<&Path>) -> Vec<String>) -> String {
    let typed = Typed::of(root, words);
    let kind = typed.flag.and_then(|flag| match flag.get_id().as_str() {
        "context" => Some(Named::Context),
        "cluster" => Some(Named::Cluster),
        "user" => Some(Named::User),
        _ => None,
    });
    let known = kind.map(|kind| names(kind, typed.kubeconfig.map(Path::new))).unwrap_or_default();
    let mut text = String::new();
    for (choice, help) in typed.choices(known) {
        let line = if help.is_empty() { writeln!(text, "{choice}") } else { writeln!(text, "{choice}\t{help}") };
        debug_assert!(line.is_ok(), "a String takes every text");
    }
    text + if typed.is_file() { FILES } else { NO_FILES }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::cli::Cli;

    /// The answer where a kubeconfig has two names of each kind.
    fn answer(words: &[&str]) -> String {
        let names = |kind: Named, file: Option<&Path>| {
            let of = file.map(|file| file.display().to_string()).unwrap_or_default();
            vec![format!("{kind:?}-one{of}"), format!("{kind:?}-two{of}")]
        };
        super::answer(&Cli::command(), &words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>(), names)
    }

    /// The words that are offered.
    fn offered(words: &[&str]) -> Vec<String> {
        let answer = answer(words);
        let lines = answer.lines().filter(|line| !line.starts_with(':'));
        lines.map(|line| line.split('\t').next().unwrap().to_owned()).collect()
    }

    #[test]
    fn behind_a_flag_its_values_are_offered_and_nothing_else() {
        let table: [(&[&str], &[&str]); 14] = [
            (&["status", "-n", ""], &[]),
            (&["-n", ""], &[]),
            (&["status", "--sort-by", ""], &["name", "score", "since"]),
            (&["status", "--sort-by", "s"], &["score", "since"]),
            (&["status", "--sort-by=s"], &["score", "since"]),
            (&["status", "--source", ""], &["exporters", "prometheus"]),
            (&["analyze", "--detector", ""], &["lstm", "robust"]),
            (&["--context", ""], &["Context-one", "Context-two"]),
            (&["status", "--context", "Context-t"], &["Context-two"]),
            (&["status", "--kubeconfig", "/k", "--cluster", ""], &["Cluster-one/k", "Cluster-two/k"]),
            (&["status", "--kubeconfig=/k", "--user="], &["User-one/k", "User-two/k"]),
            (&["-n", "status", "sta"], &["status"]),
            (&["status", "-n", "ui", "wo"], &["workloads"]),
            (&["status", "--sort-by=name", "wo"], &["workloads"]),
        ];
        for (words, fit) in table {
            assert_eq!(offered(words), fit, "{words:?}");
        }
        assert!(offered(&["fix", "--action", ""]).iter().any(|word| word == "rollout-undo"));
        assert_eq!(offered(&["status", "-o", "jso"]), ["json", "jsonpath="], "a template is for people to write");
        assert!(offered(&["fix", "--dry-run", "--yes", "--act"]).contains(&"--action".to_owned()), "it needs its =");
    }

    #[test]
    fn files_are_completed_where_one_is_named() {
        for words in [
            &["analyze", "--scores", ""][..],
            &["--kubeconfig", "x"],
            &["run", "--log-folder="],
            &["audit", "verify", "--against", ""],
            &["analyze", ""],
            &["man", "fold"],
        ] {
            assert_eq!(answer(words), ":0\n", "{words:?}");
        }
    }

    #[test]
    fn kubectl_is_told_commands_values_and_flags() {
        assert!(answer(&["st"]).starts_with("status\t"));
        assert!(answer(&["status", "wo"]).starts_with("workloads\t"));
        assert!(answer(&["status", "--guard"]).starts_with("--guard-namespace\t"));
        assert!(answer(&["status", "--cont"]).starts_with("--context\t"));
    }

    #[test]
    fn files_are_not_completed_elsewhere() {
        for words in [&[][..], &["nonsense"], &["status", "-"], &["analyze", "--"], &["status", "x", "y"]] {
            assert!(answer(words).ends_with(":4\n"));
        }
    }
}
