//! From evidence and facts to a plan, or to the reason why there is none. Pure: the same arguments give the same plan.
//!
//! What a guard rail ([`rails`]) refuses never becomes a plan.

mod drain;
mod node;
mod order;
mod rails;
mod refusal;
mod resources;
mod restart;
mod rollback;
mod scale;
mod stateful;

use guard_model::workload::Workload;
use jiff::Timestamp;

pub use rails::{COOL_DOWN, MIN_SCHEDULABLE, PROTECTED, pause};
pub use refusal::Refusal;
pub use resources::{RECORD, recorded_of};
pub use stateful::instead;

use crate::facts::{Facts, NodeTarget, TargetFacts};
use crate::plan::{self, ActionKind, Evidence, GuardRail, Place, Plan, Step, Target};
use crate::suggest::Suggestion;
use crate::suggest::suggest;
use crate::suggest::suggest_node;
use crate::wish::ResourceWish;
use crate::wish::Wish;

/// By whom, where and when a plan is made.
#[derive(Clone, Debug, PartialEq)]
pub struct Setting {
    /// For which cluster.
    pub place: Place,
    /// The user, as the API server names them.
    pub identity: String,
    /// Now.
    pub now: Timestamp,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq)]
pub enum Proposal {
    /// Something can be done.
    Plan(Box<Plan>),
    /// The target is under its line and nothing was asked for.
    Healthy {
        /// What was seen, in a sentence.
        why: String,
    },
    /// It misbehaves, and no action of guard's would help.
    NothingHelps {
        /// Why, and what to do instead.
        why: String,
    },
}

/// Makes a plan for one target.
///
/// # Errors
/// A guard rail refuses. The caller must end there: nothing may be written.
pub fn propose(wish: &Wish, evidence: Option<Evidence>, facts: &Facts, setting: Setting) -> Result<Proposal, Refusal> {
    let target = facts.target.target();
    let mut making = Making {
        wish,
        id: plan::id(setting.now, &setting.place, &setting.identity, target),
        identity: setting.identity.clone(),
        now: setting.now,
        rails: vec![rails::protected(&target.namespace, wish)?, rails::pause(&facts.pause)],
        advice: Vec::new(),
    };
    // What a workload's score suggests says nothing of a node.
    let scored = evidence.as_ref().filter(|_| !matches!(facts.target, TargetFacts::Node(_)));
    let suggestion = scored.and_then(|evidence| suggested(evidence, facts, making.now));
    making.advice.extend(suggestion.iter().map(|suggestion| suggestion.advice.to_owned()));
    let mut others = Vec::new();
    let action = match wish.action {
        Some(action) => action,
        None if let TargetFacts::Node(node) = &facts.target => match choose_for_node(node, &mut making.advice) {
            Ok(action) => action,
            Err(nothing) => return Ok(nothing),
        },
        None => match choose(target, evidence.as_ref(), suggestion.as_ref())? {
            Ok(action) => match evidence.as_ref().and_then(Evidence::leading) {
                Some(cause) => {
                    let (order, notes) = order::order(action, cause, &facts.tried);
                    making.advice.extend(notes);
                    // What nobody tried in vain is not put aside for another.
                    others = order.into_iter().take_while(|other| *other != action).collect();
                    action
                }
                None => action,
            },
            Err(nothing) => return Ok(nothing),
        },
    };
    if action != ActionKind::Scale && wish.replicas.is_some() {
        return Err(Refusal::ReplicasWithoutScale);
    }
    if action != ActionKind::RolloutUndo && wish.to_revision.is_some() {
        return Err(Refusal::RevisionWithoutUndo);
    }
    if action != ActionKind::Resources && wish.resources != ResourceWish::default() {
        return Err(Refusal::AmountsWithoutResources);
    }
    for other in others {
        let mut instead = making.clone();
        match steps(other, facts, &mut instead) {
            Ok(steps) => return Ok(plan_of(instead, setting, evidence, steps)),
            Err(refusal) => making.advice.push(format!("{} is not possible instead: {refusal}", other.name())),
        }
    }
    let steps = steps(action, facts, &mut making)?;
    Ok(plan_of(making, setting, evidence, steps))
}

fn plan_of(making: Making<'_>, setting: Setting, evidence: Option<Evidence>, steps: Vec<Step>) -> Proposal {
    let Making { rails, advice, .. } = making;
    let Setting { place, identity, now } = setting;
    Proposal::Plan(Box::new(Plan::new(now, place, identity, evidence, steps, rails, advice)))
}

/// The writes of an action, with its guard rails and what should be known of it.
fn steps(action: ActionKind, facts: &Facts, making: &mut Making<'_>) -> Result<Vec<Step>, Refusal> {
    // A drain may go on where one ended, and a cordon is no change that a score could show.
    let disturbs =
        matches!(action, ActionKind::Restart | ActionKind::RolloutUndo | ActionKind::Scale | ActionKind::Resources);
    making.rails.push(rails::cool_down(&facts.recent, making.now, making.wish, disturbs)?);
    operator(&facts.target, action)?;
    making.advice.extend(deployer(&facts.target, action));
    Ok(match action {
        ActionKind::Restart => vec![restart::step(facts, making)?],
        ActionKind::RolloutUndo => vec![rollback::step(facts, making)?],
        ActionKind::Scale => vec![scale::step(facts, making)?],
        ActionKind::Resources => resources::steps(facts, making)?,
        ActionKind::Cordon => vec![node::cordon(node::node(&facts.target, action)?, making)?],
        ActionKind::Uncordon => vec![node::uncordon(node::node(&facts.target, action)?, making)?],
        ActionKind::Drain => drain::steps(node::node(&facts.target, action)?, making)?,
    })
}

