//! The same faults at other intervals: a score must not depend on how often it is made.

use std::collections::BTreeSet;

use super::{line, short_row};
use crate::record::{Found, Record, Scheme};

const TITLE: &str = "
## Other intervals

The recordings once more, read at every second, third and sixth of their ticks, by the product that ships. A fault of two minutes is two
samples at 60 s. *Only then missed* names the faults that the first row found. At 5 s a cut of the soak is judged with each run of the tests.

| interval | faults found | median delay | right pod scored highest | false alerts a pod-day | only then missed |
| --- | --- | --- | --- | --- | --- |";

pub(super) fn render(page: &mut String, record: &Record) {
    line(page, TITLE);
    let missed = |faults: &[Found]| -> BTreeSet<String> {
        let missed = faults.iter().filter(|fault| fault.after.is_none());
        missed.map(|fault| format!("{} of {}", fault.kind, fault.pod)).collect()
    };
    let folds: Vec<_> = record.folds.iter().filter(|fold| fold.scheme == Scheme::Interval).collect();
    let Some(always) = folds.first().and_then(|fold| fold.outcomes.first()).map(|outcome| missed(&outcome.faults))
    else {
        return;
    };
    for (name, outcome) in folds.iter().flat_map(|fold| fold.outcomes.iter().map(move |outcome| (&fold.name, outcome)))
    {
        let only_here: Vec<String> = missed(&outcome.faults).difference(&always).cloned().collect();
        line(
            page,
            &format!(
                "{} {} |",
                short_row(name, outcome),
                if only_here.is_empty() { "-".to_owned() } else { only_here.join(", ") },
            ),
        );
    }
}
