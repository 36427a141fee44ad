//! Answers by the hash of what was asked: the same case is not paid for twice in a week. Anything that goes wrong here only means
//! that the model is asked.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sha2::{Digest as _, Sha256};

use super::{Endpoint, Reply};

/// How long an answer is kept.
const KEPT: Duration = Duration::from_hours(7 * 24);

/// Where the answer of `endpoint` to `request` is kept: `kubectl-guard/llm` under `XDG_CACHE_HOME`, else under `~/.cache`.
pub(super) fn place(endpoint: &Endpoint, request: &str) -> Option<PathBuf> {
    let set = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let folder = set("XDG_CACHE_HOME").or_else(|| Some(std::env::home_dir()?.join(".cache")))?;
    let hash = Sha256::new().chain_update(endpoint.url.to_string()).chain_update([0]).chain_update(request).finalize();
    Some(folder.join("kubectl-guard").join("llm").join(format!("{hash:x}.json")))
}

/// What is kept there, unless it is too old.
pub(super) fn read(place: &Path) -> Option<Reply> {
    is_fresh(place).then_some(())?;
    serde_json::from_slice(&std::fs::read(place).ok()?).ok()
}

/// Keeps an answer, whole or not at all, for the user alone; drops those that are too old.
pub(super) fn write(place: &Path, reply: &Reply) {
    let Some(folder) = place.parent() else { return };
    let write = || -> std::io::Result<()> {
        std::fs::create_dir_all(folder)?;
        let part = place.with_extension(format!("{}.part", std::process::id()));
        let mut options = std::fs::OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        options.open(&part)?.write_all(&serde_json::to_vec(reply)?)?;
        std::fs::rename(&part, place)?;
        for entry in std::fs::read_dir(folder)?.flatten().filter(|entry| !is_fresh(&entry.path())) {
            std::fs::remove_file(entry.path())?;
        }
        Ok(())
    };
    // The answer is shown all the same.
    drop(write());
}

fn is_fresh(file: &Path) -> bool {
    let changed = std::fs::metadata(file).and_then(|metadata| metadata.modified());
    changed.is_ok_and(|changed| changed.elapsed().unwrap_or_default() < KEPT)
}
