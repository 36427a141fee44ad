//! The journal beside the API server's audit log: what a chain alone cannot show. Pure: lines in, findings out.
//!
//! Whoever can write the journal can make a new chain, or cut its end off. They cannot take back the heads that the
//! writes carried to the API server.

use std::collections::{BTreeMap, HashSet};

use guard_model::mute::CONFIG_MAP;
use jiff::Timestamp;
use serde::Deserialize;

use super::anchor::{Anchor, name_of_chain};
use super::chain::Chain;
use crate::sanitise;

/// What is read of an event of `audit.k8s.io`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AuditEvent {
    #[serde(default)]
    user_agent: String,
    #[serde(default)]
    verb: String,
    #[serde(rename = "requestURI", default)]
    uri: String,
    request_received_timestamp: Option<Timestamp>,
    #[serde(default)]
    user: User,
}

#[derive(Default, Deserialize)]
struct User {
    #[serde(default)]
    username: String,
}

/// A write that the API server saw, with the head that it carried. Its text is sanitised.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Seen {
    anchor: Anchor,
    plan_id: String,
    at: Option<Timestamp>,
    what: String,
    /// It can have told a shared journal, and changed nothing that a plan or a mute is for.
    tells: bool,
}

/// Heads collected from an audit log, line by line.
#[derive(Clone, Debug, Default)]
pub struct Heads {
    seen: Vec<Seen>,
    /// Lines that could be no event.
    pub unreadable: usize,
}

impl Heads {
    /// Takes a line of the log.
    pub fn line(&mut self, line: &[u8]) {
        let event = match serde_json::from_slice::<AuditEvent>(line) {
            Ok(event) => event,
            Err(_) if line.trim_ascii().is_empty() => return,
            Err(_) => {
                self.unreadable += 1;
                return;
            }
        };
        let Some((plan_id, anchor)) = Anchor::read(&event.user_agent) else { return };
        let path = event.uri.split('?').next().unwrap_or_default();
        let when = event.request_received_timestamp.map(|at| format!(" at {}", at.strftime("%Y-%m-%dT%H:%M:%SZ")));
        let what = format!("{} {path} by {}{}", event.verb, event.user.username, when.unwrap_or_default());
        let what = sanitise::line(&what);
        // An event has a line for each of its stages.
        if self.seen.iter().any(|seen| seen.anchor == anchor && seen.what == what) {
            return;
        }
        // Nobody tells a shared journal where the mutes are.
        let tells = path.split_once("/configmaps/").is_some_and(|(_, name)| name != CONFIG_MAP);
        let (plan_id, at) = (sanitise::line(plan_id), event.request_received_timestamp);
        self.seen.push(Seen { anchor, plan_id, at, what, tells });
    }
}

/// What the comparison shows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// Heads that the journal holds.
    pub held: usize,
    /// Writes whose line in the journal is another one now.
    pub rewritten: Vec<String>,
    /// Writes that came after the journal's end.
    pub cut: Vec<String>,
    /// Writes of other journals, by their name.
    pub others: BTreeMap<String, usize>,
}

impl Findings {
    /// True if something is wrong for certain.
    pub fn accuse(&self) -> bool {
        !self.rewritten.is_empty() || !self.cut.is_empty()
    }
}

/// Compares the journal with what the API server saw.
pub fn compare(chain: &Chain, heads: &Heads) -> Findings {
    let hashes: HashSet<&str> = chain.hashes.iter().map(String::as_str).collect();
    let plans: HashSet<&str> = chain.plans.iter().map(String::as_str).collect();
    // Its first line names a journal. If that line is another one now, whatever head is still held gives the name away.
    let mut own: HashSet<&str> = chain.hashes.first().map(|first| name_of_chain(first)).into_iter().collect();
    own.extend(heads.seen.iter().map(|seen| &seen.anchor).filter(|at| hashes.contains(&*at.head)).map(|at| &*at.chain));
    let last = chain.span.map(|(_, last)| last);
    let mut findings = Findings::default();
    for seen in &heads.seen {
        let told = format!("plan {}: {}", seen.plan_id, seen.what);
        let known = plans.contains(seen.plan_id.as_str());
        if hashes.contains(seen.anchor.head.as_str()) {
            findings.held += 1;
        } else if !own.contains(seen.anchor.chain.as_str()) && (seen.tells || !known) {
            // Who goes on with a plan from another machine tells the shared journal under its id, and does nothing else so.
            *findings.others.entry(seen.anchor.chain.clone()).or_default() += 1;
        } else if known || seen.at.zip(last).is_some_and(|(at, last)| at < last) {
            // Its plan or younger lines are there, and the line before this write is not.
            findings.rewritten.push(told);
        } else {
            findings.cut.push(told);
        }
    }
    findings
}
