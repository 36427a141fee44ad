//! Nodes: cordon, uncordon and drain, with pods of their own on the second node.

use std::fs::{self, File};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use guard_tests::approval::STALE;
use guard_tests::cluster::{Cluster, WORK_IMAGE};
use guard_tests::marks::stores_nothing;
use guard_tests::person::{Answer, Person};
use guard_tests::wait;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use crate::fix::stored;

/// The node of the tests: the one with a certificate that everybody can verify.
pub(crate) const NODE: &str = "node/node2";

fn node(cluster: &Cluster) -> Result<Value> {
    Ok(serde_json::from_str(&cluster.admin().kubectl(&["get", NODE, "-o", "json"])?)?)
}

/// Binds the roles of somebody who works on nodes.
pub(crate) fn bind(cluster: &Cluster) -> Result<()> {
    let binding = |kind: &str, role: &str, role_kind: &str, namespace: Option<&str>| {
        json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind,
            "metadata": {"name": format!("test-node-{role}"), "namespace": namespace},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": role_kind, "name": role},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "node-operator"}]})
    };
    let items = [
        binding("ClusterRoleBinding", "guard-operator", "ClusterRole", None),
        binding("ClusterRoleBinding", "guard-node-operator", "ClusterRole", None),
        binding("RoleBinding", "guard-viewer", "Role", Some("guard-system")),
    ];
    cluster.admin().apply(&json!({"apiVersion": "v1", "kind": "List", "items": items}).to_string())
}

/// The only change that a person made since a mark, with the Event behind it, which lies in `default`.
fn only_change(cluster: &Cluster, mark: u64, person: &str) -> Result<Value> {
    let events = cluster.audit_since(mark, person)?;
    ensure!(stored(&events) == ["nodes", "events"], "{events:?}");
    let mut written = events.into_iter().filter(|event| !stores_nothing(event));
    let change = written.next().context("it is not there")?;
    ensure!(written.all(|event| event["objectRef"]["namespace"] == "default"), "{change}");
    Ok(change)
}

pub(crate) fn a_node_is_cordoned_and_uncordoned_with_a_signature(cluster: &mut Cluster) -> Result<()> {
    bind(cluster)?;
    let person = cluster.person("node-operator");
    let cordon = ["fix", NODE, "--action=cordon"];
    // Half of two nodes is left; a limit that is stricter than usual refuses that, and names what accepts it.
    let strict = person.guard(&[&cordon[..], &["--min-schedulable=51", "--dry-run"]].concat())?;
    assert_eq!(strict.code, Some(6), "{strict:?}");
    assert!(strict.err.contains("--min-schedulable 50"), "{}", strict.err);

    let (mark, before) = (cluster.audit_mark(), node(cluster)?);
    for flag in ["--dry-run", "--dry-run=server"] {
        let dry = person.guard(&[&cordon[..], &[flag]].concat())?;
        assert_eq!(dry.code, Some(0), "{dry:?}");
    }
    assert_eq!(node(cluster)?["spec"], before["spec"]);
    let events = cluster.audit_since(mark, "node-operator")?;
    assert!(events.iter().any(|event| event["requestURI"].as_str().is_some_and(|uri| uri.contains("dryRun=All"))));
    assert_eq!(stored(&events), [""; 0]);

    let mark = cluster.audit_mark();
    let (_, done) = person.approve(&cordon)?;
    assert_eq!(done.code, Some(0), "{done:?}");
    let write = only_change(cluster, mark, "node-operator")?;
    let agent = write["userAgent"].as_str().unwrap_or("");
    let plan = agent.split("plan/").nth(1).and_then(|rest| rest.get(..12)).context("no plan in the User-Agent")?;
    assert!(write["requestURI"].as_str().is_some_and(|uri| uri.contains("fieldManager=kubectl-guard")), "{write}");
    let seen = node(cluster)?;
    assert_eq!(seen["spec"]["unschedulable"], true);
    let signature = seen["metadata"]["annotations"]["kubectl-guard/cordoned"].as_str().context("no signature")?;
    assert!(signature.contains(plan) && signature.contains("node-operator"), "{signature}");
    let again = person.guard(&cordon)?;
    assert_eq!(again.code, Some(6), "{again:?}");

    // Taken back by its id; a second time there is nothing of ours to take back.
    let (_, done) = person.approve(&["undo", plan])?;
    assert_eq!(done.code, Some(0), "{done:?}");
    assert!(node(cluster)?["spec"]["unschedulable"].is_null());
    let stale = person.guard(&["undo", plan, "--dry-run"])?;
    assert_eq!(stale.code, Some(4), "{stale:?}");
    let (_, done) = person.approve(&cordon)?;
    assert_eq!(done.code, Some(0), "{done:?}");

    let uncordon = ["fix", NODE, "--action=uncordon"];
    let (_, done) = person.approve(&uncordon)?;
    assert_eq!(done.code, Some(0), "{done:?}");
    let seen = node(cluster)?;
    assert!(seen["spec"]["unschedulable"].is_null(), "{seen}");
    assert!(seen["metadata"]["annotations"]["kubectl-guard/cordoned"].is_null(), "{seen}");

    // What somebody else cordoned is left as it is, unless that is accepted.
    cluster.admin().kubectl(&["cordon", "node2"])?;
    let refused = person.guard(&uncordon)?;
    assert_eq!(refused.code, Some(6), "{refused:?}");
    assert!(refused.err.contains("--foreign-cordon"), "{}", refused.err);
    let (_, done) = person.approve(&[&uncordon[..], &["--foreign-cordon"]].concat())?;
    assert_eq!(done.code, Some(0), "{done:?}");
    assert!(node(cluster)?["spec"]["unschedulable"].is_null());

    // kubectl's uncordon leaves guard's annotation, which does not make the next cordon guard's.
    let (_, done) = person.approve(&cordon)?;
    assert_eq!(done.code, Some(0), "{done:?}");
    cluster.admin().kubectl(&["uncordon", "node2"])?;
    cluster.admin().kubectl(&["cordon", "node2"])?;
    assert!(!node(cluster)?["metadata"]["annotations"]["kubectl-guard/cordoned"].is_null(), "kubectl took it away");
    let refused = person.guard(&uncordon)?;
    assert!(refused.code == Some(6) && refused.err.contains("--foreign-cordon"), "{refused:?}");
    cluster.admin().kubectl(&["uncordon", "node2"])?;

    let history = person.guard(&["history"])?;
    assert!(history.out.contains("uncordon") && history.out.contains(NODE), "{}", history.out);
    Ok(())
}

