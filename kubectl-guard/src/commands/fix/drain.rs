//! The second half of a drain: the node is cordoned, now its pods go, and what is said about it is what happened.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use kube::Client;
use tokio::sync::watch;
use tokio::time::Instant;

use super::FixArgs;
use super::session::Session;
use crate::apply::{self, PodEnd, Stage, Until, Witness};
use crate::approve::ApprovedPlan;
use crate::audit::{Anchor, Event, Journal, JournalError};
use crate::connect::Connection;
use crate::console::{Console, Live};
use crate::error::Error;
use crate::exit::Exit;
use crate::facts::{self, Pause};
use crate::outcome::StepOutcome;
use crate::plan::{Action, Plan, Step};
use crate::propose::pause;
use crate::signals::Ends;
use crate::verify::ScoreSource;

impl<S: ScoreSource> Session<'_, S> {
    /// Evicts, waits, and says what came of it; unless that is done, the node's cordon is offered to be taken back.
    pub(super) async fn drain(
        &mut self,
        args: &FixArgs,
        approved: &ApprovedPlan,
        going_on: &str,
    ) -> Result<Exit, Error> {
        let mut ends = Ends::listen()?;
        let (exit, stopped) = self.empty(args, approved, going_on, &mut ends).await?;
        if exit != Exit::Done
            && let Some(node) = self.own_cordon(approved.plan()).await
        {
            // Who ends a command by SIGTERM is no person who answers, and while guard is paused no answer could be followed.
            let may_ask = self.console.can_ask() && matches!(stopped, None | Some(Stop::Signal(Exit::Interrupted)));
            // Neither a screen nor a program proposes a drain, so that the process is that of a command line. Should one ever
            // do so, it has nobody to ask, and its process is its own to end.
            if may_ask {
                ends.end_the_process();
            }
            self.offer_to_uncordon(node, may_ask).await?;
        }
        Ok(exit)
    }

    /// Done only if every pod has gone and none has come; and what stopped it, if something did.
    async fn empty(
        &self,
        args: &FixArgs,
        approved: &ApprovedPlan,
        going_on: &str,
        ends: &mut Ends,
    ) -> Result<(Exit, Option<Stop>), Error> {
        let Ok(journal) = &self.journal else { return Err(JournalError::NoPlace.into()) };
        let names: Vec<String> = approved.plan().steps.iter().map(pod).collect();
        let recorder = Recorder {
            connection: self.connection,
            journal,
            console: self.console,
            plan: &approved.plan().id,
            now: self.now,
            live: self.console.live("POD", names.iter().skip(1).map(String::as_str)),
            pods: &names,
            told: Mutex::default(),
            outcomes: Mutex::default(),
        };
        recorder.count(&HashMap::new());
        let (pods, stopped) = self.evict(approved, args.timeout, ends, &recorder).await;
        let outcomes = recorder.end();
        if let Some((_, _, anchor)) = outcomes.last() {
            self.share(&approved.plan().id, anchor).await;
        }
        for (step, outcome, anchor) in outcomes {
            self.announce(approved, step, &outcome, &anchor).await;
        }
        self.report(approved, &pods);
        let late = self.late(approved.plan()).await;
        if pods.iter().all(|end| *end == PodEnd::Gone) && late.as_ref().is_ok_and(Vec::is_empty) {
            return Ok((Exit::Done, stopped));
        }
        match late {
            Ok(late) if late.is_empty() => {}
            Ok(late) => self.console.warn(&came(&late)),
            Err(error) => self.console.warn(&format!("cannot tell whether pods came onto the node meanwhile: {error}")),
        }
        self.choices(&approved.plan().id, going_on);
        let exit = if stopped == Some(Stop::Signal(Exit::Interrupted)) { Exit::Interrupted } else { Exit::Partial };
        Ok((exit, stopped))
    }

    /// Every pod's end, and what stopped it, if something did.
    async fn evict(
        &self,
        approved: &ApprovedPlan,
        limit: Duration,
        signals: &mut Ends,
        recorder: &Recorder<'_>,
    ) -> (Vec<PodEnd>, Option<Stop>) {
        let (stop, heard) = watch::channel(false);
        let until = Until::new(limit, heard);
        let mut stopped = None;
        let drain = apply::drain(&self.connection.client, approved, &until, recorder);
        let paused = paused(&self.connection.client);
        tokio::pin!(drain, paused);
        loop {
            let why = tokio::select! {
                ends = &mut drain => return (ends, stopped),
                signal = signals.next(), if stopped.is_none() => {
                    stopped = Some(Stop::Signal(signal));
                    "stopping".to_owned()
                }
                detail = &mut paused, if stopped.is_none() => {
                    stopped = Some(Stop::Pause);
                    detail
                }
            };
            // What is under way is seen to its answer: nothing new is sent.
            self.console.note(&format!("{why}: no more pods are evicted"));
            stop.send_replace(true);
        }
    }

    /// What a drain whose evictions were all taken has left on its node: the pods of its plan that have not gone, waited for
    /// as long as they may be, and those that have come since. Of any other plan nothing is left.
    pub(super) async fn left(&self, plan: &Plan, wait: Option<Duration>) -> Result<Left, Error> {
        if !plan.is_drain() {
            return Ok(Left::default());
        }
        // Stopped from the beginning, it looks once.
        let (_stop, stopped) = watch::channel(true);
        let mut ending = self.ending(plan, &Until::new(Duration::ZERO, stopped)).await;
        if let Some(limit) = wait
            && !ending.is_empty()
        {
            self.console.note(&format!("waiting until they have gone: {}", ending.join(", ")));
            let (_stop, stopped) = watch::channel(false);
            ending = self.ending(plan, &Until::new(limit, stopped)).await;
        }
        Ok(Left { ending, late: self.late(plan).await? })
    }

    /// The pods of a drain that have not gone when it ends.
    async fn ending(&self, plan: &Plan, until: &Until) -> Vec<String> {
        let ends = apply::ended(&self.connection.client, plan, until).await;
        let pods = plan.steps.iter().skip(1).zip(ends);
        pods.filter(|(_, end)| *end != PodEnd::Gone).map(|(step, _)| pod(step)).collect()
    }

    /// The evictions of this drain were taken, and these pods have not gone in time: said, and the node's cordon offered to
    /// be taken back.
    pub(super) async fn still_ending(&mut self, plan: &Plan, pods: &[String], going_on: &str) -> Result<Exit, Error> {
        for pod in pods {
            self.console.warn(&still_ending(pod));
        }
        self.choices(&plan.id, going_on);
        if let Some(node) = self.own_cordon(plan).await {
            self.offer_to_uncordon(node, self.console.can_ask()).await?;
        }
        Ok(Exit::Partial)
    }

    fn choices(&self, id: &str, going_on: &str) {
        self.console.note(&format!("to go on: {going_on}; to leave it: kubectl guard fix --abort {id}"));
    }

    fn report(&self, approved: &ApprovedPlan, ends: &[PodEnd]) {
        let (mut gone, mut left) = (0_usize, Vec::new());
        for (step, end) in approved.plan().steps.iter().skip(1).zip(ends) {
            let pod = pod(step);
            match end {
                PodEnd::Gone => gone += 1,
                PodEnd::Ending => left.push(still_ending(&pod)),
                PodEnd::Stays(why) => left.push(format!("{pod} stays: {why}")),
            }
        }
        self.console.note(&format!("{gone} of {} pods have gone", ends.len()));
        for line in left {
            self.console.warn(&line);
        }
    }

    /// Pods that a drain would have to evict and the plan does not know.
    async fn late(&self, plan: &Plan) -> Result<Vec<String>, Error> {
        let Some((target, Action::Drain { options })) = plan.steps.first().map(|step| (&step.target, &step.action))
        else {
            return Ok(Vec::new());
        };
        let known = |uid: &str| plan.steps.iter().any(|step| step.target.uid == uid);
        let pods = facts::drainable(&self.connection.client, &target.name, options).await?;
        Ok(pods.into_iter().filter(|pod| !known(&pod.uid)).map(|pod| pod.path()).collect())
    }
}

