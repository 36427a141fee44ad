//! What is said of incidents in words: by rules, and in a model's opinion, as programs read it in `pod_insights.json`.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Answer, Endpoint, Group, Relation, Reply, cost};
use crate::sanitise;

/// What an incident is, in words.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Explained {
    /// The incident's id.
    pub incident: String,
    /// The namespace of the pod that began it.
    pub namespace: String,
    /// That pod.
    pub pod: String,
    /// When the incident began.
    pub from: Timestamp,
    /// When it was over; absent while it lasts.
    pub until: Option<Timestamp>,
    /// What it is, by rules.
    pub words: String,
    /// What a language model makes of it; absent if none was asked, or has not answered.
    pub opinion: Option<Opinion>,
}

/// A model's opinion. Nothing of it is carried out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Opinion {
    /// The model, and where it was asked.
    pub model: String,
    /// What most likely happened.
    pub root_cause: String,
    /// Why.
    pub explanation: String,
    /// What to check first.
    pub checks: Vec<String>,
    /// Which of guard's actions it would take; absent if none.
    pub action: Option<String>,
    /// How sure it says it is, 0 to 1.
    pub confidence: f64,
    /// What the answer cost, in words.
    pub cost: String,
}

impl Opinion {
    /// What `reply` of this model says.
    pub fn new(answer: &Answer, reply: &Reply, endpoint: &Endpoint) -> Self {
        Self {
            model: named(endpoint),
            root_cause: answer.root_cause.clone(),
            explanation: answer.explanation.clone(),
            checks: answer.checks.clone(),
            action: answer.action.map(|action| action.name().to_owned()),
            confidence: answer.confidence,
            cost: cost(reply, endpoint),
        }
    }

    /// The opinion as a line.
    pub fn line(&self) -> String {
        let would = self.action.as_deref().unwrap_or("do nothing of what guard can do");
        let (sure, cost) = (self.confidence * 100.0, &self.cost);
        let text = sanitise::fit(&format!("{} {}", self.root_cause, self.explanation), 300);
        format!(
            "{} says (an opinion: nothing of it is carried out): {text} It would {would} ({sure:.0} % sure, by its own account; cost: {cost})",
            self.model
        )
    }
}

/// Incidents that belong together, by a model's opinion.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Pattern {
    /// The incidents' ids, the latest first.
    pub incidents: Vec<String>,
    /// How they belong together.
    pub relation: Relation,
    /// Why, in the model's words.
    pub words: String,
    /// The model, and where it was asked.
    pub model: String,
    /// When.
    pub at: Timestamp,
}

impl Pattern {
    /// What this model says of a group.
    pub fn new(group: Group, endpoint: &Endpoint, at: Timestamp) -> Self {
        let Group { incidents, relation, words } = group;
        Self { incidents, relation, words, model: named(endpoint), at }
    }

    /// The pattern as a line.
    pub fn line(&self) -> String {
        let (incidents, relation) = (self.incidents.join(", "), self.relation.words());
        format!("{} takes incidents {incidents} for {relation} (an opinion): {}", self.model, self.words)
    }
}

fn named(endpoint: &Endpoint) -> String {
    sanitise::line(&format!("{} at {}", endpoint.model, endpoint.server()))
}
