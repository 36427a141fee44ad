//! Anomalies that belong together. Pure.
//!
//! A person on call is woken by one trouble, and sees many pods over their lines. Two anomalies are taken for one trouble if
//! they are close in time and in place: pods of one workload, or of one rollout; the same cause on one node or in one namespace;
//! traffic of neighbours in one namespace. The pod that went over its line first leads: what follows is often its consequence.
//! Two faults that merely share a node or a minute stay two.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use jiff::Timestamp;
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::cause::{Cause, Reason};
use crate::features::hex;
use crate::report::{PodReport, State};
use crate::workload::Workload;

/// Pods that share a cause or traffic have one trouble if they go over their lines within this time: a few samples, for each
/// pod is read in its turn.
const CAUSE_SECONDS: i64 = 60;
/// A pod that was under its line for this long or less, and is over it for the same cause, never recovered.
pub const RELAPSE_SECONDS: i64 = 120;
/// Alerts of a table that is read are kept up to this many; beyond it the oldest are let go.
const MOST: usize = 10_000;

/// One pod over its line, from then to then.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Anomaly {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub pod: String,
    /// What it belongs to; a bare pod belongs to itself.
    pub workload: Workload,
    /// Its node, if it is known.
    pub node: Option<String>,
    /// Since when it was over its line.
    pub since: Timestamp,
    /// When it was under it again; `None` if it still is over it.
    pub until: Option<Timestamp>,
    /// What led when it began; `None` if no reason was told.
    pub cause: Option<Cause>,
    /// The words for it.
    pub reason: String,
    /// The highest score meanwhile, 0 to 1.
    pub score: f64,
    /// The score of what led when it began, which does not change any more; 0 if nobody saw it begin.
    #[serde(skip)]
    pub began_score: f64,
    /// It was part of a rollout when it began.
    pub deploy: bool,
}

/// Why two anomalies are taken for one trouble.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Link {
    /// Pods of one rollout.
    Rollout,
    /// Pods of one workload.
    Workload,
    /// The same cause, on one node, at once.
    Node,
    /// The same cause, in one namespace, at once.
    Cause,
    /// Traffic, in one namespace, at once.
    Traffic,
}

impl Link {
    /// A few words.
    pub fn words(self) -> &'static str {
        match self {
            Link::Rollout => "one rollout",
            Link::Workload => "one workload",
            Link::Node => "one cause on one node",
            Link::Cause => "one cause in one namespace",
            Link::Traffic => "traffic in one namespace",
        }
    }
}

/// Anomalies that belong together.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Incident {
    /// Names it: the same as long as the pod that began it is the same.
    pub id: String,
    /// The same for incidents that begin in the same workload with the same cause.
    pub fingerprint: String,
    /// When it began.
    pub from: Timestamp,
    /// When the last of its pods was under its line again; `None` while one is over it.
    pub until: Option<Timestamp>,
    /// What holds it together; nothing if it is one pod.
    pub links: Vec<Link>,
    /// Its pods, the first mover first.
    pub pods: Vec<Anomaly>,
}

/// The same for troubles that begin in the same workload with the same cause: 16 digits.
pub fn fingerprint(namespace: &str, workload: &Workload, cause: Option<Cause>) -> String {
    digest(&format!("{namespace}\n{workload}\n{}", cause.map_or("", Cause::name)))
}

fn digest(text: &str) -> String {
    let mut hash = hex(&Sha256::digest(text));
    hash.truncate(16);
    hash
}

/// Puts together what belongs together; incidents and their pods in the order in which they began.
pub fn group(mut anomalies: Vec<Anomaly>) -> Vec<Incident> {
    // Of those that began with the same sample, the one that was furthest off then leads: the highest score since may pass from
    // one to another, and with it the name of an incident that lasts.
    anomalies.sort_by(|a, b| {
        a.since
            .cmp(&b.since)
            .then(b.began_score.total_cmp(&a.began_score))
            .then_with(|| (&a.namespace, &a.pod).cmp(&(&b.namespace, &b.pod)))
    });
    let mut parts = Parts::new(anomalies.len());
    // At most one entry for each anomaly and kind of link: an outage of thousands of pods has millions of pairs.
    let mut links: BTreeSet<(usize, Link)> = BTreeSet::new();
    let mut kin: HashMap<(&str, &Workload), Vec<usize>> = HashMap::new();
    for (later, anomaly) in anomalies.iter().enumerate() {
        let near = anomalies.partition_point(|earlier| seconds_between(earlier, anomaly) > CAUSE_SECONDS);
        let own = kin.entry((&anomaly.namespace, &anomaly.workload)).or_default();
        // What began long before can only be of the same workload.
        for earlier in own.iter().copied().filter(|earlier| *earlier < near).chain(near..later) {
            if let Some(link) = link(&anomalies[earlier], anomaly) {
                parts.join(earlier, later);
                links.insert((later, link));
            }
        }
        own.push(later);
    }
    let mut incidents: BTreeMap<usize, (Vec<Anomaly>, BTreeSet<Link>)> = BTreeMap::new();
    for (place, link) in links {
        incidents.entry(parts.first(place)).or_default().1.insert(link);
    }
    for (place, anomaly) in anomalies.into_iter().enumerate() {
        incidents.entry(parts.first(place)).or_default().0.push(anomaly);
    }
    incidents.into_values().filter_map(|(pods, links)| incident(pods, links)).collect()
}

