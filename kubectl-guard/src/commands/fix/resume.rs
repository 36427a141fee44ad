//! `fix --resume ID` and `--abort ID`: a plan that was cut off, by a kill, a lost network or a token that ran out.
//!
//! First the journal is made to tell the truth: every write of which nobody knows what became is looked up on the object
//! itself. Then the rest is planned anew, with all guard rails and an approval of its own, or left for good.

use std::time::Duration;

use jiff::Timestamp;

use super::FixArgs;
use super::drain::came;
use super::in_place::going_on;
use super::session::Session;
use crate::apply::{self, ApplyError};
use crate::audit::{Claim, Closed, Event, JournalError, Line, Progress, entries};
use crate::error::{Error, Failure};
use crate::exit::Exit;
use crate::facts;
use crate::flags::dry_run::DryRun;
use crate::outcome::StepOutcome;
use crate::plan::{Action, Plan, Step, Target, TargetName};
use crate::sanitise;
use crate::verify::ScoreSource;

/// For so long a write whose sender is gone may still arrive: the API server gives a request 60 s, and the clocks of
/// journal and server differ a little.
const MAY_ARRIVE: Duration = Duration::from_secs(65);

/// Why a plan is not taken up again.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotTakenUp {
    /// Not in the journal of this machine, or in the sink.
    #[error("no action {0} is in this journal; kubectl guard history shows those that are")]
    Missing(String),
    /// Another cluster.
    #[error("{id} is for {there}, and this context leads to {here}")]
    Elsewhere {
        /// The plan.
        id: String,
        /// The API server it was for.
        there: String,
        /// The API server of the context.
        here: String,
    },
    /// It is not cut off.
    #[error("{0} is being carried out by another process on this machine: wait until that has ended")]
    Running(String),
    /// Another plan does the rest.
    #[error("{id} was gone on with already, as {by}: take that one")]
    Continued {
        /// The plan.
        id: String,
        /// The later one.
        by: String,
    },
    /// It was given up.
    #[error("{0} was aborted: make another plan")]
    Aborted(String),
}

impl Failure for NotTakenUp {
    fn exit(&self) -> Exit {
        match self {
            NotTakenUp::Missing(_) => Exit::Error,
            NotTakenUp::Elsewhere { .. } => Exit::Stale,
            NotTakenUp::Running(_) | NotTakenUp::Continued { .. } | NotTakenUp::Aborted(_) => Exit::Refused,
        }
    }
}

/// A plan that was begun here, and how far it got.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct CutOff {
    pub(super) plan: Plan,
    progress: Progress,
}

impl CutOff {
    /// What the journal holds of this plan, if it is for this API server and nobody has decided about it.
    pub(super) fn find(lines: &[Line], id: &str, here: &str) -> Result<Self, NotTakenUp> {
        let (plan, progress) = Progress::of(lines, id).ok_or_else(|| NotTakenUp::Missing(sanitise::line(id)))?;
        if plan.place.server != here {
            let there = plan.place.server;
            return Err(NotTakenUp::Elsewhere { id: id.into(), there, here: here.into() });
        }
        let entry = entries(lines).into_iter().find(|entry| entry.id == id);
        match entry.and_then(|entry| entry.closed) {
            Some(Closed::ContinuedBy { id: by }) => Err(NotTakenUp::Continued { id: id.into(), by }),
            Some(Closed::Aborted) => Err(NotTakenUp::Aborted(id.into())),
            None => Ok(Self { plan, progress }),
        }
    }

    /// The step that the others belong to: what is to be typed to do it again.
    pub(super) fn lead(&self) -> Result<&Step, NotTakenUp> {
        self.plan.lead().ok_or_else(|| NotTakenUp::Missing(self.plan.id.clone()))
    }

    pub(super) fn is_in_place(&self) -> bool {
        self.plan.steps.iter().any(|step| matches!(step.action, Action::ResizePod { .. }))
    }

