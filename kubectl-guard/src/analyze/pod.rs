//! One pod of a file: when it misbehaved, and how it stands.

use guard_model::report::{Severity, State};
use guard_model::scorer::Verdict;
use guard_model::workload::Workload;
use jiff::Timestamp;

use super::document::{Insight, name};

/// Insights kept of one pod; what comes after is counted.
const MOST_INSIGHTS: usize = 100;

/// What is known of one pod.
#[derive(Debug, Default)]
pub(super) struct Pod {
    pub(super) workload: Option<Workload>,
    pub(super) standing: Standing,
    pub(super) highest_score: f64,
    pub(super) insights: Vec<Insight>,
    /// Insights that are not kept.
    pub(super) more: u64,
    /// When it was taken last.
    pub(super) seen: Timestamp,
    now: Now,
}

/// How it stands at one time.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Standing {
    pub(super) state: State,
    pub(super) score: Option<f64>,
    pub(super) severity: Severity,
    pub(super) since: Option<Timestamp>,
}

impl From<&Verdict<'_>> for Standing {
    fn from(verdict: &Verdict<'_>) -> Self {
        let (score, since) = (verdict.score(), verdict.since());
        Self { state: verdict.state(), score, severity: verdict.severity(), since }
    }
}

/// Whether a pod misbehaves at this moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Now {
    #[default]
    Calm,
    /// It does, and the last of its insights tells of it.
    Told,
    /// It does, and there were too many before: it was counted when it began.
    Counted,
}

impl Pod {
    /// Takes how it stands at this time; `insight` is asked, with when it began, only if there is one to tell.
    pub(super) fn take(&mut self, at: Timestamp, standing: Standing, insight: impl FnOnce(Timestamp) -> Insight) {
        (self.standing, self.seen) = (standing, at);
        let score = standing.score.unwrap_or(0.0);
        self.highest_score = self.highest_score.max(score);
        match (self.now, standing.state == State::Anomalous) {
            (Now::Calm, true) if self.insights.len() >= MOST_INSIGHTS => {
                self.more += 1;
                self.now = Now::Counted;
            }
            (Now::Calm, true) => {
                self.insights.push(insight(standing.since.unwrap_or(at)));
                self.now = Now::Told;
            }
            (Now::Told, true) => {
                let Some(open) = self.insights.last_mut() else { return };
                if score > open.highest_score {
                    *open = insight(open.from);
                }
                open.severity = name(standing.severity);
            }
            (Now::Told, false) => {
                self.insights.last_mut().into_iter().for_each(|open| open.to = Some(at));
                self.now = Now::Calm;
            }
            (Now::Counted, false) => self.now = Now::Calm,
            (Now::Counted, true) | (Now::Calm, false) => {}
        }
    }

    /// When those of its insights ended that have. Of a pod that was not seen since `gone`, the last one ended with the pod.
    pub(super) fn ends(&self, gone: Timestamp) -> impl Iterator<Item = Timestamp> {
        let end = self.end(gone);
        self.insights.iter().filter_map(move |insight| insight.to.or(end))
    }

    /// Counts the insights that ended before `past` instead of keeping them.
    pub(super) fn forget_ended(&mut self, past: Timestamp, gone: Timestamp) {
        let (end, before) = (self.end(gone), self.insights.len());
        self.insights.retain(|insight| insight.to.or(end).is_none_or(|end| end >= past));
        self.more += (before - self.insights.len()) as u64;
        if self.now == Now::Told && self.insights.last().is_none_or(|last| last.to.is_some()) {
            self.now = Now::Counted;
        }
    }

    fn end(&self, gone: Timestamp) -> Option<Timestamp> {
        (self.seen < gone).then_some(self.seen)
    }
}

#[cfg(test)]
mod tests {
    use guard_model::report::PodReport;

    use super::*;

    #[test]
    fn a_time_counts_once_however_long_it_is_and_however_many_there_were() {
        let mut pod = Pod::default();
        let (mut second, mut asked) = (0, 0);
        for _ in 0..MOST_INSIGHTS + 3 {
            for state in [State::Anomalous, State::Anomalous, State::Anomalous, State::Ok] {
                let standing = Standing { state, score: Some(0.9), ..Standing::default() };
                pod.take(Timestamp::from_second(second).unwrap(), standing, |from| {
                    asked += 1;
                    Insight::of(from, &PodReport { score: Some(0.9), ..PodReport::default() })
                });
                second += 1;
            }
        }
        assert_eq!((pod.insights.len(), pod.more, asked), (MOST_INSIGHTS, 3, MOST_INSIGHTS));
        let (from, to) = (pod.insights[1].from.as_second(), pod.insights[1].to.map(Timestamp::as_second));
        assert_eq!((from, to), (4, Some(7)));
    }
}
