//! What a part writes as a whole, again and again, beside the task that all parts share: a slow disk holds up none of them.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;

use crate::collect::file::unwritable;
use crate::error::Error;
use crate::files;

/// Where it was written last, and what.
#[derive(Clone, Debug, Default)]
pub struct Written(Arc<Mutex<(PathBuf, String)>>);

impl Written {
    /// Puts this where `path` is, as a whole or not at all, unless it is what was put there last. Whoever lets go of this does
    /// not end it: the next one waits until it is over.
    ///
    /// # Errors
    /// If it cannot be written.
    pub async fn put(&self, path: &Path, document: impl Serialize + Send + 'static) -> Result<(), Error> {
        let (last, place) = (Arc::clone(&self.0), path.to_owned());
        let write = move || -> io::Result<()> {
            let text = serde_json::to_string_pretty(&document)? + "\n";
            let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
            if (&*last.0, &*last.1) != (&*place, &*text) {
                files::replace(&place, &text)?;
                *last = (place, text);
            }
            Ok(())
        };
        let ended = tokio::task::spawn_blocking(write).await;
        ended.unwrap_or_else(|fault| Err(io::Error::other(fault))).map_err(|source| unwritable(path, source))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use futures::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn what_has_not_changed_is_not_written_again_and_elsewhere_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let [here, there] = ["here", "there"].map(|name| folder.path().join(name));
        let written = Written::default();
        written.put(&here, 1).await.unwrap();
        fs::write(&here, "mine").unwrap();
        written.put(&here, 1).await.unwrap();
        assert_eq!(fs::read_to_string(&here).unwrap(), "mine");
        written.put(&there, 1).await.unwrap();
        written.put(&here, 2).await.unwrap();
        assert_eq!([&here, &there].map(|path| fs::read_to_string(path).unwrap()), ["2\n", "1\n"]);
        assert!(written.put(&folder.path().join("none/file"), 1).await.is_err());
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn a_writing_that_nobody_waits_for_any_more_is_over_before_the_next_begins() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let written = Written::default();
        // A pipe takes nothing until somebody reads.
        let mut first = Box::pin(written.put(&pipe, 1));
        assert!((&mut first).now_or_never().is_none());
        drop(first);
        let file = folder.path().join("file");
        let mut second = Box::pin(written.put(&file, 2));
        assert!((&mut second).now_or_never().is_none());
        assert_eq!(tokio::fs::read_to_string(&pipe).await.unwrap(), "1\n");
        second.await.unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "2\n");
    }
}
