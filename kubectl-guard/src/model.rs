//! The model of a file, or the one that ships, for every command that scores or checks one. The file goes to
//! [`Engine::read`], which the exporter uses too: what is accepted here is accepted there.

use std::fs::File;
use std::path::{Path, PathBuf};

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use guard_model::detector::{Detector, Kind};
use guard_model::engine::{Engine, LoadError, SHIPPED};

use crate::error::Error;
use crate::files::unreadable;
use crate::sanitise;

/// Which detector scores.
#[derive(Args, Clone, Debug, Default)]
pub struct DetectorFlags {
    /// What scores: the model, or each pod's own past alone (robust), which needs no model
    #[arg(long, value_name = "DETECTOR", default_value_t, value_parser = kind())]
    pub(crate) detector: Kind,
    /// Model to score with, instead of the one that ships
    #[arg(long, value_name = "FILE", env = "MODEL_PATH")]
    pub(crate) model: Option<PathBuf>,
}

impl DetectorFlags {
    /// The detector that was asked for.
    ///
    /// # Errors
    /// If its model cannot be used.
    pub fn load(&self) -> Result<Detector, Error> {
        self.detector.detector(|| load(self.model.as_deref()))
    }
}

/// Reads the name of a detector; clap lists the names.
pub fn kind() -> impl TypedValueParser<Value = Kind> {
    PossibleValuesParser::new(Kind::NAMES).try_map(|name| name.parse::<Kind>())
}

/// What to do about a model that cannot be used.
pub const HINT: &str = "leave --model (and $MODEL_PATH) out to use the model that ships";

/// The model in `file`, or the one that ships.
///
/// # Errors
/// If the file cannot be read, or is not a model that this program can use.
pub fn load(file: Option<&Path>) -> Result<Engine, Error> {
    let shown = file.map_or_else(|| PathBuf::from("the model that ships"), Path::to_owned);
    let bad = |error: LoadError| {
        let problem = sanitise::line(&error.to_string());
        Error::BadFile { path: shown.clone(), problem, hint: HINT.to_owned() }
    };
    match file {
        None => Engine::load(SHIPPED).map_err(bad),
        Some(file) => Engine::read(File::open(file).map_err(|source| unreadable(file, source))?).map_err(bad),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_model_that_ships_is_the_default() {
        assert_eq!(load(None).unwrap().info().name, "guard-lstm");
    }

    #[test]
    fn a_file_that_is_none_or_no_model_is_named_with_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("model.h5");
        let missing = load(Some(&file)).unwrap_err().to_string();
        assert!(missing.contains("read ") && missing.contains("model.h5"), "{missing}");
        std::fs::write(&file, b"\x89HDF\r\n\x1a\n and so on").unwrap();
        let Error::BadFile { path, problem, hint } = load(Some(&file)).unwrap_err() else {
            unreachable!("a Keras file is no model")
        };
        assert_eq!((path, hint.as_str()), (file, HINT));
        assert!(problem.contains("tf2onnx"), "{problem}");
    }

    #[test]
    fn a_folder_is_no_model() {
        let folder = tempfile::tempdir().unwrap();
        assert!(matches!(load(Some(folder.path())), Err(Error::BadFile { .. } | Error::Io { .. })));
    }
}
