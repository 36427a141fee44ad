//! What nodes say of themselves: readiness and pressure, as the API server has it.

use k8s_openapi::api::core::v1::Node;
use kube::Api;
use kube::api::ListParams;

use crate::connect::Connection;
use crate::error::Error;
use crate::node_cause::NodeCause;
use crate::request::Request;
use crate::rows::NodeFacts;
use crate::sanitise;

/// A node that is not ready runs nothing new and may have lost what it ran.
const NOT_READY: f64 = 0.98;
/// A node under pressure evicts.
const PRESSURE: f64 = 0.85;

/// All nodes of the cluster.
///
/// # Errors
/// If the user may not list nodes, or the API server does not answer.
pub async fn list(connection: &Connection) -> Result<Vec<NodeFacts>, Error> {
    let request = Request { verb: "list", resource: "nodes", group: "", namespace: None };
    let api: Api<Node> = Api::all(connection.client.clone());
    let list = api.list(&ListParams::default()).await.map_err(|error| request.failed(&error))?;
    Ok(list.items.iter().map(facts).collect())
}

/// It takes no new pods.
pub fn is_cordoned(node: &Node) -> bool {
    node.spec.as_ref().and_then(|spec| spec.unschedulable).unwrap_or(false)
}

/// The facts of one node.
pub fn facts(node: &Node) -> NodeFacts {
    let conditions = node.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    let problem = conditions.iter().filter_map(|condition| {
        let reason = sanitise::line(condition.reason.as_deref().unwrap_or_default());
        match (condition.type_.as_str(), condition.status.as_str()) {
            ("Ready", "True") => None,
            ("Ready", status) => Some((NOT_READY, NodeCause::NotReady, format!("not ready ({status}): {reason}"))),
            ("MemoryPressure" | "DiskPressure" | "PIDPressure", "True") => {
                Some((PRESSURE, NodeCause::Pressure, format!("{}: {reason}", condition.type_)))
            }
            _ => None,
        }
    });
    let worst = problem.max_by(|a, b| a.0.total_cmp(&b.0));
    NodeFacts {
        cause: worst.as_ref().map(|(_, cause, _)| *cause),
        unschedulable: is_cordoned(node),
        problem: worst.map(|(score, _, words)| (score, words)),
        name: sanitise::line(node.metadata.name.as_deref().unwrap_or_default()),
    }
}
