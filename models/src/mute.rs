//! Silence that somebody asked for, with an end, a name and a reason: the ConfigMap `guard-mutes`, one entry a target.
//!
//! The plugin writes it, the exporters read it: a target's pods are still scored, and raise no alert until the mute ends. The
//! text of an entry is foreign to whoever reads it.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::features::hex;
use crate::incident::Anomaly;
use crate::sample::PodFacts;
use crate::silence::Silence;
use crate::workload::Workload;

/// The ConfigMap's name, in the namespace of the exporters.
pub const CONFIG_MAP: &str = "guard-mutes";
/// Longest mute: whatever is silent for longer is no longer looked at by anybody.
pub const LONGEST_SECONDS: i64 = 30 * 86_400;
/// The clock of whoever wrote an entry may be ahead of the reader's by so much.
const AHEAD_SECONDS: i64 = 300;
/// Entries beyond these are not read; a ConfigMap holds a megabyte.
const MOST: usize = 1000;
/// Longest text of a reason or a name, in characters.
const LONGEST_TEXT: usize = 256;
/// A key of a ConfigMap has at most so many bytes.
const LONGEST_KEY: usize = 253;

/// What is silent.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Target {
    /// One pod, by name.
    Pod {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
    },
    /// All pods of a workload.
    Workload {
        /// Its namespace.
        namespace: String,
        /// Its kind and name.
        workload: Workload,
    },
    /// All pods of a node.
    Node {
        /// Its name.
        name: String,
    },
}

impl Target {
    /// The key of its entry: readable, and one for each target.
    pub fn key(&self) -> String {
        let key = match self {
            Target::Pod { namespace, name } => format!("{namespace}.Pod.{name}"),
            Target::Workload { namespace, workload } => format!("{namespace}.{}.{}", workload.kind, workload.name),
            Target::Node { name } => format!("_.Node.{name}"),
        };
        if key.len() <= LONGEST_KEY {
            return key;
        }
        // Names are at most 253 bytes themselves.
        let digest = hex(&Sha256::digest(&key));
        format!("{}-{}", key.chars().take(150).collect::<String>(), &digest[..16])
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::Pod { name, .. } => write!(f, "pod/{name}"),
            Target::Workload { workload, .. } => write!(f, "{}/{}", workload.kind.to_lowercase(), workload.name),
            Target::Node { name } => write!(f, "node/{name}"),
        }
    }
}

/// One entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mute {
    /// What is silent.
    pub target: Target,
    /// Since when.
    pub since: Timestamp,
    /// Until when, why, by whom.
    #[serde(flatten)]
    pub silence: Silence,
}

impl Mute {
    /// It has not ended.
    pub fn holds(&self, now: Timestamp) -> bool {
        now < self.silence.until
    }

    /// It is about this pod of this node.
    pub fn covers(&self, pod: &PodFacts, node: &str) -> bool {
        self.is_about(&pod.namespace, &pod.name, pod.workload.as_ref(), Some(node))
    }

    /// It is about this anomaly's pod.
    pub fn silences(&self, anomaly: &Anomaly) -> bool {
        self.is_about(&anomaly.namespace, &anomaly.pod, Some(&anomaly.workload), anomaly.node.as_deref())
    }

    fn is_about(&self, space: &str, pod: &str, owner: Option<&Workload>, on: Option<&str>) -> bool {
        match &self.target {
            Target::Pod { namespace, name } => space == namespace && pod == name,
            Target::Workload { namespace, workload } => space == namespace && owner == Some(workload),
            Target::Node { name } => on == Some(name),
        }
    }
}

impl FromStr for Mute {
    type Err = String;

    /// Reads an entry's text; a mute longer than [`LONGEST_SECONDS`] or longer words than fit a line are cut.
    fn from_str(text: &str) -> Result<Self, String> {
        let mut mute: Mute = serde_json::from_str(text).map_err(|error| error.to_string())?;
        let latest = mute.since.as_second().saturating_add(LONGEST_SECONDS);
        if mute.silence.until.as_second() > latest {
            mute.silence.until = Timestamp::from_second(latest).map_err(|error| error.to_string())?;
        }
        for text in [&mut mute.silence.reason, &mut mute.silence.by] {
            if let Some((end, _)) = text.char_indices().nth(LONGEST_TEXT) {
                text.truncate(end);
            }
        }
        Ok(mute)
    }
}