/// Where the pods of the drains live, and the label by which the drains take no others.
const DRILL: &str = "drill";
pub(crate) const SELECTOR: &str = "--pod-selector=drill=yes";

/// Pods that only `node2` takes; `script` is what they run, given their grace period. Budgets by name and minAvailable.
pub(crate) fn drill(cluster: &Cluster, environment: &Value, replicas: usize, budgets: &[(&str, usize)]) -> Result<()> {
    let admin = cluster.admin();
    let labels = json!({"drill": "yes"});
    let mut items = vec![
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": DRILL}}),
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "drill", "namespace": DRILL},
            "spec": {"replicas": replicas, "selector": {"matchLabels": labels}, "template": {
                "metadata": {"labels": labels},
                "spec": {"nodeSelector": {"kubernetes.io/hostname": "node2"}, "terminationGracePeriodSeconds": 20,
                    "volumes": [{"name": "state", "emptyDir": {}}], "securityContext": {"fsGroup": 65532},
                    "containers": [{"name": "work", "image": WORK_IMAGE, "imagePullPolicy": "Never",
                        "env": environment, "volumeMounts": [{"name": "state", "mountPath": "/state"}],
                        "readinessProbe": {"httpGet": {"path": "/", "port": 8080}, "periodSeconds": 1}}]}}}}),
    ];
    items.extend(budgets.iter().map(|(name, least)| {
        json!({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": name, "namespace": DRILL},
            "spec": {"minAvailable": least, "selector": {"matchLabels": labels}}})
    }));
    admin.apply(&json!({"apiVersion": "v1", "kind": "List", "items": items}).to_string())?;
    admin.wait_for_rollout(DRILL, "deployment/drill")?;
    wait::until("the budgets to be observed", Duration::from_secs(30), || {
        let seen = admin.kubectl(&["-n", DRILL, "get", "pdb", "-o", "json"])?;
        let seen: Value = serde_json::from_str(&seen)?;
        let ready = |pdb: &Value| pdb["status"]["currentHealthy"] == json!(replicas);
        Ok(seen["items"].as_array().is_some_and(|all| all.iter().all(ready)).then_some(()))
    })
}

