//! The false alerts of real days one by one, and what remains without the time that looks like faults nobody labelled.

use jiff::Timestamp;

use super::calibration::{cells_without, figure, suspicious};
use super::{areas, detectors, line, pooled, rate};
use crate::folds::GUARD;
use crate::record::{Outcome, Record, Scheme};

const TITLE: &str = "
## The false alerts, one by one

Every alert of `kubectl guard at 0.7` in the calm time of the real days, with what it said first. *Like a fault*: the pod shows just what
the pods of labelled CPU faults show (`data/README.md` says what, and lists the times in `data/nezha/unlabelled.csv`), so somebody may
well have injected one. All other sections count it as a false alert nonetheless.

| judged on | pod | when | it said | like a fault |
| --- | --- | --- | --- | --- |";

const WITHOUT: &str = "
The same figures without the time of these pods that is like a fault, for all detectors alike (a second reading, not the one to quote):

| judged on | detector | false alerts a pod-day | AUC-PR | VUS-PR |
| --- | --- | --- | --- | --- |";

const SCHEMES: [(Scheme, &str); 2] = [(Scheme::Time, "another time"), (Scheme::Application, "another application")];

pub(super) fn render(page: &mut String, record: &Record) {
    line(page, TITLE);
    for (scheme, title) in SCHEMES {
        for alert in pooled(record, scheme, GUARD).false_alerts {
            let when = Timestamp::from_second(alert.at as i64).map_or("-".to_owned(), |at| at.to_string());
            let like = if alert.unlabelled { "yes" } else { "no" };
            line(page, &format!("| {title} | {} | {when} | {} | {like} |", alert.pod, alert.told));
        }
    }
    line(page, WITHOUT);
    for (scheme, title) in SCHEMES {
        for detector in detectors(record, scheme) {
            let outcome = without(pooled(record, scheme, detector));
            line(page, &format!("| {title} | {detector} | {} | {} |", rate(&outcome), areas(outcome.area_without)));
        }
    }
    for (scheme, title) in SCHEMES {
        let cells = cells_without(record, scheme);
        let (all, suspected) = (figure(&cells), figure(&suspicious(&cells)));
        line(
            page,
            &format!(
                "\nOn {title} the expected calibration error is then {all} over all samples, {suspected} where the score is 0.1 or more."
            ),
        );
    }
}

fn without(mut outcome: Outcome) -> Outcome {
    outcome.false_alerts.retain(|alert| !alert.unlabelled);
    outcome
}
