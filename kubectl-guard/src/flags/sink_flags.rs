//! Where the journal is told as well, and whether it is read from there.

use clap::Args;

use crate::error::Error;
use crate::sink::Sink;

const HEADING: &str = "Shared journal";
/// The variable that names the sink for all commands.
const VARIABLE: &str = "GUARD_JOURNAL_SINK";

/// Where the journal is told as well.
#[derive(Args, Clone, Debug, Default)]
pub struct SinkFlags {
    /// Copy the journal to a ConfigMap as well, such as configmap/guard-journal, or configmap/NAME.NAMESPACE
    #[arg(help_heading = HEADING, long, env = VARIABLE, value_name = "configmap/NAME", hide_env_values = true)]
    journal_sink: Option<Sink>,
    /// Change nothing unless it could be recorded there first
    #[arg(help_heading = HEADING, long)]
    journal_sink_required: bool,
}

/// Whether what was done is read from the sink.
#[derive(Args, Clone, Debug, Default)]
pub struct FromSinkFlag {
    /// Read the shared journal instead of this machine's
    #[arg(help_heading = HEADING, long = "sink")]
    from_sink: bool,
}

impl SinkFlags {
    /// The sink, and whether nothing may be changed without it.
    ///
    /// # Errors
    /// It is required, and none is named.
    pub fn shared(&self) -> Result<Option<(Sink, bool)>, Error> {
        match &self.journal_sink {
            None if self.journal_sink_required => Err(unnamed("--journal-sink-required")),
            sink => Ok(sink.clone().map(|sink| (sink, self.journal_sink_required))),
        }
    }

    /// The sink to read from, if that is wanted.
    ///
    /// # Errors
    /// It is wanted, and none is named.
    pub fn source(&self, from: &FromSinkFlag) -> Result<Option<Sink>, Error> {
        match &self.journal_sink {
            None if from.from_sink => Err(unnamed("--sink")),
            sink => Ok(sink.clone().filter(|_| from.from_sink)),
        }
    }
}

fn unnamed(flag: &str) -> Error {
    Error::Usage {
        message: format!("{flag}, and no sink is named"),
        hint: format!("name it with --journal-sink configmap/NAME.NAMESPACE, or with {VARIABLE}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit::Exit;

    #[test]
    fn whoever_wants_a_sink_has_to_name_one() {
        let sink = SinkFlags { journal_sink: "configmap/j".parse().ok(), journal_sink_required: false };
        let wanted = FromSinkFlag { from_sink: true };
        assert_eq!(sink.shared().unwrap().map(|(_, required)| required), Some(false));
        assert!(sink.source(&wanted).unwrap().is_some() && sink.source(&FromSinkFlag::default()).unwrap().is_none());
        let none = SinkFlags { journal_sink_required: true, ..SinkFlags::default() };
        assert_eq!(none.shared().unwrap_err().process_exit_code(), Exit::Usage);
        assert_eq!(none.source(&wanted).unwrap_err().process_exit_code(), Exit::Usage);
    }
}
