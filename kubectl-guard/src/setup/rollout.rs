//! Waiting until the exporters are ready.

use std::time::Duration;

use futures::{Stream, StreamExt as _};
use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::ListParams;
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Client};
use tokio::time::Instant;

use super::{EXPORTER, NAMESPACE};
use crate::console::Console;
use crate::error::Error;
use crate::facts::{is_node_ready, is_pod_ready};
use crate::request::Request;
use crate::sanitise;

/// How far a rollout is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Nodes with a ready exporter of the wanted version.
    pub ready: i32,
    /// Nodes that should have one.
    pub wanted: i32,
}

impl Progress {
    /// Every node has its exporter, but for as many as are `away`.
    pub fn is_done(self, away: usize) -> bool {
        usize::try_from(self.wanted.saturating_sub(self.ready)).unwrap_or(0) <= away
    }
}

/// How far the rollout of a DaemonSet is; `None` while its controller has not looked at this version of it.
pub fn progress(daemon_set: &DaemonSet) -> Option<Progress> {
    let status = daemon_set.status.as_ref()?;
    if status.observed_generation < daemon_set.metadata.generation {
        return None;
    }
    let updated = status.updated_number_scheduled.unwrap_or_default();
    Some(Progress { ready: status.number_ready.min(updated), wanted: status.desired_number_scheduled })
}

/// How long to wait: until the first step, and from each to the next. A cluster of hundreds of nodes takes many minutes for all
/// of them, a few at a time.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// Until one more exporter is ready than at first.
    pub first: Duration,
    /// Until one more is than ever before.
    pub step: Duration,
}

/// Waits until all exporters are ready but for those of nodes that are `away`, for as long as `patience` says, and tells of each
/// step; where it got to by then, or `None` if the DaemonSet's controller never looked at it.
///
/// # Errors
/// If the DaemonSet may not be watched.
pub async fn wait(
    client: &Client,
    away: usize,
    patience: Patience,
    console: &Console,
) -> Result<Option<Progress>, Error> {
    let api = Api::<DaemonSet>::namespaced(client.clone(), NAMESPACE);
    let changes = watcher::watch_object(api, EXPORTER).default_backoff().boxed();
    follow(changes, away, patience, console).await
}

/// The nodes that are not Ready and whose exporter is not ready either: they may be down for days, and a DaemonSet counts
/// them among those that it wants. None where the user may not look.
pub async fn away(client: &Client) -> Vec<String> {
    let label = ListParams::default().labels(&format!("app.kubernetes.io/name={EXPORTER}"));
    let nodes = Api::<Node>::all(client.clone());
    let pods = Api::<Pod>::namespaced(client.clone(), NAMESPACE);
    match (nodes.list(&ListParams::default()).await, pods.list(&label).await) {
        (Ok(nodes), Ok(pods)) => away_of(&nodes.items, &pods.items),
        _ => Vec::new(),
    }
}

fn away_of(nodes: &[Node], pods: &[Pod]) -> Vec<String> {
    let names = nodes.iter().filter(|node| !is_node_ready(node)).filter_map(|node| node.metadata.name.as_deref());
    let waits = |name: &&str| {
        let mut on = pods.iter().filter(|pod| pod.spec.as_ref().and_then(|s| s.node_name.as_deref()) == Some(*name));
        on.any(|pod| !is_pod_ready(pod))
    };
    names.filter(waits).map(sanitise::line).collect()
}

async fn follow(
    mut changes: impl Stream<Item = Result<Option<DaemonSet>, watcher::Error>> + Unpin,
    away: usize,
    patience: Patience,
    console: &Console,
) -> Result<Option<Progress>, Error> {
    let (mut last, mut best): (_, Option<i32>) = (None, None);
    let mut end = Instant::now() + patience.first;
    // Out of patience is an answer, too: how far it got.
    while let Ok(Some(change)) = tokio::time::timeout_at(end, changes.next()).await {
        let now = match change {
            Ok(seen) => seen.as_ref().and_then(progress),
            Err(error) => match refusal(&error) {
                Some(refusal) => return Err(refusal),
                // The watch starts anew by itself, with growing pauses.
                None => continue,
            },
        };
        let Some(progress) = now.filter(|_| now != last) else {
            last = now;
            continue;
        };
        last = now;
        console.note(&format!("{} of {} exporters are ready", progress.ready, progress.wanted));
        if progress.is_done(away) {
            break;
        }
        // One that comes and goes is no step.
        if best.is_some_and(|best| progress.ready > best) {
            end = Instant::now() + patience.step;
        }
        best = best.max(Some(progress.ready));
    }
    Ok(last)
}

