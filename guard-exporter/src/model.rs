//! Which detector scores, and whether the model's file has changed since it was read.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::time::SystemTime;

use guard_model::detector::{Detector, Kind};
use guard_model::engine::{Engine, SHIPPED};

/// What a file looks like from outside. A mounted ConfigMap changes by a symbolic link, which is followed.
type Stamp = (u64, u64, Option<SystemTime>);

/// Where the detector comes from.
#[derive(Clone, Debug)]
pub struct Source {
    kind: Kind,
    file: Option<PathBuf>,
    /// As it was when it was last read, whatever came of it.
    read: Option<Stamp>,
}

impl Source {
    /// A detector of this kind, of this file or of the model that ships.
    pub fn new(kind: Kind, file: Option<PathBuf>) -> Self {
        Self { kind, file, read: None }
    }

    /// Reads the detector.
    ///
    /// # Errors
    /// In words, why there is none.
    pub fn load(&mut self) -> Result<Detector, String> {
        self.read = self.stamp();
        self.kind.detector(|| match &self.file {
            None => Engine::load(SHIPPED).map_err(|error| error.to_string()),
            Some(file) => {
                let named = |cause: &dyn std::fmt::Display| format!("{}: {cause}", file.display());
                let opened = File::open(file).map_err(|error| named(&error))?;
                Engine::read(opened).map_err(|error| named(&error))
            }
        })
    }

    /// Whether there is another file than was last read. One that has gone is not: it may be about to be written anew.
    pub fn changed(&self) -> bool {
        let now = self.stamp();
        now.is_some() && now != self.read
    }

    fn stamp(&self) -> Option<Stamp> {
        let file = self.file.as_ref().filter(|_| self.kind == Kind::Lstm)?;
        let found = fs::metadata(file).ok()?;
        Some((found.ino(), found.len(), found.modified().ok()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_again_once_it_is_another() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("model.onnx");
        let mut source = Source::new(Kind::Lstm, Some(file.clone()));
        assert!(source.load().is_err_and(|reason| reason.contains("model.onnx: ")));
        assert!(!source.changed());
        fs::write(&file, SHIPPED).unwrap();
        assert!(source.changed());
        assert_eq!(source.load().unwrap().info().name, "guard-lstm");
        assert!(!source.changed());
        fs::remove_file(&file).unwrap();
        assert!(!source.changed());
        fs::write(&file, b"half of a mod").unwrap();
        assert!(source.changed());
        assert!(source.load().is_err());
        assert!(!source.changed(), "what is broken is not read each tick");
    }

    #[test]
    fn a_model_that_cannot_be_used_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let load = |file: PathBuf| Source::new(Kind::Lstm, Some(file)).load().unwrap_err();
        let missing = load(folder.path().join("model.onnx"));
        assert!(missing.contains("model.onnx: No such file"), "{missing}");
        let keras = folder.path().join("model.h5");
        fs::write(&keras, b"\x89HDF\r\n\x1a\n and so on").unwrap();
        let refused = load(keras);
        assert!(refused.contains("model.h5: ") && refused.contains("tf2onnx"), "{refused}");
    }

    #[test]
    fn without_a_file_nothing_changes() {
        let mut shipped = Source::new(Kind::Lstm, None);
        assert_eq!(shipped.load().unwrap().info().name, "guard-lstm");
        assert!(!shipped.changed());
        let mut robust = Source::new(Kind::Robust, Some("/nonexistent".into()));
        assert_eq!(robust.load().unwrap().info().name, "robust");
    }
}
