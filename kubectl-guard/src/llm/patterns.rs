//! What several incidents have in common: the question, an allow-list as [`super::case`] is, and its answer.

use std::collections::BTreeSet;

use guard_model::cause::Cause;
use guard_model::incident::{Incident, Link};
use guard_model::report::PodReport;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::case::{self, Feature};
use super::{LlmError, Pseudonyms, answer};
use crate::outcome::Outcome;
use crate::sanitise;

/// Incidents that are asked about, the latest.
const MOST: usize = 20;
/// Groups that are kept of an answer.
const GROUPS: usize = 4;
/// Columns of the words of a group.
const WORDS: usize = 300;

/// Several incidents. There is no field for free text.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Incidents {
    incidents: Vec<Told>,
    /// The real id of each, in their order; never sent.
    #[serde(skip)]
    ids: Vec<String>,
}

/// One incident, and what is known of it here.
pub struct Seen<'a> {
    /// It.
    pub incident: &'a Incident,
    /// The report of the pod that began it, if there is one still.
    pub report: Option<&'a PodReport>,
    /// What came of the last fix of one like it.
    pub last_fix: Option<Outcome>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
struct Told {
    /// Its pseudonym.
    incident: String,
    /// The same for incidents that began in the same workload with the same cause.
    like: String,
    /// Pseudonyms of where it began.
    workload: String,
    kind: &'static str,
    namespace: String,
    node: Option<String>,
    cause: Option<Cause>,
    features: Vec<Feature>,
    pods: usize,
    links: Vec<Link>,
    highest_score: f64,
    seconds_since_it_began: u64,
    lasts: bool,
    last_fix: Option<Outcome>,
}

impl Incidents {
    /// The latest of `seen`; names go into `names` and stay there.
    pub fn new(seen: &[Seen<'_>], now: Timestamp, names: &mut Pseudonyms) -> Self {
        let mut latest: Vec<&Seen<'_>> = seen.iter().filter(|seen| !seen.incident.pods.is_empty()).collect();
        latest.sort_by_key(|seen| std::cmp::Reverse((seen.incident.from, &seen.incident.id)));
        latest.truncate(MOST);
        Self {
            incidents: latest.iter().filter_map(|seen| told(seen, now, names)).collect(),
            ids: latest.iter().map(|seen| seen.incident.id.clone()).collect(),
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.incidents.len()
    }

    /// There is none.
    pub fn is_empty(&self) -> bool {
        self.incidents.is_empty()
    }
}

fn told(seen: &Seen<'_>, now: Timestamp, names: &mut Pseudonyms) -> Option<Told> {
    let incident = seen.incident;
    let first = incident.pods.first()?;
    let highest = incident.pods.iter().map(|pod| pod.score).fold(0.0, f64::max);
    Some(Told {
        incident: names.of("incident", &incident.id),
        like: names.of("like", &incident.fingerprint),
        workload: names.of("workload", &first.workload.name),
        kind: case::known(case::KINDS, &first.workload.kind),
        namespace: names.of("namespace", &first.namespace),
        node: first.node.as_ref().map(|node| names.of("node", node)),
        cause: first.cause,
        features: seen.report.map_or(&[][..], |report| &report.features).iter().filter_map(case::feature).collect(),
        pods: incident.pods.len(),
        links: incident.links.clone(),
        highest_score: case::rounded(highest),
        seconds_since_it_began: case::about(incident.from, now),
        lasts: incident.until.is_none(),
        last_fix: seen.last_fix,
    })
}

/// How incidents belong together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Relation {
    /// One cause of all of them.
    OneCause,
    /// One led to the next.
    Chain,
    /// The same trouble again.
    Alike,
}

impl Relation {
    /// A few words.
    pub fn words(self) -> &'static str {
        match self {
            Relation::OneCause => "of one cause",
            Relation::Chain => "a chain",
            Relation::Alike => "alike",
        }
    }
}

/// Incidents that belong together, by a model's opinion.
#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    /// Their ids.
    pub incidents: Vec<String>,
    /// How.
    pub relation: Relation,
    /// Why; sanitised, with names in place of pseudonyms.
    pub words: String,
}

#[derive(Deserialize)]
struct Wire {
    groups: Vec<WireGroup>,
}

#[derive(Deserialize)]
struct WireGroup {
    incidents: Vec<String>,
    relation: Relation,
    words: String,
}

/// Reads an answer about these incidents.
pub(super) fn parse(text: &str, asked: &Incidents, names: &Pseudonyms) -> Result<Vec<Group>, LlmError> {
    let wrong = |problem: String| LlmError::NotAnAnswer { problem: sanitise::line(&problem) };
    let wire: Wire = serde_json::from_str(answer::unfenced(text)).map_err(|error| wrong(error.to_string()))?;
    let group = |group: WireGroup| {
        let chosen: BTreeSet<&str> = group.incidents.iter().map(String::as_str).collect();
        let place = |name: &&str| asked.incidents.iter().position(|told| told.incident == **name);
        let stranger = chosen.iter().find(|name| place(name).is_none());
        if let Some(stranger) = stranger {
            return Err(wrong(format!("{stranger:?} is no incident that was asked about")));
        }
        if chosen.len() < 2 {
            return Err(wrong("a group of fewer than two incidents".to_owned()));
        }
        let ids = asked.ids.iter().zip(&asked.incidents);
        Ok(Group {
            incidents: ids
                .filter(|(_, told)| chosen.contains(told.incident.as_str()))
                .map(|(id, _)| id.clone())
                .collect(),
            relation: group.relation,
            words: answer::clean(&group.words, names, WORDS),
        })
    };
    wire.groups.into_iter().take(GROUPS).map(group).collect()
}
