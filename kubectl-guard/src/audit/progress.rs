//! How far a plan got, step by step, as far as the journal tells. Pure.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::{Event, Line};
use crate::outcome::StepOutcome;
use crate::plan::Plan;

/// The steps of a plan that were begun, and what is known of them.
#[derive(Clone, Debug, PartialEq)]
pub struct Progress {
    planned: usize,
    begun: BTreeMap<usize, Begun>,
}

#[derive(Clone, Debug, PartialEq)]
struct Begun {
    /// When its write was about to be sent.
    at: Timestamp,
    /// The resourceVersion that this write held.
    held: Option<String>,
    /// What came of it; `None` if the journal does not tell.
    outcome: Option<StepOutcome>,
}

impl Progress {
    /// The plan of this id, and how far it got; `None` if the journal has no such plan.
    pub fn of(lines: &[Line], id: &str) -> Option<(Plan, Self)> {
        let mut lines = lines.iter().filter(|line| line.plan_id == id);
        let (plan, mut progress) = lines.find_map(|line| match &line.event {
            Event::Intent { plan, step, .. } => Some((Plan::clone(plan), Self::begin(plan, *step, line.at))),
            _ => None,
        })?;
        lines.for_each(|line| progress.heed(line));
        Some((plan, progress))
    }

    /// Of a plan whose first step to be written is `step`.
    pub(super) fn begin(plan: &Plan, step: usize, at: Timestamp) -> Self {
        let held = plan.steps.get(step).and_then(|step| step.target.resource_version.clone());
        Self { planned: plan.steps.len(), begun: BTreeMap::from([(step, Begun { at, held, outcome: None })]) }
    }

    /// Takes in a later line of the same plan.
    pub(super) fn heed(&mut self, line: &Line) {
        match &line.event {
            Event::Next { step, held } => {
                drop(self.begun.insert(*step, Begun { at: line.at, held: held.clone(), outcome: None }));
            }
            Event::Outcome { step, outcome } => self.came_to(*step, outcome.clone()),
            _ => {}
        }
    }

    /// What became of a step that was begun.
    pub fn came_to(&mut self, step: usize, outcome: StepOutcome) {
        if let Some(begun) = self.begun.get_mut(&step) {
            begun.outcome = Some(outcome);
        }
    }

    /// The steps of which nobody can say what became, each with when it was begun.
    pub fn open(&self) -> Vec<(usize, Timestamp)> {
        let open = |begun: &Begun| matches!(begun.outcome, None | Some(StepOutcome::Unknown { .. }));
        self.begun.iter().filter(|(_, begun)| open(begun)).map(|(step, begun)| (*step, begun.at)).collect()
    }

    /// The resourceVersion that the last write of this step held; `None` if it held none, or was never begun.
    pub fn held(&self, step: usize) -> Option<String> {
        self.begun.get(&step)?.held.clone()
    }

    /// This step was written.
    pub fn is_done(&self, step: usize) -> bool {
        matches!(self.begun.get(&step), Some(Begun { outcome: Some(StepOutcome::Done { .. }), .. }))
    }

    /// How many steps were written, and how many there are.
    pub fn count(&self) -> (usize, usize) {
        ((0..self.planned).filter(|step| self.is_done(*step)).count(), self.planned)
    }

    /// What the plan came to: whatever went least well; `None` if the journal does not tell. A plan that ended between
    /// two steps is not done.
    pub fn outcome(&self) -> Option<StepOutcome> {
        let known = self.begun.values().map(|begun| begun.outcome.clone()).collect::<Option<Vec<StepOutcome>>>()?;
        let begun = known.len();
        match known.into_iter().reduce(worse)? {
            StepOutcome::Done { .. } if begun < self.planned => {
                Some(StepOutcome::NotDone { why: format!("it ended after {begun} of {} steps", self.planned) })
            }
            outcome => Some(outcome),
        }
    }
}

fn worse(before: StepOutcome, step: StepOutcome) -> StepOutcome {
    match (before, step) {
        (unknown @ StepOutcome::Unknown { .. }, _) => unknown,
        (not_done @ StepOutcome::NotDone { .. }, StepOutcome::Done { .. } | StepOutcome::NotDone { .. }) => not_done,
        (_, step) => step,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::approve::{Way, approve};
    use crate::plan::DrainOptions;
    use crate::plan::examples::{Typist, drain_plan, now};

    const DONE: StepOutcome = StepOutcome::Done { generation: None };

    fn lines(events: Vec<Event>) -> (Plan, Vec<Line>) {
        let approved = approve(drain_plan(DrainOptions::default()), Way::Ask, now(), &Typist("n1")).unwrap();
        let id = approved.plan().id.clone();
        let first = Event::intent(&approved, None);
        let events = std::iter::once(first).chain(events).zip(0..);
        let line = |(event, second): (Event, i64)| Line {
            version: 1,
            at: now() + jiff::SignedDuration::from_secs(second),
            plan_id: id.clone(),
            event,
            prev: None,
        };
        (approved.plan().clone(), events.map(line).collect())
    }

    #[test]
    fn what_was_begun_and_never_told_is_open_since_then() {
        let (plan, lines) = lines(vec![
            Event::Outcome { step: 0, outcome: DONE },
            Event::Next { step: 1, held: None },
            Event::Next { step: 2, held: None },
            Event::Outcome { step: 2, outcome: StepOutcome::Unknown { why: "no answer".into() } },
        ]);
        let (found, progress) = Progress::of(&lines, &plan.id).unwrap();
        assert_eq!(found, plan);
        assert_eq!(progress.open(), [(1, lines[2].at), (2, lines[3].at)]);
        assert_eq!(progress.count(), (1, plan.steps.len()));
        assert_eq!(progress.outcome(), None);
        assert!(Progress::of(&lines, "another").is_none());
    }

    #[test]
    fn what_is_settled_later_counts() {
        let (plan, mut lines) = lines(vec![]);
        let open = Progress::of(&lines, &plan.id).unwrap().1;
        assert_eq!(open.open(), [(0, lines[0].at)]);
        let settled = Event::Outcome { step: 0, outcome: DONE };
        lines.push(Line { event: settled, ..lines[0].clone() });
        let progress = Progress::of(&lines, &plan.id).unwrap().1;
        assert_eq!((progress.open(), progress.is_done(0)), (vec![], true));
        assert!(matches!(progress.outcome(), Some(StepOutcome::NotDone { .. })), "the pods were never touched");
    }
}
