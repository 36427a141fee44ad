//! Deployment `cart`, whose pods may be resized, and whose template the API server then does not take.

use guard_model::report::FeatureView;

use super::*;
use crate::commands::fix::undoing::Undoing;

pub(super) const CART: &str = "/apis/apps/v1/namespaces/shop/deployments/cart";
pub(super) const SET: &str = "/apis/apps/v1/namespaces/shop/statefulsets/cart";
/// Before the letter of one of its pods.
pub(super) const POD: &str = "/api/v1/namespaces/shop/pods/cart-";
const RESIZE: &str = "/api/v1/namespaces/shop/pods/cart-a/resize";

fn containers(memory: &str) -> Value {
    json!([{ "name": "cart", "resources": { "limits": { "memory": memory } } }])
}

/// The limit that a pod's spec sets.
pub(super) fn memory(spec: &Value) -> String {
    spec["containers"][0]["resources"]["limits"]["memory"].as_str().unwrap().to_owned()
}

/// What it has after so many resizes of its pods.
pub(super) fn version(resizes: usize) -> String {
    (8 + resizes).to_string()
}

/// As it is after so many resizes of its pods.
pub(super) fn deployment(resizes: usize, memory: &str) -> Value {
    json!({
        "metadata": { "name": "cart", "namespace": "shop", "uid": "uid-cart", "generation": 1,
            "resourceVersion": version(resizes) },
        "spec": { "replicas": 1, "selector": { "matchLabels": { "app": "cart" } },
            "template": { "metadata": { "labels": { "app": "cart" } }, "spec": { "containers": containers(memory) } } },
    })
}

/// A StatefulSet in its place, whose pods they are then.
pub(super) fn set(resizes: usize, memory: &str, strategy: &Value) -> Value {
    let mut set = deployment(resizes, memory);
    set["metadata"]["uid"] = json!("uid-rs-cart");
    (set["spec"]["serviceName"], set["spec"]["updateStrategy"]) = (json!("cart"), strategy.clone());
    set
}

/// So many pods of it.
pub(super) fn pods(count: usize, memory: &str) -> impl Iterator<Item = Value> {
    ["a", "b", "c"].into_iter().take(count).map(move |letter| pod(letter, memory))
}

pub(super) fn pod(letter: &str, memory: &str) -> Value {
    json!({
        "metadata": { "name": format!("cart-{letter}"), "namespace": "shop", "uid": format!("uid-cart-{letter}"), "generation": 1,
            "labels": { "app": "cart", "pod-template-hash": "7f9" },
            "ownerReferences": [{ "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "cart-7f9", "uid": "uid-rs-cart",
                "controller": true }] },
        "spec": { "nodeName": "n1", "containers": containers(memory) },
        "status": { "phase": "Running", "observedGeneration": 1, "conditions": [{ "type": "Ready", "status": "True" }],
            "containerStatuses": containers(memory) },
    })
}

/// One of its pods, which is well and uses little.
pub(super) fn scored() -> PodReport {
    let used = FeatureView {
        name: "memory".into(),
        unit: "bytes".into(),
        seen: Some(f64::from(10 << 20)),
        expected_low: None,
        expected_high: None,
        share: 0.0,
    };
    PodReport {
        namespace: "shop".into(),
        name: "cart-a".into(),
        uid: "uid-cart-a".into(),
        workload: Some(Workload::new("Deployment", "cart")),
        score: Some(0.1),
        state: State::Ok,
        features: vec![used],
        ..PodReport::default()
    }
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
    let folder = tempfile::tempdir().unwrap();
    let run = approved_with(&shared, &folder.path().join("journal.jsonl"), args).await;
    Run { _folder: folder, ..run }
}

