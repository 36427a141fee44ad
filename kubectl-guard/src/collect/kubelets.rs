//! The kubelets' own readings, through the API server's proxy to them.

use std::collections::{BTreeSet, HashMap};

use futures::StreamExt as _;
use guard_model::cadvisor::{self, Cadvisor};
use guard_model::recording::{NodeFiles, Tick};
use guard_model::sample::{self, Measures, Phase, PodFacts};
use guard_model::sampler::Sampler;
use guard_model::summary::{self, Summary};
use guard_model::table::{Number, Row};
use jiff::Timestamp;

use super::{Look, encoded, get, row};
use crate::connect::Connection;
use crate::error::Error;
use crate::request::Request;

/// Kubelets asked at once.
const AT_ONCE: usize = 8;
/// Cadvisor costs a kubelet four times a summary: it is read this often, as an exporter does.
const CADVISOR_SECONDS: i64 = 60;
/// Of `nodes/proxy`, as RBAC names it.
const RIGHT: Request<'_> = Request { verb: "get", resource: "nodes/proxy", group: "", namespace: None };

/// What is remembered of each node between two looks.
#[derive(Default)]
pub(super) struct Kubelets {
    nodes: HashMap<String, Node>,
}

#[derive(Default)]
struct Node {
    sampler: Sampler,
    cadvisor_at: Option<Timestamp>,
}

impl Kubelets {
    /// Reads the kubelets of these pods.
    pub(super) async fn look(
        &mut self,
        connection: &Connection,
        at: Timestamp,
        pods: &[PodFacts],
    ) -> Result<Look, Error> {
        let names: BTreeSet<&str> = pods.iter().filter_map(|pod| pod.node.as_deref()).collect();
        self.nodes.retain(|name, _| names.contains(name.as_str()));
        let wanted: Vec<(String, bool)> =
            names.iter().map(|name| ((*name).to_owned(), self.cadvisor_is_due(name, at))).collect();
        let asked = wanted.into_iter().map(|(name, with_cadvisor)| read(connection, name, with_cadvisor));
        let answers: Vec<_> = futures::stream::iter(asked).buffered(AT_ONCE).collect().await;
        let mut look =
            Look { rows: Vec::new(), raw: Tick { at, ..Tick::default() }, unmeasured: None, warnings: Vec::new() };
        let mut failed = None;
        let mut unread = BTreeSet::new();
        for (node, answer) in answers {
            match answer {
                Ok((files, without)) => {
                    if let Err(problem) = self.take(at, &files, pods, &mut look) {
                        look.warnings.push(format!("node {node}: {problem}"));
                        unread.insert(node.clone());
                    }
                    if let Some(error) = without {
                        // What costs most is not asked for at each look because it fails.
                        self.nodes.entry(node.clone()).or_default().cadvisor_at = Some(at);
                        let unknown = "its drops, OOM kills and disk traffic are unknown";
                        look.warnings.push(format!("node {node}: metrics/cadvisor: {error}: {unknown}"));
                    }
                    look.raw.nodes.push(files);
                }
                Err(error) => {
                    look.warnings.push(format!("node {node}: {error}"));
                    unread.insert(node);
                    // Of many failures the one that somebody can mend.
                    failed = failed.filter(is_final).or(Some(error));
                }
            }
        }
        look.unmeasured = failed.filter(|_| look.raw.nodes.is_empty());
        if let Some(error) = look.unmeasured.take_if(|error| is_final(error)) {
            return Err(error);
        }
        // No kubelet tells of them. What the API server states of them stands all the same: a pod without a row would have
        // gone, and whatever is wrong with it would be over.
        let is_untold = |pod: &&PodFacts| {
            let silent = pod.node.as_ref().is_some_and(|node| unread.contains(node));
            pod.unschedulable.is_some() || (silent && pod.phase != Phase::Succeeded)
        };
        look.rows.extend(pods.iter().filter(is_untold).map(|pod| row(at, pod, Measures::default())));
        Ok(look)
    }

