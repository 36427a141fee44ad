//! Traffic that was steady and has all but stopped: the network takes silence for rest, which it mostly is, but not in a pod
//! that never rests.

use serde::{Deserialize, Serialize};

use crate::features::SIGNALS;

/// Received and sent.
const TRAFFIC: std::ops::Range<usize> = 2..SIGNALS;
/// Under this share of the least that is expected it has all but stopped.
const LEFT: f64 = 0.05;
/// Steady is what stays within this factor from the least to the most that is expected ...
const STEADY: f64 = 3.0;
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
        let stopped = |signal: usize| match (values[signal], expected[signal]) {
            (Some(value), Some((low, high))) => low >= LEAST && high <= STEADY * low && value < LEFT * low,
            _ => false,
        };
        if !TRAFFIC.into_iter().any(stopped) {
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
    fn what_is_not_measured_is_not_silent() {
        let mut hush = Hush::default();
        for at in [0.0, 60.0, 120.0] {
            assert!(hush.step(at, &[None; SIGNALS], &EXPECTED) <= 0.0);
        }
    }
}
