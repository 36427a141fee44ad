//! Scores against labels: which faults were found, how soon, and how often the detector cried without a reason.

use std::ops::Range;

use guard_model::alert::Alert;
use jiff::Timestamp;

use crate::day::{Day, Fault, Test};
use crate::record::{FalseAlert, Found, Outcome};
use crate::scores::PodScores;

/// Alerts of one pod: whether it is under alert after each sample. All detectors have the hysteresis of the product.
fn alerts(scores: &[(f64, f64)], line: f64) -> impl Iterator<Item = (f64, bool)> {
    let mut alert = Alert::default();
    scores.iter().map(move |&(at, score)| {
        let time = Timestamp::from_second(at as i64).unwrap_or(Timestamp::UNIX_EPOCH);
        alert.step(time, Some(score), line, &[]);
        (at, alert.since().is_some())
    })
}

/// A score stands for the time since the one before of its pod, but not for longer than this many samples: so the same pods have the
/// same calm time whichever detector is asked, and however often it is.
const LONGEST: f64 = 4.0;

/// Alerts that rise in calm time, seconds under alert in it, and its length, over all pods.
pub(crate) fn calm(day: &Day, scores: &[PodScores], calm: &[Range<f64>], line: f64) -> (Vec<FalseAlert>, f64, f64) {
    let (mut risen, mut over_time, mut time) = (Vec::new(), 0.0, 0.0);
    for (pod, name) in scores.iter().zip(&day.pods) {
        let (mut before, mut last) = (false, None);
        for (at, over) in alerts(pod, line) {
            let samples = last.replace(at).map_or(1.0, |last| ((at - last) / day.interval).round().clamp(1.0, LONGEST));
            if calm.iter().any(|span| span.contains(&at)) {
                time += samples * day.interval;
                over_time += if over { samples * day.interval } else { 0.0 };
                if over && !before {
                    let unlabelled = day.doubtful(name, at);
                    risen.push(FalseAlert { pod: name.clone(), at, told: String::new(), unlabelled });
                }
            }
            before = over;
        }
    }
    (risen, over_time, time)
}

/// Everything there is to say of a detector at this line.
pub(crate) fn judge(test: &Test, scores: &[PodScores], detector: &str, line: f64) -> Outcome {
    let (false_alerts, false_seconds, calm_seconds) = calm(test.day, scores, &test.calm, line);
    let faults = test.faults.iter().map(|fault| found(test.day, scores, fault, line)).collect();
    Outcome {
        detector: detector.to_owned(),
        line,
        faults,
        false_alerts,
        false_seconds,
        calm_seconds,
        area: None,
        area_without: None,
    }
}

/// A fault counts as found if its pod is under alert in its window.
fn found(day: &Day, scores: &[PodScores], fault: &Fault, line: f64) -> Found {
    let window = |at: f64| fault.window(day.interval, at);
    let highest =
        |pod: &[(f64, f64)]| pod.iter().filter(|s| window(s.0)).map(|s| s.1).fold(f64::NEG_INFINITY, f64::max);
    let victim = day.pods.iter().position(|pod| *pod == fault.pod);
    let own = victim.map_or(f64::NEG_INFINITY, |pod| highest(&scores[pod]));
    let after = victim.and_then(|pod| {
        let over = alerts(&scores[pod], line).find(|&(at, over)| over && window(at));
        over.map(|(at, _)| at - fault.start)
    });
    let overlap = |other: &Fault| other.start < fault.end && other.end > fault.start;
    let at_fault = |pod: &str| pod == fault.pod || day.faults.iter().any(|other| other.pod == pod && overlap(other));
    let innocent = scores.iter().zip(&day.pods).filter(|(_, pod)| !at_fault(pod));
    let rank = 1 + innocent.filter(|(scores, _)| highest(scores) >= own).count();
    Found { kind: fault.kind.clone(), pod: fault.pod.clone(), start: fault.start, after, rank }
}

/// A day, its scores and when it was calm.
type Calm<'a> = (&'a Day, &'a [PodScores], Vec<Range<f64>>);