/// Everything as it was, whatever a test did.
pub(crate) fn clean(cluster: &Cluster) -> Result<()> {
    cluster.admin().kubectl(&["delete", "namespace", DRILL, "--ignore-not-found", "--wait=true", "--timeout=90s"])?;
    cluster.admin().kubectl(&["uncordon", "node2"]).map(drop)
}

fn pods(cluster: &Cluster) -> Result<Vec<String>> {
    let all = cluster.admin().kubectl(&["-n", DRILL, "get", "pods", "-o", "json"])?;
    let all: Value = serde_json::from_str(&all)?;
    let on_node = all["items"].as_array().into_iter().flatten().filter(|pod| pod["spec"]["nodeName"] == "node2");
    Ok(on_node.filter_map(|pod| pod["metadata"]["uid"].as_str().map(str::to_owned)).collect())
}

/// Nowhere else takes these pods, and they are all there are of their Deployment: three refusals, each named, then both
/// go, by two evictions that bear their UIDs.
pub(crate) fn a_drain_names_what_is_in_its_way_and_then_empties_the_node(cluster: &mut Cluster) -> Result<()> {
    bind(cluster)?;
    clean(cluster)?;
    drill(cluster, &json!([]), 2, &[("one-may-go", 1)])?;
    let person = cluster.person("node-operator");
    let mut drain = vec!["fix", NODE, "--action=drain", SELECTOR, "--timeout=60s"];
    for flag in ["--delete-emptydir-data", "--allow-pending", "--allow-downtime"] {
        let refused = person.guard(&drain)?;
        assert_eq!(refused.code, Some(6), "{flag}: {refused:?}");
        assert!(refused.err.contains(flag) && refused.err.contains("drill/drill-"), "{flag}: {}", refused.err);
        drain.push(flag);
    }
    assert!(node(cluster)?["spec"]["unschedulable"].is_null(), "a refused drain cordoned the node");

    let (mark, before) = (cluster.audit_mark(), pods(cluster)?);
    for flag in ["--dry-run", "--dry-run=server"] {
        let dry = person.guard(&[&drain[..], &[flag]].concat())?;
        assert_eq!(dry.code, Some(0), "{dry:?}");
    }
    let events = cluster.audit_since(mark, "node-operator")?;
    assert_eq!(stored(&events), [""; 0]);
    assert_eq!(pods(cluster)?, before);

    let automatic = person.guard(&[&drain[..], &["--yes", "--confidence-threshold=0"]].concat())?;
    assert_eq!(automatic.code, Some(6), "{automatic:?}");
    assert!(automatic.err.contains("--yes never drains"), "{}", automatic.err);

    // The budget lets one go; the other has to wait for a successor that no node takes.
    let mark = cluster.audit_mark();
    drain[4] = "--timeout=15s";
    let (_, partly) = person.approve(&[&drain[..], &["--wait-for-budgets"]].concat())?;
    assert_eq!(partly.code, Some(7), "{partly:?}");
    assert!(partly.err.contains("1 of 2 pods have gone"), "{}", partly.err);
    assert!(partly.err.contains("disruption budget") && partly.err.contains("--action uncordon"), "{}", partly.err);
    assert_eq!(node(cluster)?["spec"]["unschedulable"], true);
    let events = cluster.audit_since(mark, "node-operator")?;
    let evictions = events.iter().filter(|e| e["objectRef"]["subresource"] == "eviction" && !stores_nothing(e));
    let agents: Vec<&str> = evictions.filter_map(|event| event["userAgent"].as_str()).collect();
    assert!(agents.len() >= 2 && agents.iter().all(|agent| agent.contains("plan/")), "{agents:?}");

    drain[4] = "--timeout=60s";
    let paused = paused_meanwhile(cluster, || Ok(person.approve(&[&drain[..], &["--wait-for-budgets"]].concat())?.1))?;
    assert_eq!(paused.code, Some(7), "{paused:?}");
    assert!(paused.err.contains("guard is paused in this cluster: enough"), "{}", paused.err);
    assert!(
        paused.err.contains("the drain was stopped") && !paused.err.contains("the time was over"),
        "{}",
        paused.err
    );

    cluster.admin().kubectl(&["-n", DRILL, "delete", "pdb", "--all"])?;
    let (_, done) = person.approve(&drain)?;
    assert_eq!(done.code, Some(0), "{done:?}");
    assert!(pods(cluster)?.is_empty());
    clean(cluster)
}

