//! The evictions of an approved drain: a few requests at a time, each recorded before and after, repeated only where the API server
//! said that it wrote nothing, and watched until the pod has gone.

use std::fmt;
use std::time::Duration;

use futures::future::join_all;
use http::StatusCode;
use kube::client::Client;
use serde_json::Value;
use tokio::sync::{Semaphore, SemaphorePermit, watch};
use tokio::time::Instant;

use super::{ApplyError, read, write};
use crate::approve::ApprovedPlan;
use crate::outcome::StepOutcome;
use crate::plan::{Plan, Step};

/// How many requests are on their way at once. Whoever waits, for a budget or for a pod to end, has none: of pods that take
/// long there may be many, and those behind them are not theirs to hold up.
const AT_ONCE: usize = 5;
/// How long a spent budget is left alone at least and at most; it doubles in between.
const BUDGET_WAIT: (Duration, Duration) = if cfg!(test) {
    (Duration::from_millis(1), Duration::from_millis(4))
} else {
    (Duration::from_secs(1), Duration::from_secs(10))
};
/// What an overloaded server is given where it names no time, and at most.
const OVERLOAD_WAIT: (u64, u64) = (1, 60);
/// How often a pod is looked at until it has gone.
const LOOK: Duration = if cfg!(test) { Duration::from_millis(1) } else { Duration::from_secs(1) };

/// Who is told before and after each write, and how it goes.
pub trait Witness {
    /// A step is about to be sent; what to send it with, so that the API server's audit log can be matched.
    ///
    /// # Errors
    /// It could not be recorded: then it is not sent.
    fn about_to(&self, step: usize) -> Result<Client, String>;
    /// What it came to.
    fn came_to(&self, step: usize, outcome: &StepOutcome);
    /// Where its pod is now.
    fn tell(&self, step: usize, stage: &Stage);
}

/// Where a pod is on its way out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Its eviction is asked for.
    Evicting,
    /// It was not taken, and will be asked for again: for what it waits.
    Waits(String),
    /// It was taken: the pod has its grace period.
    Ending,
    /// It has come to this.
    Ended(PodEnd),
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Stage::Evicting => f.write_str("evicting"),
            Stage::Waits(what) => write!(f, "waits {what}"),
            Stage::Ending => f.write_str("ending"),
            Stage::Ended(PodEnd::Gone) => f.write_str("gone"),
            Stage::Ended(PodEnd::Ending) => f.write_str("evicted, and still ending"),
            Stage::Ended(PodEnd::Stays(why)) => f.write_str(why),
        }
    }
}

/// How it ended for one pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PodEnd {
    /// It has gone, or another has its name.
    Gone,
    /// Its eviction was taken, and it is still there.
    Ending,
    /// It was not evicted: why.
    Stays(String),
}

/// When a drain ends: at this time, or when somebody stops it.
#[derive(Clone, Debug)]
pub struct Until {
    end: Option<Instant>,
    stopped: watch::Receiver<bool>,
}

impl Until {
    /// A limit of zero is none.
    pub fn new(limit: Duration, stopped: watch::Receiver<bool>) -> Self {
        Self { end: (!limit.is_zero()).then(|| Instant::now() + limit), stopped }
    }

    fn why(&self) -> Option<&'static str> {
        if *self.stopped.borrow() {
            return Some("the drain was stopped");
        }
        self.end.is_some_and(|end| Instant::now() >= end).then_some("the time was over")
    }

    /// Waits, or less if the drain ends before.
    async fn pause(&mut self, wait: Duration) {
        let until = Instant::now() + wait;
        let until = self.end.map_or(until, |end| end.min(until));
        tokio::select! {
            () = tokio::time::sleep_until(until) => {}
            // A sender that is gone will never stop it.
            gone = async { self.stopped.wait_for(|stopped| *stopped).await.is_err() } => {
                if gone { tokio::time::sleep_until(until).await; }
            }
        }
    }
}

/// Writes every step after the first of an approved drain; one end for each, in the order of the steps. `client` only looks.
pub async fn drain(client: &Client, approved: &ApprovedPlan, until: &Until, witness: &impl Witness) -> Vec<PodEnd> {
    let places = Semaphore::new(AT_ONCE);
    let steps = 1..approved.plan().steps.len();
    join_all(steps.map(|step| one(client, approved, step, until.clone(), witness, &places))).await
}

/// Waits for the pods of a drain whose evictions were taken before; one end for each, in the order of the steps. It only looks.
pub async fn ended(client: &Client, plan: &Plan, until: &Until) -> Vec<PodEnd> {
    let places = Semaphore::new(AT_ONCE);
    let pods = plan.steps.iter().skip(1);
    join_all(pods.map(|step| gone(client, step, until.clone(), &places))).await
}

/// A place among the requests, in the order of those who wait for one.
async fn place(places: &Semaphore) -> SemaphorePermit<'_> {
    places.acquire().await.expect("nobody closes the places of a drain")
}

