//! The ScaledObject of KEDA that sets the replicas of a workload, if one does. It makes a HorizontalPodAutoscaler, whose
//! bounds it sets back: so it is the one to change.

use serde_json::Value;

use super::Autoscaling;
use super::vertical::custom;
use crate::plan::{Kind, Target};
use crate::sanitise;

/// KEDA's own bounds where none are given.
const DEFAULT: (i32, i32) = (0, 100);

/// Who sets the replicas of `target`, where `horizontal` is what its HorizontalPodAutoscalers say.
pub(super) async fn read(client: &kube::Client, target: &Target, horizontal: Autoscaling) -> Autoscaling {
    match custom(client, "keda.sh", "v1alpha1", "scaledobjects", &target.namespace).await {
        Ok(found) => owner(target, &found).unwrap_or(horizontal),
        Err(error) => Autoscaling::Unknown { why: error.to_string() },
    }
}

fn owner(target: &Target, found: &[Value]) -> Option<Autoscaling> {
    let names = |object: &&Value| {
        let of = &object["spec"]["scaleTargetRef"];
        of["name"] == target.name.as_str()
            && of["kind"].as_str().unwrap_or(Kind::Deployment.name()) == target.kind.name()
    };
    let object = found.iter().find(names)?;
    let bound = |name: &str, default| {
        object["spec"][name].as_i64().and_then(|bound| i32::try_from(bound).ok()).unwrap_or(default)
    };
    Some(Autoscaling::Keda {
        name: sanitise::line(object["metadata"]["name"].as_str().unwrap_or_default()),
        min: bound("minReplicaCount", DEFAULT.0),
        max: bound("maxReplicaCount", DEFAULT.1),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::plan::examples::workload;

    #[test]
    fn a_scaled_object_owns_what_it_names_a_deployment_unless_it_says_otherwise() {
        let target = workload(Kind::Deployment).target;
        let scaled = |spec: Value| [json!({ "metadata": { "name": "queue" }, "spec": spec })];
        let plain = owner(&target, &scaled(json!({ "scaleTargetRef": { "name": "web" } })));
        assert_eq!(plain, Some(Autoscaling::Keda { name: "queue".into(), min: 0, max: 100 }));
        let bounds = json!({ "scaleTargetRef": { "name": "web", "kind": "Deployment" }, "minReplicaCount": 2, "maxReplicaCount": 9 });
        assert_eq!(owner(&target, &scaled(bounds)), Some(Autoscaling::Keda { name: "queue".into(), min: 2, max: 9 }));
        for other in [json!({ "name": "api" }), json!({ "name": "web", "kind": "StatefulSet" })] {
            assert_eq!(owner(&target, &scaled(json!({ "scaleTargetRef": other }))), None);
        }
    }
}
