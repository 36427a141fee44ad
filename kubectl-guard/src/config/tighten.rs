//! What a configuration may become while `run` runs: a reload is taken as a whole or refused as a whole, and it can only
//! make safety stricter. Which parts run, where, which files they write, and where logs go is decided once, at the start.

use serde_json::Value;

use super::Config;
use super::merge::Merged;
use super::shown::shown;

/// Decided at the start.
const FIXED: [&str; 18] = [
    "dataset_generator.namespace",
    "dataset_generator.all_namespaces",
    // A run locks the files that it writes when it starts.
    "dataset_generator.output_file",
    "agents.output_file",
    "remediation.history_file",
    "run.agent_mode",
    "run.only",
    "llm.enabled",
    "llm.url",
    "llm.model",
    "llm.api_key_file",
    "llm.max_tokens",
    "notices.webhook_url",
    "notices.webhook_url_file",
    "notices.webhook_token_file",
    "notices.slack_url_file",
    "notices.alertmanager_url",
    "log.folder",
];

/// A setting that has another value.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    key: String,
    from: Option<Value>,
    to: Option<Value>,
}

impl std::fmt::Display for Change {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let shown = |value: &Option<Value>| {
            value.as_ref().map_or_else(|| "nothing".to_owned(), |value| shown(&self.key, value).0.to_string())
        };
        write!(f, "{} {} -> {}", self.key, shown(&self.from), shown(&self.to))
    }
}

/// What is different.
pub fn changes(old: &Merged, new: &Merged) -> Vec<Change> {
    let value = |merged: &Merged, key: &str| {
        merged.leaves().find(|leaf| leaf.path.join(".") == key).map(|leaf| leaf.value.clone())
    };
    let mut keys: Vec<String> = old.leaves().chain(new.leaves()).map(|leaf| leaf.path.join(".")).collect();
    keys.sort();
    keys.dedup();
    let change = |key: String| Change { from: value(old, &key), to: value(new, &key), key };
    keys.into_iter().map(change).filter(|change| change.from != change.to).collect()
}

/// Why these changes are refused; empty if they may be made.
pub fn refused(old: &Config, new: &Config, changes: &[Change]) -> Vec<String> {
    let fixed = changes.iter().filter(|change| FIXED.contains(&change.key.as_str()));
    let mut refused: Vec<String> = fixed.map(|change| format!("{change}: this needs a new start")).collect();
    let (was, is) = (&old.remediation, &new.remediation);
    let looser = [
        ("remediation.auto_approve", is.auto_approve && !was.auto_approve),
        ("remediation.dry_run", was.dry_run && !is.dry_run),
        ("remediation.confidence_threshold", is.confidence_threshold < was.confidence_threshold),
        ("remediation.max_proposals", is.max_proposals > was.max_proposals),
        ("llm.tokens_per_hour", new.llm.tokens_per_hour > old.llm.tokens_per_hour),
        // What is no anomaly is not proposed for: a lower line could let more through.
        ("agents.alert_threshold", bar(new) < bar(old)),
    ];
    refused.extend(
        looser
            .iter()
            .filter(|(_, looser)| *looser)
            .map(|(key, _)| format!("{key}: a reload may only make it stricter")),
    );
    // A program that is added, or is another one now, can say what nobody could say at the start.
    let programs = new.agents.programs.iter();
    let added = programs.filter(|(name, program)| old.agents.programs.get(*name) != Some(program));
    refused.extend(added.map(|(name, _)| {
        format!("agents.programs.{name}: a reload may take a program away; to add or change one needs a new start")
    }));
    refused
}

