//! What comes back at equal intervals - a nightly backup, a cache rebuilt each hour - is no news of a pod, as long as it is
//! no worse and no longer than it was before.
//!
//! Excursions are recorded whether or not they were excused; only load is ever excused by them, never what Kubernetes
//! itself states (a crash, an OOM kill, a pod that is not ready).

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::features::SIGNALS;

/// Excursions remembered of a pod.
const KEPT: usize = 16;
/// An excursion that goes on within this time of its end is the same one.
const PAUSE_SECONDS: f64 = 90.0;
/// What comes back sooner than this has no rhythm that samples of a minute could show.
const LEAST_PERIOD_SECONDS: f64 = 240.0;
/// Two starts are one period apart if they miss it by no more than this share of it, within these bounds.
const TOLERANCE: f64 = 0.05;
const TOLERANCE_SECONDS: (f64, f64) = (45.0, 900.0);
/// Earlier excursions that make a rhythm; of one that takes about a day or longer, two do.
const TIMES: usize = 3;
const TIMES_DAILY: usize = 2;
const DAILY_SECONDS: f64 = 72_000.0;
/// No worse than before: a signal may be this much higher or lower than it ever was in the rhythm. Memory has a limit
/// that kills, so it is held closer.
const WORSE: [f64; SIGNALS] = [1.5, 1.1, 1.5, 1.5];
/// What is next to nothing in each signal's own unit, so that a ratio of two trifles says nothing.
const TRIFLE: [f64; SIGNALS] = [0.01, 4.0 * 1_048_576.0, 1024.0, 1024.0];
/// No longer than before: this many times, and this much more.
const LONGER: f64 = 1.5;
const LONGER_SECONDS: f64 = 60.0;

/// A time in which a pod was unlike itself.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Excursion {
    /// Unix seconds of its first and its last sample.
    start: f64,
    end: f64,
    /// Highest and lowest value of each signal; `None` was never measured.
    range: [Option<(f32, f32)>; SIGNALS],
}

impl Excursion {
    fn begin(at: f64) -> Self {
        Self { start: at, end: at, range: [None; SIGNALS] }
    }

    fn extend(&mut self, at: f64, values: &[Option<f64>; SIGNALS]) {
        self.end = self.end.max(at);
        for (range, value) in self.range.iter_mut().zip(values) {
            let Some(value) = value.map(|v| v as f32) else { continue };
            let (high, low) = range.unwrap_or((value, value));
            *range = Some((high.max(value), low.min(value)));
        }
    }

    fn seconds(&self) -> f64 {
        self.end - self.start
    }
}

/// The last excursions of a pod or of its workload, the oldest first.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Recurrence {
    past: VecDeque<Excursion>,
}

impl Recurrence {
    /// Takes a sample in which the pod is unlike itself, with its raw values, at `at` (Unix seconds). Gives the period
    /// in seconds if this is what comes back at equal intervals, no worse than it ever did.
    pub(crate) fn excursion(&mut self, at: f64, values: &[Option<f64>; SIGNALS]) -> Option<f64> {
        if self.past.back().is_none_or(|last| !(0.0..=PAUSE_SECONDS).contains(&(at - last.end))) {
            // A clock that was set back makes the past meaningless.
            self.past.retain(|one| one.end < at);
            if self.past.len() == KEPT {
                self.past.pop_front();
            }
            self.past.push_back(Excursion::begin(at));
        }
        let now = self.past.back_mut()?;
        now.extend(at, values);
        let now = *now;
        let (period, before) = self.rhythm(now.start)?;
        no_worse(&now, &before).then_some(period)
    }

    /// Makes restored state safe to go on with.
    pub(crate) fn fit(&mut self) {
        self.past.retain(|one| one.start.is_finite() && one.end.is_finite());
        self.past.truncate(KEPT);
    }

    /// The period at which excursions came back until the one that starts at `start`, the shortest there is, and those
    /// that did.
    fn rhythm(&self, start: f64) -> Option<(f64, Vec<Excursion>)> {
        let earlier: Vec<&Excursion> = self.past.iter().rev().filter(|one| one.start < start).collect();
        let periods = earlier.iter().map(|one| start - one.start).filter(|&period| period >= LEAST_PERIOD_SECONDS);
        periods.into_iter().find_map(|period| {
            let times = if period < DAILY_SECONDS { TIMES } else { TIMES_DAILY };
            let tolerance = (TOLERANCE * period).clamp(TOLERANCE_SECONDS.0, TOLERANCE_SECONDS.1);
            let on_the_beat = |beat: usize| {
                let due = start - beat as f64 * period;
                earlier.iter().copied().find(|one| (one.start - due).abs() <= tolerance).copied()
            };
            let found: Vec<Excursion> = (1..=KEPT).map_while(on_the_beat).collect();
            // A pod that is unlike itself all the time fits every beat.
            let first = found.last()?.start;
            let between = earlier.iter().filter(|one| one.start >= first).count() - found.len();
            (found.len() >= times && between <= found.len()).then_some((period, found))
        })
    }
}

