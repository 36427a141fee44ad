//! One plan at a time for each process, and a way to wait for its end.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::approve::NotApproved;

/// For so long the end of a program waits for a plan that is being carried out.
pub const GRACE: Duration = Duration::from_secs(4);

/// Whose turn it is to write: at most one plan's.
#[derive(Clone, Debug, Default)]
pub struct Turns(Arc<watch::Sender<Option<String>>>);

/// The turn of one plan, until it is dropped.
#[derive(Debug)]
pub struct Turn(Turns);

impl Turns {
    /// Takes the turn for what is described so.
    ///
    /// # Errors
    /// Somebody else has it.
    pub fn take(&self, what: &str) -> Result<Turn, NotApproved> {
        let mut busy = None;
        self.0.send_if_modified(|now| {
            busy.clone_from(now);
            if now.is_none() {
                *now = Some(what.to_owned());
            }
            busy.is_none()
        });
        match busy {
            Some(other) => Err(NotApproved::Busy(other)),
            None => Ok(Turn(self.clone())),
        }
    }

    /// What is being carried out.
    pub fn now(&self) -> Option<String> {
        self.0.borrow().clone()
    }

    /// Waits until nothing is.
    pub async fn over(&self) {
        // The sender is held here, so that it cannot be gone.
        drop(self.0.subscribe().wait_for(Option::is_none).await);
    }

    /// What there is to say if the program ends now.
    pub fn left(&self) -> Option<String> {
        let what = self.now()?;
        Some(format!(
            "{what} was not seen to its end: `kubectl guard history` tells how far it got, and `kubectl guard fix --resume` \
             goes on with it"
        ))
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.0.send_replace(None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_at_a_time_and_the_next_after_it() {
        let turns = Turns::default();
        let first = turns.take("restart deployment/web").unwrap();
        let second = turns.clone().take("restart deployment/cart").unwrap_err();
        assert_eq!(second.to_string(), "restart deployment/web is being carried out: one plan at a time");
        assert!(turns.left().unwrap().starts_with("restart deployment/web was not seen to its end: "));
        let waits = tokio::spawn({
            let turns = turns.clone();
            async move { turns.over().await }
        });
        drop(first);
        waits.await.unwrap();
        assert_eq!(turns.left(), None);
        assert!(turns.take("restart deployment/cart").is_ok());
    }
}