/// What became of a drain, during which an administrator paused guard once it had asked for an eviction.
fn paused_meanwhile(cluster: &Cluster, drain: impl FnOnce() -> Result<Answer>) -> Result<Answer> {
    let mark = cluster.audit_mark();
    let ended = std::thread::scope(|scope| {
        let pause = scope.spawn(|| {
            wait::until("the drain to ask for an eviction", Duration::from_secs(50), || {
                let events = cluster.audit_since(mark, "node-operator")?;
                let asks = |event: &Value| event["objectRef"]["subresource"] == "eviction" && !stores_nothing(event);
                Ok(events.iter().any(asks).then_some(()))
            })?;
            let pause = ["create", "configmap", "guard-pause", "-n", "guard-system", "--from-literal=reason=enough"];
            cluster.admin().kubectl(&pause).map(drop)
        });
        let ended = drain();
        pause.join().unwrap_or_else(|_| bail!("the pause has panicked")).and(ended)
    });
    cluster.admin().kubectl(&["delete", "configmap", "guard-pause", "-n", "guard-system", "--ignore-not-found"])?;
    ended
}

pub(crate) fn a_drain_that_budgets_forbid_is_refused_and_cordons_nothing(cluster: &mut Cluster) -> Result<()> {
    bind(cluster)?;
    clean(cluster)?;
    let person = cluster.person("node-operator");
    let accepted = ["--delete-emptydir-data", "--allow-pending", "--allow-downtime"];
    let drain = [&["fix", NODE, "--action=drain", SELECTOR][..], &accepted].concat();
    drill(cluster, &json!([]), 1, &[("nothing-may-go", 1)])?;
    let refused = person.guard(&drain)?;
    assert_eq!(refused.code, Some(6), "{refused:?}");
    assert!(
        refused.err.contains("nothing-may-go (allows 0 now)") && refused.err.contains("--wait-for-budgets"),
        "{}",
        refused.err
    );

    drill(cluster, &json!([]), 1, &[("nothing-may-go", 1), ("second", 0)])?;
    let refused = person.guard(&[&drain[..], &["--wait-for-budgets"]].concat())?;
    assert_eq!(refused.code, Some(6), "{refused:?}");
    assert!(
        refused.err.contains("more than one disruption budget") && refused.err.contains("second"),
        "{}",
        refused.err
    );
    assert!(node(cluster)?["spec"]["unschedulable"].is_null(), "a refused drain cordoned the node");
    assert_eq!(pods(cluster)?.len(), 1);
    clean(cluster)
}

/// It ends when the kubelet kills it, and until then a drain says that it is still ending.
pub(crate) fn a_pod_that_ignores_sigterm_is_waited_for_or_named(cluster: &mut Cluster) -> Result<()> {
    bind(cluster)?;
    clean(cluster)?;
    let person = cluster.person("node-operator");
    drill(cluster, &json!([{"name": "IGNORE_SIGTERM", "value": "yes"}]), 1, &[])?;
    let accepted = ["--delete-emptydir-data", "--allow-pending", "--allow-downtime"];
    let drain = [&["fix", NODE, "--action=drain", SELECTOR][..], &accepted].concat();
    let (_, partly) = person.approve(&[&drain[..], &["--timeout=3s"]].concat())?;
    assert_eq!(partly.code, Some(7), "{partly:?}");
    assert!(partly.err.contains("was evicted and is still ending"), "{}", partly.err);
    let done = person.look(&drain, |shown| {
        let typed = format!("kubectl guard {} --timeout=60s --approve {}", drain.join(" "), shown.digest()?);
        let done = in_a_terminal(&person, &typed)?;
        Ok((!done.is_stale()).then_some(done))
    })?;
    assert_eq!(done.code, Some(0), "{done:?}");
    assert!(pods(cluster)?.is_empty());
    // Its row while it ended, and the line that stays.
    for shown in [" FOR  STATE", "  ending", "0 of 1 pods have gone, 1 under way, 0 to come", ": gone\r\n"] {
        assert!(done.out.contains(shown), "no {shown:?} in {}", done.out);
    }
    clean(cluster)
}

