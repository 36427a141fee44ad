//! Did it help? The judgement of one look at the scores after another, pure.
//!
//! *Recovered* is: the rollout is complete, every live pod of the workload has a score of its own, none is over its line
//! by the exporter's judgement with hysteresis, and that for [`CALM_TICKS`] ticks in a row and for [`CALM_SECONDS`]. A pod
//! that is still being learnt has no such score: *learning* is never *recovered*.

use std::collections::HashMap;

use guard_model::cause::Cause;
use guard_model::report::{NodeReport, PodReport, State};
use jiff::Timestamp;

use crate::facts::PodFact;
use crate::outcome::Outcome;
use crate::plan::Evidence;

/// So many ticks in a row must be calm before the target counts as recovered.
pub const CALM_TICKS: u32 = 2;
/// And for so long from the first of them, in seconds: a kubelet reads every 10 to 15 s, and ticks may see the same reading.
pub const CALM_SECONDS: i64 = 14;
/// So many ticks in a row must be worse, after the rollout, before waiting longer is pointless.
pub const WORSE_TICKS: u32 = 4;
/// A score must rise by this much to count as worse: less is noise.
pub const WORSE_BY: f64 = 0.1;

/// One look at the cluster and its scores.
#[derive(Clone, Copy, Debug)]
pub(super) struct Look<'a> {
    /// The workload's pods as the API server has them.
    pub(super) live: &'a [PodFact],
    /// The rollout, or the replacement of the pod, is complete.
    pub(super) rolled_out: bool,
    /// What the exporters said.
    pub(super) reports: &'a [NodeReport],
}

/// Remembers what was before, and how the last ticks went.
#[derive(Clone, Debug)]
pub(super) struct Judge {
    over: usize,
    score: Option<f64>,
    facts: Vec<Cause>,
    written: Timestamp,
    last_tick: Option<Timestamp>,
    standing: Outcome,
    in_a_row: u32,
    /// The first of these ticks.
    first_tick: Option<Timestamp>,
}

impl Judge {
    /// A judge for a write of this time on this evidence.
    pub(super) fn new(before: Option<&Evidence>, written: Timestamp) -> Self {
        let reasons = before.iter().flat_map(|evidence| &evidence.pods).flat_map(|pod| &pod.reasons);
        Self {
            over: before.map_or(0, |evidence| evidence.over),
            score: before.and_then(|evidence| evidence.score),
            facts: reasons.map(|reason| reason.cause).filter(|cause| cause.is_fact()).collect(),
            written,
            last_tick: None,
            standing: Outcome::Unknown,
            in_a_row: 0,
            first_tick: None,
        }
    }

    /// What the last look said.
    pub(super) fn standing(&self) -> Outcome {
        match self.standing {
            // Calm, but not yet for long enough to say so.
            Outcome::Recovered if !self.lasts() => Outcome::Learning,
            standing => standing,
        }
    }

    fn lasts(&self) -> bool {
        let seconds =
            self.last_tick.zip(self.first_tick).map_or(0, |(last, first)| last.duration_since(first).as_secs());
        self.in_a_row >= CALM_TICKS && seconds >= CALM_SECONDS
    }

    /// Takes one look into account; the outcome once it is certain.
    pub(super) fn observe(&mut self, look: &Look<'_>) -> Option<Outcome> {
        let by_uid: HashMap<&str, (&NodeReport, &PodReport)> = (look.reports.iter())
            .flat_map(|report| report.pods.iter().map(move |pod| (pod.uid.as_str(), (report, pod))))
            .collect();
        let live: Vec<_> = look.live.iter().filter(|pod| !pod.deleting).collect();
        let found: Vec<_> = live.iter().filter_map(|pod| by_uid.get(pod.uid.as_str()).copied()).collect();
        // Every pod must have been scored anew since the last look, and after the write: the same tick seen twice, or
        // one from before, says nothing.
        let tick = found.iter().map(|(report, _)| report.at).min();
        if tick.is_some_and(|tick| tick <= self.written || self.last_tick.is_some_and(|last| tick <= last)) {
            return None;
        }
        self.last_tick = tick.or(self.last_tick);
        let pods: Vec<&PodReport> = found.iter().map(|(_, pod)| *pod).collect();
        let now = self.judge(&pods, live.len(), look);
        if now == self.standing {
            self.in_a_row = self.in_a_row.saturating_add(1);
        } else {
            (self.in_a_row, self.first_tick) = (1, tick);
        }
        self.standing = now;
        match now {
            Outcome::Recovered if self.lasts() => Some(now),
            Outcome::Worse if look.rolled_out && self.in_a_row >= WORSE_TICKS => Some(now),
            _ => None,
        }
    }