/// The same with this journal.
async fn approved_with(shared: &Shared, journal: &std::path::Path, args: FixArgs) -> Run {
    let run = |args| run_with(Arc::clone(shared), Fake::of(SICK), args, |_| journal.to_path_buf());
    let shown = run(FixArgs { dry_run: DryRunFlag { dry_run: DryRun::Client }, ..args.clone() }).await;
    let text = shown.output.out.text();
    let Some(digest) = text.lines().find_map(|line| line.strip_prefix("Digest ")) else { return shown };
    run(FixArgs { approve: Some(digest.to_owned()), ..args }).await
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

fn resume(id: &str) -> FixArgs {
    FixArgs { resume: Some(id.into()), timeout: Duration::ZERO, ..args() }
}

/// The ids of the plans of a journal, the oldest first.
fn plans(run: &Run) -> Vec<String> {
    entries(&run.journal.read().unwrap()).into_iter().map(|entry| entry.id).collect()
}

/// The pods were resized by the plan before the one that is gone on with: that is no other action to cool down from.
#[tokio::test]
async fn what_was_half_done_twice_is_gone_on_with() {
    let shared = cluster(|_| ());
    let folder = tempfile::tempdir().unwrap();
    let journal = folder.path().join("journal.jsonl");
    let first = approved_with(&shared, &journal, resources()).await;
    assert_eq!(first.exit(), Exit::Error, "{:?}", first.result);
    let second = approved_with(&shared, &journal, resume(&plans(&first)[0])).await;
    assert_eq!(second.exit(), Exit::Error, "its template was refused again: {:?}", second.result);
    let left = "its pods are resized in place already and their template is not changed: the next rollout would take it back; \
                to go on: kubectl guard fix --resume";
    let told = second.output.err.text();
    assert!(told.contains(&format!("{left} {}\n", plans(&second)[1])), "{told}");
    shared.lock().unwrap().template = 200;
    let third = approved_with(&shared, &journal, resume(&plans(&second)[1])).await;
    assert_eq!(third.exit(), Exit::Done, "{:?}", third.result);
    assert_eq!(shared.lock().unwrap().memory, ["128Mi", "128Mi"]);
}

/// Whoever takes something back does not cool down from it, and whoever goes on with that says so.
#[tokio::test]
async fn what_was_half_taken_back_is_gone_on_with_as_it_is_told() {
    let shared = cluster(|c| c.template = 200);
    let folder = tempfile::tempdir().unwrap();
    let journal = folder.path().join("journal.jsonl");
    let fixed = approved_with(&shared, &journal, FixArgs { timeout: Duration::ZERO, ..resources() }).await;
    assert_eq!(fixed.exit(), Exit::Done, "{:?}", fixed.result);
    shared.lock().unwrap().template = 422;

    let undo = async |args: FixArgs| {
        let (_folder, connection) = connected(&shared).await;
        let (console, output) = capture::console(160);
        let journal = Journal::at(&journal);
        let undoing = Undoing::find(&journal.read().unwrap(), &plans(&fixed)[0], &connection.server).unwrap();
        let args = FixArgs { no_cool_down: true, ..args.of_plan(&undoing.inverse, true).unwrap() };
        let mut session = session(&connection, &console, &journal, Fake::of(SICK));
        session.undoing = Some(undoing);
        let target = "deployment/cart".parse().unwrap();
        (Box::pin(session.run(&args, Some(target), true)).await, output)
    };
    let (_, shown) = undo(dry(DryRun::Client)).await;
    let text = shown.out.text();
    let digest = text.lines().find_map(|line| line.strip_prefix("Digest ")).expect(&text).to_owned();
    let (result, output) = undo(FixArgs { approve: Some(digest), ..args() }).await;
    assert!(result.unwrap_err().to_string().contains("denied by a webhook"));
    let id = plans(&fixed)[1].clone();
    let told = output.err.text();
    assert!(told.contains(&format!("to go on: kubectl guard fix --resume {id} --no-cool-down\n")), "{told}");

    shared.lock().unwrap().template = 200;
    let refused = approved_with(&shared, &journal, resume(&id)).await;
    assert_eq!(refused.exit(), Exit::Refused, "the flag is needed: {:?}", refused.result);
    let resumed = approved_with(&shared, &journal, FixArgs { no_cool_down: true, ..resume(&id) }).await;
    assert_eq!(resumed.exit(), Exit::Done, "{:?}", resumed.result);
    assert_eq!(shared.lock().unwrap().memory, ["64Mi", "64Mi"]);
}

/// Its pods are not replaced: nothing is waited for, but for the scores of those that have it in place.
#[tokio::test]
async fn what_never_rolls_is_not_waited_for() {
    let on_delete = json!({ "type": "OnDelete" });
    let covered = json!({ "type": "RollingUpdate", "rollingUpdate": { "partition": 1 } });
    let mut told = Vec::new();
    for strategy in [on_delete, covered] {
        for in_place in [false, true] {
            let shared = cluster(|c| (c.template, c.strategy) = (200, strategy.clone()));
            let target = vec!["statefulset/cart".into()];
            let run = approved(shared, FixArgs { target, in_place, timeout: Duration::ZERO, ..resources() }).await;
            assert_eq!(run.exit(), Exit::Done, "{:?} {}", run.result, run.output.err.text());
            let id = run.journal.read().unwrap()[0].plan_id.clone();
            told.push(run.output.err.text().replace(id.as_str(), "ID"));
        }
    }
    insta::assert_snapshot!(told.join("\n"), @"
    set limits memory=128Mi of container cart of statefulset/cart: done (plan ID)
    not verified: its pods get the new template when somebody replaces them

    1 of 1 pods are resized in place
    set limits memory=128Mi of container cart of statefulset/cart: done (plan ID)
    its pods get the new template when somebody replaces them; those that are resized have the new values already
    not verified: there are no scores to wait for, or it was not asked for

    set limits memory=128Mi of container cart of statefulset/cart: done (plan ID)
    not verified: its pods get the new template when its partition is lowered

    1 of 1 pods are resized in place
    set limits memory=128Mi of container cart of statefulset/cart: done (plan ID)
    its pods get the new template when its partition is lowered; those that are resized have the new values already
    not verified: there are no scores to wait for, or it was not asked for
    ");
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