    /// A step as it was sent last, with the version that it held then. One that held none, or of which an older guard has not
    /// recorded it, is waited for as long as it may arrive.
    fn sent(&self, index: usize) -> Option<Step> {
        let mut step = self.plan.steps.get(index)?.clone();
        step.target.resource_version = self.progress.held(index);
        Some(step)
    }

    fn is_done(&self) -> bool {
        matches!(self.progress.outcome(), Some(StepOutcome::Done { .. }))
    }
}

impl<S: ScoreSource> Session<'_, S> {
    /// Finds out what became of the plan, then goes on with it, or leaves it for good.
    pub(super) async fn take_up(&mut self, args: &FixArgs, mut cut: CutOff, named: bool) -> Result<Exit, Error> {
        let dry = args.dry_run.dry_run != DryRun::None;
        let _claim = if dry { None } else { Some(self.claim(&cut.plan.id)?) };
        self.settle(&mut cut, dry).await?;
        let (done, planned) = cut.progress.count();
        let id = &cut.plan.id;
        let lead = cut.lead()?;
        let what = lead.action.on(&lead.target);
        if !dry {
            self.share_again(id).await;
        }
        if cut.is_done() {
            // Its evictions were taken; its pods have to go too, and others may have come.
            let left = self.left(&cut.plan, (!dry && args.abort.is_none()).then_some(args.timeout)).await?;
            if left.ending.is_empty() && left.late.is_empty() {
                self.console.note(&format!("{what}: was carried out whole (plan {id}); there is nothing left to do"));
                return Ok(Exit::Done);
            }
            if left.late.is_empty() && args.abort.is_none() {
                if !dry {
                    return self.still_ending(&cut.plan, &left.ending, &going_on(&cut.plan, &args.wish(named))).await;
                }
                let pods = left.ending.join(", ");
                self.console
                    .note(&format!("{what}: these pods were evicted, and would be waited for (dry run): {pods}"));
                return Ok(Exit::Done);
            }
            if !left.late.is_empty() {
                self.console.warn(&came(&left.late));
            }
        }
        self.console.note(&format!("{what}: {done} of {planned} steps were carried out (plan {id})"));
        if args.abort.is_some() {
            return self.leave(&cut, dry).await;
        }
        let target = TargetName { kind: lead.target.kind, name: lead.target.name.clone() };
        self.resumes = Some(id.clone());
        Box::pin(self.run(args, Some(target), named)).await
    }

    /// Claims a plan for this process.
    pub(super) fn claim(&self, id: &str) -> Result<Claim, Error> {
        let Ok(journal) = &self.journal else { return Err(JournalError::NoPlace.into()) };
        Ok(journal.claim(id)?.ok_or_else(|| NotTakenUp::Running(id.to_owned()))?)
    }

    /// Looks up what became of each write that nobody knows of, and records it.
    async fn settle(&self, cut: &mut CutOff, dry: bool) -> Result<(), Error> {
        for (index, begun) in cut.progress.open() {
            let Some(step) = cut.sent(index) else { continue };
            let outcome = self.found_out(&step, begun).await?;
            let words = match &outcome {
                StepOutcome::Done { .. } => "was written",
                StepOutcome::NotDone { why } | StepOutcome::Unknown { why } => why,
            };
            self.console.note(&format!("{}: {words}", step.action.on(&step.target)));
            if !dry {
                self.record(&cut.plan.id, Event::Outcome { step: index, outcome: outcome.clone() }).await?;
            }
            cut.progress.came_to(index, outcome);
        }
        Ok(())
    }

    /// What became of a write that was about to be sent then. While it may still arrive, it is waited for.
    async fn found_out(&self, step: &Step, begun: Timestamp) -> Result<StepOutcome, Error> {
        loop {
            let rest = still_to_wait((self.now)(), begun);
            match apply::look(&self.connection.client, step).await {
                None => {
                    let why = "it cannot be read now".to_owned();
                    return Err(ApplyError::Unknown { target: step.target.to_string(), why }.into());
                }
                Some(StepOutcome::Unknown { .. }) if rest.is_zero() => {
                    return Ok(StepOutcome::NotDone { why: "it never arrived, and can no longer".into() });
                }
                Some(StepOutcome::Unknown { .. }) => {
                    let seconds = rest.as_secs() + 1;
                    self.console.note(&format!(
                        "{}: no trace of it yet, and it may still arrive: looking again in {seconds} s",
                        step.action.on(&step.target)
                    ));
                    tokio::time::sleep(rest).await;
                }
                Some(told) => return Ok(told),
            }
        }
    }

    /// Leaves the plan as far as it got, and says what that means.
    async fn leave(&mut self, cut: &CutOff, dry: bool) -> Result<Exit, Error> {
        let plan = &cut.plan;
        let written = plan.steps.iter().enumerate().filter(|(index, _)| cut.progress.is_done(*index));
        for (_, step) in written.clone() {
            let stays = match &step.action {
                Action::ResizePod { .. } => "stays so until the pod is replaced",
                action if action.ends_pod() => "cannot be taken back",
                _ => "stays so",
            };
            self.console.note(&format!("{}: {stays}", step.action.on(&step.target)));
        }
        if dry {
            self.console.note("nothing was recorded (dry run): it would be aborted");
            return Ok(Exit::Done);
        }
        self.record(&plan.id, Event::Aborted).await?;
        self.console.note(&format!("aborted: nobody goes on with plan {}", plan.id));
        if let Some(node) = self.own_cordon(plan).await {
            self.offer_to_uncordon(node, self.console.can_ask()).await?;
        }
        Ok(Exit::Done)
    }

    /// The node of this drain, if guard keeps pods off it: by this plan, by the one that it goes on with, or by an earlier one.
    /// The node itself tells; of one that cannot be read the plan does.
    pub(super) async fn own_cordon<'p>(&self, plan: &'p Plan) -> Option<&'p Target> {
        let node = &plan.steps.first().filter(|_| plan.is_drain())?.target;
        match facts::bears_cordon(&self.connection.client, &node.name).await {
            Some(true) => Some(node),
            Some(false) => None,
            None => cordoned(plan),
        }
    }

    /// A drain ended half-way: whoever may be asked is asked whether pods may come onto the node again, everybody else is
    /// told how to say so.
    pub(super) async fn offer_to_uncordon(&mut self, node: &Target, may_ask: bool) -> Result<(), Error> {
        let later =
            format!("{node} stays cordoned; to let pods onto it again: kubectl guard fix {node} --action uncordon");
        if !may_ask {
            self.console.note(&later);
            return Ok(());
        }
        let args = FixArgs::for_action(&Action::Uncordon, false);
        let target = TargetName { kind: node.kind, name: node.name.clone() };
        // It is a plan of its own: not the rest of another, nor that of the file which the drain was made from.
        (self.resumes, self.expected) = (None, None);
        match Box::pin(self.run(&args, Some(target), true)).await {
            Ok(_) => {}
            Err(error) if error.process_exit_code() == Exit::Declined => self.console.note(&later),
            Err(error) => self.console.warn(&format!("{error}; {later}")),
        }
        Ok(())
    }
}

