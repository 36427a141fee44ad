//! Drain: which pods go, by kubectl's filters, before anything is written; then the rails; then one step a pod.

use jiff::Timestamp;
use serde_json::json;

use super::rails;
use super::restart::evict;
use super::{Making, Refusal, node};
use crate::facts::{NodePod, NodeTarget};
use crate::plan::{Action, DrainOptions, Kind, Need, Step, Target, Undo};
use crate::sanitise;

/// What kubectl's filters say of one pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Filtered {
    /// It goes.
    Goes,
    /// It stays, which is no obstacle: why.
    Stays(&'static str),
    /// It must not go unless this flag is given: why, and the flag.
    Refused(&'static str, &'static str),
}

/// The steps of a drain: the cordon, then an eviction for each pod that goes.
pub(super) fn steps(node: &NodeTarget, making: &mut Making<'_>) -> Result<Vec<Step>, Refusal> {
    let options = making.wish.drain.clone();
    let going = going(node, &options, making)?;
    making.rails.push(rails::control_plane(node, making.wish)?);
    making.rails.push(rails::schedulable(node, making.wish)?);
    making.rails.push(rails::budgets(&node.target, &going, &options)?);
    making.rails.push(rails::room(&node.target, &going, &options)?);
    let lost: Vec<String> = going.iter().filter(|pod| pod.is_last()).map(|pod| pod.path()).collect();
    let danger = (!lost.is_empty()).then(|| format!("no other ready pod serves beside {}", lost.join(", ")));
    making.rails.push(rails::downtime(&format!("a workload with pods on {}", node.target), danger, making.wish)?);
    given_up(&going, &options, making);
    let jobs: Vec<String> = going.iter().filter(|pod| pod.is_of_job() && !pod.finished).map(|pod| pod.path()).collect();
    if !jobs.is_empty() {
        let pods = jobs.join(", ");
        making.advice.push(format!("a job begins its work anew, as often as its backoffLimit allows: {pods}"));
    }
    let once = |pod: &&&NodePod| pod.works() && !pod.is_of_job() && !pod.finished;
    let works: Vec<String> = going.iter().filter(once).map(|pod| pod.path()).collect();
    if !works.is_empty() {
        let pods = works.join(", ");
        making.advice.push(format!("they run once, and their controllers need not begin their work anew: {pods}"));
    }
    let steps = going.iter().map(|pod| leave(pod, &options));
    Ok(std::iter::once(cordon(node, making)).chain(steps).collect())
}

/// What kubectl's own flags give up, and of which pods: whoever approves a plan may not be the one who typed them.
fn given_up(going: &[&NodePod], options: &DrainOptions, making: &mut Making<'_>) {
    let named = |is: fn(&NodePod) -> bool| some(going.iter().filter(|pod| !pod.finished && is(pod)));
    if let Some(pods) = named(|pod| pod.empty_dir) {
        making.rails.push(rails::overridden("local data", format!("lost with {pods}")));
    }
    if let Some(pods) = named(|pod| pod.controller.is_none() || pod.is_of_set()) {
        making.rails.push(rails::overridden("no controller", format!("ended for good: {pods}")));
    }
    match options.grace_period {
        ..0 => {}
        0 => {
            let detail = "0 seconds: the pods are removed before they have stopped".to_owned();
            making.rails.push(rails::overridden("grace period", detail));
        }
        seconds => making.advice.push(format!("each pod is given {seconds} s to end, whatever it asks for itself")),
    }
    if let Some(selector) = &options.pod_selector {
        making.advice.push(format!("only pods with these labels go: {}", sanitise::line(selector)));
    }
}

/// So many pods are named where there may be many.
const NAMED: usize = 5;

/// The first of these pods by name, and how many more there are; `None` for none.
fn some<'a>(pods: impl Iterator<Item = &'a &'a NodePod>) -> Option<String> {
    let mut paths: Vec<String> = pods.map(|pod| pod.path()).collect();
    let more = paths.len().saturating_sub(NAMED);
    paths.truncate(NAMED);
    let named = paths.join(", ");
    match (paths.is_empty(), more) {
        (true, _) => None,
        (false, 0) => Some(named),
        (false, more) => Some(format!("{named} and {more} more")),
    }
}

