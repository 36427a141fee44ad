//! Every setting there is: its key, what its value may be, what it is without one, and other names for it.

use guard_model::detector;
use serde_json::{Number, Value, json};

use crate::flags::duration;
use crate::llm::{self, Price};

use super::tree::{Content, Node};

/// What a value may be.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    /// A text that is not empty.
    Text,
    /// `http://` or `https://`, and a host.
    Url,
    /// A duration such as 30s; a bare number is seconds. At least this many seconds.
    Duration(f64),
    /// Above 0 and up to 1.
    Score,
    /// `true` or `false`.
    Switch,
    /// A whole number from one to the other.
    Count(u64, u64),
    /// One of these words.
    Word(&'static [&'static str]),
    /// US dollars for a million tokens sent and received.
    Price,
    /// Names chosen by the user, each with a text.
    Texts,
    /// Names chosen by the user, each with the settings of a program.
    Programs,
}

/// A setting.
#[derive(Clone, Copy, Debug)]
pub(super) struct Setting {
    /// Its key, with the sections before it.
    pub(super) key: &'static str,
    pub(super) kind: Kind,
    /// What it is if nobody says anything.
    default: Option<&'static str>,
    /// Another name for it.
    pub(super) alias: Option<&'static str>,
}

const fn setting(key: &'static str, kind: Kind, default: &'static str) -> Setting {
    Setting { key, kind, default: Some(default), alias: None }
}

const fn unset(key: &'static str, kind: Kind) -> Setting {
    Setting { key, kind, default: None, alias: None }
}

const fn also(setting: Setting, alias: &'static str) -> Setting {
    Setting { alias: Some(alias), ..setting }
}

/// Shorter, and the cluster is asked more than it answers.
const SHORTEST: f64 = 1.0;

/// All settings, in the order in which they are shown. The first three sections are those of the older tool.
pub(super) const SETTINGS: &[Setting] = &[
    setting("dataset_generator.output_file", Kind::Text, "pod_metrics.csv"),
    also(setting("dataset_generator.prometheus_url", Kind::Url, "http://localhost:9090"), "prometheus.url"),
    unset("dataset_generator.namespace", Kind::Text),
    setting("dataset_generator.all_namespaces", Kind::Switch, "false"),
    setting("dataset_generator.interval", Kind::Duration(SHORTEST), "30s"),
    setting("agents.output_file", Kind::Text, "pod_insights.json"),
    setting("agents.watch_interval", Kind::Duration(SHORTEST), "10s"),
    also(setting("agents.alert_threshold", Kind::Score, "0.7"), "model.threshold"),
    unset("agents.programs", Kind::Programs),
    setting("remediation.auto_approve", Kind::Switch, "false"),
    setting("remediation.dry_run", Kind::Switch, "false"),
    setting("remediation.confidence_threshold", Kind::Score, "0.7"),
    setting("remediation.max_proposals", Kind::Count(0, 100), "10"),
    setting("remediation.history_file", Kind::Text, "remediation_history.json"),
    unset("prometheus.queries", Kind::Texts),
    setting("model.detector", Kind::Word(&detector::Kind::NAMES), "lstm"),
    unset("model.path", Kind::Text),
    setting("run.agent_mode", Kind::Word(&["full", "monitoring", "remediation"]), "full"),
    unset("run.only", Kind::Word(&["collect", "analyze", "detect"])),
    setting("llm.enabled", Kind::Switch, "false"),
    setting("llm.url", Kind::Url, llm::DEFAULT_URL),
    setting("llm.model", Kind::Text, llm::DEFAULT_MODEL),
    unset("llm.api_key_file", Kind::Text),
    setting("llm.timeout", Kind::Duration(SHORTEST), "30s"),
    setting("llm.max_tokens", Kind::Count(50, 8_000), "600"),
    setting("llm.tokens_per_hour", Kind::Count(0, 10_000_000), "60000"),
    unset("llm.price", Kind::Price),
    unset("notices.webhook_url", Kind::Url),
    unset("notices.webhook_url_file", Kind::Text),
    unset("notices.webhook_token_file", Kind::Text),
    unset("notices.slack_url_file", Kind::Text),
    unset("notices.alertmanager_url", Kind::Url),
    setting("notices.group_wait", Kind::Duration(0.0), "30s"),
    setting("log.level", Kind::Word(&["debug", "info", "warning", "error"]), "info"),
    setting("log.format", Kind::Word(&["text", "json"]), "text"),
    unset("log.folder", Kind::Text),
    setting("log.max_megabytes", Kind::Count(1, 1024), "10"),
    setting("log.keep", Kind::Count(1, 100), "5"),
];

