//! A plan that is looked at and approved by its digest, as a person does it.
//!
//! Controllers and kubelets write the status of what a plan is about whenever they like, between the look and the approval
//! too. Then the plan is stale, nothing was changed, and it is looked at again.

use anyhow::{Result, bail, ensure};

use crate::person::{Answer, Person};

/// The plugin's exit code for a plan that the cluster is no longer as it saw.
pub const STALE: i32 = 4;
/// What is stale more often than this is not so by chance.
const LOOKS: usize = 10;

impl Answer {
    /// The plan was stale, and nothing was changed.
    pub fn is_stale(&self) -> bool {
        self.code == Some(STALE)
    }
}

/// Tries until an attempt is not told that its plan was stale, which it says by `None`.
///
/// # Errors
/// If an attempt fails, or the plan is stale time after time.
pub fn while_stale<T>(mut attempt: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    for _ in 0..LOOKS {
        if let Some(done) = attempt()? {
            return Ok(done);
        }
    }
    bail!("the plan was stale {LOOKS} times")
}

impl Person {
    /// Shows what a command would do to `approve`, again and again if that finds the plan stale, which it says by `None`.
    ///
    /// # Errors
    /// If `approve` fails, or the plan is stale time after time.
    pub fn look<T>(&self, command: &[&str], mut approve: impl FnMut(&Answer) -> Result<Option<T>>) -> Result<T> {
        while_stale(|| {
            let shown = self.guard(&[command, &["--dry-run=server"]].concat())?;
            if shown.is_stale() { Ok(None) } else { approve(&shown) }
        })
    }

    /// Looks at what a command would do and approves it: what was shown, and what came of it.
    ///
    /// # Errors
    /// If nothing is shown that could be approved, or the plan is stale time after time.
    pub fn approve(&self, command: &[&str]) -> Result<(Answer, Answer)> {
        self.look(command, |shown| {
            ensure!(shown.code == Some(0), "{shown:?}");
            let done = self.guard(&[command, &["--approve", shown.digest()?]].concat())?;
            Ok((!done.is_stale()).then(|| (shown.clone(), done)))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_stale_is_tried_again() {
        let mut stale = 3;
        let third = while_stale(|| {
            stale -= 1;
            Ok((stale == 0).then_some("done"))
        });
        assert_eq!(third.unwrap(), "done");

        let mut tried = 0;
        let failed = while_stale(|| -> Result<Option<()>> {
            tried += 1;
            bail!("no rights")
        });
        assert_eq!((failed.unwrap_err().to_string(), tried), ("no rights".to_owned(), 1));
        assert!(while_stale(|| Ok(None::<()>)).unwrap_err().to_string().contains("stale 10 times"));
    }
}