/// The pods that go; every one that must not is named in one refusal, as kubectl does, and before the cordon.
fn going<'a>(
    node: &'a NodeTarget,
    options: &DrainOptions,
    making: &mut Making<'_>,
) -> Result<Vec<&'a NodePod>, Refusal> {
    let (mut going, mut refused) = (Vec::new(), Vec::new());
    for pod in &node.pods {
        match filter(pod, options, making.now) {
            Filtered::Goes => going.push(pod),
            Filtered::Stays(why) => making.advice.push(format!("{} stays: {why}", pod.path())),
            Filtered::Refused(why, flag) => refused.push(format!("{} {why} ({flag})", pod.path())),
        }
    }
    if refused.is_empty() {
        Ok(going)
    } else {
        Err(Refusal::Undrainable { target: node.target.to_string(), pods: refused.join("; ") })
    }
}

/// kubectl's filters in kubectl's order; the first that does not let a pod go decides.
pub(super) fn filter(pod: &NodePod, options: &DrainOptions, now: Timestamp) -> Filtered {
    let skip = i64::from(options.skip_wait_for_delete_timeout);
    if let Some(since) = pod.deleting_since
        && skip > 0
        && now.duration_since(since).as_secs() > skip
    {
        return Filtered::Stays("it is being deleted already");
    }
    if pod.is_of_set() && !pod.finished {
        return match (pod.set_exists, options.force, options.ignore_daemonsets) {
            (false, true, _) => Filtered::Goes,
            (false, false, _) => Filtered::Refused("belongs to a DaemonSet that is gone", "--force"),
            (true, _, true) => Filtered::Stays("its DaemonSet would put it back at once"),
            (true, _, false) => Filtered::Refused("belongs to a DaemonSet", "--ignore-daemonsets"),
        };
    }
    if pod.mirror {
        return Filtered::Stays("it mirrors a static pod");
    }
    if pod.empty_dir && !pod.finished && !options.delete_emptydir_data {
        return Filtered::Refused("keeps data in an emptyDir", "--delete-emptydir-data");
    }
    if pod.controller.is_none() && !pod.finished && !options.force {
        return Filtered::Refused("has no controller that would bring it back", "--force");
    }
    Filtered::Goes
}

/// The cordon that begins a drain. A node that is cordoned already keeps the signature it has, or has none.
fn cordon(node: &NodeTarget, making: &Making<'_>) -> Step {
    let mut step = node::cordoning(node, making);
    if node.unschedulable {
        step.patch = json!({
            "metadata": { "uid": node.target.uid, "resourceVersion": node.target.resource_version },
            "spec": { "unschedulable": true },
        });
        step.before = json!({ "spec": { "unschedulable": true } });
        step.after = step.before.clone();
    }
    step.action = Action::Drain { options: making.wish.drain.clone() };
    step.undo =
        Undo::Irreversible { why: "pods that have ended cannot be brought back; uncordon lets new ones in".into() };
    step
}

fn leave(pod: &NodePod, options: &DrainOptions) -> Step {
    let target = Target {
        kind: Kind::Pod,
        namespace: pod.namespace.clone(),
        name: pod.name.clone(),
        uid: pod.uid.clone(),
        resource_version: None,
        generation: None,
    };
    let mut step = evict(&target);
    let grace = (options.grace_period >= 0).then_some(options.grace_period);
    if options.disable_eviction {
        step.action = Action::DeletePod;
        step.preconditions.truncate(1);
        step.patch = json!({ "apiVersion": "v1", "kind": "DeleteOptions", "preconditions": { "uid": pod.uid } });
        step.after = json!({ "pod": "deleted without asking its disruption budget" });
        step.need = Need { verb: "delete".into(), subresource: String::new(), ..step.need };
    }
    if let Some(grace) = grace {
        let pointer = if options.disable_eviction { "" } else { "/deleteOptions" };
        if let Some(body) = step.patch.pointer_mut(pointer) {
            body["gracePeriodSeconds"] = grace.into();
        }
    }
    if pod.controller.is_none() {
        step.after = json!({ "pod": "ended for good: it has no controller" });
    }
    step
}

#[cfg(test)]
mod tests {
    use jiff::ToSpan;

    use super::*;
    use crate::plan::examples::{node_pod, now};

