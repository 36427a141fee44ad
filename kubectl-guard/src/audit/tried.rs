//! What was tried before on the same object for the same cause, and did not help, as far as the journal tells. Pure.

use guard_model::cause::Cause;
use jiff::{SignedDuration, Timestamp};

use super::{Event, Line};
use crate::outcome::Outcome;
use crate::plan::ActionKind;

/// For so long it speaks against an action that it did not help.
const REMEMBERED: SignedDuration = SignedDuration::from_hours(24);

/// An action that was carried out, and after which the scores were no better.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tried {
    /// What was done.
    pub action: ActionKind,
    /// For what.
    pub cause: Cause,
    /// What the scores said.
    pub outcome: Outcome,
    /// When.
    pub at: Timestamp,
}

/// Of each action and cause what came of it last, for those that did not help. An object that was made again is another one.
pub fn tried(lines: &[Line], uid: &str, now: Timestamp) -> Vec<Tried> {
    let mut last: Vec<Tried> = Vec::new();
    for line in lines {
        let Event::Verified { outcome } = line.event else { continue };
        let plan = lines.iter().find_map(|intent| match &intent.event {
            Event::Intent { plan, .. } if intent.plan_id == line.plan_id => Some(plan),
            _ => None,
        });
        let Some(plan) = plan else { continue };
        let Some(step) = plan.lead().filter(|step| step.target.uid == uid) else { continue };
        let Some(cause) = plan.evidence.as_ref().and_then(crate::plan::Evidence::leading) else { continue };
        let action = step.action.kind();
        last.retain(|tried| (tried.action, tried.cause) != (action, cause));
        last.push(Tried { action, cause, outcome, at: line.at });
    }
    last.retain(|tried| {
        matches!(tried.outcome, Outcome::Unchanged | Outcome::Worse) && now.duration_since(tried.at) < REMEMBERED
    });
    last
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::approve::{Way, approve};
    use crate::plan::examples::{Typist, now, plan};

    /// The lines of an action on Deployment `web`, and what came of it so many hours ago.
    fn lines(action: ActionKind, outcome: Outcome, hours: i64) -> Vec<Line> {
        let approved = approve(plan(action), Way::Ask, now(), &Typist("web")).unwrap();
        let plan_id = format!("{action:?}{outcome:?}{hours}");
        let at = now() - SignedDuration::from_hours(hours);
        let line = |event| Line { version: 1, at, plan_id: plan_id.clone(), event, prev: None };
        vec![line(Event::intent(&approved, None)), line(Event::Verified { outcome })]
    }

    /// What was done, what came of it, and how many hours ago.
    type Done = &'static [(ActionKind, Outcome, i64)];

    #[test]
    fn what_did_not_help_lately_counts_and_what_helped_since_does_not() {
        use ActionKind::{Restart, Scale};
        use Outcome::{Learning, Recovered, Unchanged, Unknown, Worse};
        let table: [(Done, &[ActionKind]); 7] = [
            (&[], &[]),
            (&[(Restart, Unchanged, 1)], &[Restart]),
            (&[(Restart, Worse, 3), (Scale, Unchanged, 2)], &[Restart, Scale]),
            (&[(Restart, Unchanged, 3), (Restart, Recovered, 2)], &[]),
            (&[(Restart, Recovered, 3), (Restart, Unchanged, 2)], &[Restart]),
            (&[(Restart, Unchanged, 30)], &[]),
            (&[(Restart, Unknown, 2), (Scale, Learning, 1)], &[]),
        ];
        for (done, expected) in table {
            let all: Vec<Line> =
                done.iter().flat_map(|(action, outcome, hours)| lines(*action, *outcome, *hours)).collect();
            let found: Vec<ActionKind> = tried(&all, "uid-web", now()).into_iter().map(|tried| tried.action).collect();
            assert_eq!(found, expected, "{done:?}");
            assert!(tried(&all, "another", now()).is_empty(), "{done:?}");
        }
    }
}
