//! Where memory is heading: how fast it grows, and when it is at its limit if it goes on.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::level::START_SECONDS;

/// The past that is looked at ...
const WINDOW_SECONDS: f64 = 300.0;
/// ... and how many readings of it are kept.
const POINTS: usize = 24;
/// Fewer readings, or a shorter time, are no trend.
const LEAST_POINTS: usize = 4;
const LEAST_SECONDS: f64 = 30.0;
/// A reading this much lower than the one before ends a growth.
const FALL: f64 = 0.99;
/// In a growth that goes on, the second half of the time has at least this share of the rise: a step has none there.
const LATER_SHARE: f64 = 0.25;

/// A rise of which one reading alone brings more than this share is a step, whenever it came.
const STEP_SHARE: f64 = 0.6;

/// The latest readings of a pod's memory.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Trend {
    /// Seconds and bytes.
    points: VecDeque<(f64, f64)>,
    /// When the pod was first seen, or a container of it last restarted.
    start: Option<f64>,
}

/// Memory that has been growing without a pause.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Growth {
    /// Bytes a second, over the time of the growth.
    pub bytes_per_second: f64,
    /// Bytes grown.
    pub risen: f64,
    /// The last reading, in bytes.
    pub now: f64,
}

impl Growth {
    /// Seconds until `limit` bytes are reached at this rate; 0 if they are.
    pub fn seconds_to(&self, limit: f64) -> f64 {
        ((limit - self.now) / self.bytes_per_second).max(0.0)
    }
}

impl Trend {
    /// Takes a reading; a container that restarted begins anew.
    pub(crate) fn step(&mut self, at: f64, bytes: Option<f64>, restarted: bool) {
        if restarted {
            self.points.clear();
            self.start = None;
        }
        let Some(bytes) = bytes else { return };
        self.start.get_or_insert(at);
        if self.points.back().is_some_and(|(last, before)| bytes < FALL * before || at <= *last) {
            self.points.clear();
        }
        self.points.push_back((at, bytes));
        while self.points.len() > LEAST_POINTS
            && self.points.front().is_some_and(|(then, _)| at - then > WINDOW_SECONDS)
            || self.points.len() > POINTS
        {
            self.points.pop_front();
        }
    }

    /// The growth that goes on now, if there is one.
    pub(crate) fn growth(&self) -> Option<Growth> {
        let (&(start, first), &(end, last)) = self.points.front().zip(self.points.back())?;
        let risen = last - first;
        let long_enough = self.points.len() >= LEAST_POINTS && end - start >= LEAST_SECONDS;
        // Containers fill their memory while they start: that is no growth yet.
        if end - self.start? < START_SECONDS || !long_enough || risen <= 0.0 {
            return None;
        }
        let steps = self.points.iter().zip(self.points.iter().skip(1)).map(|((_, before), (_, after))| after - before);
        if steps.fold(0.0, f64::max) > STEP_SHARE * risen {
            return None;
        }
        let middle = f64::midpoint(start, end);
        let (_, at_middle) = self.points.iter().rev().find(|(at, _)| *at <= middle)?;
        (last - at_middle >= LATER_SHARE * risen).then(|| Growth {
            bytes_per_second: risen / (end - start),
            risen,
            now: last,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(readings: &[f64]) -> Option<Growth> {
        let mut trend = Trend::default();
        trend.step(-START_SECONDS, Some(f64::INFINITY), false);
        readings.iter().enumerate().for_each(|(i, bytes)| trend.step(10.0 * i as f64, Some(*bytes), false));
        trend.growth()
    }

    #[test]
    fn a_leak_has_a_rate_and_a_time_to_its_limit() {
        let growth = after(&[40.0, 50.0, 60.0, 70.0, 80.0]).unwrap();
        assert!((growth.bytes_per_second - 1.0).abs() < 1e-9 && (growth.seconds_to(100.0) - 20.0).abs() < 1e-9);
        assert!(growth.seconds_to(60.0).abs() < 1e-9);
    }

    #[test]
    fn a_step_a_saw_and_a_few_readings_are_no_growth() {
        assert_eq!(after(&[40.0, 80.0, 80.0, 80.0, 80.0, 80.0]), None);
        assert_eq!(after(&[40.0, 41.0, 40.9, 41.0, 80.0, 80.5, 81.0]), None);
        assert_eq!(after(&[40.0, 50.0, 60.0, 30.0, 40.0, 50.0]), None);
        assert_eq!(after(&[40.0, 50.0, 60.0]), None);
        assert_eq!(after(&[40.0; 9]), None);
    }

    #[test]
    fn a_container_that_starts_may_fill_its_memory() {
        let mut trend = Trend::default();
        (0..18).for_each(|i| trend.step(10.0 * f64::from(i), Some(100.0 + f64::from(i)), false));
        assert_eq!(trend.growth(), None);
        trend.step(180.0, Some(118.0), false);
        assert!(trend.growth().is_some());
    }

    #[test]
    fn only_the_last_minutes_count_and_a_restart_begins_anew() {
        let mut trend = Trend::default();
        (0..400).for_each(|i| trend.step(10.0 * f64::from(i), Some(100.0 + f64::from(i)), false));
        assert!(
            trend.points.len() <= POINTS && trend.growth().is_some_and(|g| (g.bytes_per_second - 0.1).abs() < 1e-9)
        );
        trend.step(4000.0, Some(600.0), true);
        assert_eq!(trend.growth(), None);
        trend.step(4010.0, None, false);
        assert_eq!(trend.points.len(), 1);
    }
}
