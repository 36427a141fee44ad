//! Which incidents there are to say something of, what was said, and what is to be asked next.

use std::collections::BTreeSet;
use std::time::Duration;

use guard_model::incident::{Anomaly, Incident};
use guard_model::report::NodeReport;
use jiff::Timestamp;
use tokio::time::Instant;

use super::super::notices::{Book, Message};
use super::spent::Spent;
use crate::audit::Journal;
use crate::incidents::{Fix, fixes};
use crate::llm::{Explained, Opinion, Pattern, Seen};
use crate::sanitise;

/// Incidents that are kept in mind after they are over.
const MOST: usize = 50;
/// Questions about one incident that may fail.
const TRIES: u32 = 3;
/// The pause after a question that failed; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_secs(30);
const LONGEST_PAUSE: Duration = Duration::from_mins(30);

/// One incident, what it was said to be, and how often it was asked about in vain.
#[derive(Debug)]
struct Kept {
    incident: Incident,
    explained: Explained,
    failed: u32,
}

/// What incidents were said to be.
#[derive(Debug, Default)]
pub struct Opinions {
    pub(super) book: Book,
    pub(super) spent: Spent,
    /// What incidents have in common.
    pub(super) patterns: Vec<Pattern>,
    /// How to have a model asked was said.
    pub(super) hinted: bool,
    /// That there are no tokens left was said.
    pub(super) poor: bool,
    kept: Vec<Kept>,
    compared: BTreeSet<String>,
    pause: Option<(Instant, Duration)>,
}

impl Opinions {
    /// All that was said, the oldest first.
    pub(super) fn explained(&self) -> impl Iterator<Item = &Explained> {
        self.kept.iter().map(|kept| &kept.explained)
    }

    /// Keeps the words for an incident.
    pub(super) fn explain(&mut self, incident: &Incident, words: String, now: Timestamp) -> Explained {
        let name = |name: fn(&Anomaly) -> &String| incident.pods.first().map(name).map(|text| sanitise::line(text));
        let explained = Explained {
            incident: incident.id.clone(),
            namespace: name(|first| &first.namespace).unwrap_or_default(),
            pod: name(|first| &first.pod).unwrap_or_default(),
            from: incident.pods.first().map_or(now, |first| first.since),
            until: None,
            words,
            opinion: None,
        };
        self.kept.push(Kept { incident: incident.clone(), explained: explained.clone(), failed: 0 });
        explained
    }

    /// Takes how incidents are now, and lets go of the oldest that are over.
    pub(super) fn keep(&mut self, news: &Message) {
        let ended = |id: &str| news.ended.iter().find(|ended| ended.id == id);
        for kept in &mut self.kept {
            let now = self.book.open().find(|open| open.id == kept.incident.id).or_else(|| ended(&kept.incident.id));
            if let Some(now) = now {
                kept.incident.clone_from(now);
                kept.explained.until = now.until;
            }
        }
        while self.kept.len() > MOST
            && let Some(oldest) = self.kept.iter().position(|kept| kept.incident.until.is_some())
        {
            self.kept.remove(oldest);
        }
    }

    /// An incident that lasts and of which there is no opinion, if one may be asked about now.
    pub(super) fn next_without_opinion(&self) -> Option<String> {
        let open = |kept: &&Kept| kept.incident.until.is_none() && kept.explained.opinion.is_none();
        let next = self.kept.iter().filter(open).find(|kept| kept.failed < TRIES)?;
        self.is_due().then(|| next.incident.id.clone())
    }

    fn is_due(&self) -> bool {
        self.pause.is_none_or(|(until, _)| Instant::now() >= until)
    }

    /// The pod that began the incident.
    pub(super) fn first_of(&self, incident: &str) -> Option<&Anomaly> {
        self.kept.iter().find(|kept| kept.incident.id == incident)?.incident.pods.first()
    }

    fn of(&mut self, incident: &str) -> Option<&mut Kept> {
        self.kept.iter_mut().find(|kept| kept.incident.id == incident)
    }

    /// Nothing is asked about this incident any more.
    pub(super) fn leave(&mut self, incident: &str) {
        if let Some(kept) = self.of(incident) {
            kept.failed = TRIES;
        }
    }

    /// There is an opinion.
    pub(super) fn answered(&mut self, incident: &str, opinion: Opinion) {
        if let Some(kept) = self.of(incident) {
            kept.explained.opinion = Some(opinion);
        }
    }

    /// There is none; says how long nothing is asked now.
    pub(super) fn failed(&mut self, incident: &str) -> Duration {
        if let Some(kept) = self.of(incident) {
            kept.failed += 1;
        }
        let pause = self.pause.map_or(FIRST_PAUSE, |(_, pause)| (pause * 2).min(LONGEST_PAUSE));
        self.pause = Some((Instant::now() + pause, pause));
        pause
    }

    /// The model answers.
    pub(super) fn healthy(&mut self) {
        self.pause = None;
    }

    /// There are at least two incidents, and one that was not compared with the others yet.
    pub(super) fn may_ask_for_patterns(&self) -> bool {
        let new = |kept: &Kept| !self.compared.contains(&kept.incident.id);
        self.is_due() && self.kept.len() >= 2 && self.kept.iter().any(new)
    }

    /// Those that there are have been compared, whatever comes of it.
    pub(super) fn asked_for_patterns(&mut self) {
        self.compared = self.kept.iter().map(|kept| kept.incident.id.clone()).collect();
    }

    /// All incidents, with what is known of each; fixes are those of the cluster at `server`.
    pub(super) fn seen<'a>(&'a self, reports: &'a [NodeReport], server: &str) -> Vec<Seen<'a>> {
        let journal = Journal::of_user(|name| std::env::var_os(name)).ok().and_then(|journal| journal.read().ok());
        let fixes = fixes(&journal.unwrap_or_default(), Some(server));
        let outcome =
            |incident: &Incident| fixes.get(&incident.fingerprint).and_then(|(_, Fix { outcome, .. })| *outcome);
        let report = |incident: &Incident| {
            let first = incident.pods.first()?;
            let pods = reports.iter().flat_map(|report| &report.pods);
            pods.into_iter().find(|pod| pod.namespace == first.namespace && pod.name == first.pod)
        };
        let seen = |kept: &'a Kept| Seen {
            incident: &kept.incident,
            report: report(&kept.incident),
            last_fix: outcome(&kept.incident),
        };
        self.kept.iter().map(seen).collect()
    }
}