impl Setting {
    /// The value without anybody's word; `null` for none.
    pub(super) fn default(&self) -> Value {
        let default = self.default.map(|text| self.kind.read(text));
        // A test reads every default.
        default.and_then(Result::ok).unwrap_or(Value::Null)
    }
}

impl Kind {
    /// The user chooses the names of what it holds.
    pub(super) fn has_names(self) -> bool {
        matches!(self, Kind::Texts | Kind::Programs)
    }

    /// A value from a file.
    pub(super) fn of_node(self, node: &Node) -> Result<Value, String> {
        let wrong = || format!("it must be {}, not {}", self.words(), node.kind());
        match (&node.value, self) {
            // Quotes make a text of a number: where a text is wanted, either will do.
            (Content::Scalar { text, plain }, _) if !node.is_null() => match self {
                Kind::Score | Kind::Switch | Kind::Count(..) if !plain => Err(wrong() + ", a text"),
                _ => self.read(text),
            },
            _ => Err(wrong()),
        }
    }

    /// A value from text, as in the environment.
    pub(super) fn read(self, text: &str) -> Result<Value, String> {
        let wrong = || match self {
            // Many an address is a secret, and one that is mistyped most likely still holds it.
            Kind::Url => format!("it must be {}; what stands there is not shown, as it may be a secret", self.words()),
            _ => format!("it must be {}, not {:?}", self.words(), crate::sanitise::line(text)),
        };
        let value = match self {
            Kind::Text if !text.trim().is_empty() && !text.contains('\0') => Some(json!(text)),
            Kind::Url => is_url(text).then(|| json!(text)),
            Kind::Duration(least) => {
                duration::parse(text).ok().map(|d| d.as_secs_f64()).filter(|seconds| *seconds >= least).map(number)
            }
            Kind::Score => text.parse().ok().filter(|score| *score > 0.0 && *score <= 1.0).map(number),
            Kind::Switch => match text {
                "true" | "True" | "TRUE" => Some(json!(true)),
                "false" | "False" | "FALSE" => Some(json!(false)),
                _ => None,
            },
            Kind::Count(least, most) => text.parse().ok().filter(|n| (least..=most).contains(n)).map(|n: u64| json!(n)),
            Kind::Word(words) => words.iter().find(|word| **word == text).map(|word| json!(word)),
            Kind::Price => Price::read(text).ok().map(|_| json!(text)),
            Kind::Text | Kind::Texts | Kind::Programs => None,
        };
        value.ok_or_else(wrong)
    }

    /// What it may be, in words.
    fn words(self) -> String {
        match self {
            Kind::Text => "a text".to_owned(),
            Kind::Url => "a URL such as http://localhost:9090".to_owned(),
            Kind::Duration(least) => format!("a duration such as 30s, at least {least}s"),
            Kind::Score => "a number above 0 and up to 1".to_owned(),
            Kind::Switch => "true or false".to_owned(),
            Kind::Count(least, most) => format!("a whole number from {least} to {most}"),
            Kind::Word(words) => words.join(" or "),
            Kind::Price => "two prices such as 0.15,0.60".to_owned(),
            Kind::Texts => "a section of names and texts".to_owned(),
            Kind::Programs => "a section of programs by name".to_owned(),
        }
    }
}

fn number(value: f64) -> Value {
    // A whole number is shown without a point.
    if value.fract() == 0.0 && value < 1e15 {
        return json!(value as u64);
    }
    Number::from_f64(value).map_or(Value::Null, Value::Number)
}

fn is_url(text: &str) -> bool {
    text.parse::<http::Uri>().is_ok_and(|uri| {
        matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some_and(|host| !host.is_empty())
    })
}
