//! What is approved and declined in a browser: a digest and a typed name in, a plan carried out by the [`Desk`] behind it.
//!
//! Only what this server has shown can be approved, by the digest it was shown with. What is carried out goes on whether
//! or not a browser looks, and what it came to stays until the next one.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::StatusCode;
use jiff::Timestamp;
use serde::Deserialize;

use super::documents::{Ended, History, Job, PlanDocument, Proposals};
use super::look::Json;
use crate::audit::{Journal, JournalError, entries};
use crate::desk::{Desk, Look, Proposer, Queue, Shown};
use crate::error::Error;
use crate::exit::Exit;
use crate::plan::{TargetName, is_name};

/// As many plans as a few open tabs can show.
const MOST_SHOWN: usize = 32;
/// A drain says a line for each pod that is slow.
const MOST_LINES: usize = 200;
/// As much of the history as anybody reads on a page.
const MOST_PAST: usize = 200;
/// What a node has where others have a namespace, in a path.
const NO_NAMESPACE: &str = "-";

/// What a page sends to approve a plan, or to put it aside.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Word {
    digest: String,
    name: String,
}

/// Why a word was not heeded: the status and what the page says.
pub type Refusal = (StatusCode, String);

/// What may be done in the dashboard, and what of it is done now.
pub struct Approvals<D> {
    /// Where plans are made; `None` without a cluster.
    desk: Option<D>,
    /// Why nothing may be approved; a run may become stricter while it runs.
    read_only: Mutex<Option<&'static str>>,
    queue: Queue,
    journal: Option<Journal>,
    shown: Mutex<VecDeque<Arc<Shown>>>,
    job: Mutex<Option<Job>>,
}

impl<D> Approvals<D> {
    /// A recording: there is nothing to approve.
    pub fn none(why: &'static str) -> Self {
        Self {
            desk: None,
            read_only: Mutex::new(Some(why)),
            queue: Queue::default(),
            journal: None,
            shown: Mutex::default(),
            job: Mutex::default(),
        }
    }

    /// Plans of this desk. With `read_only` they are shown, and none can be approved.
    pub fn new(desk: D, queue: Queue, read_only: Option<&'static str>) -> Self {
        let journal = Journal::of_user(|name| std::env::var_os(name)).ok();
        Self { desk: Some(desk), queue, journal, read_only: Mutex::new(read_only), ..Self::none("") }
    }

    /// Why nothing can be approved here; `None` where it can.
    pub fn read_only(&self) -> Option<&'static str> {
        *lock(&self.read_only)
    }

    /// Says whether anything can be approved from now on.
    pub fn set_read_only(&self, why: Option<&'static str>) {
        *lock(&self.read_only) = why;
    }

    /// What waits, and what is carried out.
    ///
    /// # Errors
    /// 500 if it cannot be written as JSON.
    pub fn proposals(&self) -> Result<Json, StatusCode> {
        Json::of(&Proposals::new(self.read_only(), self.queue.waiting(), lock(&self.job).clone()))
    }

    /// What was done from this machine, the latest first.
    ///
    /// # Errors
    /// The journal cannot be read.
    pub fn history(&self) -> Result<Json, Refusal> {
        // A recording has no journal, and nothing was done in it.
        let lines = match (&self.journal, &self.desk) {
            (Some(journal), _) => journal.read(),
            (None, None) => Ok(Vec::new()),
            (None, Some(_)) => Err(JournalError::NoPlace),
        };
        let lines = lines.map_err(|error| (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))?;
        Json::of(&History::new(&entries(&lines), MOST_PAST)).map_err(bare)
    }

    /// Puts a proposal aside.
    ///
    /// # Errors
    /// The plan is not one that was shown here, or its target does not wait.
    pub fn decline(&self, word: &Word) -> Result<(), Refusal> {
        let shown = self.shown_as(word)?;
        let (namespace, target) = &shown.of;
        if self.queue.decline(namespace, target) {
            Ok(())
        } else {
            Err((StatusCode::CONFLICT, format!("{target} does not wait for an approval: there is nothing to decline")))
        }
    }

    /// The plan that these words mean.
    fn shown_as(&self, word: &Word) -> Result<Arc<Shown>, Refusal> {
        if let Some(why) = self.read_only() {
            return Err((StatusCode::FORBIDDEN, why.to_owned()));
        }
        let found = lock(&self.shown).iter().find(|shown| shown.digest == word.digest).cloned();
        let old = "this plan is not shown here any more: look again";
        let shown = found.ok_or_else(|| (StatusCode::GONE, old.to_owned()))?;
        match shown.plan.target() {
            Some(target) if target.name == word.name => Ok(shown),
            _ => Err((StatusCode::UNPROCESSABLE_ENTITY, "the name is not that of the plan's target".to_owned())),
        }
    }

    fn say(&self, line: &str) {
        if let Some(job) = lock(&self.job).as_mut() {
            if job.lines.len() == MOST_LINES {
                job.lines.remove(0);
                job.dropped += 1;
            }
            job.lines.push(line.to_owned());
        }
    }
}

