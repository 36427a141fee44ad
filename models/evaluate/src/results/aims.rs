//! The figures that were aimed at, beside those that were reached.

use super::calibration::{FIRST, among, cells, figure};
use super::{count, first, line, pooled, rate, share};
use crate::detectors::CPU_AT_LIMIT;
use crate::folds::GUARD;
use crate::naming::Named;
use crate::record::{Outcome, Record, Scheme};

const HEAD: &str = "
## Aims

Of `kubectl guard at 0.7`. They were set for other days of the same applications and for other recordings; here stands what
cross-validation gives.

| figure | at least | aim | another time | another application |
| --- | --- | --- | --- | --- |";

const ELSEWHERE: &str = "
| figure | at least | aim | reached |
| --- | --- | --- | --- |";

/// Draws both tables.
pub(super) fn render(page: &mut String, record: &Record) {
    let real = [Scheme::Time, Scheme::Application];
    let sought = real.map(|scheme| only_sought(pooled(record, scheme, GUARD), scheme));
    line(page, HEAD);
    let mut row = |figure: &str, [least, aim]: [&str; 2], reached: [String; 2]| {
        let [time, application] = reached;
        line(page, &format!("| {figure} | {least} | {aim} | {time} | {application} |"));
    };
    let of = |figure: fn(&Outcome) -> String| [figure(&sought[0]), figure(&sought[1])];
    let calibrated = real.map(|scheme| figure(&cells(record, scheme)));
    let named = real.map(|scheme| within_first(record, scheme));
    row("CPU faults found", ["0.94", "1.00"], of(found));
    row("right pod scored highest", ["0.94", "1.00"], of(right_pod));
    row("false alerts a pod-day", ["0.30", "0.05"], of(rate));
    row("AUC-PR of CPU faults", ["0.73", "0.85"], of(auc_pr));
    let rule = real.map(|scheme| auc_pr(&pooled(record, scheme, CPU_AT_LIMIT)));
    row("that of the rule *CPU at its limit*, of which the 0.73 was once taken", ["-", "-"], rule);
    row("expected calibration error", ["-", "0.05"], calibrated);
    row("injected feature among the first two named", ["0.90", "1.00"], named);
    elsewhere(page, record);
}

fn elsewhere(page: &mut String, record: &Record) {
    let [synthetic, cluster] = [Scheme::Synthetic, Scheme::Cluster].map(|scheme| pooled(record, scheme, GUARD));
    line(page, ELSEWHERE);
    for (figure, least, aim, reached) in [
        ("synthetic faults found", "0.76", "0.90", found(&synthetic)),
        ("faults of other clusters found", "0.80", "0.95", found(&cluster)),
        ("right pod scored highest there", "0.70", "0.90", right_pod(&cluster)),
        ("false alerts a pod-day there", "0.30", "0.05", rate(&cluster)),
    ] {
        line(page, &format!("| {figure} | {least} | {aim} | {reached} |"));
    }
}

fn only_sought(mut outcome: Outcome, scheme: Scheme) -> Outcome {
    outcome.faults.retain(|fault| scheme.seeks(&fault.kind));
    outcome
}

fn found(outcome: &Outcome) -> String {
    share(count(&outcome.faults.iter().collect::<Vec<_>>()), outcome.faults.len())
}

fn right_pod(outcome: &Outcome) -> String {
    share(first(&outcome.faults.iter().collect::<Vec<_>>(), 1), outcome.faults.len())
}

fn auc_pr(outcome: &Outcome) -> String {
    outcome.area.map_or("-".to_owned(), |area| format!("{:.2}", area.auc_pr))
}

/// How often the injected feature is among the first reasons.
pub(super) fn within_first(record: &Record, scheme: Scheme) -> String {
    let folds = record.folds.iter().filter(|fold| fold.scheme == scheme);
    let named: Vec<&Named> = folds.flat_map(|fold| &fold.named).collect();
    share(among(&named, FIRST), named.len())
}
