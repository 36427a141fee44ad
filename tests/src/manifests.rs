//! The files of `manifests/`, as the tests read them.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;

/// The folder itself.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../manifests")
}

/// What is below the folder and holds no objects: a chart's templates, krew's manifest, parts of kustomizations.
const OTHERS: [&str; 3] = ["helm", "krew", "components"];

/// The files below a folder whose name ends in `.yaml`, in order: those are objects of Kubernetes.
///
/// # Errors
/// If a folder cannot be read.
pub fn objects(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if OTHERS.iter().any(|other| path.ends_with(other)) {
            continue;
        }
        if path.is_dir() {
            found.extend(objects(&path)?);
        } else if path.extension().is_some_and(|end| end == "yaml") && !path.ends_with("kustomization.yaml") {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}
