//! Is there room for more pods of a workload: in the quotas of its namespace, and on the nodes?

use k8s_openapi::api::core::v1::{Node, Pod, PodSpec, ResourceQuota};
use kube::api::ListParams;

use super::list::{list, list_all};
use super::{quota, room};
use crate::error::Error;

/// Whether more pods of a workload would find a place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Growth {
    /// There are to be no more of them.
    #[default]
    None,
    /// This is known.
    Known {
        /// What of which quota would be exceeded, with the numbers.
        quotas: Vec<String>,
        /// How many of the new pods would fit on no node.
        unplaced: usize,
        /// Why the first of them does not.
        why: String,
    },
    /// It could not be found out.
    Unknown {
        /// Why.
        why: String,
    },
}

/// Room for `more` pods of this template.
pub(super) async fn read(client: &kube::Client, namespace: &str, template: PodSpec, more: usize) -> Growth {
    match objects(client, namespace).await {
        Ok((quotas, nodes, pods)) => of(&quotas, &nodes, &pods, template, more),
        Err(error) => Growth::Unknown { why: error.to_string() },
    }
}

async fn objects(client: &kube::Client, namespace: &str) -> Result<(Vec<ResourceQuota>, Vec<Node>, Vec<Pod>), Error> {
    let quotas = list::<ResourceQuota>(client, namespace, &ListParams::default()).await?;
    let everything = ListParams::default();
    Ok((quotas, list_all(client, &everything).await?, list_all(client, &everything).await?))
}

fn of(quotas: &[ResourceQuota], nodes: &[Node], pods: &[Pod], template: PodSpec, more: usize) -> Growth {
    let quotas = quota::exceeded(quotas, &template, i64::try_from(more).unwrap_or(i64::MAX));
    let pod = Pod { spec: Some(template), ..Pod::default() };
    let (unplaced, why) = room::unplaced(&pod, more, nodes, pods);
    Growth::Known { quotas, unplaced, why }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn growth(cpu: &str, more: usize) -> Growth {
        let node = |name: &str| {
            serde_json::from_value(json!({ "metadata": { "name": name }, "spec": {}, "status": {
                "allocatable": { "cpu": "2", "memory": "2Gi", "pods": "10" },
                "conditions": [{ "type": "Ready", "status": "True" }] } }))
            .unwrap()
        };
        let template = json!({ "containers": [{ "name": "c", "resources": { "requests": { "cpu": cpu } } }] });
        let mut running: Pod =
            serde_json::from_value(json!({ "spec": template, "status": { "phase": "Running" } })).unwrap();
        running.spec.as_mut().unwrap().node_name = Some("a".into());
        of(&[], &[node("a"), node("b")], &[running], serde_json::from_value(template).unwrap(), more)
    }

    /// Of a template without requests the API server makes pods whose requests are their limits.
    #[test]
    fn limits_of_a_template_are_what_its_pods_request() {
        let node = serde_json::from_value(json!({ "metadata": { "name": "a" }, "spec": {}, "status": {
            "allocatable": { "cpu": "2", "memory": "2Gi", "pods": "10" },
            "conditions": [{ "type": "Ready", "status": "True" }] } }))
        .unwrap();
        let template =
            json!({ "containers": [{ "name": "c", "resources": { "limits": { "cpu": "1", "memory": "1Gi" } } }] });
        let growth = of(&[], &[node], &[], serde_json::from_value(template).unwrap(), 3);
        assert!(matches!(growth, Growth::Known { unplaced: 1, .. }), "{growth:?}");
    }

    #[test]
    fn each_new_pod_takes_its_room_and_those_left_over_are_counted() {
        let unplaced = |cpu, more| match growth(cpu, more) {
            Growth::Known { unplaced, why, .. } => (unplaced, why),
            other => panic!("{other:?}"),
        };
        assert_eq!(unplaced("1", 3), (0, String::new()), "one on a, two on b");
        let why = "of 2 nodes 2 without room for its requests".to_owned();
        assert_eq!(unplaced("1", 5), (2, why.clone()));
        assert_eq!(unplaced("1500m", 2), (1, why));
    }
}
