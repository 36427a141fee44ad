//! Restarts of a pod's containers, each container counted by itself: what one of them does again and again is a loop, but a
//! node that was rebooted restarts each of them once.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};

use crate::sample::{PodFacts, seconds};

/// Restarts are counted over this long: the kubelet's back-off reaches five minutes, so a loop shows twice.
const WINDOW_SECONDS: f64 = 600.0;
/// More restarts of a container than this say nothing new.
const KEPT: usize = 8;

/// The recent restarts of each container that had any.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Restarts(BTreeMap<String, Restarted>);

/// One container.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Restarted {
    /// How often since the pod was made.
    count: u32,
    /// When, in seconds of Unix time and in order: the last [`KEPT`] within [`WINDOW_SECONDS`].
    at: VecDeque<f64>,
}

impl Restarts {
    /// What the pod's status alone tells at `now`, where nobody has watched the pod. A status holds how often each container
    /// was restarted since the pod was made, and when the last one ended: of a young pod all are recent, the earlier ones no
    /// older than the pod; of an old one only that last end is known.
    pub(crate) fn of_status(facts: &PodFacts, now: f64) -> Self {
        let end = facts.terminated.as_ref().and_then(|end| Some((&*end.container, seconds(end.finished_at?))));
        // A status without a last end is a table's: it was made before anybody knows.
        let begun = facts.begun().map(seconds).filter(|at| is_recent(*at, now) && end.is_some());
        let of = |(name, count): (&str, u32)| {
            let last = end.filter(|(container, _)| name.is_empty() || *container == name).map(|(_, at)| at);
            let earlier = count.saturating_sub(u32::from(last.is_some())).min(KEPT as u32) as usize;
            let at = begun.into_iter().flat_map(|begun| std::iter::repeat_n(begun, earlier)).chain(last);
            let mut restarted = Restarted { count, at: at.collect() };
            restarted.forget(now);
            (name.to_owned(), restarted)
        };
        Self(counts(facts).map(of).collect())
    }

    /// Takes the status of a pod that was seen before: what was counted since then was restarted now.
    pub(crate) fn step(&mut self, facts: &PodFacts, now: f64) {
        for (name, count) in counts(facts) {
            let restarted = self.0.entry(name.to_owned()).or_default();
            let more = count.saturating_sub(restarted.count);
            // All containers together, as in a table: as many at once as there are containers may be each of them once.
            let more = if name.is_empty() { more.div_ceil(facts.containers_total.max(1)) } else { more };
            restarted.at.extend(std::iter::repeat_n(now, more.min(KEPT as u32) as usize));
            restarted.count = count;
        }
        self.0.values_mut().for_each(|restarted| restarted.forget(now));
    }

    /// How often the container that was restarted most often was, within [`WINDOW_SECONDS`].
    pub(crate) fn most(&self) -> u32 {
        self.0.values().map(|restarted| restarted.at.len() as u32).max().unwrap_or(0)
    }
}

impl Restarted {
    /// Drops what is past, what a clock that was set back made future, and the earliest of too many.
    fn forget(&mut self, now: f64) {
        self.at.retain(|at| is_recent(*at, now));
        self.at.drain(..self.at.len().saturating_sub(KEPT));
    }
}

fn is_recent(at: f64, now: f64) -> bool {
    (0.0..=WINDOW_SECONDS).contains(&(now - at))
}

/// Each container that was ever restarted, and how often; of a pod whose containers nobody counted all together, without a
/// name.
fn counts(facts: &PodFacts) -> impl Iterator<Item = (&str, u32)> {
    let each = facts.container_restarts.iter().map(|(name, count)| (name.as_str(), *count));
    let together = (facts.container_restarts.is_empty() && facts.restarts > 0).then_some(("", facts.restarts));
    each.chain(together)
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::sample::Termination;

    const NOW: f64 = 1_795_356_000.0;

    fn before(seconds: i64) -> Option<Timestamp> {
        Timestamp::from_second(NOW as i64 - seconds).ok()
    }

    fn pod(created: i64, end: Option<(&str, i64)>, each: &[(&str, u32)]) -> PodFacts {
        let terminated = end.map(|(container, ago)| Termination {
            container: container.into(),
            reason: "Error".into(),
            exit_code: 1,
            finished_at: before(ago),
        });
        PodFacts {
            created: before(created),
            terminated,
            restarts: each.iter().map(|(_, count)| count).sum(),
            container_restarts: each.iter().map(|(name, count)| ((*name).into(), *count)).collect(),
            containers_total: 2,
            ..PodFacts::default()
        }
    }

    #[test]
    fn a_status_tells_of_recent_restarts() {
        let told = |created, end: Option<i64>, count| {
            Restarts::of_status(&pod(created, end.map(|ago| ("main", ago)), &[("main", count)]), NOW).most()
        };
        assert_eq!(told(30, None, 0), 0);
        assert_eq!(told(30, Some(5), 3), 3, "a young pod's are all recent");
        assert_eq!(told(30, None, 2), 0, "when the last was nobody knows");
        assert_eq!(told(7200, Some(5), 3), 1, "of an old pod's only the last is known");
        assert_eq!(told(7200, Some(3600), 3), 0);
        assert_eq!(told(30, Some(5), u32::MAX), KEPT as u32);
        let waited = PodFacts { started: before(40), ..pod(7200, Some(("main", 5)), &[("main", 3)]) };
        assert_eq!(Restarts::of_status(&waited, NOW).most(), 3, "a pod is as old as its time on a node");
    }

    #[test]
    fn each_container_restarted_once_is_no_loop() {
        let young = pod(30, Some(("main", 5)), &[("main", 1), ("proxy", 1)]);
        assert_eq!(Restarts::of_status(&young, NOW).most(), 1);
        // The node was rebooted: the containers come back one after the other.
        let mut restarts = Restarts::of_status(&pod(7200, None, &[("main", 4)]), NOW);
        restarts.step(&pod(7200, None, &[("main", 5)]), NOW + 10.0);
        restarts.step(&pod(7200, None, &[("main", 5), ("proxy", 1)]), NOW + 20.0);
        assert_eq!(restarts.most(), 1);
        restarts.step(&pod(7200, None, &[("main", 5), ("proxy", 2)]), NOW + 40.0);
        assert_eq!(restarts.most(), 2);
    }

    #[test]
    fn of_a_total_alone_as_many_at_once_as_there_are_containers_are_one_each() {
        let total = |restarts| PodFacts { restarts, ..pod(7200, None, &[]) };
        let mut restarts = Restarts::of_status(&total(4), NOW);
        restarts.step(&total(6), NOW + 10.0);
        assert_eq!(restarts.most(), 1);
        restarts.step(&total(7), NOW + 20.0);
        assert_eq!(restarts.most(), 2);
    }

    #[test]
    fn the_last_are_kept_and_what_a_clock_set_back_made_future_is_not() {
        let main = |count| pod(7200, None, &[("main", count)]);
        let mut restarts = Restarts::of_status(&main(1), NOW);
        for more in 1..=12 {
            restarts.step(&main(1 + more), NOW + 50.0 * f64::from(more));
        }
        assert_eq!(restarts.most(), KEPT as u32);
        restarts.step(&main(13), NOW + 600.0 + WINDOW_SECONDS - 60.0);
        assert_eq!(restarts.most(), 2, "the last two were within the window");
        restarts.step(&main(13), NOW - 3600.0);
        assert_eq!(restarts.most(), 0);
    }
}
