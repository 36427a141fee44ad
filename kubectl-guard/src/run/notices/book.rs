//! Which incidents there are, and who was told of which. Pure.

use std::collections::{BTreeMap, BTreeSet};

use guard_model::incident::{Anomaly, Incident, RELAPSE_SECONDS, Tracker, group};
use guard_model::mute::Mute;
use guard_model::report::NodeReport;
use jiff::Timestamp;

/// Which incidents there are, and which of them each sink was told of.
#[derive(Debug, Default)]
pub struct Book {
    tracker: Tracker,
    incidents: Vec<Incident>,
    silent: BTreeSet<String>,
    told: BTreeMap<&'static str, BTreeMap<String, Incident>>,
}

/// What a sink does not know yet.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Message {
    /// Incidents that it was not told of.
    pub began: Vec<Incident>,
    /// Incidents that it was told of, and that are over.
    pub ended: Vec<Incident>,
}

impl Message {
    /// There is nothing to tell.
    pub fn is_empty(&self) -> bool {
        self.began.is_empty() && self.ended.is_empty()
    }
}

impl Book {
    /// Takes what is known now. Whoever asked for silence about all pods of an incident is not told that it began.
    pub fn take(&mut self, reports: &[NodeReport], mutes: &[Mute]) {
        let Some(at) = reports.iter().map(|report| report.at).max() else { return };
        let mut there = BTreeSet::new();
        for report in reports {
            let node = (!report.node.is_empty()).then_some(report.node.as_str());
            for pod in &report.pods {
                self.tracker.take(report.at, node, pod);
                there.insert((pod.namespace.as_str(), pod.name.as_str()));
            }
        }
        self.tracker.end_others(at, |namespace, pod| there.contains(&(namespace, pod)));
        self.incidents = group(self.tracker.clone().anomalies());
        self.silent = self.incidents.iter().filter(|all| is_silent(all, mutes)).map(|all| all.id.clone()).collect();
        self.forget(at);
    }

    /// Lets go of incidents that are over for good, whole: what is left of one would be another.
    fn forget(&mut self, at: Timestamp) {
        let long_over = |incident: &Incident| {
            incident.until.is_some_and(|until| at.as_second() - until.as_second() > RELAPSE_SECONDS)
        };
        let past: BTreeSet<(String, String, Timestamp)> =
            self.incidents.iter().filter(|incident| long_over(incident)).flat_map(|all| &all.pods).map(name).collect();
        if !past.is_empty() {
            self.tracker.forget(|anomaly| past.contains(&name(anomaly)));
        }
    }

    /// The incidents that are not over.
    pub fn open(&self) -> impl Iterator<Item = &Incident> {
        self.incidents.iter().filter(|incident| incident.until.is_none())
    }

    /// The incidents that a sink was told of and that are not over, as they are now.
    pub fn known(&self, sink: &str) -> impl Iterator<Item = &Incident> {
        let told = self.told.get(sink);
        self.open().filter(move |incident| told.is_some_and(|told| told.contains_key(&incident.id)))
    }

    /// What a sink does not know yet.
    pub fn due(&self, sink: &str) -> Message {
        let none = BTreeMap::new();
        let told = self.told.get(sink).unwrap_or(&none);
        let news = |incident: &&Incident| !told.contains_key(&incident.id) && !self.silent.contains(&incident.id);
        let began = self.open().filter(news).cloned().collect();
        let ended = told.values().filter(|told| !self.open().any(|open| open.id == told.id)).map(|told| self.end(told));
        Message { began, ended: ended.collect() }
    }

    /// How an incident ended. One that is no longer known was found to be part of an earlier one.
    fn end(&self, told: &Incident) -> Incident {
        let known = self.incidents.iter().find(|incident| incident.id == told.id).cloned();
        let latest = || self.incidents.iter().map(|incident| incident.from).max();
        known.unwrap_or_else(|| Incident { until: told.until.or_else(latest).or(Some(told.from)), ..told.clone() })
    }

    /// The sink knows it now.
    pub fn told(&mut self, sink: &'static str, message: &Message) {
        let told = self.told.entry(sink).or_default();
        told.extend(message.began.iter().map(|incident| (incident.id.clone(), incident.clone())));
        for incident in &message.ended {
            told.remove(&incident.id);
        }
    }
}

fn name(anomaly: &Anomaly) -> (String, String, Timestamp) {
    (anomaly.namespace.clone(), anomaly.pod.clone(), anomaly.since)
}

fn is_silent(incident: &Incident, mutes: &[Mute]) -> bool {
    incident.pods.iter().all(|pod| mutes.iter().any(|mute| mute.silences(pod)))
}

#[cfg(test)]
mod tests {
    use guard_model::cause::{Cause, Reason};
    use guard_model::mute::Target;
    use guard_model::report::{PodReport, State};
    use guard_model::silence::Silence;
    use guard_model::workload::Workload;

    use super::*;
    use crate::rows::tests::{node, now, report};

    const SINK: &str = "webhook";