    fn cadvisor_is_due(&self, node: &str, at: Timestamp) -> bool {
        let last = self.nodes.get(node).and_then(|node| node.cadvisor_at);
        last.is_none_or(|last| at.as_second() - last.as_second() >= CADVISOR_SECONDS)
    }

    /// Takes a kubelet's answer, or says why it cannot be read.
    fn take(&mut self, at: Timestamp, files: &NodeFiles, pods: &[PodFacts], look: &mut Look) -> Result<(), String> {
        let node = self.nodes.entry(files.node.clone()).or_default();
        let summary =
            summary::parse(files.summary.as_deref().unwrap_or_default()).map_err(|error| error.to_string())?;
        let fresh = files.cadvisor.as_deref().map(|body| {
            let mut reader = cadvisor::Reader::default();
            reader.feed(body);
            reader.finish()
        });
        let now = sample::seconds(at);
        let mine: Vec<PodFacts> = pods.iter().filter(|pod| pod.node.as_deref() == Some(&files.node)).cloned().collect();
        let samples = node.sampler.tick(now, Some(&summary), fresh.as_ref(), &mine);
        if fresh.is_some() {
            node.cadvisor_at = Some(at);
        }
        for sample in samples {
            let mut row = Row::of(at, &sample);
            totals(&mut row, &sample.facts.uid, &summary, fresh.as_ref());
            look.rows.push(row);
        }
        Ok(())
    }
}

/// Running totals, as the kubelet counts them. Those of cadvisor stand in the rows for which it was read: a total that is
/// shown again would look like one that does not grow.
fn totals(row: &mut Row, uid: &str, summary: &Summary, cadvisor: Option<&Cadvisor>) {
    let network = summary.pods.iter().find(|pod| pod.uid == uid).and_then(|pod| pod.network);
    row.set(Number::ReceiveErrors, network.and_then(|network| network.receive_errors));
    row.set(Number::SendErrors, network.and_then(|network| network.transmit_errors));
    let named = |read: &Cadvisor| read.pods.get(&(row.namespace.clone(), row.pod.clone())).copied();
    let Some(counts) = cadvisor.and_then(named) else { return };
    row.set(Number::ReceiveDrops, counts.receive_drops.map(|count| count.value));
    row.set(Number::SendDrops, counts.transmit_drops.map(|count| count.value));
    row.set(Number::DiskRead, counts.disk_read.map(|count| count.value));
    row.set(Number::DiskWritten, counts.disk_written.map(|count| count.value));
    row.set(Number::OomEvents, counts.oom_events.map(|count| count.value));
}

/// True of what no later look can do better: a right or a login is missing, for all kubelets alike.
fn is_final(error: &Error) -> bool {
    matches!(error, Error::Forbidden { .. } | Error::Unauthenticated { .. })
}

/// What a kubelet says, and why that of cadvisor is not part of it, if it was wanted.
type Answer = Result<(NodeFiles, Option<Error>), Error>;