    fn judge(&self, pods: &[&PodReport], live: usize, look: &Look<'_>) -> Outcome {
        if look.reports.is_empty() {
            return Outcome::Unknown;
        }
        let over: Vec<_> = pods.iter().filter(|pod| pod.state == State::Anomalous).collect();
        if !over.is_empty() {
            let score = over.iter().filter_map(|pod| pod.score).fold(0.0, f64::max);
            let new_fact = over.iter().flat_map(|pod| &pod.reasons).any(|reason| {
                // A pod that starts is not ready and has restarted: that alone makes nothing worse.
                reason.cause.is_fact()
                    && !matches!(reason.cause, Cause::NotReady | Cause::Restarted)
                    && !self.facts.contains(&reason.cause)
            });
            let worse = over.len() > self.over || self.score.is_some_and(|was| score > was + WORSE_BY) || new_fact;
            return if worse { Outcome::Worse } else { Outcome::Unchanged };
        }
        if !look.rolled_out {
            return Outcome::Unchanged;
        }
        // Scaled to nothing: nothing is left to be anomalous, and nothing to be well either.
        if live == 0 || (pods.len() == live && pods.iter().all(|pod| pod.state == State::Muted)) {
            return Outcome::Unknown;
        }
        let judged = |pod: &&PodReport| match pod.state {
            State::Ok => pod.score.is_some(),
            State::Muted => true,
            State::Anomalous | State::Learning | State::Stale => false,
        };
        if pods.len() == live && pods.iter().all(judged) { Outcome::Recovered } else { Outcome::Learning }
    }
}

#[cfg(test)]
mod tests {
    use guard_model::cause::Reason;
    use jiff::ToSpan;

    use super::*;
    use crate::plan::examples::{evidence, now};

    fn live(names: &[&str]) -> Vec<PodFact> {
        let pod = |name: &&str| PodFact {
            name: (*name).into(),
            uid: (*name).into(),
            ready: true,
            deleting: false,
            containers: Vec::new(),
        };
        names.iter().map(pod).collect()
    }

    fn report(tick: i64, pods: &[(&str, State, Option<f64>, Option<Cause>)]) -> Vec<NodeReport> {
        let pod = |(name, state, score, cause): &(&str, State, Option<f64>, Option<Cause>)| PodReport {
            namespace: "shop".into(),
            name: (*name).into(),
            uid: (*name).into(),
            score: *score,
            state: *state,
            reasons: cause.map(|cause| Reason { cause, score: 0.9, text: String::new() }).into_iter().collect(),
            deploy: true,
            containers_ready: 1,
            containers_total: 1,
            ..PodReport::default()
        };
        vec![NodeReport {
            version: 1,
            node: "n1".into(),
            at: now() + (15 * tick).seconds(),
            interval_seconds: 15.0,
            threshold: 0.7,
            scored_by: "test".into(),
            model: guard_model::report::ModelInfo::default(),
            kubelet: guard_model::report::KubeletState::default(),
            certificate_ends: None,
            pods: pods.iter().map(pod).collect(),
        }]
    }

    fn judge() -> Judge {
        Judge::new(Some(&evidence(Cause::Memory)), now())
    }

    const OK: (&str, State, Option<f64>, Option<Cause>) = ("a", State::Ok, Some(0.1), None);
    const HIGH: (&str, State, Option<f64>, Option<Cause>) = ("a", State::Anomalous, Some(0.9), Some(Cause::Memory));
    const LEARNING: (&str, State, Option<f64>, Option<Cause>) = ("a", State::Learning, None, None);

