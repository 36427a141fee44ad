//! What the dashboard of a cluster proposes, where no `run` does: the targets over their line whose scores suggest an action.
//!
//! A rollback is suggested by the revisions of a workload, which are read when somebody opens its plan and not at each look.

use std::collections::BTreeSet;

use crate::desk::{Key, Proposer, Waiting};
use crate::plan::TargetName;
use crate::rows::Row;
use crate::ui::look::Look;

/// The targets, the worst first, each once, without those that were put aside.
pub fn waiting(look: &Look, aside: &BTreeSet<Key>) -> Vec<Waiting> {
    let mut seen = aside.clone();
    let due = look.rows.iter().filter_map(|row| Some((row, target(row)?)));
    due.filter(|(row, target)| seen.insert(key(row, target)))
        .filter_map(|(row, target)| proposal(row, &target, look))
        .collect()
}

/// Those of `aside` that are still over their line: the others may be proposed again when they return.
#[must_use]
pub fn still(look: &Look, aside: BTreeSet<Key>) -> BTreeSet<Key> {
    let over: BTreeSet<Key> = look.rows.iter().filter_map(|row| Some(key(row, &target(row)?))).collect();
    aside.into_iter().filter(|key| over.contains(key)).collect()
}

fn key(row: &Row, target: &TargetName) -> Key {
    (row.namespace.clone(), target.to_string())
}

/// What would be acted on for this pod, if it is over its line.
fn target(row: &Row) -> Option<TargetName> {
    row.target().filter(|_| row.is_anomalous())
}

fn proposal(row: &Row, target: &TargetName, look: &Look) -> Option<Waiting> {
    let suggestion = row.suggestion().filter(|suggestion| suggestion.action.is_some())?;
    Some(Waiting {
        namespace: row.namespace.clone(),
        target: target.to_string(),
        action: format!("{} {target}", suggestion.words),
        score: row.score,
        reason: row.reasons.first().map(|reason| reason.text.clone()),
        at: row.since.unwrap_or(look.at),
        command: format!("kubectl guard fix {target} -n {}", row.namespace),
        by: Proposer::Guard,
        asked: None,
    })
}

#[cfg(test)]
mod tests {
    use guard_model::cause::{Cause, Reason};

    use super::*;
    use crate::console::capture;

    #[test]
    fn what_is_over_its_line_is_proposed_once_until_it_is_put_aside() {
        let (console, _) = capture::console(120);
        let mut look = crate::commands::ui::recorded(&console).unwrap();
        let sick = look.rows[0].clone();
        look.rows.insert(1, Row { name: "catalog-2".to_owned(), ..sick });
        let proposed = waiting(&look, &BTreeSet::new());
        let told: Vec<_> = proposed.iter().map(|each| (each.namespace.as_str(), each.target.as_str())).collect();
        assert_eq!(told, [("shop", "deployment/catalog")]);
        assert_eq!(proposed[0].command, "kubectl guard fix deployment/catalog -n shop");
        let aside = BTreeSet::from([("shop".to_owned(), "deployment/catalog".to_owned())]);
        assert!(waiting(&look, &aside).is_empty());
        assert_eq!(still(&look, aside.clone()), aside);
        look.rows[0].reasons = vec![Reason { cause: Cause::CrashLoop, score: 1.0, text: "crash loop".to_owned() }];
        look.rows.truncate(1);
        assert!(waiting(&look, &BTreeSet::new()).is_empty(), "no score alone says that a rollback helps");
        look.rows.retain(|row| !row.is_anomalous());
        assert!(still(&look, aside).is_empty(), "it has recovered, and may be proposed when it returns");
    }
}