fn incident(pods: Vec<Anomaly>, links: BTreeSet<Link>) -> Option<Incident> {
    let first = pods.first()?;
    let fingerprint = fingerprint(&first.namespace, &first.workload, first.cause);
    Some(Incident {
        id: digest(&format!("{fingerprint}\n{}\n{}", first.pod, first.since.as_second()))[..8].to_owned(),
        fingerprint,
        from: first.since,
        until: pods.iter().map(|pod| pod.until).collect::<Option<Vec<_>>>().and_then(|ends| ends.into_iter().max()),
        links: links.into_iter().collect(),
        pods,
    })
}

fn seconds_between(earlier: &Anomaly, later: &Anomaly) -> i64 {
    later.since.as_second() - earlier.since.as_second()
}

/// Why these are one trouble, if they are; `earlier` began no later than `later`.
fn link(earlier: &Anomaly, later: &Anomaly) -> Option<Link> {
    let same_cause = earlier.cause.is_some() && earlier.cause == later.cause;
    if earlier.namespace == later.namespace && earlier.workload == later.workload {
        let calm = earlier.until.map_or(0, |until| later.since.as_second() - until.as_second());
        let link = if earlier.deploy && later.deploy { Link::Rollout } else { Link::Workload };
        return (calm <= 0 || (same_cause && calm <= RELAPSE_SECONDS)).then_some(link);
    }
    let traffic = |anomaly: &Anomaly| matches!(anomaly.cause, Some(Cause::Receive | Cause::Transmit));
    // Who is busy asks others for more.
    let asked = matches!(earlier.cause, Some(Cause::Cpu | Cause::CpuAtLimit)) && later.cause == Some(Cause::Receive);
    let near = seconds_between(earlier, later) <= CAUSE_SECONDS;
    if near && same_cause && earlier.node.is_some() && earlier.node == later.node {
        Some(Link::Node)
    } else if near && same_cause && earlier.namespace == later.namespace {
        Some(Link::Cause)
    } else if near && (asked || (traffic(earlier) && traffic(later))) && earlier.namespace == later.namespace {
        Some(Link::Traffic)
    } else {
        None
    }
}

/// Which anomalies are of one part; each part is known by its first member.
struct Parts(Vec<usize>);

impl Parts {
    fn new(members: usize) -> Self {
        Self((0..members).collect())
    }

    fn first(&mut self, member: usize) -> usize {
        let mut first = member;
        while self.0[first] != first {
            first = self.0[first];
        }
        self.0[member] = first;
        first
    }

    fn join(&mut self, a: usize, b: usize) {
        let (a, b) = (self.first(a), self.first(b));
        self.0[a.max(b)] = a.min(b);
    }
}

/// Follows reports, tick after tick, and keeps when each pod went over its line and under it.
#[derive(Clone, Debug, Default)]
pub struct Tracker {
    open: HashMap<(String, String), Anomaly>,
    over: Vec<Anomaly>,
}

impl Tracker {
    /// Takes what is said of a pod at this time.
    pub fn take(&mut self, at: Timestamp, node: Option<&str>, report: &PodReport) {
        let key = (report.namespace.clone(), report.name.clone());
        match (self.open.get_mut(&key), anomaly(node, report)) {
            (Some(open), Some(now)) => open.score = open.score.max(now.score),
            (None, Some(now)) => {
                self.open.insert(key, now);
            }
            (Some(_), None) => {
                if let Some(mut ended) = self.open.remove(&key) {
                    ended.until = Some(at);
                    self.over.push(ended);
                    if self.over.len() > MOST {
                        self.over.remove(0);
                    }
                }
            }
            (None, None) => {}
        }
    }

