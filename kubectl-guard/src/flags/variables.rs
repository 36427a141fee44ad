//! Variables of the environment that stand for flags. One that is set and empty says nothing, as if it were not set.

use std::ffi::OsStr;

use clap::Command;

/// What this variable of the process says, if it says anything.
pub fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|text| !text.trim().is_empty())
}

/// True if this variable of the process is set and empty.
pub fn is_empty(name: &OsStr) -> bool {
    std::env::var_os(name).is_some_and(|value| value.is_empty())
}

/// The same command line, which does not ask for variables that are empty.
pub fn without_empty(command: Command, is_empty: fn(&OsStr) -> bool) -> Command {
    let command = command.mut_args(|arg| match arg.get_env() {
        Some(name) if is_empty(name) => arg.env(None::<&'static str>),
        _ => arg,
    });
    command.mut_subcommands(|sub| without_empty(sub, is_empty))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::cli::Cli;

    fn asked(command: &Command) -> Vec<String> {
        let own = command.get_arguments().filter_map(|arg| Some(arg.get_env()?.to_string_lossy().into_owned()));
        own.chain(command.get_subcommands().flat_map(asked)).collect()
    }

    #[test]
    fn variables_that_are_empty_are_not_asked_for_at_any_depth() {
        let all = asked(&Cli::command());
        assert!(["K8S_NAMESPACE", "MODEL_PATH", "OPENAI_MODEL"].iter().all(|name| all.iter().any(|one| one == name)));
        assert_eq!(asked(&without_empty(Cli::command(), |_| false)), all);
        let left = asked(&without_empty(Cli::command(), |name| name == "MODEL_PATH"));
        assert!(!left.iter().any(|name| name == "MODEL_PATH") && left.iter().any(|name| name == "K8S_NAMESPACE"));
        assert_eq!(asked(&without_empty(Cli::command(), |_| true)), Vec::<String>::new());
    }
}
