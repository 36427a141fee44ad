//! The second half of a drain: the node is cordoned, now its pods go, and what is said about it is what happened.

use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use kube::Client;
use tokio::sync::watch;

use super::FixArgs;
use super::session::Session;
use crate::apply::{self, PodEnd, StepOutcome, Until, Witness};
use crate::approve::ApprovedPlan;
use crate::audit::{Anchor, Event, Journal, JournalError};
use crate::connect::Connection;
use crate::console::Console;
use crate::error::Error;
use crate::exit::Exit;
use crate::plan::Action;

impl<S> Session<'_, S> {
    /// Evicts, waits, and says what came of it: done only if every pod has gone and none has come.
    pub(super) async fn drain(&self, args: &FixArgs, approved: &ApprovedPlan) -> Result<Exit, Error> {
        let Ok(journal) = &self.journal else { return Err(JournalError::NoPlace.into()) };
        let recorder = Recorder {
            connection: self.connection,
            journal,
            console: self.console,
            plan: &approved.plan().id,
            now: self.now,
            told: Mutex::default(),
            outcomes: Mutex::default(),
        };
        let (stop, stopped) = watch::channel(false);
        let until = Until::new(args.timeout, stopped);
        let drain = apply::drain(&self.connection.client, approved, &until, &recorder);
        tokio::pin!(drain);
        let ends = loop {
            tokio::select! {
                ends = &mut drain => break ends,
                // What is under way is seen to its answer: nothing new is sent.
                Ok(()) = tokio::signal::ctrl_c(), if !*stop.borrow() => {
                    self.console.note("stopping: no more pods are evicted");
                    stop.send_replace(true);
                }
            }
        };
        let interrupted = *stop.borrow();
        let outcomes = std::mem::take(&mut *held(&recorder.outcomes));
        if let Some((_, _, anchor)) = outcomes.last() {
            self.share(&approved.plan().id, anchor).await;
        }
        for (step, outcome, anchor) in outcomes {
            self.announce(approved, step, &outcome, &anchor).await;
        }
        self.report(approved, &ends);
        let late = self.late(approved).await;
        if ends.iter().all(|end| *end == PodEnd::Gone) && late.as_ref().is_ok_and(Vec::is_empty) {
            return Ok(Exit::Done);
        }
        match late {
            Ok(late) if late.is_empty() => {}
            Ok(late) => self.console.warn(&format!("came onto the node after the plan was made: {}", late.join(", "))),
            Err(error) => self.console.warn(&format!("cannot tell whether pods came onto the node meanwhile: {error}")),
        }
        let id = &approved.plan().id;
        self.console
            .note(&format!("to go on: kubectl guard fix --resume {id}; to leave it: kubectl guard fix --abort {id}"));
        Ok(if interrupted { Exit::Interrupted } else { Exit::Partial })
    }

    fn report(&self, approved: &ApprovedPlan, ends: &[PodEnd]) {
        let (mut gone, mut left) = (0_usize, Vec::new());
        for (step, end) in approved.plan().steps.iter().skip(1).zip(ends) {
            let pod = format!("{}/{}", step.target.namespace, step.target.name);
            match end {
                PodEnd::Gone => gone += 1,
                PodEnd::Ending => left.push(format!("{pod} was evicted and is still ending")),
                PodEnd::Stays(why) => left.push(format!("{pod} stays: {why}")),
            }
        }
        self.console.note(&format!("{gone} of {} pods have gone", ends.len()));
        for line in left {
            self.console.warn(&line);
        }
    }

    /// Pods that a drain would have to evict and the plan does not know.
    async fn late(&self, approved: &ApprovedPlan) -> Result<Vec<String>, Error> {
        let plan = approved.plan();
        let Some((target, Action::Drain { options })) = plan.steps.first().map(|step| (&step.target, &step.action))
        else {
            return Ok(Vec::new());
        };
        let known = |uid: &str| plan.steps.iter().any(|step| step.target.uid == uid);
        let pods = crate::facts::drainable(&self.connection.client, &target.name, options).await?;
        Ok(pods.into_iter().filter(|pod| !known(&pod.uid)).map(|pod| pod.path()).collect())
    }
}

/// What it holds, whoever has panicked with it.
fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Writes the journal and the progress of a drain.
struct Recorder<'a> {
    connection: &'a Connection,
    journal: &'a Journal,
    console: &'a Console,
    plan: &'a str,
    now: fn() -> Timestamp,
    told: Mutex<String>,
    /// What each step came to, and where the journal stood when it was recorded.
    outcomes: Mutex<Vec<(usize, StepOutcome, Anchor)>>,
}

impl Witness for Recorder<'_> {
    fn about_to(&self, step: usize) -> Result<Client, String> {
        let anchor = self.journal.append((self.now)(), self.plan, Event::Next { step });
        let anchor = anchor.map_err(|error| format!("not evicted, since it could not be recorded: {error}"))?;
        match self.connection.with_user_agent_suffix(&anchor.user_agent(self.plan)) {
            Ok(writer) => Ok(writer.client),
            Err(error) => {
                self.came_to(step, &StepOutcome::NotDone { why: error.to_string() });
                Err(error.to_string())
            }
        }
    }

    fn came_to(&self, step: usize, outcome: &StepOutcome) {
        let event = Event::Outcome { step, outcome: outcome.clone() };
        match self.journal.append((self.now)(), self.plan, event) {
            Ok(anchor) => held(&self.outcomes).push((step, outcome.clone(), anchor)),
            Err(error) => {
                self.console.warn(&format!("what came of step {step} ({outcome:?}) is not recorded: {error}"));
            }
        }
    }

    fn tell(&self, line: &str) {
        let mut told = held(&self.told);
        if *told != line {
            self.console.note(line);
            line.clone_into(&mut told);
        }
    }
}
