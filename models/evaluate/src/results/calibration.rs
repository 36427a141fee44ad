//! What the product's own words are worth: its scores as probabilities, and its reasons.

use std::collections::BTreeSet;

use super::{line, share};
use crate::calibration::{Cell, SUSPICION, bins, chance, error, merged};
use crate::intervals::wilson;
use crate::naming::Named;
use crate::record::{Fold, Record, Scheme};

const BINS: usize = 10;
/// Places that a list shows at a glance.
pub(super) const FIRST: usize = 2;

const CALIBRATION: &str = "
## Calibration of the score that ships

Each sample of another time, or of another application, that is calm or of a fault that shows in CPU: what the score said, and how many
of these samples were of a fault. Ten bins of as many samples each; equal scores stay together, so a bin may be empty. Aim: an expected
calibration error of 0.05 or less. The samples of one fault are not independent: the intervals are narrower than the truth.";

const NAMED: &str = "
## The injected feature among the reasons

Place of what was changed (CPU, memory, traffic) among the reasons that the product gives at the highest score within the fault's window,
whether it was over its line or not. Aim: among the first two in every case, at least in 0.90.

| faults | kind | named first | among the first two |
| --- | --- | --- | --- |";

pub(super) fn render(page: &mut String, record: &Record) {
    line(page, CALIBRATION);
    for (scheme, title) in [(Scheme::Time, "Another time"), (Scheme::Application, "Another application")] {
        calibration(page, title, &cells(record, scheme));
    }
    line(page, NAMED);
    for (scheme, title) in [
        (Scheme::Time, "another time"),
        (Scheme::Application, "another application"),
        (Scheme::Synthetic, "synthetic, another application"),
    ] {
        let folds = record.folds.iter().filter(|fold| fold.scheme == scheme);
        named(page, title, &folds.flat_map(|fold| &fold.named).collect::<Vec<_>>());
    }
}

/// Scores and truth of all folds of a scheme.
pub(super) fn cells(record: &Record, scheme: Scheme) -> Vec<Cell> {
    of(record, scheme, |fold| &fold.calibration)
}

/// The same without what looks like faults that nobody labelled.
pub(super) fn cells_without(record: &Record, scheme: Scheme) -> Vec<Cell> {
    of(record, scheme, |fold| &fold.calibration_without)
}

fn of(record: &Record, scheme: Scheme, cells: fn(&Fold) -> &Vec<Cell>) -> Vec<Cell> {
    let folds = record.folds.iter().filter(|fold| fold.scheme == scheme);
    merged(folds.flat_map(|fold| cells(fold).iter().copied()))
}

/// Expected calibration error.
pub(super) fn figure(cells: &[Cell]) -> String {
    error(&bins(cells, BINS)).map_or("-".to_owned(), |error| format!("{error:.3}"))
}

/// Cells of scores that say something.
pub(super) fn suspicious(cells: &[Cell]) -> Vec<Cell> {
    cells.iter().filter(|cell| cell.score >= SUSPICION).copied().collect()
}

/// How many have the injected feature among so many reasons.
pub(super) fn among(named: &[&Named], places: usize) -> usize {
    named.iter().filter(|named| named.place.is_some_and(|place| place <= places)).count()
}

fn calibration(page: &mut String, title: &str, cells: &[Cell]) {
    let suspicious = suspicious(cells);
    line(
        page,
        &format!(
            "\n{title}: expected calibration error {} over all samples, {} over those with a score of {SUSPICION} or more, where about {} \
             would be left to chance if every score were true.\n\n\
             | samples | bin | samples in it | mean score | of a fault |\n| --- | --- | --- | --- | --- |",
            figure(cells),
            figure(&suspicious),
            chance(&bins(&suspicious, BINS)).map_or("-".to_owned(), |error| format!("{error:.3}")),
        ),
    );
    for (what, cells) in [("all", cells), ("0.1 and more", &suspicious)] {
        for (i, bin) in bins(cells, BINS).iter().enumerate() {
            line(page, &format!("| {what} | {} | {}", i + 1, row(bin)));
        }
    }
}

fn row(bin: &Cell) -> String {
    if bin.samples == 0 {
        return "empty | - | - |".to_owned();
    }
    let [low, high] = wilson(bin.faults, bin.samples);
    let seen = bin.faults as f64 / bin.samples as f64;
    format!("{} | {:.3} | {seen:.3} ({low:.3} to {high:.3}) |", bin.samples, bin.score)
}

fn named(page: &mut String, title: &str, named: &[&Named]) {
    let kinds: BTreeSet<&str> = named.iter().map(|named| named.kind.as_str()).collect();
    let places = |of: &[&Named], places: usize| share(among(of, places), of.len());
    let mut row = |kind: &str, of: &[&Named]| {
        line(page, &format!("| {title} | {kind} | {} | {} |", places(of, 1), places(of, FIRST)));
    };
    row("all", named);
    for kind in kinds {
        row(kind, &named.iter().filter(|named| named.kind == kind).copied().collect::<Vec<_>>());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_bin_says_so() {
        assert_eq!(row(&Cell::default()), "empty | - | - |");
        assert_eq!(row(&Cell { score: 0.7, samples: 10, faults: 7 }), "10 | 0.700 | 0.700 (0.397 to 0.892) |");
    }

    #[test]
    fn places_are_counted_by_kind_and_in_all() {
        let named = |kind: &str, place| Named { kind: kind.to_owned(), pod: String::new(), place };
        let all = [named("cpu", Some(1)), named("cpu", Some(2)), named("memory", Some(3)), named("memory", None)];
        let mut page = String::new();
        super::named(&mut page, "made", &all.iter().collect::<Vec<_>>());
        assert!(page.starts_with("| made | all | 1 of 4 (0.05 to 0.70) | 2 of 4 (0.15 to 0.85) |\n"), "{page}");
        assert!(page.contains("| made | cpu | 1 of 2 (0.09 to 0.91) | 2 of 2 (0.34 to 1.00) |\n"), "{page}");
    }
}