/// A plan in the making: what was asked for, and what has been found so far.
#[derive(Clone)]
struct Making<'a> {
    wish: &'a Wish,
    id: String,
    identity: String,
    now: Timestamp,
    rails: Vec<GuardRail>,
    advice: Vec<String>,
}

/// What the evidence suggests for these facts.
fn suggested(evidence: &Evidence, facts: &Facts, now: Timestamp) -> Option<Suggestion> {
    rollback::suggestion(evidence, facts, now)
        .or_else(|| suggest(&evidence.reasons, evidence.side, workload(facts).as_ref()))
}

/// The action that the evidence asks for, or why there is none.
fn choose(
    target: &Target,
    evidence: Option<&Evidence>,
    suggestion: Option<&Suggestion>,
) -> Result<Result<ActionKind, Proposal>, Refusal> {
    let Some(evidence) = evidence else { return Err(Refusal::NoScore(target.to_string())) };
    if !evidence.is_anomalous() {
        let score = evidence.score.map_or_else(|| "is unknown yet".into(), |score| format!("is {score:.2}"));
        let why = format!("{target} is not over its line: its score {score}, the line is {:.2}", evidence.threshold);
        return Ok(Err(Proposal::Healthy { why }));
    }
    let advice = match suggestion {
        Some(Suggestion { action: Some(action), .. }) => return Ok(Ok(*action)),
        Some(Suggestion { advice, .. }) => advice,
        None => "its score has no reason to act on",
    };
    Ok(Err(Proposal::NothingHelps { why: format!("{target}: {advice}") }))
}

/// The action that a node's own state asks for, or why there is none.
fn choose_for_node(node: &NodeTarget, advice: &mut Vec<String>) -> Result<ActionKind, Proposal> {
    let target = &node.target;
    let Some((cause, words)) = node.cause() else {
        let (over, of) = node.workloads;
        let why =
            format!("{target} is ready and without pressure, and {over} of its {of} workloads are over their line");
        return Err(Proposal::Healthy { why });
    };
    let suggestion = suggest_node(cause, node.unschedulable);
    match suggestion.action {
        Some(action) => {
            advice.push(format!("{target}: {words}"));
            advice.push(suggestion.advice.to_owned());
            Ok(action)
        }
        None => Err(Proposal::NothingHelps { why: format!("{target}: {words}; {}", suggestion.advice) }),
    }
}

/// An operator sets at once back what it makes from an object of its own. Its pods it makes again like any other.
fn operator(target: &TargetFacts, action: ActionKind) -> Result<(), Refusal> {
    let TargetFacts::Workload(workload) = target else { return Ok(()) };
    let sets = matches!(action, ActionKind::RolloutUndo | ActionKind::Scale | ActionKind::Resources);
    match &workload.made_from {
        Some(from) if sets => Err(Refusal::Operated { target: workload.target.to_string(), from: from.clone() }),
        _ => Ok(()),
    }
}

/// Who else sets what this action changes, and where to change it instead.
fn deployer(target: &TargetFacts, action: ActionKind) -> Option<String> {
    let TargetFacts::Workload(workload) = target else { return None };
    if let Some(from) = &workload.made_from {
        return Some(format!(
            "an operator makes it from {from}, and may take the restart annotation back, which restarts it again"
        ));
    }
    let by = workload.deployed_by.as_ref()?;
    Some(match action {
        ActionKind::Scale => {
            format!("{by} deploys it and may set the replicas back: change them in its source instead")
        }
        ActionKind::RolloutUndo => {
            format!("{by} deploys it and may roll it out again: take the change back in its source too")
        }
        ActionKind::Resources => {
            format!("{by} deploys it and may set limits and requests back: change them in its source instead")
        }
        _ => format!("{by} deploys it and may report or take back the restart annotation; its source stays as it is"),
    })
}

/// What the suggestion depends on: for a pod its own controller, since an eviction is what would be done to it.
fn workload(facts: &Facts) -> Option<Workload> {
    match &facts.target {
        TargetFacts::Node(_) => None,
        TargetFacts::Workload(workload) => Some(Workload::new(workload.target.kind.name(), &workload.target.name)),
        // One pod can be evicted whatever rolls it: a ReplicaSet's pod is judged as its Deployment's.
        TargetFacts::Pod(pod) => pod.controller.as_ref().map(|(kind, name)| match kind.as_str() {
            "ReplicaSet" | "ReplicationController" => Workload::new("Deployment", name),
            _ => Workload::new(kind, name),
        }),
    }
}

#[cfg(test)]
mod tests;