/// The error if it is a no that waiting will not change.
fn refusal(error: &watcher::Error) -> Option<Error> {
    let (watcher::Error::InitialListFailed(inner) | watcher::Error::WatchStartFailed(inner)) = error else {
        return None;
    };
    let request = Request { verb: "watch", resource: "daemonsets", group: "apps", namespace: Some(NAMESPACE) };
    matches!(inner, kube::Error::Api(status) if status.code == 403 || status.code == 401).then(|| request.failed(inner))
}

#[cfg(test)]
mod tests {
    use futures::stream;
    use serde_json::json;

    use super::*;
    use crate::console::capture;

    fn daemon_set(generation: i64, observed: i64, wanted: i32, updated: i32, ready: i32) -> DaemonSet {
        serde_json::from_value(serde_json::json!({
            "metadata": {"generation": generation},
            "status": {
                "observedGeneration": observed, "desiredNumberScheduled": wanted, "currentNumberScheduled": wanted,
                "updatedNumberScheduled": updated, "numberReady": ready, "numberMisscheduled": 0,
            },
        }))
        .unwrap()
    }

    #[test]
    fn a_status_of_the_version_before_says_nothing() {
        assert_eq!(progress(&daemon_set(2, 1, 3, 3, 3)), None);
        assert_eq!(progress(&DaemonSet::default()), None);
    }

    #[test]
    fn pods_of_the_version_before_are_not_counted() {
        let progress = progress(&daemon_set(2, 2, 3, 1, 3)).unwrap();
        assert_eq!(progress, Progress { ready: 1, wanted: 3 });
        assert!(!progress.is_done(0) && !progress.is_done(1) && progress.is_done(2));
    }

    /// Where the wait ends, and after how many seconds, if this many of six exporters are ready at these seconds.
    async fn waited(seen: &'static [(u64, i32)]) -> (i32, u64) {
        let began = Instant::now();
        let changes = stream::iter(seen).then(move |(second, ready)| async move {
            tokio::time::sleep_until(began + Duration::from_secs(*second)).await;
            Ok(Some(daemon_set(1, 1, 6, *ready, *ready)))
        });
        let changes = changes.chain(stream::pending()).boxed();
        let (console, _captured) = capture::console(80);
        let patience = Patience { first: Duration::from_secs(25), step: Duration::from_mins(2) };
        let end = follow(changes, 0, patience, &console).await.unwrap();
        (end.unwrap().ready, began.elapsed().as_secs())
    }

    #[tokio::test(start_paused = true)]
    async fn patience_begins_anew_with_each_exporter_that_gets_ready_and_not_with_one_that_comes_and_goes() {
        assert_eq!(waited(&[(0, 1)]).await, (1, 25));
        assert_eq!(waited(&[(0, 1), (20, 2), (130, 3), (240, 6)]).await, (6, 240));
        assert_eq!(waited(&[(0, 1), (20, 2), (60, 1), (90, 2), (130, 1)]).await, (1, 140));
    }

    #[test]
    fn a_cluster_without_nodes_is_done_at_once() {
        assert!(progress(&daemon_set(1, 1, 0, 0, 0)).unwrap().is_done(0));
    }

    #[test]
    fn a_node_is_away_if_neither_it_nor_its_exporter_is_ready() {
        let ready = |status: &str| json!({"conditions": [{"type": "Ready", "status": status}]});
        let node = |name: &str, status: &str| -> Node {
            serde_json::from_value(json!({"metadata": {"name": name}, "status": ready(status)})).unwrap()
        };
        let pod = |node: &str, status: &str| -> Pod {
            let spec = json!({"nodeName": node, "containers": []});
            serde_json::from_value(json!({"metadata": {}, "spec": spec, "status": ready(status)})).unwrap()
        };
        let nodes = [node("up", "True"), node("down", "Unknown"), node("windows", "False"), node("starting", "False")];
        let pods = [pod("up", "False"), pod("down", "False"), pod("starting", "True")];
        assert_eq!(away_of(&nodes, &pods), ["down"], "the DaemonSet wants no exporter on the one without a pod");
    }
}