impl<D: Desk + 'static> Approvals<D> {
    /// Looks at a target, or at what the agent of this name proposes for it, and keeps what is shown, so that it can be
    /// approved.
    ///
    /// # Errors
    /// There is no such target, no such proposal waits, or whatever ends the way of `fix` to a plan.
    pub async fn plan(&self, namespace: &str, kind: &str, name: &str, agent: Option<&str>) -> Result<Json, Refusal> {
        let Some(desk) = &self.desk else {
            return Err((StatusCode::CONFLICT, self.read_only().unwrap_or_default().to_owned()));
        };
        let namespace = if namespace == NO_NAMESPACE { "" } else { namespace };
        let named = namespace.is_empty() || is_name(namespace);
        let target = format!("{kind}/{name}").parse::<TargetName>().ok().filter(|_| named);
        let target = target.ok_or_else(|| bare(StatusCode::NOT_FOUND))?;
        let asked = match agent.map(|name| Proposer::Agent(name.to_owned())) {
            None => None,
            Some(by) => match self.queue.find(namespace, &target.to_string(), &by) {
                Some(waiting) => waiting.asked,
                None => return Err((StatusCode::CONFLICT, format!("no proposal for {target} waits any more by {by}"))),
            },
        };
        let look = desk.look(namespace, &target, asked.as_ref()).await.map_err(refused)?;
        if let Look::Plan(shown) = &look {
            let mut all = lock(&self.shown);
            all.retain(|other| other.digest != shown.digest);
            all.push_front(Arc::new(Shown::clone(shown)));
            all.truncate(MOST_SHOWN);
        }
        Json::of(&PlanDocument::new(self.read_only(), &look)).map_err(bare)
    }

    /// Begins to carry out a plan that was shown, and does not wait for its end.
    ///
    /// # Errors
    /// Nothing can be approved here, it is not such a plan, the name is another, or a plan is being carried out.
    pub fn approve(self: &Arc<Self>, word: Word) -> Result<Json, Refusal> {
        let shown = self.shown_as(&word)?;
        let job = {
            let mut now = lock(&self.job);
            if let Some(busy) = now.as_ref().filter(|job| job.ended.is_none()) {
                return Err((
                    StatusCode::CONFLICT,
                    format!("{} is being carried out: one plan at a time", busy.action),
                ));
            }
            now.insert(begun(&shown)).clone()
        };
        let approvals = Arc::clone(self);
        tokio::spawn(async move {
            let Some(desk) = &approvals.desk else { return };
            let came_to = desk.carry_out(&shown, &word.name, &|line| approvals.say(line)).await;
            if let Some(job) = lock(&approvals.job).as_mut() {
                job.ended = Some(ended(&came_to));
            }
        });
        Json::of(&job).map_err(bare)
    }
}

fn begun(shown: &Shown) -> Job {
    let lead = shown.plan.lead();
    Job {
        action: lead.map(|step| step.action.on(&step.target)).unwrap_or_default(),
        namespace: lead.map(|step| step.target.namespace.clone()).unwrap_or_default(),
        target: lead.map(|step| step.target.to_string()).unwrap_or_default(),
        digest: shown.digest.clone(),
        began: Timestamp::now(),
        dropped: 0,
        lines: Vec::new(),
        ended: None,
    }
}

fn ended(came_to: &Result<Exit, Error>) -> Ended {
    let exit = came_to.as_ref().map_or_else(Error::process_exit_code, |exit| *exit);
    let outcome = match exit {
        Exit::Done => "done",
        Exit::NotRecovered => "not-recovered",
        Exit::Partial => "partial",
        Exit::Interrupted => "stopped",
        Exit::Stale => "stale",
        Exit::NotPermitted => "not-permitted",
        Exit::Declined | Exit::Refused => "refused",
        Exit::Error | Exit::Usage | Exit::Anomalies => "failed",
    };
    let words = came_to.as_ref().err().map_or_else(|| exit.of_a_plan().to_owned(), said);
    Ended { at: Timestamp::now(), outcome, words }
}

/// An error as the page shows it: what happened, and what to do.
fn said(error: &Error) -> String {
    match error.hint() {
        Some(hint) => format!("{error}; {hint}"),
        None => error.to_string(),
    }
}

#[expect(clippy::needless_pass_by_value, reason = "it is what map_err gives")]
fn refused(error: Error) -> Refusal {
    let code = match error.process_exit_code() {
        Exit::NotPermitted => StatusCode::FORBIDDEN,
        Exit::Refused | Exit::Stale => StatusCode::CONFLICT,
        _ if matches!(error, Error::NotFound { .. }) => StatusCode::NOT_FOUND,
        _ => StatusCode::BAD_GATEWAY,
    };
    (code, said(&error))
}

/// A status without further words.
pub(super) fn bare(code: StatusCode) -> Refusal {
    (code, code.canonical_reason().unwrap_or_default().to_owned())
}

/// A thread that panicked while it changed one of these leaves it usable.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::desk::fake::{FakeDesk, shown};

    #[test]
    fn of_many_lines_the_latest_are_kept_and_the_others_counted() {
        let approvals = Approvals::<FakeDesk>::none("");
        *lock(&approvals.job) = Some(begun(&shown()));
        for number in 0..MOST_LINES + 3 {
            approvals.say(&number.to_string());
        }
        let job = lock(&approvals.job).clone().unwrap();
        assert_eq!((job.dropped, job.lines.len(), job.lines[0].as_str()), (3, MOST_LINES, "3"));
    }
}
