//! In which order actions are proposed where what the score suggests was tried before and did not help. Pure.

use guard_model::cause::Cause;

use crate::audit::Tried;
use crate::plan::ActionKind;

/// What else may help, after what is suggested first.
fn others(cause: Cause) -> &'static [ActionKind] {
    use ActionKind::{Resources, Restart, Scale};
    match cause {
        Cause::OomKilled | Cause::MemoryNearLimit => &[Restart, Resources],
        Cause::CpuAtLimit => &[Scale, Resources, Restart],
        Cause::Cpu => &[Restart, Scale],
        _ => &[],
    }
}

/// What is to be proposed for this cause, the best first, and what the journal says against the others: what did not help
/// comes after what was not tried.
pub(super) fn order(suggested: ActionKind, cause: Cause, tried: &[Tried]) -> (Vec<ActionKind>, Vec<String>) {
    let failed = |action: ActionKind| tried.iter().find(|tried| tried.action == action && tried.cause == cause);
    let mut all = vec![suggested];
    all.extend(others(cause).iter().filter(|action| **action != suggested));
    let (last, mut order): (Vec<ActionKind>, Vec<ActionKind>) =
        all.into_iter().partition(|action| failed(*action).is_some());
    let notes = last.iter().filter_map(|action| failed(*action)).map(|tried| {
        format!(
            "{} was tried at {:.0} for the same reason ({}), and it was {} afterwards, by the journal of this machine",
            tried.action.name(),
            tried.at,
            cause.name(),
            tried.outcome.name()
        )
    });
    let notes = notes.collect();
    order.extend(last);
    (order, notes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::Outcome;
    use crate::plan::examples::now;

    fn ordered(suggested: ActionKind, cause: Cause, failed: &[(ActionKind, Cause)]) -> Vec<ActionKind> {
        let tried = |(action, cause): &(ActionKind, Cause)| Tried {
            action: *action,
            cause: *cause,
            outcome: Outcome::Unchanged,
            at: now(),
        };
        let tried: Vec<Tried> = failed.iter().map(tried).collect();
        order(suggested, cause, &tried).0
    }

    #[test]
    fn what_did_not_help_comes_after_what_was_not_tried() {
        use ActionKind::{Resources, Restart, RolloutUndo, Scale};
        let memory = Cause::MemoryNearLimit;
        let table = [
            (Restart, memory, vec![], vec![Restart, Resources]),
            (Restart, memory, vec![(Restart, memory)], vec![Resources, Restart]),
            (Restart, memory, vec![(Restart, memory), (Resources, memory)], vec![Restart, Resources]),
            (Restart, memory, vec![(Restart, Cause::Cpu)], vec![Restart, Resources]),
            (Scale, Cause::CpuAtLimit, vec![(Scale, Cause::CpuAtLimit)], vec![Resources, Restart, Scale]),
            (Restart, Cause::Transmit, vec![(Restart, Cause::Transmit)], vec![Restart]),
            (RolloutUndo, Cause::CrashLoop, vec![(RolloutUndo, Cause::CrashLoop)], vec![RolloutUndo]),
        ];
        for (suggested, cause, failed, expected) in table {
            assert_eq!(ordered(suggested, cause, &failed), expected, "{cause:?} after {failed:?}");
        }
    }

    #[test]
    fn it_is_said_what_was_tried_and_what_came_of_it() {
        let tried = Tried { action: ActionKind::Restart, cause: Cause::Memory, outcome: Outcome::Worse, at: now() };
        let (_, notes) = order(ActionKind::Restart, Cause::Memory, &[tried]);
        insta::assert_snapshot!(notes.join("\n"), @"restart was tried at 2026-11-22T13:20:05Z for the same reason (memory), and it was worse afterwards, by the journal of this machine");
        assert!(order(ActionKind::Restart, Cause::Memory, &[]).1.is_empty());
    }
}