    /// Pods of this second, each with the second since which it is over its line.
    fn seen(second: i64, pods: &[(&str, Option<i64>)]) -> Vec<NodeReport> {
        let at = |second: i64| now() + jiff::SignedDuration::from_secs(second);
        let pods = pods.iter().map(|(name, since)| PodReport {
            namespace: "shop".into(),
            workload: Some(Workload::new("Deployment", name.split('-').next().unwrap())),
            since: since.map(at),
            reasons: vec![Reason { cause: Cause::Memory, score: 0.9, text: "memory grows".into() }],
            ..report(name, Some(0.9), if since.is_some() { State::Anomalous } else { State::Ok })
        });
        vec![NodeReport { at: at(second), ..node("", pods.collect()) }]
    }

    /// What is due, as the first pod of each incident.
    fn due(book: &Book) -> (Vec<String>, Vec<String>) {
        let first = |all: &Vec<Incident>| all.iter().map(|incident| incident.pods[0].pod.clone()).collect();
        let message = book.due(SINK);
        (first(&message.began), first(&message.ended))
    }

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(ToString::to_string).collect()
    }

    fn tell(book: &mut Book) {
        let message = book.due(SINK);
        book.told(SINK, &message);
    }

    #[test]
    fn each_incident_is_told_once_when_it_begins_and_once_when_it_ends() {
        let mut book = Book::default();
        book.take(&seen(0, &[("cart-1", Some(0)), ("mail-1", None)]), &[]);
        assert_eq!(due(&book), (names(&["cart-1"]), vec![]));
        tell(&mut book);
        // Another pod of it is no other incident.
        book.take(&seen(30, &[("cart-1", Some(0)), ("cart-2", Some(30)), ("mail-1", None)]), &[]);
        assert_eq!(due(&book), (vec![], vec![]));
        assert_eq!(book.known(SINK).count(), 1);
        // The first pod recovers, the other is gone with its node.
        book.take(&seen(60, &[("cart-1", None), ("cart-2", Some(30))]), &[]);
        assert_eq!(due(&book), (vec![], vec![]));
        book.take(&seen(90, &[("cart-1", None)]), &[]);
        assert_eq!(due(&book), (vec![], names(&["cart-1"])));
        assert_eq!(book.due(SINK).ended[0].until, Some(seen(90, &[])[0].at));
        tell(&mut book);
        assert!(book.due(SINK).is_empty());
    }

    #[test]
    fn whoever_begins_to_look_while_it_lasts_finds_the_same_incident() {
        let (mut book, mut begun_anew) = (Book::default(), Book::default());
        book.take(&seen(0, &[("cart-1", Some(0))]), &[]);
        let mut reports = seen(30, &[("cart-1", Some(0))]);
        // It has calmed down, and is not over yet: what began it is all that is left to tell.
        let pod = &mut reports[0].pods[0];
        (pod.score, pod.began) = (Some(0.0), pod.reasons.pop());
        begun_anew.take(&reports, &[]);
        let [first, again] = [&book, &begun_anew].map(|book| book.due(SINK).began.remove(0));
        assert_eq!((first.id, first.fingerprint), (again.id, again.fingerprint));
        assert_eq!((again.pods[0].score, &*again.pods[0].reason), (0.9, "memory grows"));
    }

    #[test]
    fn what_was_not_delivered_is_due_still_and_what_nobody_heard_of_ends_unheard() {
        let mut book = Book::default();
        book.take(&seen(0, &[("cart-1", Some(0))]), &[]);
        book.take(&seen(30, &[("cart-1", Some(0))]), &[]);
        assert_eq!(due(&book), (names(&["cart-1"]), vec![]));
        book.take(&seen(60, &[("cart-1", None)]), &[]);
        assert!(book.due(SINK).is_empty());
    }

    #[test]
    fn an_incident_of_muted_pods_begins_in_silence_and_one_that_was_told_ends_aloud() {
        let target = Target::Workload { namespace: "shop".into(), workload: Workload::new("Deployment", "cart") };
        let silence = Silence { until: now(), reason: String::new(), by: String::new() };
        let mutes = [Mute { target, since: now(), silence }];
        let pods = [("cart-1", Some(0)), ("mail-1", Some(0))];
        let mut book = Book::default();
        book.take(&seen(0, &pods), &mutes);
        // One cause in one namespace: it is about mail, too.
        assert_eq!(due(&book).0.len(), 1);
        let mut book = Book::default();
        book.take(&seen(0, &pods[..1]), &mutes);
        assert!(book.due(SINK).is_empty());
        book.take(&seen(30, &pods[..1]), &[]);
        tell(&mut book);
        book.take(&seen(60, &[("cart-1", None)]), &mutes);
        assert_eq!(due(&book), (vec![], names(&["cart-1"])));
    }

    #[test]
    fn what_is_over_for_good_is_forgotten_whole() {
        let mut book = Book::default();
        for tick in 0..100 {
            let pod = format!("job{tick}-1");
            let since = tick * 30;
            book.take(&seen(since, &[(&pod, Some(since)), ("stays-1", Some(0))]), &[]);
            tell(&mut book);
        }
        assert!(book.incidents.len() < 20, "{}", book.incidents.len());
        assert!(book.open().any(|incident| incident.pods.iter().any(|pod| pod.pod == "stays-1")));
        assert_eq!(book.told[SINK].len(), book.open().count());
    }
}
