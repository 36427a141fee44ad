//! What is to be taken back: found in the journal, and compared with what the object holds now.

use crate::audit::{Event, Line};
use crate::error::Failure;
use crate::exit::Exit;
use crate::facts::{Facts, Revisions, TargetFacts};
use crate::outcome::StepOutcome;
use crate::plan::{Action, Place, Plan, Step, Undo, merged};
use crate::sanitise;

/// Why something is not undone.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum NotUndone {
    /// Not in the journal of this machine, or in the sink.
    #[error("no action {0} is in this journal; kubectl guard history shows those that are")]
    Missing(String),
    /// It was never written.
    #[error("{0} was not carried out, or not as far as the journal knows: there is nothing to take back")]
    NotDone(String),
    /// It can't be.
    #[error("{what} cannot be undone: {why}")]
    Irreversible {
        /// What was done.
        what: String,
        /// Why not.
        why: String,
    },
    /// Another cluster.
    #[error("{id} was done in {there}, and this context leads to {here}")]
    Elsewhere {
        /// The plan.
        id: String,
        /// The API server it was for.
        there: String,
        /// The API server of the context.
        here: String,
    },
    /// Somebody has changed it since.
    #[error("{0}: it is left as it is now")]
    Changed(String),
}

impl Failure for NotUndone {
    fn exit(&self) -> Exit {
        match self {
            NotUndone::Missing(_) => Exit::Error,
            NotUndone::NotDone(_) | NotUndone::Irreversible { .. } => Exit::Refused,
            NotUndone::Elsewhere { .. } | NotUndone::Changed(_) => Exit::Stale,
        }
    }
}

/// Something that was done and can be taken back.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Undoing {
    pub(super) id: String,
    pub(super) step: Step,
    pub(super) inverse: Action,
    /// Pods were resized before it, and are to be so again.
    pub(super) in_place: bool,
}

impl Undoing {
    /// What the journal holds of this plan, if it was done here and has an inverse.
    pub(super) fn find(lines: &[Line], id: &str, here: &str) -> Result<Self, NotUndone> {
        let plan = lines.iter().find_map(|line| match &line.event {
            Event::Intent { plan, .. } if line.plan_id == id => Some(plan),
            _ => None,
        });
        let plan: &Plan = plan.ok_or_else(|| NotUndone::Missing(sanitise::line(id)))?;
        let Place { server, .. } = &plan.place;
        let step = plan.lead().ok_or_else(|| NotUndone::NotDone(id.into()))?;
        let what = step.action.on(&step.target);
        let inverse = match &step.undo {
            Undo::Inverse { action } => action.clone(),
            Undo::Irreversible { why } => return Err(NotUndone::Irreversible { what, why: why.clone() }),
        };
        // Of several steps the one that is taken back counts: pods may have been resized, and their template never written.
        let lead = plan.steps.iter().position(|other| other == step);
        let done = |line: &Line| match &line.event {
            Event::Outcome { step, outcome: StepOutcome::Done { .. } } => line.plan_id == id && Some(*step) == lead,
            _ => false,
        };
        if !lines.iter().any(done) {
            return Err(NotUndone::NotDone(id.into()));
        }
        if server != here {
            return Err(NotUndone::Elsewhere { id: id.into(), there: server.clone(), here: here.into() });
        }
        let resized = plan.steps.iter().any(|step| matches!(step.action, Action::ResizePod { .. }));
        let takes_away = matches!(&inverse, Action::SetResources { change } if change.takes_away());
        Ok(Self { id: id.into(), step: step.clone(), inverse, in_place: resized && !takes_away })
    }

