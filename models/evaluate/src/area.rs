//! How well a detector's scores set faults apart from calm, whatever line is drawn: the area under the curve of precision over
//! recall, and the volume under the surface that it makes if labels are given buffers.
//!
//! The volume is VUS-PR of J. Paparrizos, P. Boniol, T. Palpanas, R. Tsay, A. Elmore, M. Franklin, Volume Under the Surface: A
//! New Accuracy Evaluation Measure for Time-Series Anomaly Detection, PVLDB 15(11), 2022: with a buffer of `b` samples a label
//! falls off on either side of the fault as the root of `1 - distance / b`, up to a distance of `b / 2`; recall counts half
//! of the buffer and is worth as much as the share of faults that were met at all; the volume is the mean area over all
//! buffers. Areas are sums of steps, as in the average precision; each score is a line.

use serde::{Deserialize, Serialize};

use crate::day::Fault;
use crate::day::Test;
use crate::scores::PodScores;

/// The longest buffer, in samples: about as long as the faults of the data.
const LONGEST_BUFFER: usize = 6;

/// Area and volume, 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Area {
    pub(crate) auc_pr: f64,
    pub(crate) vus_pr: f64,
}

impl Area {
    /// None if there is none to take the mean of.
    pub(crate) fn mean(areas: impl Iterator<Item = Area>) -> Option<Area> {
        let all: Vec<Area> = areas.collect();
        let mean = |of: fn(&Area) -> f64| all.iter().map(of).sum::<f64>() / all.len() as f64;
        (!all.is_empty()).then(|| Area { auc_pr: mean(|area| area.auc_pr), vus_pr: mean(|area| area.vus_pr) })
    }
}

/// A judged sample.
struct Sample {
    score: f64,
    pod: usize,
    at: f64,
    /// Which of the [`Window`]s it lies in.
    window: Option<usize>,
    calm: bool,
    /// Calm by the source's word, though it looks just like a fault.
    doubtful: bool,
}

/// The samples of one fault in its pod: first and last time.
struct Window {
    pod: usize,
    first: f64,
    last: f64,
}

/// Samples of a test with their labels.
pub(crate) struct Labelled {
    interval: f64,
    samples: Vec<Sample>,
    windows: Vec<Window>,
}

impl Labelled {
    /// The sought faults of a test with what their pods show shortly before and after, and its calm time. Left out are the other
    /// pods while there are faults, for those may spread, and what a pod shows under a fault that is not sought. A test without
    /// calm time is calm but for its faults.
    pub(crate) fn of(test: &Test, scores: &[PodScores], sought: impl Fn(&Fault) -> bool) -> Labelled {
        let mut all = Labelled { interval: test.day.interval, samples: Vec::new(), windows: Vec::new() };
        for (pod, (name, scores)) in test.day.pods.iter().zip(scores).enumerate() {
            let before = all.windows.len();
            for fault in test.faults.iter().filter(|fault| fault.pod == *name && sought(fault)) {
                let mut times = scores.iter().map(|(at, _)| *at).filter(|at| fault.window(test.day.interval, *at));
                let Some(first) = times.next() else { continue };
                all.windows.push(Window { pod, first, last: times.next_back().unwrap_or(first) });
            }
            let own = &all.windows[before..];
            let near = LONGEST_BUFFER as f64 / 2.0 * all.interval;
            for &(at, score) in scores {
                let window = own.iter().position(|window| window.distance(at) <= 0.0);
                let calm = test.is_calm(at);
                let known = calm || own.iter().any(|window| window.distance(at) <= near);
                if window.is_some() || (known && !test.day.disturbed(name, at, |fault| !sought(fault))) {
                    let (window, doubtful) = (window.map(|i| before + i), test.day.doubtful(name, at));
                    all.samples.push(Sample { score, pod, at, window, calm, doubtful });
                }
            }
        }
        all.samples.sort_by(|a, b| b.score.total_cmp(&a.score));
        all
    }

    /// The same without what looks just like a fault that nobody labelled.
    pub(crate) fn without_doubtful(mut self) -> Labelled {
        self.samples.retain(|sample| !sample.doubtful);
        self
    }

    /// Score and whether it is of a fault, the highest score first.
    fn labels(&self) -> impl Iterator<Item = (f64, bool)> {
        self.samples.iter().map(|sample| (sample.score, sample.window.is_some()))
    }

