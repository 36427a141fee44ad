//! The journal told to a ConfigMap as well: a colleague sees what was done, takes it back, and goes on with what was cut off.

use anyhow::{Context, Result, ensure};
use guard_tests::cluster::{Cluster, WORK_IMAGE};
use guard_tests::load;
use guard_tests::person::{Answer, Person};
use serde_json::{Value, json};

use crate::kills::approve;

const NAME: &str = "ledger";
const TARGET: &str = "deployment/ledger";
const MAP: &str = "guard-journal";

fn deploy(cluster: &Cluster) -> Result<()> {
    let labels = json!({"app": NAME});
    let pod = json!({"metadata": {"labels": labels}, "spec": {"terminationGracePeriodSeconds": 1,
        "containers": [{"name": "work", "image": WORK_IMAGE, "imagePullPolicy": "Never"}]}});
    let deployment = json!({"apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": NAME, "namespace": load::NAMESPACE},
        "spec": {"replicas": 1, "selector": {"matchLabels": labels}, "template": pod}});
    cluster.admin().apply(&deployment.to_string())?;
    rolled_out(cluster)
}

fn rolled_out(cluster: &Cluster) -> Result<()> {
    cluster.admin().wait_for_rollout(load::NAMESPACE, TARGET)
}

fn replicas(cluster: &Cluster) -> Result<String> {
    cluster.admin().kubectl(&["-n", load::NAMESPACE, "get", TARGET, "-o", "jsonpath={.spec.replicas}"])
}

/// How a command line names the sink.
pub(crate) fn name() -> String {
    format!("configmap/{MAP}.{}", load::NAMESPACE)
}

/// Takes away what [`map`] made.
pub(crate) fn unmap(cluster: &Cluster) -> Result<()> {
    cluster.admin().kubectl(&["-n", load::NAMESPACE, "delete", "configmap,role,rolebinding", MAP]).map(drop)
}

/// The ConfigMap, and the right to write it and no other.
pub(crate) fn map(cluster: &Cluster) -> Result<()> {
    let subjects: Vec<Value> = ["operator", "node-operator"]
        .iter()
        .map(|name| json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": name}))
        .collect();
    let items = [
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": MAP, "namespace": load::NAMESPACE}}),
        json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role",
            "metadata": {"name": MAP, "namespace": load::NAMESPACE},
            "rules": [{"apiGroups": [""], "resources": ["configmaps"], "resourceNames": [MAP], "verbs": ["get", "patch"]}]}),
        json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
            "metadata": {"name": MAP, "namespace": load::NAMESPACE}, "subjects": subjects,
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": MAP}}),
    ];
    cluster.admin().apply(&json!({"apiVersion": "v1", "kind": "List", "items": items}).to_string())
}

fn scale(to: &'static str) -> [&'static str; 7] {
    ["fix", TARGET, "-n", load::NAMESPACE, "--action=scale", to, "--no-cool-down"]
}

/// Does it, by a process that is killed right behind the write.
fn killed(person: &Person, command: &[&str]) -> Result<()> {
    let killed = person.clone().with("GUARD_KILL_AT", "step.after:1");
    let ended = approve(person, &killed, &[command, &["--timeout=0"]].concat())?.context("a dry run without a plan")?;
    ensure!(ended.code.is_none(), "{ended:?}");
    Ok(())
}

/// What was done to the Deployment, by the sink, oldest first.
fn told(person: &Person) -> Result<(Vec<Value>, Answer)> {
    let answer = person.guard(&["history", "--sink", "-o", "json"])?;
    let history: Value = serde_json::from_str(&answer.out).with_context(|| format!("{answer:?}"))?;
    Ok((history.as_array().context("no list")?.clone(), answer))
}

fn id(entry: Option<&Value>) -> Result<String> {
    Ok(entry.and_then(|entry| entry["id"].as_str()).context("it is not told")?.to_owned())
}

pub(crate) fn a_colleague_takes_back_and_goes_on_with_what_the_sink_tells(cluster: &mut Cluster) -> Result<()> {
    crate::rights::bind(cluster)?;
    crate::nodes::bind(cluster)?;
    deploy(cluster)?;
    let sink = name();
    let person = |name: &str| cluster.person(name).with("GUARD_JOURNAL_SINK", &sink);
    let (operator, colleague) = (person("operator"), person("node-operator"));

    // Nobody has made the map yet: where it is required nothing is changed, else it is said.
    let (_, refused) =
        operator.approve(&[&scale("--replicas=2")[..], &["--timeout=0", "--journal-sink-required"]].concat())?;
    assert_eq!(refused.code, Some(3), "{refused:?}");
    assert!(
        refused.err.contains("nothing was changed, for the journal could not be told elsewhere"),
        "{}",
        refused.err
    );
    assert_eq!(replicas(cluster)?, "1");
    map(cluster)?;
    let (_, done) = operator.approve(&[&scale("--replicas=2")[..], &["--timeout=0"]].concat())?;
    assert_eq!(done.code, Some(0), "{done:?}");
    assert!(!done.err.contains("does not know of it"), "{}", done.err);
    rolled_out(cluster)?;

    // On the colleague's machine the journal knows nothing of it, and the sink does.
    let (entries, _) = told(&colleague)?;
    let first = id(entries.last())?;
    let unknown = colleague.guard(&["undo", &first])?;
    assert!(unknown.code == Some(1) && unknown.err.contains("is in this journal"), "{unknown:?}");
    let (_, undone) = colleague.approve(&["undo", &first, "--sink"])?;
    assert_eq!(undone.code, Some(0), "{undone:?}");
    assert_eq!(replicas(cluster)?, "1");
    rolled_out(cluster)?;
    let again = colleague.guard(&["undo", &first, "--sink", "--dry-run"])?;
    assert_eq!(again.code, Some(4), "the object itself is asked: {again:?}");

    // Killed behind its write: the colleague finds out that it was carried out, and both are told so.
    killed(&operator, &scale("--replicas=3"))?;
    let (entries, answer) = told(&colleague)?;
    let cut = id(entries.iter().find(|entry| entry["outcome"].is_null()))?;
    assert!(answer.err.contains(&format!("--resume {cut} --sink")), "{}", answer.err);
    let resumed = colleague.guard(&["fix", "--resume", &cut, "--sink"])?;
    assert_eq!(resumed.code, Some(0), "{resumed:?}");
    assert!(resumed.err.contains("was carried out whole"), "{}", resumed.err);
    let (entries, answer) = told(&operator)?;
    let mine = entries.iter().find(|entry| entry["id"] == cut.as_str()).context("it is not told")?;
    assert_eq!(mine["outcome"]["type"], "done", "{mine}");
    assert!(!answer.err.contains("is left out"), "{}", answer.err);

    // Whoever can write the map can lie in it; not in what was approved.
    let admin = cluster.admin();
    let get = ["-n", load::NAMESPACE, "get", "configmap", MAP, "-o", "json"];
    let mut object: Value = serde_json::from_str(&admin.kubectl(&get)?)?;
    let key = format!("plan-{first}");
    let text = object["data"][&key].as_str().context("no such plan")?.replace(r#""replicas":2"#, r#""replicas":200"#);
    object["data"][&key] = json!(text);
    admin.apply(&object.to_string())?;
    let lied = colleague.guard(&["undo", &first, "--sink", "--dry-run"])?;
    assert_eq!(lied.code, Some(1), "{lied:?}");
    assert!(lied.err.contains(&format!("{key} is left out: its plan is not the one")), "{}", lied.err);
    admin.kubectl(&["-n", load::NAMESPACE, "delete", "deployment", NAME])?;
    unmap(cluster)
}