    /// The very object still holds what was written.
    pub(super) fn holds(&self, facts: &Facts) -> Result<(), NotUndone> {
        let (now, then) = (facts.target.target(), &self.step.target);
        if now.uid != then.uid {
            return Err(NotUndone::Changed(format!("{then} was deleted and made again since")));
        }
        let ours = match (&facts.target, &self.step.action) {
            (TargetFacts::Workload(workload), Action::Scale { replicas }) => workload.replicas == *replicas,
            (TargetFacts::Workload(_), Action::RolloutUndo { .. }) => match &facts.revisions {
                Revisions::Known { current, .. } => {
                    merged(&current.template, &self.step.patch["spec"]["template"]) == current.template
                }
                Revisions::NotAsked | Revisions::Unknown { .. } => false,
            },
            (TargetFacts::Workload(workload), Action::SetResources { change }) => workload
                .containers
                .iter()
                .any(|container| container.name == change.container && container.holds(change)),
            (TargetFacts::Node(node), Action::Cordon) => {
                node.unschedulable && node.cordoned.as_ref().is_some_and(|signature| signature.contains(&self.id))
            }
            (TargetFacts::Node(node), Action::Uncordon) => !node.unschedulable,
            _ => false,
        };
        let changed = || NotUndone::Changed(format!("{then} no longer holds what {} wrote", self.id));
        if ours { Ok(()) } else { Err(changed()) }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use guard_model::quantity::Quantity;

    use super::*;
    use crate::approve::{Way, approve};
    use crate::plan::examples::{Typist, facts, node_plan, node_target, now, plan, resources_plan, workload};
    use crate::plan::{ActionKind, Kind, Resource};

    /// The journal of this plan, each of whose steps came to this.
    fn lines(plan: Plan, name: &'static str, outcome: Option<StepOutcome>) -> (String, Vec<Line>) {
        let steps = plan.steps.len();
        let approved = approve(plan, Way::Ask, now(), &Typist(name)).unwrap();
        let id = approved.plan().id.clone();
        let line = |event| Line { version: 1, at: now(), plan_id: id.clone(), event, prev: None };
        let mut lines = vec![line(Event::intent(&approved, None))];
        let each = |outcome: StepOutcome| (0..steps).map(move |step| Event::Outcome { step, outcome: outcome.clone() });
        lines.extend(outcome.into_iter().flat_map(each).map(line));
        (id, lines)
    }

    const DONE: StepOutcome = StepOutcome::Done { generation: None };
    const SERVER: &str = "https://10.0.0.1:6443";

    /// What is to be taken back of this plan, carried out whole.
    pub(in super::super) fn undone(plan: Plan, name: &'static str) -> Undoing {
        let (id, lines) = lines(plan, name, Some(DONE));
        Undoing::find(&lines, &id, SERVER).unwrap()
    }

    #[test]
    fn what_cannot_be_taken_back_says_why() {
        let refused = |plan, name, outcome, server| {
            let (id, lines) = lines(plan, name, outcome);
            Undoing::find(&lines, &id, server).unwrap_err()
        };
        let restart = refused(plan(ActionKind::Restart), "web", Some(DONE), SERVER);
        assert_eq!(
            restart.to_string(),
            "restart deployment/web cannot be undone: pods that have ended cannot be brought back"
        );
        let drain = refused(node_plan(ActionKind::Drain), "n1", Some(DONE), SERVER);
        assert!(drain.to_string().starts_with("drain node/n1 cannot be undone"), "{drain}");
        let scale = || plan(ActionKind::Scale);
        assert!(matches!(refused(scale(), "web", None, SERVER), NotUndone::NotDone(_)));
        let not_done = StepOutcome::NotDone { why: String::new() };
        assert!(matches!(refused(scale(), "web", Some(not_done), SERVER), NotUndone::NotDone(_)));
        assert!(matches!(refused(scale(), "web", Some(DONE), "https://other"), NotUndone::Elsewhere { .. }));
        assert_eq!(Undoing::find(&[], "x\u{1b}[2J", SERVER), Err(NotUndone::Missing("x".into())));
    }

    #[test]
    fn pods_that_were_resized_before_it_broke_off_are_no_change_of_their_template() {
        let (id, mut lines) = lines(resources_plan(true), "web", Some(DONE));
        assert!(Undoing::find(&lines, &id, SERVER).is_ok());
        let template = |line: &Line| match &line.event {
            Event::Outcome { step, .. } => {
                !matches!(resources_plan(true).steps[*step].action, Action::ResizePod { .. })
            }
            _ => false,
        };
        lines.retain(|line| !template(line));
        assert_eq!(lines.len(), 3, "the intent, and two pods that were resized");
        assert_eq!(Undoing::find(&lines, &id, SERVER), Err(NotUndone::NotDone(id)));
    }

    #[test]
    fn a_scale_is_undone_only_while_the_number_is_ours() {
        let undoing = undone(plan(ActionKind::Scale), "web");
        assert_eq!(undoing.inverse, Action::Scale { replicas: 2 });
        let with = |replicas, uid: &str| {
            let mut seen = workload(Kind::Deployment);
            seen.replicas = replicas;
            seen.target.uid = uid.into();
            undoing.holds(&facts(TargetFacts::Workload(seen)))
        };
        assert_eq!(with(3, "uid-web"), Ok(()));
        assert_eq!(with(4, "uid-web").unwrap_err().exit(), Exit::Stale);
        assert_eq!(with(3, "another").unwrap_err().exit(), Exit::Stale);
    }

    #[test]
    fn a_cordon_is_undone_only_while_the_signature_is_ours() {
        let undoing = undone(node_plan(ActionKind::Cordon), "n1");
        let with = |unschedulable, cordoned: Option<String>| {
            let mut seen = node_target();
            seen.unschedulable = unschedulable;
            seen.cordoned = cordoned;
            undoing.holds(&facts(TargetFacts::Node(seen)))
        };
        assert_eq!(with(true, Some(format!(r#"{{"plan":"{}"}}"#, undoing.id))), Ok(()));
        assert!(with(true, Some(r#"{"plan":"another"}"#.into())).is_err());
        assert!(with(true, None).is_err());
        assert!(with(false, None).is_err());
    }

    #[test]
    fn limits_are_undone_only_while_they_are_ours() {
        let undoing = undone(resources_plan(true), "web");
        let with = |memory: u64| {
            let mut seen = workload(Kind::Deployment);
            seen.containers[0].limits.insert(Resource::Memory, Quantity::bytes(memory << 20));
            undoing.holds(&facts(TargetFacts::Workload(seen)))
        };
        assert_eq!(with(128), Ok(()));
        assert_eq!(with(129).unwrap_err().exit(), Exit::Stale);
    }
}