    /// Ends, at this time, the anomalies of pods that are no longer there.
    pub fn end_others(&mut self, at: Timestamp, there: impl Fn(&str, &str) -> bool) {
        let gone = self.open.extract_if(|(namespace, pod), _| !there(namespace, pod));
        self.over.extend(gone.map(|(_, anomaly)| Anomaly { until: Some(at), ..anomaly }));
    }

    /// Forgets those of the ended ones that are `past`.
    pub fn forget(&mut self, past: impl Fn(&Anomaly) -> bool) {
        self.over.retain(|anomaly| !past(anomaly));
    }

    /// All of them: those that ended, and those that have not.
    pub fn anomalies(self) -> Vec<Anomaly> {
        self.over.into_iter().chain(self.open.into_values()).collect()
    }
}

/// The anomaly that a report tells of, if it tells of one.
pub fn anomaly(node: Option<&str>, report: &PodReport) -> Option<Anomaly> {
    let since = report.since.filter(|_| report.state == State::Anomalous)?;
    let lead = report.began.as_ref().or(report.reasons.first());
    Some(Anomaly {
        namespace: report.namespace.clone(),
        pod: report.name.clone(),
        workload: report.workload.clone().unwrap_or_else(|| Workload::new("Pod", &report.name)),
        node: node.map(str::to_owned),
        since,
        until: None,
        cause: lead.map(|reason| reason.cause),
        reason: lead.map(|reason| reason.text.clone()).unwrap_or_default(),
        score: highest(report.score, report.began.as_ref()),
        began_score: report.began.as_ref().map_or(0.0, |began| began.score),
        deploy: report.deploy,
    })
}