fn no_worse(now: &Excursion, before: &[Excursion]) -> bool {
    let longest = before.iter().map(Excursion::seconds).fold(0.0, f64::max);
    if now.seconds() > LONGER * longest + LONGER_SECONDS {
        return false;
    }
    (0..SIGNALS).all(|signal| {
        let Some((high, low)) = now.range[signal] else { return true };
        let known = || before.iter().filter_map(|one| one.range[signal]);
        let highest = known().map(|(high, _)| high).reduce(f32::max);
        let lowest = known().map(|(_, low)| low).reduce(f32::min);
        let size = |value: f32| f64::from(value) + TRIFLE[signal];
        let (Some(highest), Some(lowest)) = (highest, lowest) else { return false };
        size(high) <= WORSE[signal] * size(highest) && size(lowest) <= WORSE[signal] * size(low)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HOUR: f64 = 3600.0;
    const DAY: f64 = 24.0 * HOUR;
    const NOW: f64 = 1.795e9;

    fn values(cpu: f64) -> [Option<f64>; SIGNALS] {
        [Some(cpu), Some(2e8), None, Some(1e5)]
    }

    /// An excursion of `seconds` in steps of 15 s; what its last sample gave.
    fn excursion(past: &mut Recurrence, start: f64, seconds: f64, cpu: f64) -> Option<f64> {
        let steps = (seconds / 15.0) as usize;
        (0..=steps).map(|i| past.excursion(start + 15.0 * i as f64, &values(cpu))).last().flatten()
    }

    fn hourly(times: u32) -> Recurrence {
        let mut past = Recurrence::default();
        (0..times).for_each(|hour| {
            excursion(&mut past, NOW + HOUR * f64::from(hour), 300.0, 1.0);
        });
        past
    }

    #[test]
    fn what_came_each_hour_is_excused_from_the_fourth_time_on() {
        assert_eq!(excursion(&mut hourly(2), NOW + 2.0 * HOUR, 300.0, 1.0), None);
        let period = excursion(&mut hourly(3), NOW + 3.0 * HOUR, 300.0, 1.0);
        assert!(period.is_some_and(|p| (p - HOUR).abs() < 1.0), "{period:?}");
    }

    #[test]
    fn what_came_two_nights_is_excused_in_the_third() {
        let mut past = Recurrence::default();
        assert_eq!(excursion(&mut past, NOW, 1200.0, 1.0), None);
        assert_eq!(excursion(&mut past, NOW + DAY + 120.0, 1200.0, 1.0), None);
        assert!(excursion(&mut past, NOW + 2.0 * DAY - 60.0, 1200.0, 1.0).is_some());
    }

    #[test]
    fn what_comes_at_another_time_is_news() {
        assert_eq!(excursion(&mut hourly(5), NOW + 4.5 * HOUR, 300.0, 1.0), None);
    }

    #[test]
    fn what_is_worse_or_longer_than_ever_is_news() {
        assert_eq!(excursion(&mut hourly(5), NOW + 5.0 * HOUR, 300.0, 1.6), None);
        assert_eq!(excursion(&mut hourly(5), NOW + 5.0 * HOUR, 525.0, 1.0), None);
        assert!(excursion(&mut hourly(5), NOW + 5.0 * HOUR, 495.0, 1.2).is_some());
    }

    #[test]
    fn silence_where_there_was_load_is_news_too() {
        assert_eq!(excursion(&mut hourly(5), NOW + 5.0 * HOUR, 300.0, 0.0), None);
    }

    #[test]
    fn a_pod_that_is_unlike_itself_all_the_time_has_no_rhythm() {
        let mut past = Recurrence::default();
        let mut excused = 0;
        let mut at = NOW;
        for i in 0..60_u32 {
            at += 150.0 + f64::from(i * 37 % 23) * 40.0;
            excused += u32::from(excursion(&mut past, at, 30.0, 1.0).is_some());
        }
        assert!(excused <= 6, "{excused} of 60");
    }

    #[test]
    fn a_second_rhythm_beside_it_does_not_hide_the_first() {
        let mut past = Recurrence::default();
        for hour in 0..5 {
            excursion(&mut past, NOW + HOUR * f64::from(hour), 300.0, 1.0);
            excursion(&mut past, NOW + HOUR * f64::from(hour) + 1500.0, 60.0, 0.5);
        }
        assert!(excursion(&mut past, NOW + 5.0 * HOUR, 300.0, 1.0).is_some());
    }

    #[test]
    fn a_clock_set_back_forgets_what_lies_ahead() {
        let mut past = hourly(5);
        assert_eq!(excursion(&mut past, NOW - DAY, 300.0, 1.0), None);
        assert_eq!(past.past.len(), 1);
    }

    proptest! {
        #[test]
        fn memory_is_bounded_and_the_first_times_are_never_excused(
            steps in prop::collection::vec((0.0..8000.0_f64, prop::option::of(0.0..1e9_f64)), 0..200),
        ) {
            let (mut past, mut at) = (Recurrence::default(), NOW);
            for (i, (dt, value)) in steps.into_iter().enumerate() {
                at += dt;
                let period = past.excursion(at, &[value; SIGNALS]);
                prop_assert!(past.past.len() <= KEPT);
                prop_assert!(period.is_none_or(|p| i >= TIMES_DAILY && p >= LEAST_PERIOD_SECONDS));
            }
        }
    }
}