    /// The same without what is neither in the time of a fault nor calm.
    pub(crate) fn certain(&self) -> impl Iterator<Item = (f64, bool)> {
        let certain = self.samples.iter().filter(|sample| sample.calm || sample.window.is_some());
        certain.map(|sample| (sample.score, sample.window.is_some()))
    }

    /// None if there is no fault.
    pub(crate) fn area(&self) -> Option<Area> {
        let hard: Vec<f64> = self.labels().map(|(_, fault)| f64::from(u8::from(fault))).collect();
        let total = hard.iter().sum();
        if self.windows.is_empty() || total <= 0.0 {
            return None;
        }
        let volume: f64 = (0..=LONGEST_BUFFER).map(|buffer| self.buffered(&hard, buffer)).sum();
        let auc_pr = self.steps(&hard, total, |_| 1.0);
        Some(Area { auc_pr, vus_pr: volume / (LONGEST_BUFFER + 1) as f64 })
    }

    /// The area with labels that fall off over this many samples.
    fn buffered(&self, hard: &[f64], buffer: usize) -> f64 {
        let mut met = vec![f64::NEG_INFINITY; self.windows.len()];
        let mut soft = hard.to_vec();
        for (sample, soft) in self.samples.iter().zip(&mut soft) {
            for (window, met) in self.windows.iter().zip(&mut met).filter(|(window, _)| window.pod == sample.pod) {
                let label = window.label(sample.at, self.interval * buffer as f64);
                *soft = soft.max(label);
                if label > 0.0 {
                    *met = met.max(sample.score);
                }
            }
        }
        let total = hard.iter().zip(&soft).map(|(hard, soft)| f64::midpoint(*hard, *soft)).sum();
        let share = |line: f64| met.iter().filter(|met| **met >= line).count() as f64 / met.len() as f64;
        self.steps(&soft, total, share)
    }

    /// Sum of precision times the recall gained at each score. `total` is what would be full recall; `worth` multiplies it.
    fn steps(&self, labels: &[f64], total: f64, worth: impl Fn(f64) -> f64) -> f64 {
        let (mut hits, mut recall, mut area) = (0.0, 0.0, 0.0);
        for (i, (sample, label)) in self.samples.iter().zip(labels).enumerate() {
            hits += label;
            // Equal scores are on the same side of every line.
            if self.samples.get(i + 1).is_some_and(|next| next.score >= sample.score) {
                continue;
            }
            let now = (hits / total).min(1.0) * worth(sample.score);
            area += (now - recall) * hits / (i + 1) as f64;
            recall = now;
        }
        area
    }
}

impl Window {
    /// Seconds to the nearest of its samples.
    fn distance(&self, at: f64) -> f64 {
        (self.first - at).max(at - self.last).max(0.0)
    }

