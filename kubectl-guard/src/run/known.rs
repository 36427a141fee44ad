//! The reports of a table, with the UIDs that the cluster knows their pods by. Pure.

use std::collections::HashMap;

use guard_model::report::{NodeReport, PodReport};
use guard_model::sample::PodFacts;
use jiff::Timestamp;

use crate::scores;

/// The reports of the pods that are `listed`, by their UIDs and with clean text: a table, which anybody may write, names a pod
/// by its name alone. What it last said of an earlier pod of a name says nothing of the one that has it now. Where a pod runs is
/// the cluster's to say: all are in one report, of no node; `None` if there are no reports.
pub(super) fn known(reports: &[NodeReport], listed: &[PodFacts]) -> Option<NodeReport> {
    let listed: HashMap<(&str, &str), &PodFacts> =
        listed.iter().map(|facts| ((facts.namespace.as_str(), facts.name.as_str()), facts)).collect();
    let of_cluster = |at: Timestamp, pod: PodReport| {
        let facts = listed.get(&(pod.namespace.as_str(), pod.name.as_str()))?;
        let seen = pod.history.last().map_or(at.as_second(), |last| last.at);
        let made_later = facts.created.is_some_and(|created| created.as_second() > seen);
        (!made_later).then(|| PodReport { uid: facts.uid.clone(), ..pod })
    };
    let of_table = |report: NodeReport| {
        let pods = report.pods.into_iter().filter_map(|pod| of_cluster(report.at, pod)).collect();
        NodeReport { node: String::new(), pods, ..report }
    };
    reports.iter().cloned().map(scores::sanitised).map(of_table).reduce(|mut table, report| {
        table.pods.extend(report.pods);
        table
    })
}

#[cfg(test)]
mod tests {
    use guard_model::report::{HistoryPoint, State};

    use super::*;
    use crate::rows::{self, tests};
    use crate::scores::Scores;

    /// What a table's report has of a pod that was last seen a minute ago.
    fn report(name: &str) -> PodReport {
        let last = HistoryPoint {
            at: tests::now().as_second() - 60,
            score: Some(0.9),
            cpu: None,
            memory: None,
            receive: None,
            transmit: None,
        };
        let uid = format!("shop/{name}");
        PodReport { uid, history: vec![last], ..tests::report(name, Some(0.9), State::Anomalous) }
    }

    fn rows(pods: &[PodFacts]) -> Vec<rows::Row> {
        let nodes = [tests::node("node1", vec![report("cart-1")]), tests::node("node2", vec![report("other-1")])];
        let scores = Scores { reports: known(&nodes, pods).into_iter().collect(), ..Scores::default() };
        rows::join(&scores, pods, tests::now())
    }

    #[test]
    fn a_pod_has_the_score_that_the_table_has_for_its_name() {
        let rows = rows(&[tests::pod("cart-1", Some("node1")), tests::pod("young-1", Some("node1"))]);
        let told: Vec<_> = rows.iter().map(|row| (&*row.uid, row.score, row.reason())).collect();
        let reason = report("cart-1").reasons.remove(0).text;
        assert_eq!(
            told,
            [("uid-cart-1", Some(0.9), &*reason), ("uid-young-1", None, "not in the table of metrics yet")]
        );
    }

    #[test]
    fn what_the_table_has_of_an_earlier_pod_of_that_name_is_not_said_of_this_one() {
        let made = |seconds: i64| {
            let created = Timestamp::from_second(tests::now().as_second() - seconds).ok();
            rows(&[PodFacts { created, ..tests::pod("cart-1", Some("node1")) }])[0].score
        };
        assert_eq!((made(61), made(60), made(59)), (Some(0.9), Some(0.9), None));
    }
}
