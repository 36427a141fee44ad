//! `fix` killed at each of its writes in turn, and taken up again: nothing is done twice, and the journal tells the truth.
//!
//! The truth is the API server's audit log. A part runs with all tests; `tests/run --kills` goes through every write point of
//! every action and keeps its record in `tests/kills.csv`, where it goes on if it is stopped.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use anyhow::{Context, Result, ensure};
use guard_tests::cluster::{Cluster, WORK_IMAGE};
use guard_tests::kills::{Kill, Then, begin_if_whole, note, open, plan, record};
use guard_tests::marks::changes;
use guard_tests::person::{Answer, Person};
use guard_tests::{load, survival};
use serde_json::{Value, json};

use crate::nodes::{self, NODE, SELECTOR};
use crate::sink;

const PERSON: &str = "node-operator";

/// Whoever does it, telling the sink if this kill is about that.
fn person(cluster: &Cluster, kill: &Kill) -> Person {
    let person = cluster.person(PERSON);
    if kill.is_told() { person.with("GUARD_JOURNAL_SINK", &sink::name()) } else { person }
}
/// How many workloads are killed before the first is taken up: what may still arrive is waited for once.
const AT_ONCE: usize = 20;

/// The name of the Deployment of a kill.
fn name(kill: &Kill) -> String {
    format!("kill-{}", kill.number)
}

fn command(kill: &Kill) -> Vec<String> {
    let target = if kill.is_node() { NODE.to_owned() } else { format!("deployment/{}", name(kill)) };
    let flags: &[&str] = match kill.action.as_str() {
        "restart" => &["--action=restart"],
        "scale" => &["--action=scale", "--replicas=2"],
        "resources" => &["--action=resources", "--limits=memory=128Mi"],
        "in-place" => &["--action=resources", "--limits=memory=128Mi", "--in-place"],
        "cordon" => &["--action=cordon"],
        "uncordon" => &["--action=uncordon", "--foreign-cordon"],
        "drain" => &["--action=drain", SELECTOR, "--delete-emptydir-data", "--allow-pending", "--allow-downtime"],
        other => unreachable!("{other} is no action of the record"),
    };
    let place = if kill.is_node() { vec![] } else { vec!["-n", load::NAMESPACE] };
    let timeout = if kill.is_node() { "--timeout=60s" } else { "--timeout=0" };
    let words = ["fix", &target].into_iter().chain(flags.iter().copied()).chain(place).chain([timeout]);
    words.map(str::to_owned).collect()
}

fn deployments(cluster: &Cluster, kills: &[Kill]) -> Result<()> {
    let items = kills.iter().map(|kill| {
        let labels = json!({"app": name(kill)});
        let container = json!({"name": "work", "image": WORK_IMAGE, "imagePullPolicy": "Never", "resources": {
            "requests": {"cpu": "1m", "memory": "8Mi"}, "limits": {"cpu": "100m", "memory": "96Mi"}}});
        json!({"apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": name(kill), "namespace": load::NAMESPACE, "labels": {"kills": "yes"}},
            "spec": {"replicas": 1, "selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels},
                "spec": {"terminationGracePeriodSeconds": 1, "containers": [container]}}}})
    });
    let items: Vec<Value> = items.collect();
    cluster.admin().apply(&json!({"apiVersion": "v1", "kind": "List", "items": items}).to_string())?;
    let admin = cluster.admin();
    kills.iter().try_for_each(|kill| admin.wait_for_rollout(load::NAMESPACE, &format!("deployment/{}", name(kill))))
}

/// What is shown is approved by its digest, by `writer`; `None` if there is nothing to approve.
pub(crate) fn approve(person: &Person, writer: &Person, command: &[&str]) -> Result<Option<Answer>> {
    person.look(command, |shown| {
        let Ok(digest) = shown.digest() else {
            ensure!(shown.code == Some(0), "{shown:?}");
            return Ok(Some(None));
        };
        let done = writer.guard(&[command, &["--approve", digest]].concat())?;
        Ok((!done.is_stale()).then_some(Some(done)))
    })
}