async fn read(connection: &Connection, node: String, with_cadvisor: bool) -> (String, Answer) {
    let path = |what: &str| format!("/api/v1/nodes/{}/proxy/{what}", encoded(&node));
    let answer = async {
        let summary = get(connection, RIGHT, &path("stats/summary"), &[], summary::MAX_BYTES).await?;
        let mut files = NodeFiles { node: node.clone(), summary: Some(summary.into_bytes()), cadvisor: None };
        if !with_cadvisor {
            return Ok((files, None));
        }
        // A summary is worth as much without it: a virtual kubelet has none.
        match get(connection, RIGHT, &path("metrics/cadvisor"), &[], cadvisor::MAX_BYTES).await {
            Ok(body) => {
                files.cadvisor = Some(body.into_bytes());
                Ok((files, None))
            }
            Err(error) => Ok((files, Some(error))),
        }
    };
    let answer = answer.await;
    (node, answer)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::wire;

    fn dead() -> (u16, serde_json::Value) {
        (503, json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 503, "message": "dead"}))
    }

    fn pod(name: &str, node: &str, phase: Phase) -> PodFacts {
        PodFacts {
            namespace: "shop".into(),
            name: name.into(),
            uid: name.into(),
            node: Some(node.into()),
            phase,
            waiting: Some("CrashLoopBackOff".into()),
            ..PodFacts::default()
        }
    }

    #[tokio::test]
    async fn the_pods_of_a_node_that_does_not_answer_keep_their_rows() {
        let (connection, _) = wire::server(|path, _| match path {
            path if path.contains("/nodes/up/proxy/stats/summary") => {
                (200, json!({"node": {"nodeName": "up"}, "pods": []}))
            }
            path if path.contains("/nodes/odd/proxy/stats/summary") => (200, json!("no summary")),
            path if path.contains("/metrics/cadvisor") => (200, json!("")),
            _ => dead(),
        })
        .await;
        let pods = [
            pod("cart", "dead", Phase::Running),
            pod("done", "dead", Phase::Succeeded),
            pod("mail", "odd", Phase::Running),
            pod("web", "up", Phase::Running),
        ];
        let look = Kubelets::default().look(&connection, Timestamp::UNIX_EPOCH, &pods).await.unwrap();
        let mut rows: Vec<_> = look.rows.iter().map(|row| (&*row.pod, row.number(Number::CpuCores))).collect();
        rows.sort_by_key(|(name, _)| *name);
        assert_eq!(rows, [("cart", None), ("mail", None), ("web", None)]);
        assert!(look.rows.iter().all(|row| row.waiting.as_deref() == Some("CrashLoopBackOff")));
        assert_eq!(look.warnings.len(), 2, "{:?}", look.warnings);
    }

    #[tokio::test]
    async fn what_the_api_server_states_is_written_also_where_no_kubelet_answers() {
        let (connection, _) = wire::server(|_, _| dead()).await;
        let pods = [pod("cart", "dead", Phase::Running), pod("done", "dead", Phase::Succeeded)];
        let look = Kubelets::default().look(&connection, Timestamp::UNIX_EPOCH, &pods).await.unwrap();
        let rows: Vec<_> = look.rows.iter().map(|row| (&*row.pod, row.waiting.as_deref())).collect();
        assert_eq!(rows, [("cart", Some("CrashLoopBackOff"))]);
        let why = look.unmeasured.map(|error| error.to_string());
        assert_eq!(why.as_deref(), Some("cannot get nodes/proxy: dead"));
    }

    #[tokio::test]
    async fn a_right_that_is_missing_is_told_before_a_kubelet_that_is_dead() {
        let (connection, _) = wire::server(|path, _| {
            let status = |code: u16| json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code});
            if path.contains("/nodes/closed/") { (403, status(403)) } else { dead() }
        })
        .await;
        let pods = [pod("cart", "closed", Phase::Running), pod("mail", "dead", Phase::Running)];
        let refused = Kubelets::default().look(&connection, Timestamp::UNIX_EPOCH, &pods).await.unwrap_err();
        assert!(matches!(refused, Error::Forbidden { .. }), "{refused}");
    }

    #[tokio::test]
    async fn a_summary_counts_without_cadvisor_which_is_asked_for_again_a_minute_later() {
        let (connection, seen) = wire::server(|path, _| match path {
            path if path.contains("/stats/summary") => {
                let memory = json!({"time": "1970-01-01T00:00:01Z", "workingSetBytes": 7});
                let pod = json!({"podRef": {"name": "web", "namespace": "shop", "uid": "web"}, "memory": memory});
                (200, json!({"node": {"nodeName": "up"}, "pods": [pod]}))
            }
            _ => dead(),
        })
        .await;
        let mut kubelets = Kubelets::default();
        for (second, asked, warned) in [(1, 1, 1), (16, 1, 0), (61, 2, 1)] {
            let at = Timestamp::from_second(second).unwrap();
            let look = kubelets.look(&connection, at, &[pod("web", "up", Phase::Running)]).await.unwrap();
            assert_eq!(look.rows[0].number(Number::Memory), Some(7.0), "{second}");
            assert!(look.unmeasured.is_none());
            let told = seen.lock().unwrap().iter().filter(|path| path.ends_with("/metrics/cadvisor")).count();
            assert_eq!((told, look.warnings.len()), (asked, warned), "{:?}", look.warnings);
        }
    }
}