/// The highest score that is known of an anomaly: this of now, or that of what began it.
pub fn highest(now: Option<f64>, began: Option<&Reason>) -> f64 {
    now.unwrap_or(0.0).max(began.map_or(0.0, |began| began.score))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// `pod` of the workload before its dash, over its line from this second on.
    fn over(pod: &str, node: &str, second: i64, cause: Cause) -> Anomaly {
        Anomaly {
            namespace: "shop".into(),
            pod: pod.into(),
            workload: Workload::new("Deployment", pod.split('-').next().unwrap()),
            node: Some(node.into()),
            since: Timestamp::from_second(1_790_000_000 + second).unwrap(),
            until: None,
            cause: Some(cause),
            reason: String::new(),
            score: 0.9,
            began_score: 0.9,
            deploy: false,
        }
    }

    fn shown(incidents: &[Incident]) -> Vec<(Vec<&str>, Vec<Link>)> {
        let names = |incident: &Incident| incident.pods.iter().map(|pod| &*pod.pod).collect::<Vec<&str>>().len();
        assert!(incidents.iter().all(|incident| names(incident) > 0));
        incidents.iter().map(|i| (i.pods.iter().map(|pod| &*pod.pod).collect(), i.links.clone())).collect()
    }

    #[test]
    fn pods_of_a_workload_are_one_incident_and_the_first_leads() {
        let found = group(vec![
            over("cart-b", "node2", 90, Cause::Memory),
            over("cart-a", "node1", 0, Cause::Cpu),
            over("mail-a", "node1", 30, Cause::Drops),
        ]);
        assert_eq!(shown(&found), [(vec!["cart-a", "cart-b"], vec![Link::Workload]), (vec!["mail-a"], vec![])]);
    }

    #[test]
    fn another_fault_of_a_pod_that_had_recovered_is_another_incident_and_a_relapse_is_not() {
        let end = |second: i64| Some(Timestamp::from_second(1_790_000_000 + second).unwrap());
        let first = Anomaly { until: end(100), ..over("cart-a", "node1", 0, Cause::Cpu) };
        let after = |second, cause| group(vec![first.clone(), over("cart-a", "node1", second, cause)]).len();
        assert_eq!([after(200, Cause::Memory), after(200, Cause::Cpu), after(300, Cause::Cpu)], [2, 1, 2]);
        assert_eq!(after(90, Cause::Memory), 1, "it has not recovered yet");
    }

    #[test]
    fn an_incident_keeps_its_name_while_the_scores_of_its_pods_cross() {
        let (a, b) = (over("cart-a", "node1", 0, Cause::Cpu), over("cart-b", "node2", 0, Cause::Cpu));
        let begun = |pod: &Anomaly, score, began_score| Anomaly { score, began_score, ..pod.clone() };
        let first = group(vec![begun(&a, 0.8, 0.8), begun(&b, 0.75, 0.75)]).remove(0);
        let later = group(vec![begun(&b, 0.93, 0.75), begun(&a, 0.85, 0.8)]).remove(0);
        assert_eq!((&*first.pods[0].pod, &*later.pods[0].pod, later.pods.len()), ("cart-a", "cart-a", 2));
        assert_eq!(first.id, later.id);
    }

    #[test]
    fn two_faults_on_one_node_at_once_stay_two() {
        let found =
            group(vec![over("cart-a", "node1", 0, Cause::CpuAtLimit), over("mail-a", "node1", 10, Cause::Memory)]);
        assert_eq!(found.len(), 2);
    }

    #[test]
    fn one_cause_in_many_places_at_once_is_one_incident() {
        let node = group(vec![over("a-1", "node1", 0, Cause::Cpu), over("b-1", "node1", 45, Cause::Cpu)]);
        assert_eq!(shown(&node), [(vec!["a-1", "b-1"], vec![Link::Node])]);
        let cause = group(vec![over("a-1", "node1", 0, Cause::Drops), over("b-1", "node2", 45, Cause::Drops)]);
        assert_eq!(shown(&cause), [(vec!["a-1", "b-1"], vec![Link::Cause])]);
        let callers = group(vec![over("a-1", "node1", 0, Cause::Transmit), over("b-1", "node2", 20, Cause::Receive)]);
        assert_eq!(shown(&callers), [(vec!["a-1", "b-1"], vec![Link::Traffic])]);
        let busy = group(vec![over("a-1", "node1", 0, Cause::CpuAtLimit), over("b-1", "node2", 20, Cause::Receive)]);
        assert_eq!(shown(&busy), [(vec!["a-1", "b-1"], vec![Link::Traffic])]);
        let later = group(vec![over("a-1", "node1", 0, Cause::Cpu), over("b-1", "node1", 61, Cause::Cpu)]);
        assert_eq!(later.len(), 2, "a minute later it is another");
    }

    #[test]
    fn a_bad_rollout_is_called_one() {
        let of = |pod, second| Anomaly { deploy: true, ..over(pod, "node1", second, Cause::CrashLoop) };
        assert_eq!(
            shown(&group(vec![of("cart-a", 0), of("cart-b", 200)])),
            [(vec!["cart-a", "cart-b"], vec![Link::Rollout])]
        );
    }

    #[test]
    fn the_same_trouble_has_the_same_fingerprint_and_another_id() {
        let first = group(vec![over("cart-a", "node1", 0, Cause::Cpu)]).remove(0);
        let again = group(vec![over("cart-b", "node2", 86_400, Cause::Cpu)]).remove(0);
        let other = group(vec![over("cart-a", "node1", 0, Cause::Memory)]).remove(0);
        assert!(first.fingerprint == again.fingerprint && first.id != again.id);
        assert_ne!(first.fingerprint, other.fingerprint);
    }

    #[test]
    fn an_incident_ends_with_the_last_of_its_pods() {
        let end = |second: i64| Some(Timestamp::from_second(1_790_000_000 + second).unwrap());
        let ended = |pod, until| Anomaly { until: end(until), ..over(pod, "node1", 0, Cause::Cpu) };
        assert_eq!(group(vec![ended("cart-a", 500), ended("cart-b", 300)])[0].until, end(500));
        assert_eq!(group(vec![ended("cart-a", 500), over("cart-b", "node1", 0, Cause::Cpu)])[0].until, None);
    }

    proptest! {
        #[test]
        fn every_anomaly_is_in_one_incident_and_the_first_of_each_began_it(
            all in prop::collection::vec((0..4usize, 0..6usize, 0..2000i64, 0..Cause::ALL.len()), 0..40),
        ) {
            let anomalies: Vec<Anomaly> = all
                .iter()
                .enumerate()
                .map(|(i, (node, workload, second, cause))| {
                    over(&format!("w{workload}-{i}"), &format!("node{node}"), *second, Cause::ALL[*cause])
                })
                .collect();
            let incidents = group(anomalies.clone());
            let mut found: Vec<String> = incidents.iter().flat_map(|i| &i.pods).map(|pod| pod.pod.clone()).collect();
            let mut wanted: Vec<String> = anomalies.iter().map(|anomaly| anomaly.pod.clone()).collect();
            found.sort();
            wanted.sort();
            prop_assert_eq!(found, wanted);
            for incident in &incidents {
                prop_assert!(incident.pods.iter().all(|pod| pod.since >= incident.from));
                prop_assert_eq!(incident.links.is_empty(), incident.pods.len() == 1);
            }
        }
    }
}