/// Types a line at a terminal; what it shows is in `out`, with what moves the cursor.
fn in_a_terminal(person: &Person, line: &str) -> Result<Answer> {
    person.shell(&format!("TERM=xterm script -qec '{line}' /dev/null"))
}

/// A drain that is approved and has come as far as `has_come` waits for, and the digest of its plan; `said` is what it says.
fn under_way(
    person: &Person,
    drain: &[&str],
    start: impl Fn(&str) -> Result<Command>,
    has_come: impl Fn() -> Result<bool>,
    said: impl Fn() -> String,
) -> Result<(Child, String)> {
    person.look(drain, |shown| {
        let digest = shown.digest()?.to_owned();
        let mut draining = start(&digest)?.spawn()?;
        let ended = wait::until("the drain to be half way", Duration::from_mins(1), || {
            let ended = draining.try_wait()?;
            Ok((ended.is_some() || has_come()?).then_some(ended))
        })?;
        ensure!(ended.is_none_or(|ended| ended.code() == Some(STALE)), "{ended:?}: {}", said());
        Ok(ended.is_none().then_some((draining, digest)))
    })
}

/// Nobody ends what was evicted while the node's kubelet is gone. The drain says so when its time is over, the node stays
/// closed, and the same command goes on when the kubelet is back.
pub(crate) fn a_drain_of_a_node_that_dies_half_way_is_told_and_gone_on_with(cluster: &mut Cluster) -> Result<()> {
    bind(cluster)?;
    clean(cluster)?;
    let person = cluster.person("node-operator");
    drill(cluster, &json!([{"name": "IGNORE_SIGTERM", "value": "yes"}]), 2, &[])?;
    let accepted = ["--delete-emptydir-data", "--allow-pending", "--allow-downtime", "--timeout=40s"];
    let drain = [&["fix", NODE, "--action=drain", SELECTOR][..], &accepted].concat();
    let (log, admin) = (cluster.folder().join("drain-and-die.log"), cluster.admin());
    let start = |digest: &str| {
        let file = File::create(&log)?;
        let mut command = person.command("kubectl");
        command.arg("guard").args(&drain).args(["--approve", digest]);
        command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
        Ok(command)
    };
    let both_are_evicted = || {
        let path = "jsonpath={.items[?(@.spec.nodeName==\"node2\")].metadata.deletionTimestamp}";
        let leaving = admin.kubectl(&["-n", DRILL, "get", "pods", "-o", path])?;
        Ok(leaving.split_whitespace().count() == 2)
    };
    let said = || fs::read_to_string(&log).unwrap_or_default();
    let (mut draining, _) = under_way(&person, &drain, start, both_are_evicted, said)?;
    cluster.own()?.nodes[1].stop_kubelet();
    let partly = draining.wait()?.code();
    let said = said();
    assert_eq!(partly, Some(7), "{said}");
    assert!(said.contains("0 of 2 pods have gone") && said.contains("was evicted and is still ending"), "{said}");
    assert_eq!(node(cluster)?["spec"]["unschedulable"], true);
    assert_eq!(pods(cluster)?.len(), 2);

    cluster.own()?.wait_for_node("node2", "Unknown")?;
    let dry = person.guard(&[&drain[..], &["--dry-run"]].concat())?;
    assert_eq!(dry.code, Some(0), "{dry:?}");
    cluster.own()?.nodes[1].start_kubelet()?;
    cluster.own()?.wait_for_node("node2", "True")?;
    let (_, done) = person.approve(&drain)?;
    assert_eq!(done.code, Some(0), "{done:?}");
    assert!(pods(cluster)?.is_empty());
    clean(cluster)
}

