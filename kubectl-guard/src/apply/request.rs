//! The requests of a step, pure: a dry run and the write are the same but for `dryRun=All`.

use http::{Method, Request, header};

use crate::plan::{Action, FIELD_MANAGER, Step};

/// The request of this step.
pub(super) fn request(step: &Step, dry_run: bool) -> Request<Vec<u8>> {
    let path = step.target.path();
    let (method, path, content_type) = match step.action {
        Action::RolloutRestart
        | Action::SetResources { .. }
        | Action::Cordon
        | Action::Uncordon
        | Action::Drain { .. } => (Method::PATCH, path, "application/strategic-merge-patch+json"),
        Action::ResizePod { .. } => (Method::PATCH, format!("{path}/resize"), "application/strategic-merge-patch+json"),
        // What the revision did not have is taken away by null, which a strategic merge patch would do too; its lists are
        // written as they were, which it would not.
        Action::RolloutUndo { .. } => (Method::PATCH, path, "application/merge-patch+json"),
        Action::Scale { .. } => (Method::PATCH, format!("{path}/scale"), "application/merge-patch+json"),
        Action::DeletePod => (Method::DELETE, path, "application/json"),
        Action::EvictPod => (Method::POST, format!("{path}/eviction"), "application/json"),
    };
    let mut body = step.patch.clone();
    if dry_run && step.action == Action::DeletePod {
        // A DELETE with a body has its query ignored by the API server.
        body["dryRun"] = serde_json::json!(["All"]);
    }
    let dry_run = if dry_run { "&dryRun=All" } else { "" };
    Request::builder()
        .method(method)
        .uri(format!("{path}?fieldManager={FIELD_MANAGER}{dry_run}"))
        .header(header::CONTENT_TYPE, content_type)
        .header(header::ACCEPT, "application/json")
        .body(body.to_string().into_bytes())
        .expect("namespaces and names of DNS-1123 make a valid path")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::examples::{drain_plan, node_plan, plan, pod_plan, resources_plan};
    use crate::plan::{ActionKind, DrainOptions, Plan};

    fn wire(plan: &Plan, dry_run: bool) -> String {
        let request = request(&plan.steps[0], dry_run);
        let kind = request.headers()[header::CONTENT_TYPE].to_str().unwrap().to_owned();
        let (head, body) = request.into_parts();
        format!("{} {}\n{kind}\n{}", head.method, head.uri, String::from_utf8(body).unwrap())
    }

    #[test]
    fn a_restart_is_a_strategic_merge_patch() {
        insta::assert_snapshot!(wire(&plan(ActionKind::Restart), false), @r#"
        PATCH /apis/apps/v1/namespaces/shop/deployments/web?fieldManager=kubectl-guard
        application/strategic-merge-patch+json
        {"metadata":{"resourceVersion":"4711","uid":"uid-web"},"spec":{"template":{"metadata":{"annotations":{"kubectl.kubernetes.io/restartedAt":"2026-11-22T13:20:05Z"}}}}}
        "#);
    }

    #[test]
    fn a_scale_patches_the_subresource() {
        insta::assert_snapshot!(wire(&plan(ActionKind::Scale), false), @r#"
        PATCH /apis/apps/v1/namespaces/shop/deployments/web/scale?fieldManager=kubectl-guard
        application/merge-patch+json
        {"metadata":{"resourceVersion":"4711","uid":"uid-web"},"spec":{"replicas":3}}
        "#);
    }

    #[test]
    fn a_rollback_takes_away_what_the_revision_did_not_have() {
        insta::assert_snapshot!(wire(&plan(ActionKind::RolloutUndo), false));
    }

    #[test]
    fn limits_are_merged_into_the_template_or_into_the_resize_of_a_pod() {
        let mut plan = resources_plan(true);
        insta::assert_snapshot!(wire(&plan, false));
        plan.steps.drain(..2);
        insta::assert_snapshot!(wire(&plan, false));
    }

    #[test]
    fn an_eviction_carries_the_uid_where_the_api_server_reads_it() {
        insta::assert_snapshot!(wire(&pod_plan(), false), @r#"
        POST /api/v1/namespaces/shop/pods/web-a/eviction?fieldManager=kubectl-guard
        application/json
        {"apiVersion":"policy/v1","deleteOptions":{"preconditions":{"uid":"uid-web-a"}},"kind":"Eviction","metadata":{"name":"web-a","namespace":"shop"}}
        "#);
    }

    #[test]
    fn a_cordon_signs_the_node_and_an_uncordon_takes_the_signature_away() {
        insta::assert_snapshot!(wire(&node_plan(ActionKind::Cordon), false));
        insta::assert_snapshot!(wire(&node_plan(ActionKind::Uncordon), false));
    }

    fn drained(options: DrainOptions) -> Plan {
        let mut plan = drain_plan(options);
        plan.steps.remove(0);
        plan
    }

    #[test]
    fn a_drain_evicts_with_uid_and_grace_period_where_the_api_server_reads_them() {
        let plan = drained(DrainOptions { grace_period: 7, ..DrainOptions::default() });
        insta::assert_snapshot!(wire(&plan, false));
    }

    #[test]
    fn a_delete_carries_its_dry_run_in_the_body_too() {
        let plan = drained(DrainOptions { disable_eviction: true, ..DrainOptions::default() });
        insta::assert_snapshot!(wire(&plan, false));
        insta::assert_snapshot!(wire(&plan, true));
    }

    #[test]
    fn a_dry_run_is_the_same_request_with_dry_run_all() {
        for plan in [plan(ActionKind::Restart), plan(ActionKind::Scale), pod_plan(), node_plan(ActionKind::Cordon)] {
            let real = wire(&plan, false);
            let dry = real.replacen("?fieldManager=kubectl-guard", "?fieldManager=kubectl-guard&dryRun=All", 1);
            assert_ne!(real, dry);
            assert_eq!(wire(&plan, true), dry);
        }
    }
}