/// The lowest line at which a detector cries at most `budget` times a pod-day in this calm time.
pub(crate) fn line_for(day: &[Calm], budget: f64) -> f64 {
    const STEPS: i32 = 60;
    let in_calm = |at: f64, calm: &[Range<f64>]| calm.iter().any(|span| span.contains(&at));
    let pods = day.iter().flat_map(|(_, scores, calm)| scores.iter().flatten().map(move |sample| (sample, calm)));
    let mut seen: Vec<f64> =
        pods.filter(|(sample, calm)| in_calm(sample.0, calm)).map(|(sample, _)| sample.1).collect();
    seen.sort_by(|a, b| b.total_cmp(a));
    let Some(&highest) = seen.first() else { return f64::INFINITY };
    let mut line = highest * 1.001;
    for step in 0..=STEPS {
        // From the one highest score down to a third of all, evenly in the logarithm.
        let place = ((seen.len() as f64 / 3.0).powf(f64::from(step) / f64::from(STEPS)) - 1.0) as usize;
        let lower = seen[place];
        let mut total = (0, 0.0);
        for (day, scores, spans) in day {
            let (risen, _, seconds) = calm(day, scores, spans, lower);
            total = (total.0 + risen.len(), total.1 + seconds);
        }
        if lower <= 0.0 || total.0 as f64 > budget * total.1 / 86_400.0 {
            break;
        }
        line = lower;
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn minutes(scores: &[f64]) -> Vec<(f64, f64)> {
        scores.iter().enumerate().map(|(i, score)| (60.0 * i as f64, *score)).collect()
    }

    fn fault(start: f64, end: f64) -> Fault {
        Fault { start, end, pod: "pod-0".to_owned(), kind: "made".to_owned() }
    }

    #[test]
    fn a_fault_is_found_in_its_window_and_not_after() {
        let scores = vec![minutes(&[0.0, 0.0, 0.1, 0.9, 0.0, 0.0]), minutes(&[0.0, 0.0, 0.95, 0.0, 0.0, 0.0])];
        let day = Day::made(&["pod-0", "pod-1"]);
        let seen = found(&day, &scores, &fault(65.0, 150.0), 0.7);
        assert_eq!((seen.after, seen.rank), (Some(115.0), 2));
        let other = Fault { pod: "pod-1".to_owned(), ..fault(65.0, 150.0) };
        let both = Day { faults: vec![other], ..Day::made(&["pod-0", "pod-1"]) };
        assert_eq!(found(&both, &scores, &fault(65.0, 150.0), 0.7).rank, 1, "the other one is at fault, too");
        assert_eq!(found(&day, &scores, &fault(5.0, 65.0), 0.7).after, None);
    }

    #[test]
    fn a_pod_that_ties_with_all_is_last() {
        let scores = vec![minutes(&[0.0; 4]), minutes(&[0.0; 4]), minutes(&[0.0; 4])];
        assert_eq!(found(&Day::made(&["pod-0", "pod-1", "pod-2"]), &scores, &fault(0.0, 120.0), 0.7).rank, 3);
    }

    #[test]
    fn false_alerts_are_rises_in_calm_time() {
        let scores = vec![minutes(&[0.9, 0.9, 0.0, 0.0, 0.9, 0.0, 0.9, 0.0])];
        let spans = vec![60.0..600.0];
        // Under alert from the start: no rise in calm time. The next two peaks are one incident.
        let (risen, over, seconds) = calm(&Day::made(&["pod-0"]), &scores, &spans, 0.7);
        assert_eq!((risen.len(), over, seconds), (1, 360.0, 420.0));
    }

    #[test]
    fn calm_time_is_that_of_the_pod_however_often_it_is_scored() {
        let each = minutes(&[0.0; 13]);
        let third: Vec<(f64, f64)> = each.iter().step_by(3).copied().collect();
        let of = |scores| calm(&Day::made(&["pod-0"]), &[scores], &[0.0..1e4], 0.7).2;
        assert!((of(each) - of(third)).abs() < 1e-9);
    }

    #[test]
    fn the_line_keeps_to_its_budget() {
        let scores = vec![minutes(&(0..1440).map(|i| f64::from(i % 97) / 97.0).collect::<Vec<_>>())];
        let (day, spans) = (Day::made(&["pod-0"]), vec![0.0..86_400.0]);
        let line = line_for(&[(&day, &scores, spans.clone())], 0.5);
        assert!(calm(&day, &scores, &spans, line).0.is_empty() && line > 0.9, "{line}");
    }
}
