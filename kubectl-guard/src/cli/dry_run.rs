//! `--dry-run[=none|client|server]`, with kubectl's values; the bare flag means `client`.

use clap::{Args, ValueEnum};

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
}

/// The flag.
#[derive(Args, Clone, Copy, Debug, Default)]
pub struct DryRunFlag {
    /// Change nothing: `client` says what would be done, `server` lets the API server judge it too
    #[arg(long, value_enum, value_name = "HOW", num_args = 0..=1, require_equals = true)]
    #[arg(default_value = "none", default_missing_value = "client")]
    pub dry_run: DryRun,
}
