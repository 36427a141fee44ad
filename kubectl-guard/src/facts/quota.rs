//! Would ResourceQuotas of the namespace allow more pods of a template? Pure.

use guard_model::quantity::Quantity;
use k8s_openapi::api::core::v1::{PodSpec, ResourceQuota};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as Text;

use super::requests::{limited, of_pod, read, requested};
use crate::sanitise;

/// What of each quota would be exceeded by `more` pods of this template, with the numbers; nothing where nothing would be,
/// or where a quota counts only pods of a certain kind.
pub(super) fn exceeded(quotas: &[ResourceQuota], template: &PodSpec, more: i64) -> Vec<String> {
    quotas.iter().flat_map(|quota| of_quota(quota, template, more)).collect()
}

fn of_quota(quota: &ResourceQuota, template: &PodSpec, more: i64) -> Vec<String> {
    let scoped = quota.spec.as_ref().is_some_and(|spec| spec.scopes.is_some() || spec.scope_selector.is_some());
    let Some(status) = quota.status.as_ref().filter(|_| !scoped) else { return Vec::new() };
    let name = sanitise::line(quota.metadata.name.as_deref().unwrap_or_default());
    let over = |(what, hard): (&String, &Text)| {
        let hard: Quantity = hard.0.parse().ok()?;
        let used = read(status.used.as_ref(), what).unwrap_or(Quantity::ZERO);
        let needed = needed(template, what)?.times(more)?;
        let free = hard.minus(used)?;
        (needed.is_positive() && needed > free).then(|| {
            let what = sanitise::line(what);
            format!(
                "ResourceQuota {name} has {hard} {what}, {used} are used, and the new pods need {}",
                needed.like(hard)
            )
        })
    };
    status.hard.iter().flatten().filter_map(over).collect()
}

/// What one pod needs of what a quota counts; `None` for what pods do not count towards.
fn needed(template: &PodSpec, what: &str) -> Option<Quantity> {
    match what {
        "pods" | "count/pods" => Some(Quantity::thousandths(1000)),
        "cpu" | "requests.cpu" => of_pod(template, "cpu", requested),
        "memory" | "requests.memory" => of_pod(template, "memory", requested),
        "limits.cpu" => of_pod(template, "cpu", limited),
        "limits.memory" => of_pod(template, "memory", limited),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn quota(hard: &Value, used: &Value, spec: &Value) -> ResourceQuota {
        serde_json::from_value(json!({ "metadata": { "name": "team" }, "spec": spec,
            "status": { "hard": hard, "used": used } }))
        .unwrap()
    }

    fn template() -> PodSpec {
        serde_json::from_value(json!({
            "initContainers": [
                { "name": "proxy", "restartPolicy": "Always", "resources": { "requests": { "cpu": "100m" } } },
                { "name": "migrate", "resources": { "requests": { "cpu": "150m", "memory": "1Gi" } } } ],
            "containers": [
                { "name": "web", "resources": { "requests": { "cpu": "400m" }, "limits": { "cpu": "1", "memory": "256Mi" } } },
                { "name": "log" } ],
        }))
        .unwrap()
    }

    fn over(hard: &Value, used: &Value, more: i64) -> String {
        exceeded(&[quota(hard, used, &json!({}))], &template(), more).join("; ")
    }

    #[test]
    fn the_number_that_would_not_fit_is_named() {
        let answers = [
            over(&json!({ "pods": "10" }), &json!({ "pods": "9" }), 2),
            over(&json!({ "requests.cpu": "2" }), &json!({ "requests.cpu": "1200m" }), 2),
            over(&json!({ "memory": "4Gi" }), &json!({ "memory": "2Gi" }), 3),
            over(&json!({ "limits.memory": "512Mi", "limits.cpu": "2" }), &json!({ "limits.cpu": "1500m" }), 3),
        ];
        insta::assert_snapshot!(answers.join("\n"));
    }

    #[test]
    fn what_fits_exactly_or_is_not_counted_is_not_named() {
        assert_eq!(over(&json!({ "pods": "10" }), &json!({ "pods": "8" }), 2), "");
        assert_eq!(over(&json!({ "requests.cpu": "2" }), &json!({ "requests.cpu": "1" }), 2), "");
        assert_eq!(over(&json!({ "requests.storage": "1", "count/secrets": "0" }), &json!({}), 2), "");
        let scoped = quota(&json!({ "pods": "0" }), &json!({}), &json!({ "scopes": ["BestEffort"] }));
        assert!(exceeded(&[scoped], &template(), 1).is_empty(), "it may not count these pods");
    }

    proptest::proptest! {
        /// Of the same pods, either all fit or the number is named; and more never fit where fewer do not.
        #[test]
        fn a_quota_is_never_passed_silently(hard in 0..5000_u64, used in 0..5000_u64, more in 1..20_i64) {
            let text = |milli: u64| json!({ "requests.cpu": format!("{milli}m") });
            let named = !over(&text(hard), &text(used), more).is_empty();
            proptest::prop_assert_eq!(named, 500 * more > hard as i64 - used as i64);
        }
    }
}