/// The journal's lines of each plan, in order.
fn journal(person: &Person) -> Vec<Value> {
    let file = person.home().join(".local/state/kubectl-guard/journal.jsonl");
    let Ok(text) = fs::read_to_string(&file) else { return Vec::new() };
    // The last line may be torn: its process was killed.
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

/// Does it, and is killed on the way. The id of its plan, if the journal has it.
fn kill(cluster: &Cluster, kill: &Kill) -> Result<(bool, Option<String>)> {
    let person = person(cluster, kill);
    let known = journal(&person).len();
    let writer = person.clone().with("GUARD_KILL_AT", &kill.at);
    let command = command(kill);
    let words: Vec<&str> = command.iter().map(String::as_str).collect();
    let ended = approve(&person, &writer, &words)?.context("a dry run without a plan")?;
    let id = journal(&person).get(known..).and_then(|new| Some(new.first()?["plan_id"].as_str()?.to_owned()));
    ensure!(ended.code.is_none() || kill.at.matches(':').count() == 2, "it was not killed at {}: {ended:?}", kill.at);
    Ok((ended.code.is_none(), id))
}

/// Goes on with a plan, or leaves it.
fn take_up(cluster: &Cluster, kill: &Kill, id: &str) -> Result<()> {
    let person = person(cluster, kill);
    if kill.then == Then::Aborted {
        let left = person.guard(&["fix", "--abort", id])?;
        ensure!(left.code == Some(0), "{left:?}");
        return Ok(());
    }
    let overrides: &[&str] = match kill.action.as_str() {
        "drain" => &["--allow-pending", "--allow-downtime"],
        "uncordon" => &["--foreign-cordon"],
        _ => &[],
    };
    let timeout = if kill.is_node() { "--timeout=60s" } else { "--timeout=0" };
    let resume = [&["fix", "--resume", id, timeout][..], overrides].concat();
    let ended = match approve(&person, &person, &resume)? {
        Some(ended) => ended,
        // All of it was carried out: now the journal is told so too.
        None => person.guard(&resume)?,
    };
    ensure!(ended.code == Some(0), "{ended:?}");
    Ok(())
}

/// A write as the API server's audit log has it.
struct Taken {
    plan: String,
    object: String,
    /// It was stored. A write whose sender was killed is logged as a timeout (504), stored or not.
    surely: bool,
}

/// The changes that the API server took or may have taken. One that names no plan is of a plan that no journal knows.
fn taken(cluster: &Cluster, mark: u64) -> Result<Vec<Taken>> {
    let events = cluster.audit_since(mark, PERSON)?;
    let of = |event: &Value| {
        let plan = event["userAgent"].as_str().and_then(|agent| agent.split(" plan/").nth(1)?.get(..12));
        let plan = plan.unwrap_or_default().to_owned();
        let code = event["responseStatus"]["code"].as_u64()?;
        let may = code < 300 || code == 504;
        may.then(|| Taken { plan, object: event["objectRef"].to_string(), surely: code < 300 })
    };
    Ok(changes(&events).filter_map(of).collect())
}

/// The plans of the journal, by the id of the one that began it: each with how many of its steps are known to be done.
fn told(lines: &[Value]) -> (BTreeMap<String, usize>, BTreeMap<String, String>) {
    let mut outcomes: BTreeMap<String, BTreeMap<u64, bool>> = BTreeMap::new();
    let mut first: BTreeMap<String, String> = BTreeMap::new();
    for line in lines {
        let id = line["plan_id"].as_str().unwrap_or_default().to_owned();
        match line["event"].as_str() {
            Some("intent") => {
                let begun = line["resumes"].as_str().map_or(&id, |earlier| first.get(earlier).unwrap_or(&id)).clone();
                first.insert(id.clone(), begun);
                outcomes.entry(id).or_default();
            }
            Some("outcome") => {
                let done = line["outcome"]["type"] == "done";
                outcomes.entry(id).or_default().insert(line["step"].as_u64().unwrap_or_default(), done);
            }
            _ => {}
        }
    }
    let done = outcomes.into_iter().map(|(id, steps)| (id, steps.into_values().filter(|done| *done).count()));
    (done.collect(), first)
}

/// What the API server took is what the journal tells, no object was written twice for one wish, and the object agrees.
fn is_true(cluster: &Cluster, mark: u64, kill: &Kill, id: Option<&str>) -> Result<()> {
    let (done, first) = told(&journal(&cluster.person(PERSON)));
    let taken = taken(cluster, mark)?;
    let unknown = taken.iter().find(|write| !done.contains_key(&write.plan));
    ensure!(unknown.is_none(), "a write of which the journal knows nothing: {:?}", unknown.map(|write| &write.object));
    let family: BTreeSet<&String> =
        first.iter().filter(|(_, begun)| Some(begun.as_str()) == id).map(|(id, _)| id).collect();
    let (mut all, mut objects) = (0, BTreeMap::<&str, usize>::new());
    for plan in &family {
        let written: Vec<&Taken> = taken.iter().filter(|write| write.plan == **plan).collect();
        let (told, surely) =
            (done.get(*plan).copied().unwrap_or_default(), written.iter().filter(|write| write.surely));
        let surely: Vec<_> = surely.collect();
        ensure!(
            (surely.len()..=written.len()).contains(&told),
            "{plan}: the journal tells of {told} writes, the API server took {} to {}",
            surely.len(),
            written.len()
        );
        for write in surely {
            *objects.entry(&write.object).or_default() += 1;
        }
        all += told;
    }
    // A drain that goes on says again that its node is cordoned; that changes nothing.
    let twice = objects.iter().find(|(object, times)| **times > 1 && !object.contains("\"nodes\""));
    ensure!(twice.is_none(), "written twice: {twice:?}");
    let object = object(cluster, kill)?;
    if kill.writes() == 1 {
        ensure!(holds(kill, &object) == (all > 0), "the journal tells of {all} writes, and the object is {object}");
    }
    if !kill.is_node() && id.is_some() {
        let generation = object["metadata"]["generation"].as_i64();
        let changed = holds(kill, &object);
        ensure!(generation == Some(1 + i64::from(changed)), "it was changed twice: {object}");
    }
    ensure!(
        kill.then == Then::Aborted || id.is_none() || holds(kill, &object),
        "it is not as it was to become: {object}"
    );
    Ok(())
}

fn object(cluster: &Cluster, kill: &Kill) -> Result<Value> {
    let target = if kill.is_node() { NODE.to_owned() } else { format!("deployment/{}", name(kill)) };
    Ok(serde_json::from_str(&cluster.admin().kubectl(&["-n", load::NAMESPACE, "get", &target, "-o", "json"])?)?)
}

/// The object is as the wish wants it.
fn holds(kill: &Kill, object: &Value) -> bool {
    let template = &object["spec"]["template"];
    match kill.action.as_str() {
        "restart" => template["metadata"]["annotations"]["kubectl.kubernetes.io/restartedAt"].is_string(),
        "scale" => object["spec"]["replicas"] == 2,
        "resources" | "in-place" => template["spec"]["containers"][0]["resources"]["limits"]["memory"] == "128Mi",
        "uncordon" => object["spec"]["unschedulable"].is_null(),
        _ => object["spec"]["unschedulable"] == true,
    }
}

/// What the sink tells of a plan is what the journal tells.
fn is_shared(cluster: &Cluster, kill: &Kill, id: &str) -> Result<()> {
    let person = person(cluster, kill);
    let told = |words: &[&str]| -> Result<Option<Value>> {
        let answer = person.guard(&[&["history", "-o", "json"], words].concat())?;
        let history: Value = serde_json::from_str(&answer.out).with_context(|| format!("{answer:?}"))?;
        Ok(history.as_array().context("no list")?.iter().find(|entry| entry["id"] == id).cloned())
    };
    let (here, there) = (told(&[])?, told(&["--sink"])?);
    ensure!(here.is_some() && here == there, "here {here:?}, in the sink {there:?}");
    Ok(())
}

fn checked(cluster: &Cluster, mark: u64, kill: &Kill, id: Option<&str>) -> Result<()> {
    if let Some(id) = id {
        take_up(cluster, kill, id)?;
        if kill.is_told() {
            is_shared(cluster, kill, id)?;
        }
    }
    is_true(cluster, mark, kill, id)
}

fn workloads(cluster: &Cluster, kills: &[Kill], note: &mut impl FnMut(&Kill, bool) -> Result<()>) -> Result<()> {
    let mark = cluster.audit_mark();
    deployments(cluster, kills)?;
    let begun: Result<Vec<_>> = kills.iter().map(|one| Ok((one, kill(cluster, one)?))).collect();
    for (one, (killed, id)) in begun? {
        checked(cluster, mark, one, id.as_deref()).with_context(|| format!("{one}"))?;
        note(one, killed)?;
    }
    cluster.admin().kubectl(&["-n", load::NAMESPACE, "delete", "deployment", "-l", "kills=yes"]).map(drop)
}

fn node(cluster: &Cluster, one: &Kill) -> Result<bool> {
    nodes::clean(cluster)?;
    match one.action.as_str() {
        "drain" => nodes::drill(cluster, &json!([]), 1, &[])?,
        "uncordon" => drop(cluster.admin().kubectl(&["cordon", "node2"])?),
        _ => {}
    }
    let mark = cluster.audit_mark();
    let (killed, id) = kill(cluster, one)?;
    checked(cluster, mark, one, id.as_deref())?;
    Ok(killed)
}

/// Kills these, notes each that was survived.
fn go_through(cluster: &Cluster, kills: &[Kill], mut note: impl FnMut(&Kill, bool) -> Result<()>) -> Result<()> {
    nodes::bind(cluster)?;
    let told = kills.iter().any(Kill::is_told);
    if told {
        sink::map(cluster)?;
    }
    let (of_nodes, of_workloads): (Vec<Kill>, Vec<Kill>) = kills.iter().cloned().partition(Kill::is_node);
    for some in of_workloads.chunks(AT_ONCE) {
        workloads(cluster, some, &mut note)?;
    }
    for one in &of_nodes {
        let killed = node(cluster, one).with_context(|| format!("{one}"))?;
        note(one, killed)?;
    }
    nodes::clean(cluster)?;
    if told {
        sink::unmap(cluster)?;
    }
    let whole = cluster.person(PERSON).guard(&["audit", "verify"])?;
    ensure!(whole.code == Some(0), "{whole:?}");
    Ok(())
}

/// A part: each moment of a scale, the middle of an in-place change, a drain between its cordon and its pods.
pub(crate) fn a_killed_fix_is_taken_up_and_told_truly(cluster: &mut Cluster) -> Result<()> {
    let wanted = [("in-place", "journal.after:3"), ("in-place", "step.after:1"), ("drain", "step.after:1")];
    let part = |kill: &Kill| kill.action == "scale" || wanted.contains(&(kill.action.as_str(), kill.at.as_str()));
    let kills: Vec<Kill> = plan().into_iter().filter(part).collect();
    go_through(cluster, &kills, |_, _| Ok(()))
}

/// All of them; what the record has already is not done again, but for a record that is whole, which is begun anew.
pub(crate) fn every_write_point_is_survived(cluster: &mut Cluster) -> Result<()> {
    begin_if_whole()?;
    go_through(cluster, &open(plan(), &record()?), note)?;
    survival::tell()
}
