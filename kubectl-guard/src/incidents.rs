//! What is known of troubles like this one: from the incidents that are shown beside it, and from the journal. Pure.

use std::collections::BTreeMap;

use guard_model::incident::{Incident, fingerprint};
use guard_model::words;
use guard_model::workload::Workload;
use jiff::Timestamp;
use serde::Serialize;

use crate::audit::{Event, Line};
use crate::outcome::Outcome;
use crate::outcome::StepOutcome;
use crate::plan::Evidence;

/// What was done last about a trouble like this one.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Fix {
    /// The plan's id, for `history`.
    pub id: String,
    /// What was done, in words.
    pub action: String,
    /// When.
    pub at: Timestamp,
    /// What the scores said afterwards; `None` if nobody waited for them.
    pub outcome: Option<Outcome>,
    /// Seconds from the write to that judgement.
    pub seconds: Option<f64>,
}

/// Fixes that were written from this machine to the cluster at `server`, the latest of each fingerprint, with how many there
/// were; without a server those of all clusters, for a file does not say which one it is of.
pub fn fixes(journal: &[Line], server: Option<&str>) -> BTreeMap<String, (usize, Fix)> {
    let mut fixes: BTreeMap<String, (usize, Fix)> = BTreeMap::new();
    let mut of_plan: BTreeMap<&str, String> = BTreeMap::new();
    for line in journal {
        match &line.event {
            Event::Intent { plan, .. } => {
                let Some(step) = plan.lead() else { continue };
                if server.is_some_and(|server| server != plan.place.server) {
                    continue;
                }
                let cause = plan.evidence.as_ref().and_then(Evidence::known_by);
                let workload = Workload::new(step.target.kind.name(), &step.target.name);
                of_plan.insert(&line.plan_id, fingerprint(&step.target.namespace, &workload, cause));
            }
            Event::Outcome { outcome: StepOutcome::Done { .. }, .. } => {
                let Some(print) = of_plan.get(&*line.plan_id) else { continue };
                let action = journal.iter().find_map(|earlier| match &earlier.event {
                    Event::Intent { plan, .. } if earlier.plan_id == line.plan_id => plan.lead(),
                    _ => None,
                });
                let action = action.map(|step| step.action.phrase()).unwrap_or_default();
                let fix = Fix { id: line.plan_id.clone(), action, at: line.at, outcome: None, seconds: None };
                let known = fixes.entry(print.clone()).or_insert_with(|| (0, fix.clone()));
                // Each step of a plan has an outcome of its own.
                known.0 += usize::from(known.1.id != line.plan_id || known.0 == 0);
                known.1 = fix;
            }
            Event::Verified { outcome } => {
                let known = of_plan.get(&*line.plan_id).and_then(|print| fixes.get_mut(print));
                if let Some((_, fix)) = known.filter(|(_, fix)| fix.id == line.plan_id) {
                    fix.outcome = Some(*outcome);
                    fix.seconds = Some(line.at.duration_since(fix.at).as_secs_f64());
                }
            }
            Event::Outcome { .. }
            | Event::Next { .. }
            | Event::Resized { .. }
            | Event::Mute { .. }
            | Event::Aborted => {}
        }
    }
    fixes
}

/// An incident with what is known of others like it.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Known {
    /// It.
    #[serde(flatten)]
    pub incident: Incident,
    /// Incidents like it that began earlier, of those that were read.
    pub seen_before: usize,
    /// How often something was done about one like it, from this machine.
    pub fixed_before: usize,
    /// What was done last.
    pub last_fix: Option<Fix>,
}

/// Adds what is known, the latest incident first.
pub fn known(incidents: Vec<Incident>, fixes: &BTreeMap<String, (usize, Fix)>) -> Vec<Known> {
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    let mut all: Vec<Known> = Vec::new();
    for incident in incidents {
        let before = seen.entry(incident.fingerprint.clone()).or_default();
        let fix =
            fixes.get(&incident.fingerprint).filter(|(_, fix)| fix.at < incident.from || incident.until.is_none());
        all.push(Known {
            seen_before: *before,
            fixed_before: fix.map_or(0, |(times, _)| *times),
            last_fix: fix.map(|(_, fix)| fix.clone()),
            incident,
        });
        *before += 1;
    }
    all.reverse();
    all
}

impl Known {
    /// What is known in words: `3 times; restart helped in 40s`.
    pub fn before(&self) -> String {
        let times = |n: usize| if n == 1 { "once".to_owned() } else { format!("{n} times") };
        let seen = (self.seen_before > 0).then(|| times(self.seen_before));
        let fixed = self.last_fix.as_ref().map(|fix| match (fix.outcome, fix.seconds) {
            (Some(Outcome::Recovered), Some(seconds)) => {
                format!("{} helped in {}", fix.action, words::duration(seconds))
            }
            (Some(outcome), _) => format!("{}: {}", fix.action, outcome.name()),
            (None, _) => format!("{}, not verified", fix.action),
        });
        [seen, fixed].into_iter().flatten().collect::<Vec<_>>().join("; ")
    }
}

