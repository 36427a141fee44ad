//! What is wrong with a configuration, and where.

use std::fmt;
use std::path::PathBuf;

use crate::error::Failure;
use crate::exit::Exit;

/// More than anybody reads at once.
const SHOWN: usize = 20;

/// A position in a file, both from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The line.
    pub line: usize,
    /// The column.
    pub column: usize,
}

/// One thing that is wrong in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    place: Option<Place>,
    text: String,
}

impl Problem {
    pub(super) fn new(place: Place, text: impl Into<String>) -> Self {
        Self { place: Some(place), text: text.into() }
    }

    /// Of the file as a whole.
    pub(super) fn of_file(text: impl Into<String>) -> Self {
        Self { place: None, text: text.into() }
    }
}

/// Why there is no configuration: everything that is wrong with it at once.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A file says what cannot be meant.
    #[error("{}", listed(file, problems))]
    File {
        /// The file.
        file: PathBuf,
        /// What is wrong with it, in the order of the file.
        problems: Vec<Problem>,
    },
    /// An environment variable or a flag does.
    #[error("{whose}: {text}")]
    Given {
        /// The variable, as `$THRESHOLD`, or the flag.
        whose: String,
        /// What is wrong with its value.
        text: String,
    },
}

impl Failure for ConfigError {
    fn hint(&self) -> Option<&str> {
        Some("`kubectl guard config print` shows all settings, and who said each")
    }

    fn exit(&self) -> Exit {
        match self {
            ConfigError::File { .. } => Exit::Error,
            ConfigError::Given { .. } => Exit::Usage,
        }
    }
}

fn listed(file: &std::path::Path, problems: &[Problem]) -> String {
    let file = crate::sanitise::line(&file.display().to_string());
    let mut lines: Vec<String> = problems.iter().take(SHOWN).map(|problem| format!("{file}{problem}")).collect();
    if problems.len() > SHOWN {
        lines.push(format!("and {} more", problems.len() - SHOWN));
    }
    lines.join("\n")
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(Place { line, column }) = self.place {
            write!(f, ":{line}:{column}")?;
        }
        write!(f, ": {}", crate::sanitise::line(&self.text))
    }
}