/// The score from which on something is proposed.
fn bar(config: &Config) -> f64 {
    config.remediation.confidence_threshold.max(config.agents.alert_threshold)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::config::load;

    fn merged(flags: &[(&'static str, String)]) -> Merged {
        let flags: Vec<_> = flags.iter().map(|(key, text)| (*key, "flag", text.clone())).collect();
        load(&[], |_| None, &flags).unwrap()
    }

    /// The configuration after a reload: the new one, or the old one if it is refused.
    fn reloaded(old: &Merged, new: &Merged) -> Result<Vec<Change>, Vec<String>> {
        let changes = changes(old, new);
        let refused = refused(&Config::of(old).unwrap(), &Config::of(new).unwrap(), &changes);
        if refused.is_empty() { Ok(changes) } else { Err(refused) }
    }

    #[test]
    fn what_changes_is_told_and_what_is_looser_or_fixed_is_refused() {
        let start = merged(&[]);
        let good = [("agents.watch_interval", "5s".to_owned()), ("remediation.dry_run", "true".to_owned())];
        let told: Vec<String> = reloaded(&start, &merged(&good)).unwrap().iter().map(ToString::to_string).collect();
        assert_eq!(told, ["agents.watch_interval 10 -> 5", "remediation.dry_run false -> true"]);
        for (key, text) in [
            ("remediation.auto_approve", "true"),
            ("remediation.confidence_threshold", "0.6"),
            ("remediation.max_proposals", "11"),
            ("run.agent_mode", "monitoring"),
            ("dataset_generator.namespace", "shop"),
            ("dataset_generator.output_file", "other.csv"),
            ("agents.output_file", "other.json"),
            ("remediation.history_file", "other.json"),
        ] {
            let both = merged(&[good[0].clone(), (key, text.to_owned())]);
            let refused = reloaded(&start, &both).unwrap_err();
            assert!(refused.len() == 1 && refused[0].contains(key), "{refused:?}");
        }
        let strict = merged(&[("remediation.dry_run", "true".to_owned())]);
        assert_eq!(
            reloaded(&strict, &start),
            Err(vec!["remediation.dry_run: a reload may only make it stricter".into()])
        );
    }

    #[test]
    fn a_webhook_that_is_another_one_is_told_without_its_secret() {
        let hook = |path: &str| merged(&[("notices.webhook_url", format!("https://hooks.example.org/{path}"))]);
        let refused = reloaded(&hook("0ld"), &hook("n3w")).unwrap_err();
        assert_eq!(
            refused,
            [
                r#"notices.webhook_url "https://hooks.example.org/..." -> "https://hooks.example.org/...": this needs a new start"#
            ]
        );
    }

    #[test]
    fn a_lower_line_is_taken_as_long_as_nothing_more_is_proposed() {
        let line = |score: &str| merged(&[("agents.alert_threshold", score.to_owned())]);
        assert!(reloaded(&line("0.7"), &line("0.5")).is_ok(), "below confidence_threshold");
        assert!(reloaded(&line("0.9"), &line("0.8")).is_err());
        assert!(reloaded(&line("0.8"), &line("0.9")).is_ok());
    }

    fn any_configuration() -> impl Strategy<Value = Merged> {
        (any::<bool>(), any::<bool>(), 1..=100u32, 1..=100u32, 0..=20u64, 0..3u8).prop_map(
            |(auto, dry, alert, confidence, most, mode)| {
                let mode = ["full", "monitoring", "remediation"][usize::from(mode)];
                merged(&[
                    ("remediation.auto_approve", auto.to_string()),
                    ("remediation.dry_run", dry.to_string()),
                    ("agents.alert_threshold", (f64::from(alert) / 100.0).to_string()),
                    ("remediation.confidence_threshold", (f64::from(confidence) / 100.0).to_string()),
                    ("remediation.max_proposals", most.to_string()),
                    ("run.agent_mode", mode.to_owned()),
                ])
            },
        )
    }

    proptest! {
        #[test]
        fn no_sequence_of_reloads_makes_safety_looser(
            start in any_configuration(),
            reloads in proptest::collection::vec(any_configuration(), 0..12),
            score in 0.0..=1.0f64,
            waiting in 0..25u64,
        ) {
            let mut now = start.clone();
            for next in reloads {
                if reloaded(&now, &next).is_ok() {
                    now = next;
                }
            }
            let (start, now) = (Config::of(&start).unwrap(), Config::of(&now).unwrap());
            let proposes = |config: &Config| score >= config.agents.alert_threshold && config.remediation.permits(score, waiting);
            prop_assert!(!proposes(&now) || proposes(&start));
            prop_assert!(!now.remediation.auto_approve || start.remediation.auto_approve);
            prop_assert!(now.remediation.dry_run || !start.remediation.dry_run);
            prop_assert_eq!(now.run, start.run);
        }
    }
}
