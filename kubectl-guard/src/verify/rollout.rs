//! Is a rollout complete, as `kubectl rollout status` would say? Pure.

use serde_json::Value;

use crate::plan::Kind;

/// True if the controller has seen generation `at_least` and all wanted pods are of the newest template and available.
pub(super) fn is_complete(kind: Kind, object: &Value, at_least: Option<i64>) -> bool {
    let number = |pointer: &str| object.pointer(pointer).and_then(Value::as_i64);
    let status = |field: &str| number(&format!("/status/{field}")).unwrap_or(0);
    let generation = at_least.or_else(|| number("/metadata/generation")).unwrap_or(0);
    if status("observedGeneration") < generation {
        return false;
    }
    let wanted = number("/spec/replicas").unwrap_or(1);
    match kind {
        // No old pods are left beside the new ones either.
        Kind::Deployment => {
            status("updatedReplicas") == wanted && status("replicas") == wanted && status("availableReplicas") == wanted
        }
        Kind::StatefulSet => {
            let partition = number("/spec/updateStrategy/rollingUpdate/partition").unwrap_or(0);
            let updated = status("updatedReplicas") >= wanted - partition;
            // Without a change of the template the two revisions agree and nothing is counted as updated.
            let same = object.pointer("/status/currentRevision") == object.pointer("/status/updateRevision");
            (updated || same) && status("replicas") == wanted && status("readyReplicas") == wanted
        }
        Kind::DaemonSet => {
            let wanted = status("desiredNumberScheduled");
            status("updatedNumberScheduled") == wanted && status("numberAvailable") == wanted
        }
        Kind::Pod | Kind::Node => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn deployment(observed: i64, updated: i64, all: i64, available: i64) -> Value {
        json!({ "metadata": { "generation": 4 }, "spec": { "replicas": 2 }, "status": { "observedGeneration": observed,
            "updatedReplicas": updated, "replicas": all, "availableReplicas": available } })
    }

    #[test]
    fn a_deployment_is_complete_when_only_new_pods_serve() {
        let complete = |object: &Value| is_complete(Kind::Deployment, object, Some(4));
        assert!(complete(&deployment(4, 2, 2, 2)));
        assert!(!complete(&deployment(3, 2, 2, 2)), "the status is of the generation before");
        assert!(!complete(&deployment(4, 1, 2, 2)), "one pod is of the old template");
        assert!(!complete(&deployment(4, 2, 3, 2)), "an old pod is still there");
        assert!(!complete(&deployment(4, 2, 2, 1)), "one pod is not available");
    }

    #[test]
    fn an_empty_status_is_not_complete() {
        for kind in [Kind::Deployment, Kind::StatefulSet] {
            assert!(!is_complete(kind, &json!({}), None), "{kind}");
        }
    }
}
