//! The guard rails, pure: each says that nothing speaks against a plan, that its override was named, or refuses and names
//! the override. A refusal never becomes a plan.
//!
//! The cluster-wide pause, and a journal that cannot be read, are the exceptions: their finding travels in the plan, so that
//! a dry run can still show what would be done; [`crate::approve`] refuses it.

use jiff::{SignedDuration, Timestamp};

use super::Refusal;
use crate::facts::{BudgetFact, NodePod, NodeTarget, Pause, Recent};
use crate::plan::{DrainOptions, GuardRail, RailState, Target};
use crate::wish::Wish;

/// Namespaces whose workloads keep the cluster, or guard itself, alive.
pub const PROTECTED: [&str; 4] = ["kube-system", "kube-public", "kube-node-lease", "guard-system"];

/// How long after an action the same object is left alone, so that its effect can show.
pub const COOL_DOWN: SignedDuration = SignedDuration::from_mins(10);

/// The share of the nodes for the same pods, in percent, that must still take them without the one that is cordoned.
pub const MIN_SCHEDULABLE: u8 = 50;

pub(super) fn protected(namespace: &str, wish: &Wish) -> Result<GuardRail, Refusal> {
    let name = "protected namespace";
    if !PROTECTED.contains(&namespace) {
        let what = if namespace.is_empty() { "a node has none".into() } else { format!("{namespace} is not one") };
        return Ok(held(name, what));
    }
    if wish.named {
        Ok(overridden(name, format!("{namespace} was named")))
    } else {
        Err(Refusal::Protected(namespace.into()))
    }
}

/// No change of the cluster while an administrator has paused guard.
pub fn pause(pause: &Pause) -> GuardRail {
    let refused = |detail| GuardRail { name: "pause".into(), state: RailState::Refused, detail };
    match pause {
        Pause::Off => held("pause", "guard is not paused in this cluster".into()),
        Pause::On { reason } => {
            let reason = reason.as_deref().map(|reason| format!(": {reason}")).unwrap_or_default();
            refused(format!(
                "guard is paused in this cluster{reason} (ConfigMap guard-system/guard-pause; it binds guard only)"
            ))
        }
        Pause::Unknown { why } => refused(format!("cannot tell whether guard is paused: {why}")),
    }
}

/// The last action on the same object has had time to show what it did. What only takes back or prepares is let through.
pub(super) fn cool_down(recent: &Recent, now: Timestamp, wish: &Wish, applies: bool) -> Result<GuardRail, Refusal> {
    let name = "cool-down";
    match recent {
        Recent::Unknown { why } => {
            let detail = format!("cannot tell what was done last: {why}");
            Ok(GuardRail { name: name.into(), state: RailState::Refused, detail })
        }
        Recent::Done { what, at } if applies && now.duration_since(*at) < COOL_DOWN => {
            let detail = format!("{what} at {at}");
            if wish.no_cool_down { Ok(overridden(name, detail)) } else { Err(Refusal::CoolDown(detail)) }
        }
        Recent::None | Recent::Done { .. } => {
            Ok(held(name, format!("nothing else was done to it in the last {} minutes", COOL_DOWN.as_mins())))
        }
    }
}

/// Something still serves afterwards, or the user accepted that nothing does.
pub(super) fn downtime(target: &str, danger: Option<String>, wish: &Wish) -> Result<GuardRail, Refusal> {
    let name = "last ready replica";
    match danger {
        None => Ok(held(name, "no ready pod goes without another".into())),
        Some(why) if wish.allow_downtime => Ok(overridden(name, why)),
        Some(why) => Err(Refusal::LastReady { target: target.into(), why }),
    }
}

/// A node of the control plane is left alone unless that was accepted.
pub(super) fn control_plane(node: &NodeTarget, wish: &Wish) -> Result<GuardRail, Refusal> {
    let name = "control plane";
    match (node.control_plane, wish.allow_control_plane) {
        (false, _) => Ok(held(name, format!("{} is no control-plane node", node.target))),
        (true, true) => Ok(overridden(name, format!("{} is a control-plane node", node.target))),
        (true, false) => Err(Refusal::ControlPlane(node.target.to_string())),
    }
}

