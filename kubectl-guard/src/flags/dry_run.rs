//! `--dry-run[=none|client|server]`, with kubectl's values; the bare flag means `client`. As in kubectl, a boolean is
//! understood too, with a warning: it says less than it seems to.

use clap::{ArgMatches, Args, ValueEnum};

/// How far to go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum DryRun {
    /// Do it.
    #[default]
    None,
    /// Say what would be done.
    Client,
    /// Let the API server judge it too, and store nothing.
    Server,
}

impl DryRun {
    /// What kubectl writes behind a line that did not happen.
    pub fn suffix(self) -> &'static str {
        match self {
            DryRun::None => "",
            DryRun::Client => " (dry run)",
            DryRun::Server => " (server dry run)",
        }
    }

    /// The word for it on the command line.
    fn name(self) -> &'static str {
        match self {
            DryRun::None => "none",
            DryRun::Client => "client",
            DryRun::Server => "server",
        }
    }
}

/// The flag.
#[derive(Args, Clone, Copy, Debug, Default)]
pub struct DryRunFlag {
    /// Change nothing: `client` shows what would be done, `server` also lets the API server check it; `none` makes the
    /// change
    #[arg(long, value_parser = read, value_name = "none|client|server", num_args = 0..=1, require_equals = true)]
    #[arg(default_value = "none", default_missing_value = "client")]
    pub dry_run: DryRun,
}

/// Reads a value of the flag.
///
/// # Errors
/// If it is none.
pub fn read(text: &str) -> Result<DryRun, String> {
    if let Some(on) = boolean(text) {
        return Ok(if on { DryRun::Client } else { DryRun::None });
    }
    let known = [DryRun::None, DryRun::Client, DryRun::Server].into_iter().find(|how| how.name() == text);
    known.ok_or_else(|| "it must be none, client or server".to_owned())
}

/// The booleans that Go reads.
fn boolean(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

/// What to say about the flag as it was typed.
pub fn warning(matches: &ArgMatches) -> Option<String> {
    let (_, command) = matches.subcommand()?;
    let typed = command.try_get_raw("dry_run").ok()??.next()?.to_str()?;
    let meant = if boolean(typed)? { DryRun::Client } else { DryRun::None };
    Some(format!("--dry-run={typed} is a boolean and means --dry-run={}; write that instead", meant.name()))
}

#[cfg(test)]
mod tests {
    use clap::{Args as _, FromArgMatches as _};

    use super::*;

    /// What the flag comes to, and whether there is a warning; `None` for a usage error.
    fn typed(flag: &str) -> Option<(DryRun, bool)> {
        let fix = DryRunFlag::augment_args(clap::Command::new("fix"));
        let line = ["guard", "fix"].into_iter().chain((!flag.is_empty()).then_some(flag));
        let matches = match clap::Command::new("guard").subcommand(fix).try_get_matches_from(line) {
            Ok(matches) => matches,
            Err(error) => {
                assert_eq!(error.exit_code(), 2, "{flag}");
                return None;
            }
        };
        let (_, fix) = matches.subcommand().unwrap();
        Some((DryRunFlag::from_arg_matches(fix).unwrap().dry_run, warning(&matches).is_some()))
    }

    #[test]
    fn what_is_no_way_to_go_is_told_the_ways_there_are() {
        assert_eq!(read("yes").unwrap_err(), "it must be none, client or server");
    }

    #[test]
    fn kubectls_spellings_mean_what_they_mean_there() {
        use DryRun::{Client, None as Really, Server};
        for (flag, meant) in [
            ("", Some((Really, false))),
            ("--dry-run", Some((Client, false))),
            ("--dry-run=none", Some((Really, false))),
            ("--dry-run=client", Some((Client, false))),
            ("--dry-run=server", Some((Server, false))),
            ("--dry-run=true", Some((Client, true))),
            ("--dry-run=True", Some((Client, true))),
            ("--dry-run=1", Some((Client, true))),
            ("--dry-run=t", Some((Client, true))),
            ("--dry-run=false", Some((Really, true))),
            ("--dry-run=FALSE", Some((Really, true))),
            ("--dry-run=0", Some((Really, true))),
            ("--dry-run=", None),
            ("--dry-run=Client", None),
            ("--dry-run=yes", None),
            ("--dry-run=unchanged", None),
            ("--dry-run=tRUE", None),
        ] {
            assert_eq!(typed(flag), meant, "{flag}");
        }
    }
}
