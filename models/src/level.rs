//! The level a pod lives at, as a share of a limit: what is normal for it is no news.

use serde::{Deserialize, Serialize};

use crate::habit::Habit;

/// A level is a pod's custom once it was watched for this long ...
const CUSTOM_AFTER_SECONDS: f64 = 1800.0;
/// ... with a running mean of this time constant.
const LEVEL_SECONDS: f64 = 3600.0;
/// Time that one sample may stand for: what was not watched does not make a custom.
const STEP_SECONDS: f64 = 120.0;
/// Under this share of the limit a pod is calm ...
const CALM_SHARE: f64 = 0.6;
/// ... and known to be able to, after this long.
const CALM_SECONDS: f64 = 60.0;
/// A pod that has not been calm yet is starting, for at most this long: what it does until then is no news.
pub(crate) const START_SECONDS: f64 = 180.0;

/// Running mean of a share of a limit, and whether the pod was ever under it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Level {
    mean: f64,
    watched: f64,
    /// Seconds in calm, those of earlier pods of the workload included.
    calm: f64,
    /// Seconds of this pod until it was calm for the first time.
    starting: f64,
    started: bool,
    last: Option<f64>,
}

impl Level {
    /// Takes the share measured at `at` (seconds); unknown changes nothing. Of a pod that is `alarming` a custom that is known
    /// stays as it is: a fault that nobody mends is no custom, however long it lasts.
    pub(crate) fn step(&mut self, at: f64, share: Option<f64>, alarming: bool) {
        let Some(share) = share else { return };
        let dt = self.last.map_or(0.0, |last| (at - last).clamp(0.0, STEP_SECONDS));
        self.last = Some(at);
        if !alarming || self.watched < CUSTOM_AFTER_SECONDS {
            self.watched += dt;
            // A plain mean at first, a forgetting one later.
            let weight = (dt / self.watched.clamp(f64::MIN_POSITIVE, LEVEL_SECONDS)).min(1.0);
            self.mean += weight * (share - self.mean);
        }
        if share < CALM_SHARE {
            self.calm += dt;
            self.started = true;
        }
        if !self.started {
            self.starting += dt;
            self.started = self.starting >= START_SECONDS;
        }
    }

    /// Why it is no news that the pod is at `share` of its limit or more, if it is none.
    pub(crate) fn habit(&self, share: f64) -> Option<Habit> {
        if self.watched >= CUSTOM_AFTER_SECONDS && self.mean >= share {
            Some(Habit::Always)
        } else if self.calm < CALM_SECONDS {
            Some(Habit::SinceFirstSeen)
        } else if !self.started {
            Some(Habit::WhileStarting)
        } else {
            None
        }
    }

    /// What a new pod of the same workload begins with.
    pub(crate) fn inherited(&self) -> Level {
        Level { starting: 0.0, started: false, last: None, ..*self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Steps of 15 s.
    fn watched(level: &mut Level, from: u32, to: u32, share: f64) {
        (from..to).for_each(|tick| level.step(f64::from(tick) * 15.0, Some(share), false));
    }

    #[test]
    fn a_level_is_custom_only_after_half_an_hour_of_watching() {
        let mut level = Level::default();
        watched(&mut level, 0, 5, 0.1);
        watched(&mut level, 5, 120, 0.95);
        assert_eq!(level.habit(0.8), None);
        watched(&mut level, 120, 140, 0.95);
        assert_eq!(level.habit(0.8), Some(Habit::Always));
    }

    #[test]
    fn a_busy_minute_is_no_custom() {
        let mut level = Level::default();
        watched(&mut level, 0, 390, 0.1);
        watched(&mut level, 390, 400, 1.0);
        assert_eq!(level.habit(0.8), None);
    }

    #[test]
    fn what_is_watched_under_alert_becomes_no_custom_once_there_is_one() {
        let alarming = |level: &mut Level, from: u32, to: u32| {
            (from..to).for_each(|tick| level.step(f64::from(tick) * 15.0, Some(0.95), true));
        };
        let mut stuck = Level::default();
        watched(&mut stuck, 0, 4 * 240, 0.12);
        alarming(&mut stuck, 4 * 240, 24 * 240);
        assert_eq!(stuck.habit(0.8), None);
        let mut busy = Level::default();
        watched(&mut busy, 0, 5, 0.1);
        alarming(&mut busy, 5, 140);
        assert_eq!(busy.habit(0.8), Some(Habit::Always), "that is what it is like");
    }

    #[test]
    fn a_pod_that_was_never_seen_calm_has_always_been_so() {
        let mut level = Level::default();
        watched(&mut level, 0, 60, 1.0);
        assert_eq!(level.habit(0.8), Some(Habit::SinceFirstSeen));
        watched(&mut level, 60, 66, 0.2);
        watched(&mut level, 66, 70, 1.0);
        assert_eq!(level.habit(0.8), None);
    }

    #[test]
    fn a_new_pod_of_a_calm_workload_may_start_busily_but_not_stay_so() {
        let mut level = Level::default();
        watched(&mut level, 0, 60, 0.2);
        let mut heir = level.inherited();
        watched(&mut heir, 100, 111, 1.0);
        assert_eq!(heir.habit(0.8), Some(Habit::WhileStarting));
        watched(&mut heir, 111, 120, 1.0);
        assert_eq!(heir.habit(0.8), None);
    }

    #[test]
    fn a_long_gap_is_not_watched_time() {
        let mut level = Level::default();
        watched(&mut level, 0, 6, 0.1);
        level.step(86_400.0, Some(1.0), false);
        level.step(2.0 * 86_400.0, Some(1.0), false);
        assert_eq!(level.habit(0.8), None);
    }
}
