//! From a score to a state: rises and falls once for an incident, not once for a sample.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::cause::{Cause, Reason};
use crate::report::Severity;

/// An alert ends when the score has been under this share of its line ...
const FALL_SHARE: f64 = 0.75;
/// ... for this many readings in a row: the same reading seen at the next tick is not asked again.
const FALL_SAMPLES: u32 = 2;
/// From here on the learnt score alone is critical.
const CRITICAL: f64 = 0.95;

/// What a score does to an alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hold {
    /// It raises one.
    Raises,
    /// It keeps one that there is.
    Keeps,
    /// It lets it fall.
    Lets,
}

impl Hold {
    /// What this score does to an alert with this line.
    pub(crate) fn of(score: f64, line: f64) -> Self {
        match score {
            score if score >= line => Self::Raises,
            score if score < line * FALL_SHARE => Self::Lets,
            // One that is no number neither raises an alert nor ends it.
            _ => Self::Keeps,
        }
    }
}

/// The alert of one pod.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Alert {
    since: Option<Timestamp>,
    #[serde(default)]
    began: Option<Reason>,
    critical: bool,
    calm: u32,
}

impl Alert {
    /// Takes the score of one tick (`None`: unknown, changes nothing) and its reasons, the strongest first.
    pub fn step(&mut self, at: Timestamp, score: Option<f64>, line: f64, reasons: &[Reason]) {
        let Some(score) = score else { return };
        match Hold::of(score, line) {
            Hold::Raises => {
                self.since.get_or_insert(at);
                self.began = self.began.take().or_else(|| reasons.first().cloned());
                self.critical |= is_critical(score, reasons);
                self.calm = 0;
            }
            Hold::Lets if self.since.is_some() => {
                self.calm += 1;
                if self.calm >= FALL_SAMPLES {
                    *self = Self::default();
                }
            }
            Hold::Keeps | Hold::Lets => self.calm = 0,
        }
    }

    /// Since when the pod has been over its line.
    pub fn since(&self) -> Option<Timestamp> {
        self.since
    }

    /// What led then: it names the incident, whatever else is wrong with the pod later.
    pub fn began(&self) -> Option<&Reason> {
        self.began.as_ref()
    }

    /// How bad it has been since then.
    pub fn severity(&self) -> Severity {
        match (self.since, self.critical) {
            (None, _) => Severity::None,
            (Some(_), false) => Severity::Warning,
            (Some(_), true) => Severity::Critical,
        }
    }
}

fn is_critical(score: f64, reasons: &[Reason]) -> bool {
    let out_of_service = reasons.first().is_some_and(|first| {
        matches!(
            first.cause,
            Cause::CrashLoop | Cause::OomKilled | Cause::ImagePull | Cause::StartFailed | Cause::Unschedulable
        )
    });
    score >= CRITICAL || out_of_service
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(scores: &[f64]) -> Vec<Severity> {
        let mut alert = Alert::default();
        let step = |(i, score): (usize, &f64)| {
            alert.step(Timestamp::from_second(i as i64).unwrap(), Some(*score), 0.7, &[]);
            alert.severity()
        };
        scores.iter().enumerate().map(step).collect()
    }

    #[test]
    fn rises_and_falls_once_for_an_incident_that_flickers() {
        use Severity::{None, Warning};
        let scores = [0.1, 0.8, 0.4, 0.8, 0.6, 0.6, 0.4, 0.4, 0.1];
        assert_eq!(run(&scores), [None, Warning, Warning, Warning, Warning, Warning, Warning, None, None]);
    }

    #[test]
    fn stays_critical_until_the_incident_is_over() {
        use Severity::{Critical, None, Warning};
        assert_eq!(run(&[0.8, 0.96, 0.75, 0.1, 0.1]), [Warning, Critical, Critical, Critical, None]);
    }

    #[test]
    fn what_began_it_is_kept_until_it_is_over() {
        let mut alert = Alert::default();
        let mut step = |second, score, cause| {
            let reasons = [Reason { cause, score, text: String::new() }];
            alert.step(Timestamp::from_second(second).unwrap(), Some(score), 0.7, &reasons);
            alert.began().map(|began| began.cause)
        };
        assert_eq!(step(0, 0.1, Cause::Memory), None);
        assert_eq!(step(1, 0.9, Cause::Memory), Some(Cause::Memory));
        assert_eq!(step(2, 0.9, Cause::OomKilled), Some(Cause::Memory));
        assert_eq!(step(3, 0.0, Cause::Cpu), Some(Cause::Memory));
        assert_eq!(step(4, 0.0, Cause::Cpu), None);
        assert_eq!(step(5, 0.8, Cause::Cpu), Some(Cause::Cpu));
    }

    #[test]
    fn an_unknown_score_changes_nothing() {
        let mut alert = Alert::default();
        let at = |s| Timestamp::from_second(s).unwrap();
        alert.step(at(1), Some(0.9), 0.7, &[]);
        alert.step(at(2), None, 0.7, &[]);
        assert_eq!(alert.since(), Some(at(1)));
    }
}
