//! Deployment `cart`, whose pods may be resized, and whose template the API server then does not take.

use super::*;

pub(super) const CART: &str = "/apis/apps/v1/namespaces/shop/deployments/cart";
/// Before the letter of one of its pods.
pub(super) const POD: &str = "/api/v1/namespaces/shop/pods/cart-";
const RESIZE: &str = "/api/v1/namespaces/shop/pods/cart-a/resize";

fn containers() -> Value {
    json!([{ "name": "cart", "resources": { "limits": { "memory": "64Mi" } } }])
}

/// What it has after so many resizes of its pods.
pub(super) fn version(resizes: usize) -> String {
    (8 + resizes).to_string()
}

/// As it is after so many resizes of its pods.
pub(super) fn deployment(resizes: usize) -> Value {
    json!({
        "metadata": { "name": "cart", "namespace": "shop", "uid": "uid-cart", "generation": 1,
            "resourceVersion": version(resizes) },
        "spec": { "replicas": 1, "selector": { "matchLabels": { "app": "cart" } },
            "template": { "metadata": { "labels": { "app": "cart" } }, "spec": { "containers": containers() } } },
    })
}

/// So many pods of it.
pub(super) fn pods(count: usize) -> impl Iterator<Item = Value> {
    ["a", "b", "c"].into_iter().take(count).map(pod)
}

pub(super) fn pod(letter: &str) -> Value {
    json!({
        "metadata": { "name": format!("cart-{letter}"), "namespace": "shop", "uid": format!("uid-cart-{letter}"), "generation": 1,
            "labels": { "app": "cart", "pod-template-hash": "7f9" },
            "ownerReferences": [{ "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "cart-7f9", "uid": "uid-rs-cart",
                "controller": true }] },
        "spec": { "nodeName": "n1", "containers": containers() },
        "status": { "phase": "Running", "observedGeneration": 1, "conditions": [{ "type": "Ready", "status": "True" }] },
    })
}

fn resources() -> FixArgs {
    FixArgs {
        target: vec!["deployment/cart".into()],
        action: Some(ActionKind::Resources),
        limits: plan::amounts("memory=128Mi").ok(),
        in_place: true,
        ..args()
    }
}

/// Looks at the plan of these arguments, and approves what was shown.
async fn approved(shared: Shared, args: FixArgs) -> Run {
    let dry = FixArgs { dry_run: DryRunFlag { dry_run: DryRun::Client }, ..args.clone() };
    let shown = run(Arc::clone(&shared), SICK, dry).await;
    let text = shown.output.out.text();
    let digest = text.lines().find_map(|line| line.strip_prefix("Digest ")).expect(&text).to_owned();
    run(shared, SICK, FixArgs { approve: Some(digest), ..args }).await
}

#[tokio::test]
async fn pods_that_were_resized_before_their_template_was_refused_are_not_kept_quiet() {
    let run = approved(cluster(|_| ()), resources()).await;
    assert!(run.result.as_ref().unwrap_err().to_string().contains("denied by a webhook"), "{:?}", run.result);
    let writes = run.writes();
    let starts = |write: usize, with: &str| writes[write].starts_with(&format!("PATCH {with}?"));
    assert!(writes.len() == 2 && starts(0, RESIZE) && starts(1, CART), "{writes:#?}");
    assert!(writes[1].contains(r#""resourceVersion":"9""#), "the resize has moved it: {}", writes[1]);
    let told = run.output.err.text();
    let id = run.journal.read().unwrap()[0].plan_id.clone();
    let left = "1 of 1 pods are resized in place and their template is not changed: the next rollout would take it back; \
                to go on: kubectl guard fix --resume";
    assert!(told.contains(&format!("{left} {id}")), "{told}");
}

#[tokio::test]
async fn a_template_of_which_nobody_knows_is_not_called_unchanged() {
    let run = approved(cluster(|c| c.template = 504), resources()).await;
    let error = run.result.as_ref().unwrap_err().to_string();
    assert!(error.starts_with("the outcome of the write to deployment/cart is unknown"), "{error}");
    let id = run.journal.read().unwrap()[0].plan_id.clone();
    insta::assert_snapshot!(run.output.err.text().replace(id.as_str(), "ID"), @"
    1 of 1 pods are resized in place
    warning: 1 of 1 pods are resized in place and it is not known whether their template is changed: if not, the next rollout would take it back; to find out and go on: kubectl guard fix --resume ID
    ");
}

/// Many pods take many minutes, in which an administrator may pause guard and the approval grows old.
#[tokio::test]
async fn what_forbids_a_write_is_asked_before_each_pod_and_before_their_template() {
    type Case = (fn(&mut Cluster), usize, Exit, &'static str);
    let cases: [Case; 4] = [
        (|c| (c.carts, c.paused_after) = (3, Some(2)), 2, Exit::Refused, "guard is paused in this cluster: freeze"),
        (|c| (c.carts, c.paused_after) = (3, Some(3)), 3, Exit::Refused, "guard is paused in this cluster: freeze"),
        (|c| (c.carts, c.late_after) = (3, Some(1)), 1, Exit::Stale, "the plan expired at "),
        (|c| (c.carts, c.late_after) = (3, Some(3)), 3, Exit::Stale, "the plan expired at "),
    ];
    for (change, resized, exit, why) in cases {
        let run = approved(cluster(change), resources()).await;
        LATE.set(false);
        assert_eq!(run.exit(), exit, "{:?}", run.result);
        let error = run.result.as_ref().unwrap_err().to_string();
        assert!(error.starts_with(why), "{error}");
        let writes = run.writes();
        assert!(writes.len() == resized && writes.iter().all(|write| write.contains("/resize?")), "{writes:#?}");
        let told = run.output.err.text();
        let left = format!("{resized} of 3 pods are resized in place and their template is not changed");
        assert!(told.contains(&left), "{told}");
    }
}
