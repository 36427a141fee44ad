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
    let known = known(client, namespace, template, more).await;
    known.unwrap_or_else(|error| Growth::Unknown { why: error.to_string() })
}

/// Whether a pod of this template would fit on any node, were that empty: where it would not, none will ever start.
pub(super) async fn on_an_empty_node(client: &kube::Client, template: PodSpec) -> Growth {
    match list_all(client, &ListParams::default()).await {
        Ok(nodes) => on_nodes(&nodes, &[], template, 1),
        Err(error) => Growth::Unknown { why: error.to_string() },
    }
}

async fn known(client: &kube::Client, namespace: &str, template: PodSpec, more: usize) -> Result<Growth, Error> {
    let everything = ListParams::default();
    let quotas = list::<ResourceQuota>(client, namespace, &everything).await?;
    let quotas = quota::exceeded(&quotas, &template, i64::try_from(more).unwrap_or(i64::MAX));
    // It forbids the pods whatever the nodes say, and not everybody who may scale may read those.
    if !quotas.is_empty() {
        return Ok(Growth::Known { quotas, unplaced: 0, why: String::new() });
    }
    let (nodes, pods) = (list_all(client, &everything).await?, list_all(client, &everything).await?);
    Ok(on_nodes(&nodes, &pods, template, more))
}

fn on_nodes(nodes: &[Node], pods: &[Pod], template: PodSpec, more: usize) -> Growth {
    let pod = Pod { spec: Some(template), ..Pod::default() };
    let (unplaced, why) = room::unplaced(&pod, more, nodes, pods);
    Growth::Known { quotas: Vec::new(), unplaced, why }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::wire;

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
        on_nodes(&[node("a"), node("b")], &[running], serde_json::from_value(template).unwrap(), more)
    }

    /// Whoever is bound in some namespaces alone may read their quotas, and no nodes.
    #[tokio::test]
    async fn a_quota_counts_where_nodes_may_not_be_read() {
        let (connection, _) = wire::server(|path, _| {
            if path.starts_with("/api/v1/namespaces/shop/resourcequotas") {
                let status = json!({ "hard": { "pods": "3" }, "used": { "pods": "2" } });
                return (200, json!({ "metadata": {}, "items": [{ "metadata": { "name": "team" }, "status": status }] }));
            }
            let message = "nodes is forbidden: User \"ann\" cannot list resource \"nodes\"";
            (403, json!({ "kind": "Status", "status": "Failure", "code": 403, "reason": "Forbidden", "message": message }))
        })
        .await;
        let template = || serde_json::from_value(json!({ "containers": [{ "name": "c" }] })).unwrap();
        let over = read(&connection.client, "shop", template(), 2).await;
        let Growth::Known { quotas, .. } = over else { panic!("{over:?}") };
        assert_eq!(quotas, ["ResourceQuota team has 3 pods, 2 are used, and the new pods need 2"]);
        let within = read(&connection.client, "shop", template(), 1).await;
        assert!(matches!(&within, Growth::Unknown { why } if why.contains("list nodes")), "{within:?}");
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
        let growth = on_nodes(&[node], &[], serde_json::from_value(template).unwrap(), 3);
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
