//! The flags of `run` and `config print`: the files, and what is said over them.

use std::path::PathBuf;

use clap::{ArgGroup, Args, ValueEnum};
use guard_model::detector;

use super::{AgentMode, ConfigError, Flag, Format, Level, Merged, Part, load};
use crate::cli::Off;
use crate::flags::KubeFlags;
use crate::flags::dry_run::{self, DryRun};
use crate::model;

const ALL_NAMESPACES: &str = "dataset_generator.all_namespaces";

/// What is said on the command line; `None` says nothing. A value is judged as one of a file is.
#[derive(Args, Clone, Debug, Default)]
#[command(group = ArgGroup::new("part"))]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub struct ConfigFlags {
    /// Configuration (YAML), or a folder with prometheus.yaml, agent_config.yaml and model_config.yaml; may be
    /// repeated, later files override earlier ones
    #[arg(long, value_name = "FILE")]
    pub config_file: Vec<PathBuf>,
    /// Which parts run
    #[arg(long, value_enum, value_name = "MODE")]
    agent_mode: Option<AgentMode>,
    /// Run one part alone
    #[arg(long, value_enum, value_name = "PART", group = "part")]
    only: Option<Part>,
    /// The same as --only collect
    #[arg(long, group = "part", hide_short_help = true)]
    generator_only: bool,
    /// The same as --only analyze
    #[arg(long, group = "part", hide_short_help = true)]
    dataset_agent_only: bool,
    /// The same as --only detect
    #[arg(long, group = "part", hide_short_help = true)]
    anomaly_agent_only: bool,
    /// All namespaces; -n is then ignored
    #[arg(short = 'A', long)]
    all_namespaces: bool,
    /// Table of metrics, written by collecting and read by scoring
    #[arg(long, visible_aliases = ["output-file", "input-file"], value_name = "FILE")]
    metrics_file: Option<String>,
    /// File to write anomalies to
    #[arg(long, value_name = "FILE")]
    insights_file: Option<String>,
    /// Time between two readings, such as 30s; a bare number is seconds
    #[arg(long, value_name = "DURATION")]
    interval: Option<String>,
    /// Address of Prometheus
    #[arg(long, value_name = "URL")]
    prometheus_url: Option<String>,
    /// Time between two readings of the table
    #[arg(long, value_name = "DURATION")]
    watch_interval: Option<String>,
    /// Score from which a sample is an anomaly, above 0 and up to 1 [env: ANOMALY_THRESHOLD, THRESHOLD]
    #[arg(long, visible_alias = "threshold", value_name = "SCORE")]
    alert_threshold: Option<String>,
    /// How high a score must be for a proposal, above 0 and up to 1
    #[arg(long, value_name = "SCORE")]
    confidence_threshold: Option<String>,
    /// Ask a language model about each new incident; it gets numbers and pseudonyms, and what it says is never carried out
    #[arg(long)]
    enable_llm: bool,
    /// Base of an OpenAI-compatible server
    #[arg(long, value_name = "URL", hide_short_help = true)]
    llm_url: Option<String>,
    /// Model to ask
    #[arg(long, value_name = "NAME", hide_short_help = true)]
    llm_model: Option<String>,
    /// File with the key, instead of $OPENAI_API_KEY; a server on this machine needs none
    #[arg(long, value_name = "FILE", hide_short_help = true)]
    openai_api_key_file: Option<String>,
    /// Time for all tries of one question to the model
    #[arg(long, value_name = "DURATION", hide_short_help = true)]
    llm_timeout: Option<String>,
    /// Tokens that one answer of the model may have
    #[arg(long, value_name = "N", hide_short_help = true)]
    llm_max_tokens: Option<String>,
    /// US dollars for a million tokens sent and received, such as 0.15,0.60: the cost is then shown
    #[arg(long, value_name = "IN,OUT", hide_short_help = true)]
    llm_price: Option<String>,
    /// Change nothing
    #[arg(long, value_parser = dry_run::read, value_name = "none|client|server", num_args = 0..=1)]
    #[arg(require_equals = true, default_missing_value = "client")]
    dry_run: Option<DryRun>,
    /// What scores: the model, or each pod's own past alone (robust), which needs no model
    #[arg(long, value_name = "DETECTOR", value_parser = model::kind())]
    detector: Option<detector::Kind>,
    /// Model to score with, instead of the one that ships
    #[arg(long, value_name = "FILE")]
    model: Option<String>,
    /// How much to log
    #[arg(long, value_enum, value_name = "LEVEL")]
    log_level: Option<Level>,
    /// Format of the log
    #[arg(long, value_enum, value_name = "FORMAT")]
    log_format: Option<Format>,
    /// Write logs into files in this folder, instead of to stderr
    #[arg(long, value_name = "FOLDER")]
    log_folder: Option<String>,
    /// Switches that were typed as off.
    #[arg(skip)]
    off: Off,
}

