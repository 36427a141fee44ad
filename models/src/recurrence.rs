//! What comes back at equal intervals - a nightly backup, a cache rebuilt each hour - is no news of a pod, as long as it is
//! no worse and no longer than it was before.
//!
//! Excursions are recorded whether or not they were excused, and well before they are worth an alert: a job that was a
//! little under the line twice and over it the third time has come three times. Only load is ever excused by them, never what
//! Kubernetes itself states (a crash, an OOM kill, a pod that is not ready).

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};

use crate::features::{CPU, SIGNALS};

/// Excursions remembered of a pod: the last few whatever they were, and of those before them the longest.
const KEPT: usize = 16;
const LAST: usize = 8;
/// So long an excursion is remembered: a week, and a day to meet it again.
const KEPT_SECONDS: f64 = 8.0 * 86_400.0;
/// An excursion that goes on within this time of its end is the same one: at intervals of a minute, after one calm sample.
const PAUSE_SECONDS: f64 = 150.0;
/// What comes back sooner than this has no rhythm that samples of a minute could show.
const LEAST_PERIOD_SECONDS: f64 = 240.0;
/// Two starts are one period apart if they miss it by no more than this share of it, within these bounds.
const TOLERANCE: f64 = 0.05;
const TOLERANCE_SECONDS: (f64, f64) = (45.0, 900.0);
/// Earlier excursions that make a rhythm; of one that takes about a day or longer, two do; and what was there at this time
/// of yesterday, or of this day a week ago, keeps a calendar: there one does.
const TIMES: usize = 3;
const TIMES_DAILY: usize = 2;
const DAILY_SECONDS: f64 = 72_000.0;
const CALENDAR_SECONDS: [f64; 2] = [86_400.0, 7.0 * 86_400.0];
/// No worse than before: a signal may be this much higher, and CPU this much lower, than it ever was in the rhythm. Memory has a limit
/// that kills, so it is held closer.
const WORSE: [f64; SIGNALS] = [1.5, 1.1, 1.5, 1.5];
/// What is next to nothing in each signal's own unit, so that a ratio of two trifles says nothing.
const TRIFLE: [f64; SIGNALS] = [0.01, 4.0 * 1_048_576.0, 1024.0, 1024.0];
/// No further from what is usual than before: disk traffic and the user's own metrics, this many times.
const FURTHER: f64 = 1.5;
/// No longer than before: this many times, and this much more.
const LONGER: f64 = 1.5;
const LONGER_SECONDS: f64 = 60.0;

/// The values of one sample; `None` was not measured.
type Reading = [Option<f32>; SIGNALS];

/// What is suspected beside the signals, disk traffic or a metric of the user's own: by name, its value and what is usual of it.
pub(crate) type Suspect = (String, f64, Option<(f64, f64)>);

/// A time in which a pod was unlike itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Excursion {
    /// Unix seconds of its first and its last sample.
    start: f64,
    end: f64,
    /// Highest and lowest value of each signal, as far as they are believed; `None` was not measured, or once only.
    range: [Option<(f32, f32)>; SIGNALS],
    /// How far what was suspected beside them was above what is usual of it, and below, at most: by name, in its own unit.
    #[serde(default)]
    beyond: BTreeMap<String, (f64, f64)>,
    /// How wide what is usual of it was, at most: of two values that lie closer neither is further.
    #[serde(default)]
    width: BTreeMap<String, f64>,
}

impl Excursion {
    fn begin(at: f64) -> Self {
        Self { start: at, end: at, range: [None; SIGNALS], beyond: BTreeMap::new(), width: BTreeMap::new() }
    }

    /// Takes a reading; `before` is the one before it in this excursion. High CPU is believed at once; all else jumps for a
    /// moment in any healthy pod, and counts as far as two readings in a row show it ([`crate::confirm`] does the same).
    fn extend(&mut self, at: f64, reading: &Reading, before: Option<&Reading>) {
        self.end = self.end.max(at);
        for (signal, range) in self.range.iter_mut().enumerate() {
            let Some(value) = reading[signal] else { continue };
            let before = before.and_then(|before| before[signal]);
            let (high, low) = match before {
                _ if signal == CPU => (value, value.max(before.unwrap_or(value))),
                Some(before) => (value.min(before), value.max(before)),
                None => continue,
            };
            let (highest, lowest) = range.unwrap_or((high, low));
            *range = Some((highest.max(high), lowest.min(low)));
        }
    }

