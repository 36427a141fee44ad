//! Finds and reads the kubeconfig: `--kubeconfig`, else the files of `$KUBECONFIG`, else `~/.kube/config`.

use std::path::{Path, PathBuf};

use kube::config::{Kubeconfig, KubeconfigError};

use crate::connect::Environment;
use crate::error::Error;
use crate::flags::KubeFlags;
use crate::request::innermost;
use crate::sanitise;

/// The kubeconfig, and its files in words.
pub(super) fn read(flags: &KubeFlags, environment: &Environment) -> Result<(Kubeconfig, String), Error> {
    let (paths, explicit) = candidates(flags, environment);
    let shown = |paths: &[PathBuf]| {
        paths.iter().map(|p| sanitise::line(&p.display().to_string())).collect::<Vec<_>>().join(", ")
    };
    // As kubectl: of a list, files that are missing are skipped; one that was named must be there.
    let present: Vec<PathBuf> = paths.iter().filter(|path| explicit || path.exists()).cloned().collect();
    if present.is_empty() {
        if flags.server.is_some() {
            return Ok((Kubeconfig::default(), "(none)".to_owned()));
        }
        let tried = if paths.is_empty() { "~/.kube/config".to_owned() } else { shown(&paths) };
        return Err(Error::NoKubeconfig { tried });
    }
    let merged = present.iter().try_fold(Kubeconfig::default(), |merged, path| {
        let next = read_file(path)?;
        merged.merge(next).map_err(|error| bad(path, &error))
    })?;
    Ok((merged, shown(&present)))
}

/// What a kubeconfig has names of.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Named {
    Context,
    Cluster,
    User,
}

/// The names of this kind in `file`, else in the kubeconfig that would be used; none if it cannot be read.
pub(crate) fn names(kind: Named, file: Option<&Path>, environment: &Environment) -> Vec<String> {
    let flags = KubeFlags { kubeconfig: file.map(Path::to_owned), ..KubeFlags::default() };
    let Ok((found, _)) = read(&flags, environment) else { return Vec::new() };
    let names: Vec<String> = match kind {
        Named::Context => found.contexts.into_iter().map(|context| context.name).collect(),
        Named::Cluster => found.clusters.into_iter().map(|cluster| cluster.name).collect(),
        Named::User => found.auth_infos.into_iter().map(|user| user.name).collect(),
    };
    names.iter().map(|name| sanitise::line(name)).collect()
}

fn candidates(flags: &KubeFlags, environment: &Environment) -> (Vec<PathBuf>, bool) {
    if let Some(path) = &flags.kubeconfig {
        return (vec![path.clone()], true);
    }
    if let Some(list) = &environment.kubeconfig {
        let paths = std::env::split_paths(list).filter(|path| !path.as_os_str().is_empty());
        return (paths.collect(), false);
    }
    (environment.home.iter().map(|home| home.join(".kube").join("config")).collect(), false)
}

fn read_file(path: &Path) -> Result<Kubeconfig, Error> {
    Kubeconfig::read_from(path).map_err(|error| match &error {
        KubeconfigError::ReadConfig(source, _) if source.kind() == std::io::ErrorKind::NotFound => {
            Error::NoKubeconfig { tried: sanitise::line(&path.display().to_string()) }
        }
        _ => bad(path, &error),
    })
}

fn bad(path: &Path, error: &KubeconfigError) -> Error {
    let problem = match error {
        // The parser shows the lines around the mistake, and those can hold a token.
        KubeconfigError::Parse(_) => "it is not the YAML of a kubeconfig".to_owned(),
        other => innermost(other),
    };
    Error::BadKubeconfig { file: sanitise::line(&path.display().to_string()), problem }
}