    /// One case: what the pod is like, the flags, and what becomes of it.
    type Case = (&'static str, fn(&mut NodePod), fn(&mut DrainOptions), Filtered);

    fn owned(pod: &mut NodePod, kind: &str) {
        pod.controller = Some((kind.into(), "owner".into()));
    }

    /// The cases of kubectl's own drain tests.
    #[test]
    fn the_filters_answer_as_kubectls_do() {
        use Filtered::{Goes, Refused, Stays};
        let none: fn(&mut DrainOptions) = |_| ();
        let gone = Refused("belongs to a DaemonSet that is gone", "--force");
        let set = Refused("belongs to a DaemonSet", "--ignore-daemonsets");
        let stays = Stays("its DaemonSet would put it back at once");
        let bare = Refused("has no controller that would bring it back", "--force");
        let local = Refused("keeps data in an emptyDir", "--delete-emptydir-data");
        let cases: [Case; 21] = [
            ("a ReplicationController's pod", |p| owned(p, "ReplicationController"), none, Goes),
            ("a ReplicaSet's pod", |_| (), none, Goes),
            ("a Job's pod", |p| owned(p, "Job"), none, Goes),
            ("a StatefulSet's pod", |p| owned(p, "StatefulSet"), none, Goes),
            ("a pod of a kind of its own", |p| owned(p, "Rollout"), none, Goes),
            ("a DaemonSet's pod", |p| owned(p, "DaemonSet"), none, set.clone()),
            ("a DaemonSet's pod, forced", |p| owned(p, "DaemonSet"), |o| o.force = true, set),
            ("a DaemonSet's pod, ignored", |p| owned(p, "DaemonSet"), |o| o.ignore_daemonsets = true, stays.clone()),
            (
                "a DaemonSet's pod with an emptyDir, ignored",
                |p| {
                    owned(p, "DaemonSet");
                    p.empty_dir = true;
                },
                |o| o.ignore_daemonsets = true,
                stays,
            ),
            (
                "a DaemonSet's pod without its DaemonSet",
                |p| {
                    owned(p, "DaemonSet");
                    p.set_exists = false;
                },
                |o| o.ignore_daemonsets = true,
                gone,
            ),
            (
                "the same, forced",
                |p| {
                    owned(p, "DaemonSet");
                    p.set_exists = false;
                },
                |o| o.force = true,
                Goes,
            ),
            (
                "a DaemonSet's pod that has ended",
                |p| {
                    owned(p, "DaemonSet");
                    p.finished = true;
                },
                none,
                Goes,
            ),
            ("a bare pod", |p| p.controller = None, none, bare.clone()),
            ("a bare pod, forced", |p| p.controller = None, |o| o.force = true, Goes),
            (
                "a bare pod that has ended",
                |p| {
                    p.controller = None;
                    p.finished = true;
                },
                none,
                Goes,
            ),
            ("a pod with an emptyDir", |p| p.empty_dir = true, none, local.clone()),
            ("the same, its data given up", |p| p.empty_dir = true, |o| o.delete_emptydir_data = true, Goes),
            (
                "an ended pod with an emptyDir",
                |p| {
                    p.empty_dir = true;
                    p.finished = true;
                },
                none,
                Goes,
            ),
            (
                "a bare pod with an emptyDir, forced",
                |p| {
                    p.controller = None;
                    p.empty_dir = true;
                },
                |o| o.force = true,
                local,
            ),
            (
                "a bare pod with an emptyDir, its data given up",
                |p| {
                    p.controller = None;
                    p.empty_dir = true;
                },
                |o| o.delete_emptydir_data = true,
                bare,
            ),
            ("a mirror pod", |p| p.mirror = true, none, Stays("it mirrors a static pod")),
        ];
        for (what, pod, flags, answer) in cases {
            let (mut seen, mut options) = (node_pod("web-a"), DrainOptions::default());
            pod(&mut seen);
            flags(&mut options);
            assert_eq!(filter(&seen, &options, now()), answer, "{what}");
        }
    }

    #[test]
    fn a_pod_that_has_been_going_for_long_is_left_to_go() {
        for (age, skip, goes) in [(0, 0, true), (3, 0, true), (3, 5, true), (5, 5, true), (6, 5, false)] {
            let pod = NodePod { deleting_since: Some(now() - age.seconds()), ..node_pod("web-a") };
            let options = DrainOptions { skip_wait_for_delete_timeout: skip, ..DrainOptions::default() };
            assert_eq!(filter(&pod, &options, now()) == Filtered::Goes, goes, "{age} s, --skip-wait {skip}");
        }
    }
}