    /// Takes what is suspected now: that was confirmed already.
    fn suspect(&mut self, suspects: &[Suspect]) {
        for (name, value, usual) in suspects {
            let (low, high) = usual.unwrap_or((0.0, 0.0));
            let (above, below) = self.beyond.entry(name.clone()).or_default();
            // What is saved must be a finite number.
            *above = above.max((value - high).min(f64::MAX));
            *below = below.max((low - value).min(f64::MAX));
            let width = self.width.entry(name.clone()).or_default();
            *width = width.max((high - low).min(f64::MAX));
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
    /// The last reading of the last of them.
    #[serde(default)]
    reading: Option<Reading>,
}

impl Recurrence {
    /// Takes a sample in which the pod is unlike itself, at `at` (Unix seconds), with its raw values and what is usual for
    /// each of them, and what is suspected beside them. Gives the period in seconds if this is what comes back at equal
    /// intervals, no worse than it ever did.
    pub(crate) fn excursion(
        &mut self,
        at: f64,
        values: &[Option<f64>; SIGNALS],
        usual: &[Option<(f64, f64)>; SIGNALS],
        suspects: &[Suspect],
    ) -> Option<f64> {
        let begins = self.past.back().is_none_or(|last| !(0.0..=PAUSE_SECONDS).contains(&(at - last.end)));
        if begins {
            // A clock that was set back makes the past meaningless.
            self.past.retain(|one| one.end < at && at - one.end < KEPT_SECONDS);
            self.make_room();
            self.past.push_back(Excursion::begin(at));
            self.reading = None;
        }
        let now = self.past.back_mut()?;
        // The same reading once more confirms nothing.
        if begins || at > now.end {
            let reading = values.map(|value| value.map(|v| v as f32));
            let before = self.reading.replace(reading);
            now.extend(at, &reading, before.as_ref());
        }
        now.suspect(suspects);
        let now = self.past.back()?;
        let (period, before) = self.rhythm(now.start)?;
        no_worse(now, &before, usual).then_some(period)
    }

    /// A blip gives way before the job of last night does.
    fn make_room(&mut self) {
        if self.past.len() < KEPT {
            return;
        }
        let old = self.past.iter().take(self.past.len() - LAST).enumerate();
        let shortest = old.min_by(|(_, a), (_, b)| a.seconds().total_cmp(&b.seconds())).map(|(i, _)| i);
        shortest.and_then(|i| self.past.remove(i));
    }

    /// Makes restored state safe to go on with.
    pub(crate) fn fit(&mut self) {
        self.past.retain(|one| one.start.is_finite() && one.end.is_finite());
        self.past.truncate(KEPT);
    }

    /// The period at which excursions came back until the one that starts at `start`, the shortest there is, and those
    /// that did.
    fn rhythm(&self, start: f64) -> Option<(f64, Vec<&Excursion>)> {
        let earlier: Vec<&Excursion> = self.past.iter().rev().filter(|one| one.start < start).collect();
        let periods = earlier.iter().map(|one| start - one.start).filter(|&period| period >= LEAST_PERIOD_SECONDS);
        periods.into_iter().find_map(|period| {
            let times = if calendar(period) {
                1
            } else if period < DAILY_SECONDS {
                TIMES
            } else {
                TIMES_DAILY
            };
            let tolerance = (TOLERANCE * period).clamp(TOLERANCE_SECONDS.0, TOLERANCE_SECONDS.1);
            let on_the_beat = |beat: usize| {
                let due = start - beat as f64 * period;
                let near = earlier.iter().copied().filter(|one| (one.start - due).abs() <= tolerance);
                near.max_by(|a, b| a.seconds().total_cmp(&b.seconds()))
            };
            let found: Vec<&Excursion> = (1..=KEPT).map_while(on_the_beat).collect();
            // A pod that is unlike itself all the time fits every beat; what is far shorter is something else.
            let first = found.last()?.start;
            let alike = 0.5 * found.iter().map(|one| one.seconds()).fold(f64::INFINITY, f64::min);
            let others = earlier.iter().filter(|one| one.start >= first && !found.contains(one));
            let between = others.filter(|one| one.seconds() >= alike).count();
            (found.len() >= times && between <= found.len()).then_some((period, found))
        })
    }
}

/// Whether a period is that of a clock on the wall.
fn calendar(period: f64) -> bool {
    CALENDAR_SECONDS.iter().any(|whole| (period - whole).abs() <= TOLERANCE_SECONDS.1)
}

/// No signal is higher than it may be by what it was in the rhythm, unless it is as usual: how many requests a pod has while its
/// job runs makes the job no worse, nor that there are none. A pod that does nothing at all shows it in its CPU. What is suspected
/// beside the signals must have been so in the rhythm, and have gone as far, or nearly.
fn no_worse(now: &Excursion, before: &[&Excursion], usual: &[Option<(f64, f64)>; SIGNALS]) -> bool {
    let longest = before.iter().map(|one| one.seconds()).fold(0.0, f64::max);
    if now.seconds() > LONGER * longest + LONGER_SECONDS {
        return false;
    }
    let no_further = |(name, beyond): (&String, &(f64, f64))| {
        let known = before.iter().filter_map(|one| one.beyond.get(name)).copied();
        let furthest = known.reduce(|most, one| (most.0.max(one.0), most.1.max(one.1)));
        let width = now.width.get(name).copied().unwrap_or_default();
        furthest.is_some_and(|(above, below)| {
            beyond.0 <= FURTHER * above.max(0.0) + width && beyond.1 <= FURTHER * below.max(0.0) + width
        })
    };
    if !now.beyond.iter().all(no_further) {
        return false;
    }
    (0..SIGNALS).all(|signal| {
        let Some((high, low)) = now.range[signal] else { return true };
        let known = || before.iter().filter_map(|one| one.range[signal]);
        let highest = known().map(|(high, _)| high).reduce(f32::max);
        let lowest = known().map(|(_, low)| low).reduce(f32::min);
        let size = |value: f32| f64::from(value) + TRIFLE[signal];
        let as_usual = |value: f32| usual[signal].is_some_and(|(low, high)| (low..=high).contains(&f64::from(value)));
        let no_higher = highest.is_some_and(|highest| size(high) <= WORSE[signal] * size(highest));
        let no_lower = signal != CPU || lowest.is_some_and(|lowest| size(lowest) <= WORSE[signal] * size(low));
        (no_higher || as_usual(high)) && (no_lower || as_usual(low))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HOUR: f64 = 3600.0;
    const DAY: f64 = 24.0 * HOUR;
    const NOW: f64 = 1.795e9;

    /// What is usual of the pod below, in which each signal but CPU stays where it is.
    const USUAL: [Option<(f64, f64)>; SIGNALS] = [Some((0.1, 0.3)), None, None, None];

    fn values(cpu: f64) -> [Option<f64>; SIGNALS] {
        [Some(cpu), Some(2e8), None, Some(1e5)]
    }

    /// An excursion of `seconds` in steps of 15 s; what its last sample gave.
    fn excursion(past: &mut Recurrence, start: f64, seconds: f64, cpu: f64) -> Option<f64> {
        let steps = (seconds / 15.0) as usize;
        (0..=steps).map(|i| past.excursion(start + 15.0 * i as f64, &values(cpu), &USUAL, &[])).last().flatten()
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
    fn what_came_last_night_or_a_week_ago_is_excused() {
        for period in CALENDAR_SECONDS {
            let mut past = Recurrence::default();
            assert_eq!(excursion(&mut past, NOW, 1200.0, 1.0), None);
            assert!(excursion(&mut past, NOW + period + 120.0, 1200.0, 1.0).is_some());
            assert_eq!(excursion(&mut past, NOW + 1.4 * period, 1200.0, 1.0), None, "another time");
        }
    }

    #[test]
    fn blips_do_not_drive_out_what_came_last_night() {
        let mut past = Recurrence::default();
        excursion(&mut past, NOW, 1200.0, 1.0);
        (1..23).for_each(|hour| {
            excursion(&mut past, NOW + 3400.0 * f64::from(hour), 15.0, 0.8);
        });
        assert!(excursion(&mut past, NOW + DAY, 1200.0, 1.0).is_some());
    }

    #[test]
    fn a_signal_that_is_as_usual_makes_a_job_no_worse() {
        let past = hourly(3);
        let at = NOW + 3.0 * HOUR;
        let busy = [Some(1.0), Some(2e8), None, Some(4e5)];
        let usual = [USUAL[0], USUAL[1], None, Some((5e4, 5e5))];
        let second = |usual| {
            let mut past = past.clone();
            [0.0, 15.0].map(|after| past.excursion(at + after, &busy, usual, &[]).is_some())
        };
        assert_eq!(second(&USUAL), [true, false], "one reading of traffic is none");
        assert_eq!(second(&usual), [true, true]);
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
    fn disk_traffic_and_ones_own_metrics_may_be_no_further_from_the_usual_than_before() {
        let at_hour = |past: &mut Recurrence, hour: u32, name: &str, value: f64| {
            let suspects = [(name.to_owned(), value, Some((8.0, 10.0)))];
            past.excursion(NOW + HOUR * f64::from(hour), &values(1.0), &USUAL, &suspects).is_some()
        };
        let mut past = Recurrence::default();
        assert!((0..3).all(|hour| !at_hour(&mut past, hour, "queue", 400.0)), "no rhythm yet");
        let mut nearly = Recurrence::default();
        assert!((0..3).all(|hour| !at_hour(&mut nearly, hour, "queue", 10.5)));
        for (value, excused) in [(12.5, true), (13.0, false)] {
            assert_eq!(at_hour(&mut nearly.clone(), 3, "queue", value), excused, "usual is 8 to 10: {value}");
        }
        for (name, value, excused) in [
            ("queue", 400.0, true),
            ("queue", 580.0, true),
            ("queue", 400e3, false),
            ("queue", 0.0, false),
            ("errors", 12.0, false),
        ] {
            assert_eq!(at_hour(&mut past.clone(), 3, name, value), excused, "{name} {value}");
        }
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
                let period = past.excursion(at, &[value; SIGNALS], &[None; SIGNALS], &[]);
                prop_assert!(past.past.len() <= KEPT);
                let least = |period| if calendar(period) { 1 } else { TIMES_DAILY };
                prop_assert!(period.is_none_or(|period| i >= least(period) && period >= LEAST_PERIOD_SECONDS));
            }
        }
    }
}