/// The pods that a drain whose evictions were taken has left on its node.
#[derive(Debug, Default)]
pub(super) struct Left {
    /// Of its plan.
    pub(super) ending: Vec<String>,
    /// Come since.
    pub(super) late: Vec<String>,
}

/// What stopped a drain before its pods had gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stop {
    /// A signal, and the exit code that it asks for.
    Signal(Exit),
    /// Guard is paused in the cluster, or nobody can tell.
    Pause,
}

/// How often it is asked whether guard is paused, and for how long an answer is waited for. A drain may take hours, and whoever
/// pauses guard wants it to end.
const PAUSE_LOOK: Duration = Duration::from_secs(5);
/// So long without an answer is an answer: an API server that begins anew is back before.
const UNANSWERED: Duration = Duration::from_mins(1);

/// Ends as soon as guard is paused, or as it could not be told for a minute, and says so.
async fn paused(client: &Client) -> String {
    let mut answered = Instant::now();
    loop {
        tokio::time::sleep(PAUSE_LOOK).await;
        // The connection's own patience may be longer than the minute, or without an end.
        let seen = tokio::time::timeout(PAUSE_LOOK, facts::pause(client))
            .await
            .unwrap_or_else(|_| Pause::Unknown { why: format!("no answer within {} s", PAUSE_LOOK.as_secs()) });
        match seen {
            Pause::Off => answered = Instant::now(),
            on @ Pause::On { .. } => return pause(&on).detail,
            unknown @ Pause::Unknown { .. } if answered.elapsed() >= UNANSWERED => return pause(&unknown).detail,
            Pause::Unknown { .. } => {}
        }
    }
}

