//! What was last done to the same object, as far as the journal tells. Pure.

use jiff::Timestamp;

use crate::audit::{Event, Line};
use crate::outcome::StepOutcome;
use crate::plan::{Action, Target};

/// An action on the same object that is not long ago, by this machine's journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Recent {
    /// None.
    None,
    /// This one.
    Done {
        /// What was done, in words.
        what: String,
        /// When.
        at: Timestamp,
    },
    /// The journal cannot be read, so nothing could be recorded either.
    Unknown {
        /// Why.
        why: String,
    },
}

impl Recent {
    /// What these lines say was last done to this object of this API server. What was not written does not count, nor the
    /// plan that is gone on with, nor what that went on with itself.
    pub fn of(lines: &[Line], target: &Target, server: &str, resumes: Option<&str>) -> Self {
        let came_to = |id: &str, done: bool| {
            lines.iter().any(|line| match &line.event {
                Event::Outcome { outcome: StepOutcome::Done { .. }, .. } => done && line.plan_id == id,
                Event::Outcome { step: 0, outcome: StepOutcome::NotDone { .. } } => !done && line.plan_id == id,
                _ => false,
            })
        };
        let gone_on_with = chain(lines, resumes);
        let undone = |id: &str| came_to(id, false) && !came_to(id, true);
        let last = lines.iter().rev().find_map(|line| match &line.event {
            Event::Intent { plan, .. } if !undone(&line.plan_id) && !gone_on_with.contains(&&*line.plan_id) => {
                let is_it =
                    |of: &Target| of.uid == target.uid || (plan.place.server == server && has_its_name(of, target));
                let step = plan.steps.iter().find(|step| is_it(&step.target) && disturbs(&step.action))?;
                Some(Recent::Done { what: step.action.on(&step.target), at: line.at })
            }
            _ => None,
        });
        last.unwrap_or(Recent::None)
    }
}

/// This plan, the one that it went on with, and so on. However these lines were made, they hold no more plans than lines.
fn chain<'a>(lines: &'a [Line], id: Option<&'a str>) -> Vec<&'a str> {
    let before = |id: &&str| {
        lines.iter().find_map(|line| match &line.event {
            Event::Intent { resumes, .. } if line.plan_id == *id => resumes.as_deref(),
            _ => None,
        })
    };
    std::iter::successors(id, before).take(lines.len()).collect()
}

/// Another UID makes it no other for whoever waits for an effect: the pod that a StatefulSet makes in place of one that was
/// evicted has its name.
fn has_its_name(one: &Target, other: &Target) -> bool {
    (one.kind, &one.namespace, &one.name) == (other.kind, &other.namespace, &other.name)
}

/// What a cool-down counts: not what only keeps pods off a node or lets them on again.
fn disturbs(action: &Action) -> bool {
    !matches!(action, Action::Cordon | Action::Uncordon)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::approve::{Way, approve};
    use crate::plan::examples::{Typist, node_plan, now, plan, pod_plan};
    use crate::plan::{ActionKind, Plan};

    const SERVER: &str = "https://10.0.0.1:6443";
    const DONE: StepOutcome = StepOutcome::Done { generation: None };

    /// The journal of this plan, whose first step came to this.
    fn lines(plan: Plan, name: &'static str, outcome: Option<StepOutcome>) -> Vec<Line> {
        let approved = approve(plan, Way::Ask, now(), &Typist(name)).unwrap();
        let plan_id = approved.plan().id.clone();
        let line = |event| Line { version: 1, at: now(), plan_id: plan_id.clone(), event, prev: None };
        let came_to = outcome.map(|outcome| line(Event::Outcome { step: 0, outcome }));
        std::iter::once(line(Event::intent(&approved, None))).chain(came_to).collect()
    }

    #[test]
    fn the_last_action_counts_unless_it_was_not_written_or_is_gone_on_with() {
        let target = plan(ActionKind::Restart).steps[0].target.clone();
        let of = |outcome, resumes: Option<&str>| {
            Recent::of(&lines(plan(ActionKind::Restart), "web", outcome), &target, SERVER, resumes)
        };
        let done = Recent::Done { what: "restart deployment/web".into(), at: now() };
        assert_eq!(of(Some(DONE), None), done);
        assert_eq!(of(None, None), done, "nobody knows what became of it");
        assert_eq!(of(Some(StepOutcome::NotDone { why: String::new() }), None), Recent::None);
        assert_eq!(of(Some(DONE), Some(&plan(ActionKind::Restart).id)), Recent::None);
        let cordon = lines(node_plan(ActionKind::Cordon), "n1", Some(DONE));
        let node = node_plan(ActionKind::Cordon).steps[0].target.clone();
        assert_eq!(Recent::of(&cordon, &node, SERVER, None), Recent::None, "nothing was disturbed");
    }

    #[test]
    fn what_a_plan_that_is_gone_on_with_went_on_with_itself_is_no_other_action() {
        let approved = approve(plan(ActionKind::Restart), Way::Ask, now(), &Typist("web")).unwrap();
        let begun = |id: &str, resumes: Option<&str>| {
            let line = |event| Line { version: 1, at: now(), plan_id: id.to_owned(), event, prev: None };
            let done = Event::Outcome { step: 0, outcome: DONE };
            [line(Event::intent(&approved, resumes.map(str::to_owned))), line(done)]
        };
        let target = approved.plan().steps[0].target.clone();
        let recent = |lines: &[Line], id| Recent::of(lines, &target, SERVER, Some(id));
        let all = [begun("first", None), begun("second", Some("first")), begun("third", Some("second"))].concat();
        assert_eq!(recent(&all, "third"), Recent::None);
        assert!(matches!(recent(&all, "second"), Recent::Done { .. }), "the third is another one then");
        let other = [begun("other", None).to_vec(), all].concat();
        assert!(matches!(recent(&other, "third"), Recent::Done { .. }));
        let round = [begun("first", Some("second")), begun("second", Some("first"))].concat();
        assert_eq!(recent(&round, "second"), Recent::None, "no journal of ours, and read to its end all the same");
    }

    #[test]
    fn the_pod_that_came_in_place_of_an_evicted_one_is_left_alone_too() {
        let journal = lines(pod_plan(), "web-a", Some(DONE));
        let next = Target { uid: "another".into(), ..pod_plan().steps[0].target.clone() };
        let of = |change: &dyn Fn(&mut Target), server| {
            let mut target = next.clone();
            change(&mut target);
            Recent::of(&journal, &target, server, None)
        };
        assert!(matches!(of(&|_| (), SERVER), Recent::Done { .. }));
        assert_eq!(of(&|_| (), "https://other"), Recent::None, "the name is that of another cluster");
        assert_eq!(of(&|target| target.namespace = "other".into(), SERVER), Recent::None);
        assert_eq!(of(&|target| target.name = "web-b".into(), SERVER), Recent::None);
        assert_eq!(of(&|target| target.kind = crate::plan::Kind::Deployment, SERVER), Recent::None);
    }
}