/// Enough nodes still take pods without this one.
pub(super) fn schedulable(node: &NodeTarget, wish: &Wish) -> Result<GuardRail, Refusal> {
    let name = "schedulable nodes";
    let least = wish.min_schedulable.unwrap_or(MIN_SCHEDULABLE);
    let share = node.others.saturating_mul(100).checked_div(node.nodes).unwrap_or(0);
    let detail = format!("{} of {} nodes ({share} %) still take pods", node.others, node.nodes);
    if share < usize::from(least) {
        return Err(Refusal::TooFewNodes { target: node.target.to_string(), left: detail, least, share });
    }
    let below = share < usize::from(MIN_SCHEDULABLE);
    Ok(if below { overridden(name, detail) } else { held(name, detail) })
}

/// Every eviction can be taken: no pod has two budgets, which the API server never evicts, or one that is spent.
pub(super) fn budgets(node: &Target, pods: &[&NodePod], options: &DrainOptions) -> Result<GuardRail, Refusal> {
    let name = "disruption budgets";
    if options.disable_eviction {
        return Ok(overridden(name, "--disable-eviction deletes without asking them".into()));
    }
    let named = |budgets: &[&BudgetFact]| {
        let names: Vec<String> =
            budgets.iter().map(|budget| format!("{} (allows {} now)", budget.name, budget.allowed)).collect();
        names.join(" and ")
    };
    let (mut many, mut spent, mut asked) = (Vec::new(), Vec::new(), 0_usize);
    for pod in pods {
        let budgets: Vec<&BudgetFact> = pod.asked_budgets().iter().collect();
        asked += usize::from(!budgets.is_empty());
        if budgets.len() > 1 {
            many.push(format!("{} is covered by {}", pod.path(), named(&budgets)));
        } else if budgets.iter().any(|budget| budget.allowed < 1 && !budget.spares) {
            spent.push(format!("{} is covered by {}", pod.path(), named(&budgets)));
        }
    }
    if !many.is_empty() {
        return Err(Refusal::ManyBudgets { target: node.to_string(), pods: many.join("; ") });
    }
    match (spent.is_empty(), options.wait_for_budgets) {
        (true, _) => Ok(held(
            name,
            format!("{asked} of {} pods are covered, none by a budget that allows nothing now", pods.len()),
        )),
        (false, true) => Ok(overridden(name, format!("waits: {}", spent.join("; ")))),
        (false, false) => Err(Refusal::SpentBudgets { target: node.to_string(), pods: spent.join("; ") }),
    }
}

/// Every pod that is made again finds room elsewhere, as far as requests, taints, node selectors and affinity tell.
pub(super) fn room(node: &Target, pods: &[&NodePod], options: &DrainOptions) -> Result<GuardRail, Refusal> {
    let name = "room elsewhere";
    let made_again = pods.iter().filter(|pod| pod.controller.is_some());
    let misfits: Vec<String> =
        made_again.filter_map(|pod| Some(format!("{}: {}", pod.path(), pod.misfit.as_ref()?))).collect();
    match (misfits.is_empty(), options.allow_pending) {
        (true, _) => Ok(held(name, "by requests, taints, node selectors and node affinity each pod fits".into())),
        (false, true) => Ok(overridden(name, misfits.join("; "))),
        (false, false) => Err(Refusal::NoRoom { target: node.to_string(), pods: misfits.join("; ") }),
    }
}

/// What somebody else cordoned they may have had a reason for.
pub(super) fn own_cordon(node: &NodeTarget, wish: &Wish) -> Result<GuardRail, Refusal> {
    let name = "own cordon";
    match &node.cordoned {
        Some(signature) => Ok(held(name, format!("guard cordoned it: {signature}"))),
        None if wish.foreign_cordon => Ok(overridden(name, "somebody else cordoned it".into())),
        None => Err(Refusal::ForeignCordon(node.target.to_string())),
    }
}

pub(super) fn held(name: &str, detail: String) -> GuardRail {
    GuardRail { name: name.into(), state: RailState::Held, detail }
}

pub(super) fn overridden(name: &str, detail: String) -> GuardRail {
    GuardRail { name: name.into(), state: RailState::Overridden, detail }
}