impl ConfigFlags {
    /// The configuration, with what `kube` says of the namespace.
    ///
    /// # Errors
    /// If a file is missing, or anything that was said cannot be meant.
    pub fn load(&self, kube: &KubeFlags, environment: impl Fn(&str) -> Option<String>) -> Result<Merged, ConfigError> {
        let mut said = self.said();
        // clap puts the variable where the flag would be.
        let typed = kube.namespace.clone().filter(|typed| Some(typed) != environment("K8S_NAMESPACE").as_ref());
        if let Some(namespace) = typed {
            // Whoever types one namespace means that one, whatever a file says of all.
            if !said.iter().any(|(key, ..)| *key == ALL_NAMESPACES) {
                said.extend(switch(ALL_NAMESPACES, "namespace", Some(false)));
            }
            said.push(("dataset_generator.namespace", "namespace", namespace));
        }
        load(&self.config_file, environment, &said)
    }

    /// Takes these switches for off.
    pub fn switch_off(&mut self, off: Off) {
        self.off = off;
    }

    /// What was typed of a switch with these names. Off is the smaller risk where both were.
    fn switched(&self, on: bool, names: &[&str]) -> Option<bool> {
        let off = names.iter().any(|name| self.off.contains(*name));
        if off { Some(false) } else { on.then_some(true) }
    }

    fn said(&self) -> Vec<Flag> {
        let everywhere = self.switched(self.all_namespaces, &["-A", "--all-namespaces"]);
        let only = [
            (self.generator_only, "generator-only", Part::Collect),
            (self.dataset_agent_only, "dataset-agent-only", Part::Analyze),
            (self.anomaly_agent_only, "anomaly-agent-only", Part::Detect),
        ];
        let only = only.into_iter().find(|(given, ..)| *given).map(|(_, flag, part)| (flag, part));
        let only = self.only.map(|part| ("only", part)).or(only);
        let text = |key, flag, value: &Option<String>| value.clone().map(|value| (key, flag, value));
        let said = [
            word("run.agent_mode", "agent-mode", self.agent_mode),
            only.and_then(|(flag, part)| word("run.only", flag, Some(part))),
            switch(ALL_NAMESPACES, "all-namespaces", everywhere),
            text("dataset_generator.output_file", "metrics-file", &self.metrics_file),
            text("agents.output_file", "insights-file", &self.insights_file),
            text("dataset_generator.interval", "interval", &self.interval),
            text("dataset_generator.prometheus_url", "prometheus-url", &self.prometheus_url),
            text("agents.watch_interval", "watch-interval", &self.watch_interval),
            text("agents.alert_threshold", "alert-threshold", &self.alert_threshold),
            text("remediation.confidence_threshold", "confidence-threshold", &self.confidence_threshold),
            switch("remediation.dry_run", "dry-run", self.dry_run.map(|how| how != DryRun::None)),
            switch("llm.enabled", "enable-llm", self.switched(self.enable_llm, &["--enable-llm"])),
            text("llm.url", "llm-url", &self.llm_url),
            text("llm.model", "llm-model", &self.llm_model),
            text("llm.api_key_file", "openai-api-key-file", &self.openai_api_key_file),
            text("llm.timeout", "llm-timeout", &self.llm_timeout),
            text("llm.max_tokens", "llm-max-tokens", &self.llm_max_tokens),
            text("llm.price", "llm-price", &self.llm_price),
            self.detector.map(|kind| ("model.detector", "detector", kind.to_string())),
            text("model.path", "model", &self.model),
            word("log.level", "log-level", self.log_level),
            word("log.format", "log-format", self.log_format),
            text("log.folder", "log-folder", &self.log_folder),
        ];
        said.into_iter().flatten().collect()
    }
}

fn word<T: ValueEnum>(key: &'static str, flag: &'static str, value: Option<T>) -> Option<Flag> {
    Some((key, flag, value?.to_possible_value()?.get_name().to_owned()))
}

fn switch(key: &'static str, flag: &'static str, value: Option<bool>) -> Option<Flag> {
    Some((key, flag, value?.to_string()))
}