/// The second pod waits for its budget when the drain is asked to end: it stays, and the first is seen to its end or named. By
/// SIGTERM nobody is asked; after ^C the node is offered to be uncordoned, and a second ^C leaves that question.
pub(crate) fn a_drain_that_is_asked_to_end_sends_nothing_more(cluster: &mut Cluster) -> Result<()> {
    bind(cluster)?;
    let accepted = ["--delete-emptydir-data", "--allow-pending", "--allow-downtime", "--wait-for-budgets"];
    let drain = [&["fix", NODE, "--action=drain", SELECTOR, "--timeout=2m"][..], &accepted].concat();
    for (signal, code) in [(Signal::SIGTERM, 7), (Signal::SIGINT, 130)] {
        clean(cluster)?;
        drill(cluster, &json!([]), 2, &[("one-may-go", 1)])?;
        let person = cluster.person("node-operator");
        let log = cluster.folder().join(format!("drain-{code}.log"));
        let read = || fs::read_to_string(&log).unwrap_or_default();
        let start = |digest: &str| {
            // `exec` all the way: the signal reaches the plugin itself.
            let line = format!("exec kubectl guard {} --approve {digest}", drain.join(" "));
            let mut script = person.command("/usr/bin/script");
            script.args(["-qefc", &line]).arg(&log).env("TERM", "xterm").stdin(Stdio::piped()).stdout(Stdio::null());
            Ok(script)
        };
        let waits_for_the_budget = || Ok(read().contains("1 of 2 pods have gone"));
        let (mut draining, digest) = under_way(&person, &drain, start, waits_for_the_budget, read)?;
        let said = |what: &str| {
            wait::until(what, Duration::from_mins(1), || Ok(Some(read()).filter(|said| said.contains(what))))
        };
        let plugin = pid_of(&digest)?;
        kill(plugin, signal)?;
        said("stopping: no more pods are evicted")?;
        if signal == Signal::SIGINT {
            let asked = said("to approve")?;
            ensure!(!asked.contains("stays cordoned"), "{asked}");
            kill(plugin, signal)?;
        }
        let ended = wait::until("the drain's end", Duration::from_secs(30), || Ok(draining.try_wait()?))?;
        let said = read();
        assert_eq!(ended.code(), Some(code), "{said}");
        assert_eq!(said.contains("stays cordoned"), signal == Signal::SIGTERM, "{said}");
        ensure!(said.contains("stays: ") && said.contains("--resume"), "{said}");
        assert_eq!(node(cluster)?["spec"]["unschedulable"], true);
        assert_eq!(pods(cluster)?.len(), 1);
    }
    clean(cluster)
}

/// The plugin that was given this digest.
fn pid_of(digest: &str) -> Result<Pid> {
    let found = Command::new("pgrep").args(["-f", &format!("^[^ ]*kubectl-guard .*{digest}")]).output()?;
    let found = String::from_utf8(found.stdout)?;
    Ok(Pid::from_raw(found.trim().parse().with_context(|| format!("the plugin: {found:?}"))?))
}

/// Each role does its part and no more; a plan says which rule is missing.
pub(crate) fn each_role_does_exactly_its_part(cluster: &mut Cluster) -> Result<()> {
    crate::rights::bind(cluster)?;
    bind(cluster)?;
    let may: [(&str, &[&str]); 7] = [
        ("patch deployments.apps", &["operator", "node-operator"]),
        ("patch deployments.apps --subresource=scale", &["operator", "node-operator"]),
        ("patch pods --subresource=resize", &["operator", "node-operator"]),
        ("create pods --subresource=eviction", &["operator", "node-operator"]),
        ("patch nodes", &["node-operator"]),
        ("create events.events.k8s.io", &["operator", "node-operator"]),
        ("delete pods", &[]),
    ];
    for (what, who) in may {
        for person in ["viewer", "operator", "node-operator"] {
            let asked = [&["auth", "can-i"][..], &what.split(' ').collect::<Vec<_>>()].concat();
            let answer = cluster.person(person).try_kubectl(&asked)?;
            assert_eq!(answer.out.trim() == "yes", who.contains(&person), "{person}: {what}: {answer:?}");
        }
    }
    for person in ["viewer", "operator", "node-operator"] {
        // Whoever may not read the pause could never be sure that there is none.
        let pause = ["auth", "can-i", "get", "configmaps/guard-pause", "-n", "guard-system"];
        assert_eq!(cluster.person(person).try_kubectl(&pause)?.out.trim(), "yes", "{person}");
    }
    let cordon = ["fix", NODE, "--action=cordon"];
    let shown = cluster.person("operator").guard(&[&cordon[..], &["--dry-run"]].concat())?;
    assert!(shown.out.contains("patch nodes (you may NOT"), "{shown:?}");
    let refused = cluster.person("operator").guard(&cordon)?;
    assert_eq!(refused.code, Some(3), "{refused:?}");
    assert!(refused.err.contains("may not patch nodes"), "{}", refused.err);
    Ok(())
}
