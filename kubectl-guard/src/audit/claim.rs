//! Who carries out a plan now: a lock beside the journal, which ends with its process however that ends.

use std::fs::{File, TryLockError};
use std::path::PathBuf;

use super::file::{error_at, open_private};
use super::{Journal, JournalError};

/// Held while a plan is carried out or taken up again. Its file goes with it; one that was left by a killed process is
/// free for the next.
#[derive(Debug)]
pub struct Claim {
    path: PathBuf,
    _locked: File,
}

impl Drop for Claim {
    fn drop(&mut self) {
        // A file that stays is no claim: only its lock is.
        drop(std::fs::remove_file(&self.path));
    }
}

impl Journal {
    /// Claims a plan for this process; `None` if another holds it.
    ///
    /// # Errors
    /// The file beside the journal cannot be made or locked.
    pub fn claim(&self, id: &str) -> Result<Option<Claim>, JournalError> {
        let path = self.path.with_extension(format!("plan-{id}"));
        let file = open_private(&path)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Claim { path, _locked: file })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(source)) => Err(error_at(&path, "lock the plan beside", source)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_process_at_a_time_carries_out_a_plan() {
        let folder = tempfile::tempdir().unwrap();
        let journal = Journal::at(folder.path().join("journal.jsonl"));
        let claim = journal.claim("0f3a").unwrap();
        assert!(claim.is_some());
        assert!(journal.claim("0f3a").unwrap().is_none());
        assert!(journal.claim("77aa").unwrap().is_some());
        drop(claim);
        assert!(journal.claim("0f3a").unwrap().is_some(), "it ends with its holder");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "and leaves nothing");
    }
}
