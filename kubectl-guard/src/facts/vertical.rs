//! The VerticalPodAutoscaler that sets the requests of a workload, if one does. Its kind is not part of Kubernetes: where
//! it is not installed, nobody does.

use http::Request;
use serde_json::Value;

use super::Autoscaling;
use crate::error::Error;
use crate::plan::Target;
use crate::request::Request as Asked;
use crate::sanitise;

const GROUP: &str = "autoscaling.k8s.io";

/// Who sets the requests of `target`.
pub async fn read(client: &kube::Client, target: &Target) -> Autoscaling {
    match custom(client, GROUP, "v1", "verticalpodautoscalers", &target.namespace).await {
        Ok(found) => owner(target, &found),
        Err(error) => Autoscaling::Unknown { why: error.to_string() },
    }
}

/// The objects of a kind that may not be installed.
pub(super) async fn custom(
    client: &kube::Client,
    group: &str,
    version: &str,
    resource: &str,
    namespace: &str,
) -> Result<Vec<Value>, Error> {
    let asked = Asked { verb: "list", resource, group, namespace: Some(namespace) };
    let path = format!("/apis/{group}/{version}/namespaces/{namespace}/{resource}");
    let request = Request::get(path).body(Vec::new()).map_err(|error| asked.unreadable(&error))?;
    match client.request::<Value>(request).await {
        Ok(mut list) => match list["items"].take() {
            Value::Array(items) => Ok(items),
            _ => Err(asked.unreadable(&"the answer is no list")),
        },
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(Vec::new()),
        Err(error) => Err(asked.failed(&error)),
    }
}

fn owner(target: &Target, found: &[Value]) -> Autoscaling {
    let names = |object: &&Value| {
        let of = &object["spec"]["targetRef"];
        of["kind"] == target.kind.name() && of["name"] == target.name.as_str()
    };
    match found.iter().find(names) {
        // It only recommends.
        Some(object) if object["spec"]["updatePolicy"]["updateMode"] == "Off" => Autoscaling::Nobody,
        Some(object) => {
            Autoscaling::Vertical { name: sanitise::line(object["metadata"]["name"].as_str().unwrap_or_default()) }
        }
        None => Autoscaling::Nobody,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::plan::Kind;
    use crate::plan::examples::workload;

    #[test]
    fn only_one_that_names_the_workload_and_may_change_it_owns_its_requests() {
        let target = workload(Kind::Deployment).target;
        let vpa = |kind: &str, mode: &str| {
            [json!({ "metadata": { "name": "auto" }, "spec": { "targetRef": { "apiVersion": "apps/v1", "kind": kind,
                "name": "web" }, "updatePolicy": { "updateMode": mode } } })]
        };
        let owned = Autoscaling::Vertical { name: "auto".into() };
        assert_eq!(owner(&target, &vpa("Deployment", "Auto")), owned);
        assert_eq!(owner(&target, &vpa("Deployment", "Initial")), owned);
        assert_eq!(owner(&target, &vpa("Deployment", "Off")), Autoscaling::Nobody);
        assert_eq!(owner(&target, &vpa("StatefulSet", "Auto")), Autoscaling::Nobody);
        assert_eq!(owner(&target, &[]), Autoscaling::Nobody);
    }
}