fn still_ending(pod: &str) -> String {
    format!("{pod} was evicted and is still ending")
}

/// These pods are none of the plan's.
pub(super) fn came(pods: &[String]) -> String {
    format!("came onto the node after the plan was made: {}", pods.join(", "))
}

/// The pod of a step as people read it.
fn pod(step: &Step) -> String {
    format!("{}/{}", step.target.namespace, step.target.name)
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
    live: Live<'a>,
    /// Their names, by step.
    pods: &'a [String],
    /// What was told last of each step.
    told: Mutex<HashMap<usize, Stage>>,
    /// What each step came to, and where the journal stood when it was recorded.
    outcomes: Mutex<Vec<(usize, StepOutcome, Anchor)>>,
}

impl Recorder<'_> {
    /// What came of each step; the table is gone from the terminal.
    fn end(self) -> Vec<(usize, StepOutcome, Anchor)> {
        self.outcomes.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self, told: &HashMap<usize, Stage>) {
        let pods = self.pods.len().saturating_sub(1);
        let ended = told.values().filter(|stage| matches!(stage, Stage::Ended(_))).count();
        let gone = told.values().filter(|stage| **stage == Stage::Ended(PodEnd::Gone)).count();
        let under_way = told.len() - ended;
        let to_come = pods.saturating_sub(told.len());
        self.live.summary(&format!("{gone} of {pods} pods have gone, {under_way} under way, {to_come} to come"));
    }
}

impl Witness for Recorder<'_> {
    fn about_to(&self, step: usize) -> Result<Client, String> {
        let anchor = self.journal.append((self.now)(), self.plan, Event::Next { step, held: None });
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

    /// A pod that is under way has a row, if there is a terminal with room for it; what holds it up otherwise, and how it ended,
    /// has a line.
    fn tell(&self, step: usize, stage: &Stage) {
        let mut told = held(&self.told);
        if told.insert(step, stage.clone()).as_ref() == Some(stage) {
            return;
        }
        let name = self.pods.get(step).map_or("", String::as_str);
        let waits = matches!(stage, Stage::Waits(_));
        let told_by_line = if matches!(stage, Stage::Ended(_)) {
            self.live.end(step);
            true
        } else {
            !self.live.row(step, name, &stage.to_string(), waits) && waits
        };
        if told_by_line {
            self.console.note(&format!("{name}: {stage}"));
        }
        self.count(&told);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use http::{Request, Response};
    use kube::client::Body;

    use super::*;

    /// An API server that answers the so-manyth question for the pause like this.
    fn server(answer: fn(u32) -> (u16, &'static str)) -> (Client, Arc<AtomicU32>) {
        let asked: Arc<AtomicU32> = Arc::default();
        let count = Arc::clone(&asked);
        let service = tower::service_fn(move |request: Request<Body>| {
            assert!(request.uri().path().ends_with("/namespaces/guard-system/configmaps/guard-pause"), "{request:?}");
            let (code, body) = answer(count.fetch_add(1, Ordering::Relaxed));
            let response = Response::builder().status(code).body(Body::from(body.as_bytes().to_vec()));
            async move { response }
        });
        (Client::new(service, "default"), asked)
    }

    const OFF: (u16, &str) =
        (404, r#"{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"NotFound","code":404}"#);

    #[tokio::test(start_paused = true)]
    async fn a_pause_stops_a_drain_that_is_under_way() {
        let on = |asked| match asked {
            0..3 => OFF,
            _ => (200, r#"{"metadata":{"name":"guard-pause"},"data":{"reason":"freeze"}}"#),
        };
        let (client, asked) = server(on);
        assert!(paused(&client).await.starts_with("guard is paused in this cluster: freeze"));
        assert_eq!(asked.load(Ordering::Relaxed), 4);
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_of_which_nobody_can_tell_stops_it_after_a_while_and_one_lost_answer_does_not() {
        let (client, asked) = server(|asked| if asked == 1 { OFF } else { (500, "") });
        assert!(paused(&client).await.starts_with("cannot tell whether guard is paused"));
        assert_eq!(asked.load(Ordering::Relaxed), 2 + 12);
    }

    #[tokio::test(start_paused = true)]
    async fn an_api_server_that_hangs_is_no_answer_after_a_minute_either() {
        let service = tower::service_fn(|_: Request<Body>| std::future::pending::<Result<Response<Body>, String>>());
        let begun = Instant::now();
        let told = paused(&Client::new(service, "default")).await;
        assert_eq!(told, "cannot tell whether guard is paused: no answer within 5 s");
        assert!((60..=70).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
    }
}
