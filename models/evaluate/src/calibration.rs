//! Whether a score of 0.7 means seven faults in ten: scores in bins of as many samples each, beside how many of those samples
//! were of a fault (C. Guo, G. Pleiss, Y. Sun, K. Weinberger, On Calibration of Modern Neural Networks, ICML 2017, with bins of
//! equal mass).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::area::Labelled;

/// Scores from here on are looked at by themselves: nearly all of the time is far under it, and none under it is a reason for
/// anything.
pub(crate) const SUSPICION: f64 = 0.1;
/// Scores are recorded in steps of this.
const STEP: f64 = 1e-3;

/// Samples of about one score. What is recorded, and can be put together with that of other folds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Cell {
    /// Mean score.
    pub(crate) score: f64,
    pub(crate) samples: usize,
    /// How many of them are of a fault.
    pub(crate) faults: usize,
}

/// The scores of one or more tests, from the lowest.
pub(crate) fn cells<'a>(tests: impl Iterator<Item = &'a Labelled>) -> Vec<Cell> {
    let mut cells = BTreeMap::new();
    for (score, fault) in tests.flat_map(Labelled::certain) {
        add(&mut cells, Cell { score, samples: 1, faults: usize::from(fault) });
    }
    cells.into_values().collect()
}

/// The cells of several folds as one.
pub(crate) fn merged(folds: impl Iterator<Item = Cell>) -> Vec<Cell> {
    let mut cells = BTreeMap::new();
    folds.for_each(|cell| add(&mut cells, cell));
    cells.into_values().collect()
}

fn add(cells: &mut BTreeMap<u64, Cell>, cell: Cell) {
    let own = cells.entry((cell.score / STEP) as u64).or_default();
    *own = both(*own, cell);
}

fn both(a: Cell, b: Cell) -> Cell {
    let samples = a.samples + b.samples;
    let sum = a.score * a.samples as f64 + b.score * b.samples as f64;
    Cell { score: sum / samples.max(1) as f64, samples, faults: a.faults + b.faults }
}

/// So many bins of as equal a mass as equal scores allow, which are never parted: a bin that they leave nothing is empty.
pub(crate) fn bins(cells: &[Cell], count: usize) -> Vec<Cell> {
    let total: usize = cells.iter().map(|cell| cell.samples).sum();
    let mut bins = vec![Cell::default(); count];
    let mut before = 0;
    for cell in cells {
        // A cell belongs where its middle lies.
        let place = (2 * before + cell.samples) * count / (2 * total.max(1));
        let bin = &mut bins[place.min(count - 1)];
        *bin = both(*bin, *cell);
        before += cell.samples;
    }
    bins
}

/// Expected calibration error: the mean distance of score and share of faults, over samples; none without a sample.
pub(crate) fn error(bins: &[Cell]) -> Option<f64> {
    let total: usize = bins.iter().map(|bin| bin.samples).sum();
    let sum: f64 = bins.iter().map(|bin| (bin.score * bin.samples as f64 - bin.faults as f64).abs()).sum();
    (total > 0).then(|| sum / total as f64)
}

/// The error that so many samples are expected to show by chance alone if each score were just the share of faults: the mean
/// distance of a binomial share from its mean, by the normal distribution. Samples of one fault come together, so the truth is higher.
pub(crate) fn chance(bins: &[Cell]) -> Option<f64> {
    let total: usize = bins.iter().map(|bin| bin.samples).sum();
    let deviation = |bin: &Cell| (bin.samples as f64 * bin.score * (1.0 - bin.score)).max(0.0).sqrt();
    let sum: f64 = bins.iter().map(deviation).sum();
    (total > 0).then(|| std::f64::consts::FRAC_2_PI.sqrt() * sum / total as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cell(score: f64, samples: usize, faults: usize) -> Cell {
        Cell { score, samples, faults }
    }

    #[test]
    fn bins_are_of_equal_mass_and_do_not_part_equal_scores() {
        let tens: Vec<Cell> = (0..10).map(|i| cell(f64::from(i) / 10.0, 10, 1)).collect();
        assert!(bins(&tens, 5).iter().all(|bin| bin.samples == 20 && bin.faults == 2));
        let lumped = bins(&[cell(0.001, 90, 0), cell(0.5, 5, 2), cell(0.9, 5, 5)], 4);
        assert_eq!(lumped.iter().map(|bin| bin.samples).collect::<Vec<_>>(), [0, 90, 0, 10]);
        assert!((lumped[3].score - 0.7).abs() < 1e-12 && lumped[3].faults == 7);
    }

    #[test]
    fn the_error_is_the_mean_distance_of_score_and_truth() {
        // 0.5 against 0.2 on ten, 0.9 against 1.0 on thirty: (0.3 x 10 + 0.1 x 30) / 40.
        let found = error(&[cell(0.5, 10, 2), Cell::default(), cell(0.9, 30, 30)]).unwrap();
        assert!((found - 0.15).abs() < 1e-12, "{found}");
        assert_eq!(error(&[Cell::default()]), None);
    }

    #[test]
    fn few_samples_are_off_by_chance() {
        // Of twenty at 0.5 the share is off by 0.0892 in the mean, of many hardly.
        let off = |samples| chance(&[cell(0.5, samples, 0), Cell::default()]).unwrap();
        assert!((off(20) - 0.0892).abs() < 1e-4 && off(20_000) < 0.003, "{}", off(20));
        assert_eq!(chance(&[Cell::default()]), None);
    }

    #[test]
    fn folds_merge_by_score() {
        let all = merged([cell(0.1001, 2, 0), cell(0.9, 1, 1), cell(0.1003, 2, 1)].into_iter());
        assert_eq!(all.len(), 2);
        assert!((all[0].score - 0.1002).abs() < 1e-12 && all[0].samples == 4 && all[0].faults == 1);
    }
}