async fn one(
    client: &Client,
    approved: &ApprovedPlan,
    index: usize,
    mut until: Until,
    witness: &impl Witness,
    places: &Semaphore,
) -> PodEnd {
    let Some(step) = approved.plan().steps.get(index) else { return PodEnd::Stays("the plan has no such step".into()) };
    let first = place(places).await;
    if let Some(why) = until.why() {
        return PodEnd::Stays(format!("{why} before its turn"));
    }
    let writer = match witness.about_to(index) {
        Ok(writer) => writer,
        Err(why) => return PodEnd::Stays(why),
    };
    witness.tell(index, &Stage::Evicting);
    let (outcome, end) = evict(&writer, approved, index, &mut until, witness, (first, places)).await;
    witness.came_to(index, &outcome);
    let end = if let Some(end) = end {
        end
    } else {
        witness.tell(index, &Stage::Ending);
        gone(client, step, until, places).await
    };
    witness.tell(index, &Stage::Ended(end.clone()));
    end
}

/// Sends the eviction until it is taken or will not be, the first time from the `first` place; no end yet means that the pod
/// is on its way out.
async fn evict(
    client: &Client,
    approved: &ApprovedPlan,
    index: usize,
    until: &mut Until,
    witness: &impl Witness,
    (first, places): (SemaphorePermit<'_>, &Semaphore),
) -> (StepOutcome, Option<PodEnd>) {
    let step = &approved.plan().steps[index];
    let mut at = first;
    let mut budget_wait = BUDGET_WAIT.0;
    let stays = |why: String| (StepOutcome::NotDone { why: why.clone() }, Some(PodEnd::Stays(why)));
    // What was to go has gone, or goes: that is what a lost answer to an eviction is taken for too.
    let goes = |end: Option<PodEnd>| (StepOutcome::Done { generation: None }, end);
    loop {
        let answer = write(client, approved, index).await;
        drop(at);
        let (wait, what) = match answer {
            Ok(outcome) => return (outcome, None),
            Err(ApplyError::Budget { message, .. }) => {
                let wait = budget_wait;
                budget_wait = (wait * 2).min(BUDGET_WAIT.1);
                (wait, format!("for its disruption budget: {message}"))
            }
            Err(ApplyError::Overloaded { retry_after, .. }) => {
                let seconds = retry_after.unwrap_or(OVERLOAD_WAIT.0).clamp(OVERLOAD_WAIT.0, OVERLOAD_WAIT.1);
                (Duration::from_secs(seconds), "for the API server, which is overloaded".to_owned())
            }
            Err(ApplyError::NamespaceEnds { .. }) => match look(client, step).await {
                Some(Seen::Gone) => return goes(Some(PodEnd::Gone)),
                // It goes without an eviction.
                Some(Seen::Ending) => return goes(None),
                Some(Seen::There) | None => (BUDGET_WAIT.1, "for its namespace, which is being deleted".to_owned()),
            },
            // Missing, or another pod by now.
            Err(ApplyError::Stale { .. }) if look(client, step).await == Some(Seen::Gone) => {
                return goes(Some(PodEnd::Gone));
            }
            Err(error @ ApplyError::Unknown { .. }) => {
                let why = error.to_string();
                return (StepOutcome::Unknown { why: why.clone() }, Some(PodEnd::Stays(why)));
            }
            Err(error) => return stays(error.to_string()),
        };
        let waits = Stage::Waits(what);
        witness.tell(index, &waits);
        until.pause(wait).await;
        let over = |until: &Until| until.why().map(|over| stays(format!("{over}, and it still {waits}")));
        if let Some(stays) = over(until) {
            return stays;
        }
        at = place(places).await;
        // Those before it may have held all places for as long as an answer takes.
        if let Some(stays) = over(until) {
            return stays;
        }
    }
}

async fn gone(client: &Client, step: &Step, mut until: Until, places: &Semaphore) -> PodEnd {
    loop {
        let at = place(places).await;
        let seen = look(client, step).await;
        drop(at);
        if seen == Some(Seen::Gone) {
            return PodEnd::Gone;
        }
        if until.why().is_some() {
            return PodEnd::Ending;
        }
        until.pause(LOOK).await;
    }
}

/// The very pod of a step, as it is seen now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    /// Missing, or another has its name.
    Gone,
    /// On its way out.
    Ending,
    /// As it was.
    There,
}

/// `None` if that cannot be told now.
async fn look(client: &Client, step: &Step) -> Option<Seen> {
    let answer = read(client, step).await?;
    if answer.code == StatusCode::NOT_FOUND {
        return Some(Seen::Gone);
    }
    let pod: Value = answer.code.is_success().then(|| serde_json::from_slice(&answer.body).ok())??;
    let uid = pod.pointer("/metadata/uid").and_then(Value::as_str)?;
    Some(match pod.pointer("/metadata/deletionTimestamp") {
        _ if uid != step.target.uid => Seen::Gone,
        Some(_) => Seen::Ending,
        None => Seen::There,
    })
}

#[cfg(test)]
mod tests;
