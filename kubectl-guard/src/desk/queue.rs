//! The proposals that wait for somebody's word: filled by whoever proposes, read and declined on any screen.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use crate::plan::ActionKind;
use crate::wish::Wish;

/// Namespace and target, as `shop` and `deployment/cart`; the namespace of a node is empty.
pub type Key = (String, String);

/// A proposal that waits for somebody to carry it out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Waiting {
    /// Its namespace.
    pub namespace: String,
    /// Its target, as `deployment/cart`.
    pub target: String,
    /// What is proposed, in words.
    pub action: String,
    /// The score behind it.
    pub score: Option<f64>,
    /// Why, in words.
    pub reason: Option<String>,
    /// Since when it waits.
    pub at: Timestamp,
    /// What carries it out, after an approval.
    pub command: String,
    /// Whose idea it is.
    #[serde(default)]
    pub by: Proposer,
    /// What is to be done, where that is not left to the evidence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked: Option<Asked>,
}

/// What somebody would have done to a target. Like a flag of `fix` it says what the plan is for, and nothing else about it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Asked {
    /// The action.
    pub action: ActionKind,
    /// How many replicas there are to be, with `scale`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replicas: Option<i32>,
}

impl From<&Asked> for Wish {
    fn from(asked: &Asked) -> Self {
        Wish { action: Some(asked.action), replicas: asked.replicas, ..Wish::default() }
    }
}

/// Whose idea a proposal is. Nobody's can be approved without a person: a proposal that waits holds no plan, and the one that
/// is made for it rests on what is read then.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", from = "String")]
pub enum Proposer {
    /// Guard's own.
    #[default]
    Guard,
    /// That of a program of the user's, by its name.
    Agent(String),
}

impl fmt::Display for Proposer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Proposer::Guard => f.write_str("guard"),
            Proposer::Agent(name) => write!(f, "agent {name}"),
        }
    }
}

impl From<Proposer> for String {
    fn from(by: Proposer) -> Self {
        by.to_string()
    }
}

impl From<String> for Proposer {
    fn from(text: String) -> Self {
        text.strip_prefix("agent ").map_or(Proposer::Guard, |name| Proposer::Agent(name.to_owned()))
    }
}

impl Waiting {
    /// It is for this target.
    pub fn is_for(&self, (namespace, target): &Key) -> bool {
        self.namespace == *namespace && self.target == *target
    }
}

/// The proposals, shared.
#[derive(Clone, Debug, Default)]
pub struct Queue(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    queued: Mutex<Queued>,
    declined: Notify,
}

#[derive(Debug, Default)]
struct Queued {
    waiting: Vec<Waiting>,
    /// Declined, and not yet heard of by whoever proposes.
    declined: Vec<Key>,
}

impl Queue {
    /// Says which proposals wait. One that was declined meanwhile does not come back by it.
    pub fn set(&self, mut waiting: Vec<Waiting>) {
        let mut queued = self.lock();
        waiting.retain(|each| !queued.declined.iter().any(|key| each.is_for(key)));
        queued.waiting = waiting;
    }

    /// The proposals that wait.
    pub fn waiting(&self) -> Vec<Waiting> {
        self.lock().waiting.clone()
    }

    /// The proposal of this one for this target.
    pub fn find(&self, namespace: &str, target: &str, by: &Proposer) -> Option<Waiting> {
        let is_it = |each: &&Waiting| each.namespace == namespace && each.target == target && each.by == *by;
        self.lock().waiting.iter().find(is_it).cloned()
    }

    /// Puts the proposals for this target aside; false if there is none.
    pub fn decline(&self, namespace: &str, target: &str) -> bool {
        let key = (namespace.to_owned(), target.to_owned());
        let mut queued = self.lock();
        let before = queued.waiting.len();
        queued.waiting.retain(|each| !each.is_for(&key));
        let waited = queued.waiting.len() < before;
        if waited {
            queued.declined.push(key);
            self.0.declined.notify_one();
        }
        waited
    }

    /// Takes what was declined since the last time; for whoever proposes.
    pub fn take_declined(&self) -> Vec<Key> {
        std::mem::take(&mut self.lock().declined)
    }

    /// Waits until something is declined; for whoever proposes.
    pub async fn declined(&self) {
        self.0.declined.notified().await;
    }

    fn lock(&self) -> MutexGuard<'_, Queued> {
        self.0.queued.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waiting(target: &str) -> Waiting {
        Waiting {
            namespace: "shop".to_owned(),
            target: target.to_owned(),
            action: format!("restart {target}"),
            score: Some(0.9),
            reason: None,
            at: Timestamp::UNIX_EPOCH,
            command: String::new(),
            by: Proposer::Guard,
            asked: None,
        }
    }

    #[test]
    fn each_proposer_of_a_target_has_a_proposal_of_its_own() {
        let queue = Queue::default();
        let agent = Proposer::Agent("night-watch".to_owned());
        let asked = Some(Asked { action: ActionKind::Scale, replicas: Some(3) });
        let theirs = Waiting { by: agent.clone(), asked, ..waiting("deployment/cart") };
        queue.set(vec![waiting("deployment/cart"), theirs.clone()]);
        let find = |target: &str, by: &Proposer| queue.find("shop", target, by);
        assert_eq!(find("deployment/cart", &agent), Some(theirs));
        assert_eq!(find("deployment/cart", &Proposer::Guard), Some(waiting("deployment/cart")));
        assert_eq!(find("deployment/web", &agent), None);
        assert!(queue.decline("shop", "deployment/cart") && queue.waiting().is_empty(), "whoever proposed it");
    }

    #[tokio::test]
    async fn what_is_declined_goes_at_once_and_is_heard_of_once() {
        let queue = Queue::default();
        queue.set(vec![waiting("deployment/cart"), waiting("deployment/web")]);
        assert!(!queue.decline("other", "deployment/cart") && !queue.decline("shop", "deployment/mail"));
        assert!(queue.decline("shop", "deployment/cart"));
        assert!(!queue.decline("shop", "deployment/cart"), "a second time");
        assert_eq!(queue.waiting(), [waiting("deployment/web")]);
        queue.set(vec![waiting("deployment/cart"), waiting("deployment/web")]);
        assert_eq!(queue.waiting(), [waiting("deployment/web")], "whoever proposes has not heard of it yet");
        queue.declined().await;
        assert_eq!(queue.take_declined(), [("shop".to_owned(), "deployment/cart".to_owned())]);
        assert!(queue.take_declined().is_empty());
    }
}