/// The entries of a ConfigMap's `data` that can be understood and have not ended, and how many could not be. One that begins in
/// the future is none that guard writes, and would be silent for longer than anybody may be.
pub fn read(data: &BTreeMap<String, String>, now: Timestamp) -> (Vec<Mute>, usize) {
    let has_begun = |mute: &Mute| mute.since.as_second() <= now.as_second().saturating_add(AHEAD_SECONDS);
    let entry = |text: &String| text.parse().ok().filter(has_begun);
    let entries: Vec<Option<Mute>> = data.values().take(MOST).map(entry).collect();
    let broken = entries.iter().filter(|entry| entry.is_none()).count();
    (entries.into_iter().flatten().filter(|mute| mute.holds(now)).collect(), broken)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn mute(target: Target) -> Mute {
        let (since, until) = (at("2026-11-23T12:00:00Z"), at("2026-11-23T14:00:00Z"));
        Mute { target, since, silence: Silence { until, reason: "known".into(), by: "ann".into() } }
    }

    fn cart() -> Target {
        Target::Workload { namespace: "shop".into(), workload: Workload::new("Deployment", "cart") }
    }

    fn pod(namespace: &str, name: &str, workload: &str) -> PodFacts {
        PodFacts {
            namespace: namespace.into(),
            name: name.into(),
            workload: Some(Workload::new("Deployment", workload)),
            ..PodFacts::default()
        }
    }

    #[test]
    fn a_mute_covers_its_target_and_nothing_else() {
        let one = Target::Pod { namespace: "shop".into(), name: "cart-1".into() };
        let node = Target::Node { name: "node1".into() };
        let pods = [pod("shop", "cart-1", "cart"), pod("shop", "cart-2", "cart"), pod("test", "cart-1", "cart")];
        let covered = |target: Target, node: &str| pods.each_ref().map(|pod| mute(target.clone()).covers(pod, node));
        assert_eq!(covered(one, "node1"), [true, false, false]);
        assert_eq!(covered(cart(), "node1"), [true, true, false]);
        assert_eq!(covered(node.clone(), "node1"), [true, true, true]);
        assert_eq!(covered(node, "node2"), [false, false, false]);
    }

    #[test]
    fn it_is_written_as_it_is_read() {
        let text = serde_json::to_string(&mute(cart())).unwrap();
        insta::assert_snapshot!(text);
        assert_eq!(text.parse(), Ok(mute(cart())));
    }

    #[test]
    fn what_has_ended_or_is_broken_is_left_out_and_the_broken_is_counted() {
        let text = serde_json::to_string(&mute(cart())).unwrap();
        let data = BTreeMap::from([("a".to_owned(), text), ("b".to_owned(), "{".to_owned())]);
        assert_eq!(read(&data, at("2026-11-23T13:59:59Z")), (vec![mute(cart())], 1));
        assert_eq!(read(&data, at("2026-11-23T14:00:00Z")), (Vec::new(), 1));
        assert_eq!(read(&data, at("2026-11-23T11:55:00Z")), (vec![mute(cart())], 1), "clocks differ");
        assert_eq!(read(&data, at("2026-11-23T11:54:59Z")), (Vec::new(), 2), "nobody is silent ahead of time");
    }

    #[test]
    fn nobody_is_silent_for_ever() {
        let mut long = mute(cart());
        long.silence.until = at("9999-01-01T00:00:00Z");
        long.silence.reason = "ä".repeat(10_000);
        let read: Mute = serde_json::to_string(&long).unwrap().parse().unwrap();
        assert_eq!(read.silence.until, at("2026-12-23T12:00:00Z"));
        assert_eq!(read.silence.reason.chars().count(), LONGEST_TEXT);
    }

    proptest! {
        #[test]
        fn a_key_is_one_that_a_config_map_takes_and_belongs_to_one_target(
            namespaces in prop::array::uniform2("[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"),
            names in prop::array::uniform2("[a-z0-9]([-.a-z0-9]{0,251}[a-z0-9])?"),
        ) {
            let [a, b] = [0, 1].map(|i| Target::Pod { namespace: namespaces[i].clone(), name: names[i].clone() });
            for target in [&a, &b] {
                let key = target.key();
                prop_assert!(key.len() <= LONGEST_KEY);
                prop_assert!(key.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte)), "{key}");
            }
            prop_assert_eq!(a.key() == b.key(), a == b);
        }

        #[test]
        fn no_text_makes_a_reader_fail(text in ".{0,200}") {
            let _whatever = text.parse::<Mute>();
        }
    }
}