#[cfg(test)]
mod tests {
    use guard_model::cause::Cause;
    use guard_model::incident::{Anomaly, group};

    use super::*;
    use crate::approve::{Way, approve};
    use crate::audit::{Journal, VERSION};
    use crate::plan::ActionKind;
    use crate::plan::examples::{Typist, now, plan};

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(now().as_second() + seconds).unwrap()
    }

    /// Deployment `web` sends too much, from this second to that.
    fn sending(from: i64, until: Option<i64>) -> Anomaly {
        Anomaly {
            namespace: "shop".into(),
            pod: "web-a".into(),
            workload: Workload::new("Deployment", "web"),
            node: None,
            since: at(from),
            until: until.map(at),
            cause: Some(Cause::Transmit),
            reason: "sent 2.1 MiB/s".into(),
            score: 0.9,
            began_score: 0.9,
            deploy: false,
        }
    }

    /// The lines of restarts, each begun at this second, done a second later, and judged at the other.
    fn journal(restarts: &[(i64, Option<(i64, Outcome)>)]) -> Vec<Line> {
        let approved = approve(plan(ActionKind::Restart), Way::Ask, now(), &Typist("web")).unwrap();
        let mut lines = Vec::new();
        for (n, (begun, judged)) in restarts.iter().enumerate() {
            let mut add = |seconds, event| {
                lines.push(Line { version: VERSION, at: at(seconds), plan_id: format!("p{n}"), event, prev: None });
            };
            add(*begun, Event::intent(&approved, None));
            add(*begun + 1, Event::Outcome { step: 0, outcome: StepOutcome::Done { generation: Some(8) } });
            if let Some((seconds, outcome)) = judged {
                add(*seconds, Event::Verified { outcome: *outcome });
            }
        }
        lines
    }

    fn shown(anomalies: Vec<Anomaly>, journal: &[Line]) -> Vec<String> {
        known(group(anomalies), &fixes(journal, None)).iter().map(Known::before).collect()
    }

    #[test]
    fn what_helped_before_is_told_with_how_soon() {
        let helped = journal(&[(-900, None), (-600, Some((-559, Outcome::Recovered)))]);
        assert_eq!(shown(vec![sending(0, None)], &helped), ["restart helped in 40s"]);
        assert_eq!(known(group(vec![sending(0, None)]), &fixes(&helped, None))[0].fixed_before, 2);
        let in_vain = journal(&[(-600, Some((-500, Outcome::Unchanged)))]);
        assert_eq!(shown(vec![sending(0, None)], &in_vain), ["restart: unchanged"]);
        assert_eq!(shown(vec![sending(0, None)], &journal(&[(-600, None)])), ["restart, not verified"]);
    }

    #[test]
    fn earlier_ones_are_counted_and_the_latest_comes_first() {
        let all = vec![sending(-9000, Some(-8900)), sending(-5000, Some(-4900)), sending(0, None)];
        assert_eq!(shown(all, &[]), ["2 times", "once", ""]);
    }

    #[test]
    fn what_was_done_about_another_cause_or_later_says_nothing() {
        let other = Anomaly { cause: Some(Cause::Memory), ..sending(0, None) };
        assert_eq!(shown(vec![other], &journal(&[(-600, None)])), [""]);
        assert_eq!(shown(vec![sending(-9000, Some(-8900))], &journal(&[(-600, None)])), [""]);
    }

    #[test]
    fn a_fix_belongs_to_what_its_trouble_began_with_and_to_its_cluster() {
        let mut lines = journal(&[(-600, Some((-559, Outcome::Recovered)))]);
        let Event::Intent { plan, .. } = &mut lines[0].event else { unreachable!("a fix begins with its intent") };
        let server = plan.place.server.clone();
        let evidence = plan.evidence.as_mut().unwrap();
        assert_eq!(evidence.leading(), Some(Cause::Transmit));
        evidence.began = Some(Cause::Cpu);
        let began = Anomaly { cause: Some(Cause::Cpu), ..sending(0, None) };
        assert_eq!(shown(vec![began.clone()], &lines), ["restart helped in 40s"]);
        assert_eq!(shown(vec![sending(0, None)], &lines), [""]);
        let of = |server: &str| known(group(vec![began.clone()]), &fixes(&lines, Some(server)))[0].before();
        assert_eq!((of(&server).as_str(), of("https://another:6443").as_str()), ("restart helped in 40s", ""));
    }

    #[test]
    fn a_journal_that_is_read_back_says_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let file = Journal::at(folder.path().join("journal.jsonl"));
        for line in journal(&[(-600, Some((-559, Outcome::Recovered)))]) {
            file.append(line.at, &line.plan_id, line.event).unwrap();
        }
        assert_eq!(shown(vec![sending(0, None)], &file.read().unwrap()), ["restart helped in 40s"]);
    }
}