    fn run(
        judge: &mut Judge,
        ticks: std::ops::Range<i64>,
        rolled_out: bool,
        pod: (&str, State, Option<f64>, Option<Cause>),
    ) -> Option<Outcome> {
        let live = live(&["a"]);
        ticks
            .map(|tick| judge.observe(&Look { live: &live, rolled_out, reports: &report(tick, &[pod]) }))
            .last()
            .flatten()
    }

    #[test]
    fn two_calm_ticks_after_the_rollout_are_recovered() {
        let mut judge = judge();
        assert_eq!(run(&mut judge, 1..2, true, OK), None);
        assert_eq!(run(&mut judge, 2..3, true, OK), Some(Outcome::Recovered));
    }

    #[test]
    fn ticks_that_may_see_the_same_reading_are_not_recovered() {
        let (mut judge, live) = (judge(), live(&["a"]));
        let mut seen = |second: i64| {
            let mut reports = report(1, &[OK]);
            reports[0].at = now() + second.seconds();
            judge.observe(&Look { live: &live, rolled_out: true, reports: &reports })
        };
        assert_eq!([5, 10, 15].map(&mut seen), [None; 3]);
        assert_eq!(seen(20), Some(Outcome::Recovered));
    }

    #[test]
    fn learning_is_never_recovered() {
        let mut judge = judge();
        assert_eq!(run(&mut judge, 1..100, true, LEARNING), None);
        assert_eq!(judge.standing(), Outcome::Learning);
        let low = ("a", State::Learning, Some(0.05), None);
        assert_eq!(run(&mut judge, 100..200, true, low), None);
        assert_eq!(judge.standing(), Outcome::Learning);
    }

    #[test]
    fn the_same_tick_twice_or_one_before_the_write_says_nothing() {
        let mut judge = judge();
        assert_eq!(run(&mut judge, -5..1, true, OK), None);
        assert_eq!(judge.standing(), Outcome::Unknown);
        for _ in 0..5 {
            assert_eq!(run(&mut judge, 1..2, true, OK), None);
        }
    }

    #[test]
    fn a_live_pod_without_a_score_holds_recovery_back() {
        let mut judge = judge();
        let live = live(&["a", "b"]);
        for tick in 1..9 {
            assert_eq!(judge.observe(&Look { live: &live, rolled_out: true, reports: &report(tick, &[OK]) }), None);
        }
        assert_eq!(judge.standing(), Outcome::Learning);
    }

    #[test]
    fn an_unfinished_rollout_is_unchanged_however_calm() {
        let mut judge = judge();
        assert_eq!(run(&mut judge, 1..20, false, OK), None);
        assert_eq!(judge.standing(), Outcome::Unchanged);
    }

    #[test]
    fn as_bad_as_before_is_unchanged() {
        let mut judge = judge();
        assert_eq!(run(&mut judge, 1..20, true, HIGH), None);
        assert_eq!(judge.standing(), Outcome::Unchanged);
    }

    #[test]
    fn a_new_hard_fact_is_worse() {
        let mut judge = judge();
        let crash = ("a", State::Anomalous, Some(0.95), Some(Cause::CrashLoop));
        assert_eq!(run(&mut judge, 1..4, true, crash), None);
        assert_eq!(run(&mut judge, 4..5, true, crash), Some(Outcome::Worse));
    }

    #[test]
    fn a_pod_that_is_only_starting_is_not_worse() {
        let mut judge = judge();
        let starting = ("a", State::Anomalous, Some(0.9), Some(Cause::NotReady));
        assert_eq!(run(&mut judge, 1..20, false, starting), None);
        assert_eq!(judge.standing(), Outcome::Unchanged);
    }

    #[test]
    fn a_calm_that_breaks_begins_again() {
        let mut judge = judge();
        assert_eq!(run(&mut judge, 1..2, true, OK), None);
        assert_eq!(run(&mut judge, 2..3, true, HIGH), None);
        assert_eq!(run(&mut judge, 3..4, true, OK), None);
        assert_eq!(judge.standing(), Outcome::Learning);
        assert_eq!(run(&mut judge, 4..5, true, OK), Some(Outcome::Recovered));
    }
}
