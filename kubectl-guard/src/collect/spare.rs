//! A list of pods without what could be a secret and no reader of recordings asks for. Pure.

use guard_model::pod::MIRROR;
use serde_json::Value;

/// What a container said when it ended, the end of its log among it, stands in these.
const STATUSES: [&str; 3] =
    ["/status/containerStatuses", "/status/initContainerStatuses", "/status/ephemeralContainerStatuses"];
/// What a container is told and run with. Passwords stand in variables, and tokens in arguments and in the headers of probes.
const OF_CONTAINERS: [&str; 8] =
    ["env", "envFrom", "args", "command", "lifecycle", "livenessProbe", "readinessProbe", "startupProbe"];
const CONTAINERS: [&str; 3] = ["/spec/containers", "/spec/initContainers", "/spec/ephemeralContainers"];
/// An owner's words to guard begin so.
const OURS: &str = "guard.kubectl.io/";

/// The list without that, and with no annotations but those that scoring reads: kubectl's own holds the whole pod once more.
///
/// # Errors
/// If it is no JSON.
pub(super) fn spared(body: &str) -> serde_json::Result<Vec<u8>> {
    let mut list: Value = serde_json::from_str(body)?;
    list.get_mut("items").and_then(Value::as_array_mut).into_iter().flatten().for_each(spare);
    serde_json::to_vec(&list)
}

fn spare(pod: &mut Value) {
    if let Some(meta) = pod.get_mut("metadata").and_then(Value::as_object_mut) {
        meta.remove("managedFields");
        if let Some(annotations) = meta.get_mut("annotations").and_then(Value::as_object_mut) {
            annotations.retain(|key, _| key.starts_with(OURS) || key == MIRROR);
        }
    }
    for place in CONTAINERS {
        let containers = pod.pointer_mut(place).and_then(Value::as_array_mut).into_iter().flatten();
        for container in containers.filter_map(Value::as_object_mut) {
            container.retain(|key, _| !OF_CONTAINERS.contains(&key.as_str()));
        }
    }
    for place in STATUSES {
        let statuses = pod.pointer_mut(place).and_then(Value::as_array_mut).into_iter().flatten();
        let states = statuses.filter_map(Value::as_object_mut).flat_map(|status| {
            let is_state = |key: &str| matches!(key, "state" | "lastState");
            status.iter_mut().filter(move |(key, _)| is_state(key)).filter_map(|(_, state)| state.as_object_mut())
        });
        for state in states.flat_map(serde_json::Map::values_mut).filter_map(Value::as_object_mut) {
            state.remove("message");
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn list() -> Value {
        let container = json!({"name": "work", "image": "shop:1", "env": [{"name": "PASSWORD", "value": "s3cret"}],
            "envFrom": [{"prefix": "s3cret"}], "args": ["--token=s3cret"], "command": ["s3cret"],
            "livenessProbe": {"httpGet": {"httpHeaders": [{"name": "Authorization", "value": "s3cret"}]}},
            "readinessProbe": {"exec": {"command": ["s3cret"]}}, "startupProbe": {"exec": {"command": ["s3cret"]}},
            "lifecycle": {"preStop": {"exec": {"command": ["s3cret"]}}},
            "resources": {"limits": {"cpu": "500m", "memory": "64Mi"}}});
        let annotations = json!({"kubectl.kubernetes.io/last-applied-configuration": "s3cret",
            "guard.kubectl.io/threshold": "0.9", "kubernetes.io/config.mirror": "5f2c"});
        let meta = json!({"name": "cart-1", "namespace": "shop", "uid": "u", "annotations": annotations,
            "creationTimestamp": "2026-11-22T13:00:00Z", "labels": {"app": "cart"},
            "managedFields": [{"fieldsV1": {"s3cret": {}}}]});
        let spec = json!({"nodeName": "node1", "containers": [container], "initContainers": [container],
            "ephemeralContainers": [container]});
        let ready = json!({"type": "Ready", "status": "True", "lastTransitionTime": "2026-11-22T13:00:09Z"});
        let ended = json!({"terminated": {"exitCode": 1, "reason": "Error", "message": "s3cret",
            "finishedAt": "2026-11-22T13:00:05Z"}});
        let waits = json!({"waiting": {"reason": "CrashLoopBackOff", "message": "s3cret"}});
        let of_container =
            json!({"name": "work", "restartCount": 3, "ready": false, "state": waits, "lastState": ended});
        let status = json!({"phase": "Running", "conditions": [ready], "containerStatuses": [of_container],
            "initContainerStatuses": [of_container], "ephemeralContainerStatuses": [of_container]});
        json!({"kind": "PodList", "apiVersion": "v1", "metadata": {"resourceVersion": "7"},
            "items": [{"metadata": meta, "spec": spec, "status": status}, {"metadata": {"name": "bare"}}]})
    }

    #[test]
    fn what_could_be_a_secret_is_left_out_and_what_scoring_reads_stays() {
        let before = list().to_string();
        let after = String::from_utf8(spared(&before).unwrap()).unwrap();
        assert!(!after.contains("s3cret"), "{after}");
        let facts = |body: &str| guard_model::pod::pods(body.as_bytes()).unwrap();
        assert_eq!(facts(&after), facts(&before));
        assert_eq!(facts(&after)[0].opt_out.threshold, Some(0.9));
        assert_eq!(facts(&after)[0].waiting.as_deref(), Some("CrashLoopBackOff"));
        let containers = &serde_json::from_str::<Value>(&after).unwrap()["items"][0]["spec"]["containers"];
        assert_eq!(containers[0]["image"], "shop:1", "what a bug report is about stays");
    }
}
