//! What the process says when it ends. Scripts depend on these numbers: changing one is a breaking change.

use std::process::ExitCode;

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// It did what was asked.
    Done = 0,
    /// It failed.
    Error = 1,
    /// The command line cannot be understood.
    Usage = 2,
    /// The user may not do this.
    NotPermitted = 3,
    /// The cluster is no longer as the plan saw it.
    Stale = 4,
    /// The user said no.
    Declined = 5,
    /// A guard rail refuses it.
    Refused = 6,
    /// Some steps were done, others not.
    Partial = 7,
    /// It was done, and did not help; or nothing that can be done would.
    NotRecovered = 8,
    /// There are anomalies, and `--exit-code` asked to be told.
    Anomalies = 10,
    /// Ended by ^C.
    Interrupted = 130,
}

impl Exit {
    /// What it says of a plan that was carried out.
    pub fn of_a_plan(self) -> &'static str {
        match self {
            Exit::Done => "done",
            Exit::NotRecovered => "done, and the scores do not say that it helped",
            Exit::Partial => "done in part",
            Exit::Interrupted => "stopped half-way",
            Exit::Stale => "nothing was changed",
            Exit::NotPermitted => "not permitted",
            Exit::Declined | Exit::Refused => "refused",
            Exit::Error | Exit::Usage | Exit::Anomalies => "failed",
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit as u8)
    }
}

/// The table shown at the end of `--help`.
pub const HELP: &str = "\
Exit codes:
  0 done    1 error    2 usage    3 not permitted    4 stale plan    5 declined
  6 refused by a guard rail    7 partly done    8 not recovered, or nothing would help
  10 anomalies found (with --exit-code)    130 interrupted";
