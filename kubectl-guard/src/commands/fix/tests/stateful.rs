//! StatefulSet `db`, whose pod `db-1` is not ready: by `OrderedReady` a restart of all would never reach it.

use super::*;

pub(super) const SET: &str = "/apis/apps/v1/namespaces/shop/statefulsets/db";
pub(super) const POD: &str = "/api/v1/namespaces/shop/pods/db-1";
pub(super) const EVICTION: &str = "/api/v1/namespaces/shop/pods/db-1/eviction";

pub(super) fn set() -> Value {
    json!({
        "metadata": { "name": "db", "namespace": "shop", "uid": "uid-db", "resourceVersion": "12", "generation": 1 },
        "spec": { "replicas": 2, "selector": { "matchLabels": { "app": "db" } }, "template": {}, "serviceName": "db" },
    })
}

pub(super) fn pod(ordinal: usize) -> Value {
    let ready = if ordinal == 0 { "True" } else { "False" };
    json!({
        "metadata": { "name": format!("db-{ordinal}"), "namespace": "shop", "uid": format!("uid-db-{ordinal}"),
            "resourceVersion": "5", "labels": { "app": "db" },
            "ownerReferences": [{ "apiVersion": "apps/v1", "kind": "StatefulSet", "name": "db", "uid": "uid-db",
                "controller": true }] },
        "status": { "phase": "Running", "conditions": [{ "type": "Ready", "status": ready }] },
    })
}

/// The exporter of their node.
struct Scored;

impl ScoreSource for Scored {
    fn kind(&self) -> plan::Source {
        plan::Source::Exporter
    }

    async fn read(&mut self) -> Result<Vec<NodeReport>, Error> {
        let mut report = report(State::Anomalous, 0.93);
        for (ordinal, pod) in report.pods.iter_mut().rev().enumerate() {
            (pod.name, pod.uid) = (format!("db-{ordinal}"), format!("uid-db-{ordinal}"));
            pod.workload = Some(Workload::new("StatefulSet", "db"));
            pod.reasons.iter_mut().for_each(|reason| reason.cause = Cause::NotReady);
        }
        Ok(vec![report])
    }
}

#[tokio::test]
async fn the_pod_that_holds_a_set_up_is_evicted_in_place_of_a_restart_that_would_not_reach_it() {
    let shared = cluster(|_| ());
    let (folder, connection) = connected(&shared).await;
    let journal = Journal::at(folder.path().join("journal.jsonl"));
    let run = async |args: FixArgs| {
        let (console, output) = capture::console(160);
        let mut session = Session::new(&connection, &console, Ok(journal.clone()), Scored);
        let target = "statefulset/db".parse().unwrap();
        let result = Box::pin(session.run(&args, Some(target), false)).await;
        (result, output.out.text(), output.err.text())
    };
    let (result, shown, told) = run(dry(DryRun::Client)).await;
    assert!(shown.contains("Step 1: evict pod/db-1 in namespace shop"), "{result:?} {shown}");
    assert!(told.contains("statefulset/db would not replace its pods while pod/db-1 is not ready"), "{told}");

    let digest = shown.lines().find_map(|line| line.strip_prefix("Digest ")).unwrap().to_owned();
    let (result, _, told) = run(FixArgs { approve: Some(digest), timeout: Duration::ZERO, ..args() }).await;
    assert_eq!(result.unwrap(), Exit::Done, "the second look finds the same pod: {told}");
    let stored = |request: &&String| !request.contains("dryRun=All") && !request.contains(EVENTS);
    let requests = shared.lock().unwrap().requests.clone();
    let stored: Vec<&String> = requests.iter().filter(stored).collect();
    assert!(matches!(stored.as_slice(), [one] if one.starts_with(&format!("POST {EVICTION}?"))), "{stored:#?}");

    let named = FixArgs { action: Some(ActionKind::Restart), ..dry(DryRun::Client) };
    let (refused, ..) = run(named).await;
    assert!(refused.unwrap_err().to_string().contains("kubectl guard fix pod/db-1 -n shop --action restart"));
}
