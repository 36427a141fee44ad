//! Disk traffic against the pod's own past. The network does not see it: the kubelet's summary has none, and cadvisor,
//! which has, is read once a minute.
//!
//! A rate is looked at as `asinh(rate / UNIT)`: like a logarithm far above the unit, and next to nothing below it. Writes come
//! in bursts (a log that is flushed, tables that are merged), so one reading says nothing yet: the next has to confirm it.

use serde::{Deserialize, Serialize};

use crate::explain::{self, DISK};
use crate::features::{self, LEARNING, Rates, Running};
use crate::robust;

/// In bytes a second.
const UNIT: f64 = 100e3;
/// A disk that takes less is no matter, in bytes a second.
const LEAST: f64 = 1e6;
/// Scale before anything is known, and the least: a factor of 1.6 and of 1.3, far above the unit.
const PRIOR_SCALE: f64 = 0.5;
const SCALE_FLOOR: f64 = 0.25;
/// A reading this improbable is part of what may last.
const SUSPICIOUS: f64 = 0.3;
/// From the first such reading to one that is believed in full, in seconds: cadvisor's next, which may come early.
const LASTING: f64 = 45.0;

/// What has been learnt of one pod's disk traffic.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Disk {
    running: Running,
    /// Seconds watched.
    age: f64,
    last: Option<f64>,
    /// The last rate, in bytes a second.
    pub(crate) rate: Option<f64>,
    /// What nine of ten readings show, before this one; in bytes a second.
    pub(crate) expected: Option<(f64, f64)>,
    probability: f64,
    /// When the first and the last reading came that were suspicious, without a calm one since.
    suspicious: Option<(f64, f64)>,
}

impl Default for Disk {
    fn default() -> Self {
        let running = Running::new(PRIOR_SCALE);
        Self { running, age: 0.0, last: None, rate: None, expected: None, probability: 0.0, suspicious: None }
    }
}

impl Disk {
    /// Takes the rate known at `at` (Unix seconds), in bytes a second. A reading holds until the next: the same figure, to
    /// the last bit, confirms nothing.
    pub(crate) fn step(&mut self, at: f64, rate: Option<f64>) {
        let rate = rate.filter(|rate| rate.is_finite() && *rate >= 0.0);
        let is_new = std::mem::replace(&mut self.rate, rate) != rate;
        let Some(rate) = rate else {
            (self.probability, self.suspicious) = (0.0, None);
            return;
        };
        let interval = features::interval(self.last.map(|last| at - last));
        self.last = Some(at);
        let raw = |scaled: f64| (UNIT * scaled.sinh()).max(0.0);
        self.expected = self.running.range().map(|(low, high)| (raw(low), raw(high)));
        let residual = self.running.residual((rate / UNIT).asinh());
        self.running.learn(residual, &Rates::after(interval, self.age), SCALE_FLOOR);
        self.age += interval;
        self.probability = if rate < LEAST { 0.0 } else { robust::probability(residual.max(0.0)) };
        self.suspicious = match self.suspicious {
            _ if self.probability < SUSPICIOUS => None,
            Some((first, last)) => Some((first, if is_new { at } else { last })),
            None => Some((at, at)),
        };
    }

    /// The probability, 0 to 1, that it is wrong, as far as it is believed; `None` while it is learnt or not measured.
    pub(crate) fn suspicion(&self) -> Option<f64> {
        self.rate.filter(|_| self.running.samples() > f64::from(LEARNING))?;
        let lasted = self.suspicious.map_or(0.0, |(first, last)| last - first);
        Some(self.probability * (lasted / LASTING).clamp(0.0, 1.0))
    }

    /// What a new pod of the same workload starts from.
    pub(crate) fn inherited(&self) -> Disk {
        Disk { last: None, rate: None, probability: 0.0, suspicious: None, ..self.clone() }
    }

    /// It in words: `disk 20 MiB/s, expected 0 B/s to 180 KiB/s`.
    pub(crate) fn text(&self) -> String {
        explain::text(DISK, self.rate.unwrap_or(0.0), self.expected)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A tick each 10 s, with readings (bytes a second) that each hold for six of them; the suspicion after each reading.
    fn fed(readings: &[f64]) -> (Disk, Vec<f64>) {
        let mut disk = Disk::default();
        let mut said = Vec::new();
        for (minute, rate) in readings.iter().enumerate() {
            let most = (0..6).map(|tick| {
                disk.step((60 * minute + 10 * tick) as f64, Some(*rate));
                disk.suspicion().unwrap_or(-1.0)
            });
            said.push(most.fold(-1.0, f64::max));
        }
        (disk, said)
    }

    /// Twenty minutes of hardly anything, then `then`.
    fn quiet_then(then: &[f64]) -> Vec<f64> {
        let quiet = (0..20).map(|minute| f64::from(minute % 3) * 4e3);
        fed(&quiet.chain(then.iter().copied()).collect::<Vec<_>>()).1.split_off(20)
    }

    #[test]
    fn the_second_reading_confirms_the_first_however_often_that_is_seen() {
        let said = quiet_then(&[9e6, 20e6, 21e6, 3e3]);
        assert!(said[0] <= 0.0 && said[1] > 0.9 && said[2] > 0.9 && said[3] <= 0.0, "{said:?}");
    }

    #[test]
    fn a_burst_is_no_load_and_neither_is_little() {
        for then in [[50e6, 0.0, 50e6, 0.0], [300e3, 310e3, 305e3, 308e3]] {
            assert!(quiet_then(&then).iter().all(|said| *said <= 0.0), "{then:?}");
        }
    }

    #[test]
    fn who_always_writes_may_write() {
        let busy: Vec<f64> = (0..60).map(|minute| 20e6 * (1.0 + f64::from(minute * 7 % 5) / 3.0)).collect();
        let (_, said) = fed(&busy);
        assert!(said.iter().all(|said| *said < 0.1), "{said:?}");
        let bursts: Vec<f64> = (0..60).map(|minute| if minute % 3 == 0 { 30e6 } else { 50e3 }).collect();
        let lasting = bursts.into_iter().chain([30e6; 4]).collect::<Vec<_>>();
        assert!(fed(&lasting).1.iter().all(|said| *said < 0.7));
    }

    #[test]
    fn it_says_nothing_while_it_is_learnt_or_not_measured() {
        let (mut disk, said) = fed(&[0.0, 0.0, 20e6]);
        assert!(said.iter().all(|said| *said < 0.0), "{said:?}");
        (0..60).for_each(|tick| disk.step(200.0 + 10.0 * f64::from(tick), Some(0.0)));
        assert_eq!(disk.suspicion(), Some(0.0));
        disk.step(900.0, None);
        assert_eq!(disk.suspicion(), None);
    }

    #[test]
    fn words_give_seen_and_expected() {
        let (disk, _) = fed(&[0.0; 20]);
        let hit = Disk { rate: Some(20e6), ..disk };
        assert_eq!(hit.text(), "disk 19 MiB/s, expected 0 B/s to 61 KiB/s");
    }

    proptest! {
        #[test]
        fn suspicion_is_a_probability_whatever_is_measured(
            values in prop::collection::vec((any::<f64>(), prop::option::of(any::<f64>())), 1..80),
        ) {
            let mut disk = Disk::default();
            for (at, rate) in values {
                disk.step(at, rate);
                prop_assert!(disk.suspicion().is_none_or(|p| (0.0..=1.0).contains(&p)));
                prop_assert!(disk.expected.is_none_or(|(low, high)| low <= high && low >= 0.0));
            }
        }
    }
}
