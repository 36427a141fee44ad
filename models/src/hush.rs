//! Traffic that was steady and has all but stopped, or fallen to little together with the CPU it took: the network takes
//! silence for rest, which it mostly is, but not in a pod that never rests.

use serde::{Deserialize, Serialize};

use crate::features::{CPU, SIGNALS};

/// Received and sent.
const TRAFFIC: std::ops::Range<usize> = 2..SIGNALS;
/// Under this share of the least that is expected it has all but stopped.
const LEFT: f64 = 0.05;
/// Under this share of the middle of what is expected, CPU and traffic in both directions at once, it has fallen to little.
const LITTLE: f64 = 0.3;
/// Steady is what stays within this factor from the least to the most that is expected ...
const STEADY: f64 = 3.0;
/// ... or within this one, where all three fall. CPU may be as it likes: it follows traffic, at a distance.
const STEADY_ENOUGH: f64 = 6.0;
/// ... and is worth to be called traffic, in bytes a second.
const LEAST: f64 = 1000.0;
/// So long it must last until it is believed in full, in seconds; less is a pause.
const LASTING: f64 = 40.0;
/// How far it is believed then.
const BELIEVED: f64 = 0.85;

/// Since when a pod's traffic has all but stopped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Hush {
    since: Option<f64>,
}

impl Hush {
    /// Takes a sample measured at `at` (Unix seconds) with what was expected of it, both in raw units, and gives the
    /// probability that it is wrong, 0 to 0.85.
    pub(crate) fn step(
        &mut self,
        at: f64,
        values: &[Option<f64>; SIGNALS],
        expected: &[Option<(f64, f64)>; SIGNALS],
    ) -> f64 {
        let known = |signal: usize| values[signal].zip(expected[signal]);
        let is_steady = |(low, high): (f64, f64), within: f64| low >= LEAST && high <= within * low;
        let has_stopped =
            |signal| known(signal).is_some_and(|(value, range)| is_steady(range, STEADY) && value < LEFT * range.0);
        let is_little = |signal| known(signal).is_some_and(|(value, (low, high))| value < LITTLE * (low * high).sqrt());
        let is_steady_enough = |signal: usize| expected[signal].is_some_and(|range| is_steady(range, STEADY_ENOUGH));
        let has_fallen =
            is_little(CPU) && TRAFFIC.into_iter().all(|signal| is_little(signal) && is_steady_enough(signal));
        if !has_fallen && !TRAFFIC.into_iter().any(has_stopped) {
            self.since = None;
            return 0.0;
        }
        let since = *self.since.get_or_insert(at);
        BELIEVED * ((at - since) / LASTING).clamp(0.0, 1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXPECTED: [Option<(f64, f64)>; SIGNALS] = [None, None, Some((10.0, 200.0)), Some((48e3, 84e3))];

    /// What is believed of it, in hundredths.
    fn of(hush: &mut Hush, at: f64, sent: f64) -> i64 {
        (100.0 * hush.step(at, &[None, None, Some(90.0), Some(sent)], &EXPECTED)).round() as i64
    }

    #[test]
    fn a_pause_is_no_silence_and_silence_is_believed_after_a_while() {
        let mut hush = Hush::default();
        assert_eq!(of(&mut hush, 0.0, 60e3), 0);
        assert_eq!(of(&mut hush, 10.0, 450.0), 0);
        assert_eq!(of(&mut hush, 20.0, 60e3), 0);
        assert_eq!(of(&mut hush, 30.0, 450.0), 0);
        assert_eq!(of(&mut hush, 50.0, 450.0), 43);
        assert_eq!(of(&mut hush, 90.0, 450.0), 85);
        assert_eq!(of(&mut hush, 100.0, 50e3), 0);
    }

    #[test]
    fn what_comes_and_goes_or_is_hardly_anything_may_stop() {
        for range in [(3e3, 84e3), (200.0, 900.0)] {
            let mut hush = Hush::default();
            let mut expected = EXPECTED;
            expected[3] = Some(range);
            for at in [0.0, 60.0, 120.0] {
                assert!(hush.step(at, &[None, None, Some(90.0), Some(0.0)], &expected) <= 0.0, "{range:?}");
            }
        }
    }

    #[test]
    fn what_falls_to_little_as_a_whole_is_believed_and_a_part_of_it_is_not() {
        let expected = [Some((2e-3, 60e-3)), None, Some((2.5e3, 10e3)), Some((36e3, 160e3))];
        let lasts = |values: [f64; 3]| {
            let [cpu, received, sent] = values.map(Some);
            let mut hush = Hush::default();
            let step = |at| (100.0 * hush.step(at, &[cpu, None, received, sent], &expected)).round() as i64;
            [0.0, 20.0, 40.0].map(step)
        };
        assert_eq!(lasts([2e-3, 1e3, 10e3]), [0, 43, 85]);
        for part in [[10e-3, 1e3, 10e3], [2e-3, 4e3, 10e3], [2e-3, 1e3, 60e3]] {
            assert_eq!(lasts(part), [0; 3], "{part:?}");
        }
    }

    #[test]
    fn what_is_not_measured_is_not_silent() {
        let mut hush = Hush::default();
        for at in [0.0, 60.0, 120.0] {
            assert!(hush.step(at, &[None; SIGNALS], &EXPECTED) <= 0.0);
        }
    }
}
