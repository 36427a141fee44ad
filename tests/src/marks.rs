//! What a change by the plugin bears, as an API server's audit log has it: who did it, by which field manager, for which plan,
//! and under which precondition.

use serde_json::Value;

use crate::cluster::PEOPLE;

/// True for a request that stores nothing: a read, a question about rights, a port-forward, or a server's dry run.
pub fn stores_nothing(event: &Value) -> bool {
    let target = &event["objectRef"];
    let resource = target["resource"].as_str().unwrap_or("");
    ["get", "list", "watch"].iter().any(|verb| event["verb"] == *verb)
        || resource.starts_with("selfsubject")
        || target["subresource"] == "portforward"
        || event["requestURI"].as_str().is_some_and(|uri| uri.contains("dryRun=All"))
}

/// True for what tells of a change: an Event, a line of a shared journal, a mute.
pub fn tells(event: &Value) -> bool {
    ["events", "configmaps"].iter().any(|resource| event["objectRef"]["resource"] == *resource)
}

/// True for what the plugin sent: kubectl and controllers have other names.
pub fn is_of_the_plugin(event: &Value) -> bool {
    event["userAgent"].as_str().is_some_and(|agent| agent.starts_with("kubectl-guard/"))
}

/// True for an object of the installation, which `install` and `uninstall` write without a plan.
fn is_of_the_installation(event: &Value) -> bool {
    let target = &event["objectRef"];
    let is_named_so = target["name"].as_str().is_some_and(|name| name.starts_with("guard-"));
    target["namespace"] == "guard-system" || (target["namespace"].is_null() && is_named_so)
}

/// The plugin's changes of objects that plans are for, by whomever: it may make none without a plan.
pub fn changes(events: &[Value]) -> impl Iterator<Item = &Value> {
    let written = events.iter().filter(|event| is_of_the_plugin(event) && !stores_nothing(event));
    written.filter(|event| !tells(event) && !is_of_the_installation(event))
}

/// One mark that a change lacks.
pub fn lacks(event: &Value) -> Option<&'static str> {
    let body = &event["requestObject"];
    let uid = ["/metadata/uid", "/preconditions/uid", "/deleteOptions/preconditions/uid"];
    let is_bound = uid.iter().any(|place| body.pointer(place).is_some_and(Value::is_string));
    let agent = event["userAgent"].as_str().unwrap_or_default();
    match () {
        () if !PEOPLE.iter().any(|person| event["user"]["username"] == *person) => Some("a person"),
        () if !event["requestURI"].as_str().is_some_and(|uri| uri.contains("fieldManager=kubectl-guard")) => {
            Some("its field manager")
        }
        () if !(agent.contains(" plan/") && agent.contains(" journal/")) => Some("plan and journal"),
        () if !is_bound => Some("a precondition"),
        () => None,
    }
}

/// What a change is of: verb, resource and subresource.
pub fn kind(event: &Value) -> String {
    let of = &event["objectRef"];
    let [verb, resource] = [&event["verb"], &of["resource"]].map(|part| part.as_str().unwrap_or_default());
    let part = of["subresource"].as_str().map(|part| format!("/{part}")).unwrap_or_default();
    format!("{verb} {resource}{part}")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn restart() -> Value {
        json!({"verb": "patch", "user": {"username": "operator"},
            "userAgent": "kubectl-guard/0.1.0 (linux/x86_64) plan/0f3a00000000 journal/abcd.ef",
            "requestURI": "/apis/apps/v1/namespaces/shop/deployments/web?fieldManager=kubectl-guard",
            "objectRef": {"resource": "deployments", "namespace": "shop", "name": "web"},
            "requestObject": {"metadata": {"uid": "1-2", "resourceVersion": "7"}}})
    }

    /// The same request with something else in one place.
    fn with(place: &str, value: Value) -> Value {
        let mut event = restart();
        *event.pointer_mut(place).expect("a place of the event") = value;
        event
    }

    #[test]
    fn a_change_without_one_of_its_marks_is_found_and_named() {
        assert_eq!((lacks(&restart()), kind(&restart()).as_str()), (None, "patch deployments"));
        for (place, value, lacking) in [
            ("/user/username", json!("system:serviceaccount:guard-system:guard-exporter"), "a person"),
            ("/requestURI", json!("/apis/apps/v1/namespaces/shop/deployments/web"), "its field manager"),
            ("/userAgent", json!("kubectl-guard/0.1.0 (linux/x86_64)"), "plan and journal"),
            ("/userAgent", json!("kubectl-guard/0.1.0 (linux/x86_64) plan/0f3a00000000"), "plan and journal"),
            ("/requestObject", json!({"metadata": {"resourceVersion": "7"}}), "a precondition"),
        ] {
            let events = [with(place, value)];
            let found: Vec<_> = changes(&events).map(lacks).collect();
            assert_eq!(found, [Some(lacking)], "{events:?}");
        }
    }

    #[test]
    fn what_plans_are_not_for_is_no_change() {
        let without_a_plan = |target: Value| {
            let mut event = with("/userAgent", json!("kubectl-guard/0.1.0 (linux/x86_64)"));
            event["objectRef"] = target;
            event
        };
        let events = [
            with("/userAgent", json!("kubectl/v1.35.4 (linux/amd64) kubernetes/abc")),
            with("/verb", json!("get")),
            with("/requestURI", json!("/apis/apps/v1/namespaces/shop/deployments/web?fieldManager=x&dryRun=All")),
            with("/objectRef/resource", json!("events")),
            without_a_plan(json!({"resource": "selfsubjectaccessreviews"})),
            without_a_plan(json!({"resource": "configmaps", "namespace": "guard-system", "name": "guard-mutes"})),
            without_a_plan(json!({"resource": "daemonsets", "namespace": "guard-system", "name": "guard-exporter"})),
            without_a_plan(json!({"resource": "clusterroles", "name": "guard-viewer"})),
        ];
        assert_eq!(changes(&events).count(), 0, "{:?}", changes(&events).collect::<Vec<_>>());
        // A node's name says nothing of the installation.
        let node = [without_a_plan(json!({"resource": "nodes", "name": "node1"}))];
        assert_eq!(changes(&node).count(), 1);
    }
}