    /// How much a sample at this time belongs to the fault, 0 to 1, if the label falls off over so many seconds.
    fn label(&self, at: f64, buffer: f64) -> f64 {
        match self.distance(at) {
            d if d <= 0.0 => 1.0,
            d if d <= buffer / 2.0 => (1.0 - d / buffer).sqrt(),
            _ => 0.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::day::Day;

    /// One pod, a sample a minute; the fault lies in the samples `window`.
    fn labelled(scores: &[f64], window: std::ops::RangeInclusive<usize>) -> Labelled {
        let at = |i: usize| 60.0 * i as f64;
        let sample = |(i, &score): (usize, &f64)| Sample {
            score,
            pod: 0,
            at: at(i),
            window: window.contains(&i).then_some(0),
            calm: true,
            doubtful: false,
        };
        let mut samples: Vec<Sample> = scores.iter().enumerate().map(sample).collect();
        samples.sort_by(|a, b| b.score.total_cmp(&a.score));
        let windows = vec![Window { pod: 0, first: at(*window.start()), last: at(*window.end()) }];
        Labelled { interval: 60.0, samples, windows }
    }

    #[test]
    fn other_pods_under_faults_and_other_faults_are_left_out() {
        let fault =
            |start: f64, kind: &str| Fault { start, end: start + 60.0, pod: "a".to_owned(), kind: kind.to_owned() };
        let faults = vec![fault(1190.0, "sought"), fault(2990.0, "other")];
        let calm = vec![6000.0..12_000.0];
        let day = Day { faults, calm, ..Day::made(&["a", "b"]) };
        let minutes: PodScores = (0..200).map(|i| (60.0 * f64::from(i), 0.1)).collect();
        let all = Labelled::of(&Test::whole(&day), &[minutes.clone(), minutes], |fault| fault.kind == "sought");
        // Two samples of the fault, three on either side, and a hundred calm ones of each pod.
        assert_eq!((all.labels().filter(|(_, fault)| *fault).count(), all.labels().count()), (2, 208));
        assert_eq!(all.certain().count(), 202);
    }

    #[test]
    fn the_area_is_the_average_precision() {
        // By falling score: fault, calm, fault, calm. 1/1 x 1/2 + 2/3 x 1/2.
        let area = labelled(&[0.7, 0.9, 0.5, 0.2], 1..=2).area().unwrap();
        assert!((area.auc_pr - (0.5 + 1.0 / 3.0)).abs() < 1e-12, "{area:?}");
    }

    #[test]
    fn equal_scores_are_found_together() {
        let area = labelled(&[0.5, 0.5, 0.5, 0.5], 1..=1).area().unwrap();
        assert!((area.auc_pr - 0.25).abs() < 1e-12, "{area:?}");
    }

    #[test]
    fn a_perfect_detector_has_the_whole_area_and_no_fault_has_none() {
        let area = labelled(&[0.1, 0.1, 0.9, 0.9, 0.1], 2..=3).area().unwrap();
        assert!((area.auc_pr - 1.0).abs() < 1e-12, "{area:?}");
        let calm = Labelled { interval: 60.0, samples: Vec::new(), windows: Vec::new() };
        assert_eq!(calm.area(), None);
    }

    #[test]
    fn a_buffer_of_two_samples_counts_the_neighbours_by_the_root_of_a_half() {
        // Labels 0, sqrt(1/2), 1, sqrt(1/2), 0; full recall is 1 + 2 sqrt(1/2) / 2. An early cry at the sample before the
        // fault: 0.7071 of 1 at a recall of 0.7071 / 1.7071; then the fault itself: (1 + 0.7071) / 2 at full recall.
        let early = labelled(&[0.1, 0.9, 0.8, 0.1, 0.1], 2..=2);
        let hard: Vec<f64> = early.labels().map(|(_, fault)| f64::from(u8::from(fault))).collect();
        let root = 0.5_f64.sqrt();
        let first = root / (1.0 + root);
        let expected = first * root + (1.0 - first) * f64::midpoint(1.0, root);
        assert!((early.buffered(&hard, 2) - expected).abs() < 1e-12, "{} {expected}", early.buffered(&hard, 2));
        // Without a buffer the early cry is wrong: half of the precision at the fault.
        assert!((early.buffered(&hard, 0) - 0.5).abs() < 1e-12);
    }

    #[test]
    fn recall_is_worth_the_share_of_faults_that_were_met() {
        let mut two = labelled(&[0.9, 0.1, 0.1, 0.2], 0..=0);
        two.windows.push(Window { pod: 0, first: 180.0, last: 180.0 });
        two.samples.iter_mut().filter(|sample| sample.at > 170.0).for_each(|sample| sample.window = Some(1));
        let hard: Vec<f64> = two.labels().map(|(_, fault)| f64::from(u8::from(fault))).collect();
        // At 0.9: recall 1/2, of one fault in two: 1/4 at precision 1. At 0.2: both, precision 1.
        assert!((two.buffered(&hard, 0) - 1.0).abs() < 1e-12);
        let mut missed = labelled(&[0.9, 0.1, 0.1, 0.1], 0..=0);
        missed.windows.push(Window { pod: 0, first: 180.0, last: 180.0 });
        missed.samples.iter_mut().filter(|sample| sample.at > 170.0).for_each(|sample| sample.window = Some(1));
        let hard: Vec<f64> = missed.labels().map(|(_, fault)| f64::from(u8::from(fault))).collect();
        // 1/4 at precision 1; the rest with everything else, at 2/4.
        assert!((missed.buffered(&hard, 0) - (0.25 + 0.75 * 0.5)).abs() < 1e-12);
    }
}