/// The node that this plan cordoned: none if it was cordoned before.
fn cordoned(plan: &Plan) -> Option<&Target> {
    let step = plan.steps.first().filter(|_| plan.is_drain())?;
    let before = step.before.pointer("/spec/unschedulable").and_then(serde_json::Value::as_bool);
    (before != Some(true)).then_some(&step.target)
}

/// How long a write that was begun then may still arrive. A clock that was set back makes it no longer than at first.
fn still_to_wait(now: Timestamp, begun: Timestamp) -> Duration {
    let age = Duration::try_from(now.duration_since(begun)).unwrap_or_default();
    MAY_ARRIVE.saturating_sub(age)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::approve::{Way, approve};
    use crate::plan::examples::{Typist, drain_plan, now, plan, resources_plan};
    use crate::plan::{ActionKind, DrainOptions};

    const SERVER: &str = "https://10.0.0.1:6443";

    fn line(id: &str, event: Event) -> Line {
        Line { version: 1, at: now(), plan_id: id.to_owned(), event, prev: None }
    }

    fn begun(resumes: Option<&str>) -> (String, Vec<Line>) {
        let approved = approve(plan(ActionKind::Scale), Way::Ask, now(), &Typist("web")).unwrap();
        let id = approved.plan().id.clone();
        let intent = line(&id, Event::intent(&approved, resumes.map(str::to_owned)));
        (id, vec![intent])
    }

    #[test]
    fn only_what_was_begun_here_and_is_still_open_is_taken_up() {
        let (id, lines) = begun(None);
        assert!(CutOff::find(&lines, &id, SERVER).is_ok());
        let refused = |lines: &[Line], id: &str, here| CutOff::find(lines, id, here).unwrap_err();
        assert_eq!(refused(&lines, "x\u{1b}[2J", SERVER), NotTakenUp::Missing("x".into()));
        assert_eq!(refused(&lines, &id, "https://other").exit(), Exit::Stale);
        let aborted = [lines.clone(), vec![line(&id, Event::Aborted)]].concat();
        assert_eq!(refused(&aborted, &id, SERVER), NotTakenUp::Aborted(id.clone()));
        let Event::Intent { plan, digest, approval, step, .. } = lines[0].event.clone() else { panic!() };
        let later = Event::Intent { plan, digest, approval, step, resumes: Some(id.clone()) };
        let continued = [lines, vec![line("later", later)]].concat();
        assert_eq!(refused(&continued, &id, SERVER), NotTakenUp::Continued { id, by: "later".into() });
    }

    #[test]
    fn a_lost_write_is_waited_for_as_long_as_it_may_arrive_and_no_longer() {
        let after = |seconds| now() + jiff::SignedDuration::from_secs(seconds);
        assert_eq!(still_to_wait(now(), now()), MAY_ARRIVE);
        assert_eq!(still_to_wait(after(60), now()), Duration::from_secs(5));
        assert_eq!(still_to_wait(after(3600), now()), Duration::ZERO);
        assert_eq!(still_to_wait(now(), after(3600)), MAY_ARRIVE, "the clock was set back");
    }

    #[test]
    fn a_template_behind_resizes_is_not_taken_for_lost_because_they_moved_its_version() {
        let lead = |plan: Plan, later: &[Event]| {
            let approved = approve(plan, Way::Ask, now(), &Typist("web")).unwrap();
            let id = approved.plan().id.clone();
            let later = later.iter().map(|event| line(&id, event.clone()));
            let lines: Vec<Line> = std::iter::once(line(&id, Event::intent(&approved, None))).chain(later).collect();
            let cut = CutOff::find(&lines, &id, SERVER).unwrap();
            cut.sent(cut.plan.steps.len() - 1).unwrap().target.resource_version
        };
        let next = |step, held: Option<&str>| Event::Next { step, held: held.map(str::to_owned) };
        assert_eq!(lead(resources_plan(true), &[]), None);
        assert_eq!(lead(resources_plan(true), &[next(2, None)]), None, "by an older guard");
        assert_eq!(lead(resources_plan(true), &[next(2, Some("4713"))]).as_deref(), Some("4713"));
        assert_eq!(lead(resources_plan(false), &[]).as_deref(), Some("4711"));
        assert_eq!(lead(resources_plan(false), &[next(0, Some("4712"))]).as_deref(), Some("4712"), "sent once more");
    }

    #[test]
    fn only_a_node_that_the_drain_itself_cordoned_is_let_go() {
        let mut drain = drain_plan(DrainOptions::default());
        assert_eq!(cordoned(&drain).map(|node| node.name.as_str()), Some("n1"));
        drain.steps[0].before = serde_json::json!({ "spec": { "unschedulable": true } });
        assert_eq!(cordoned(&drain), None);
        assert_eq!(cordoned(&plan(ActionKind::Scale)), None);
    }
}
