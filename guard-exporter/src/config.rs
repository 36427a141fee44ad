//! What the exporter was told to do: flags, each with an environment variable, checked once into a [`Config`] that the
//! rest of the crate trusts.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use guard_model::detector::Kind;
use tracing::level_filters::LevelFilter;

use crate::tls::Files;

/// Where Kubernetes puts the token of the pod's ServiceAccount.
const TOKEN_FILE: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";
/// Where Kubernetes puts the certificate of the cluster's authority.
const CA_FILE: &str = "/var/run/secrets/kubernetes.io/serviceaccount/ca.crt";
/// The shortest interval; the kubelet itself measures every 10 to 15 s.
const SHORTEST: Duration = Duration::from_secs(1);
/// The longest interval: beyond it an incident could begin and end between two samples.
const LONGEST: Duration = Duration::from_mins(1);
/// The line over which a pod is anomalous, unless told otherwise.
const THRESHOLD: f64 = 0.7;

/// Scores every pod of its node and serves the scores.
#[derive(Clone, Debug, Parser)]
#[command(name = "guard-exporter", version, about)]
pub struct Arguments {
    /// The name of this node, which is also the name expected in the kubelet's certificate
    #[arg(long, env = "NODE_NAME", value_name = "NAME")]
    pub node_name: String,

    /// The address on which this node's kubelet listens
    #[arg(long, env = "HOST_IP", value_name = "ADDRESS")]
    pub kubelet_host: String,

    /// The port on which the kubelet listens
    #[arg(long, env = "GUARD_KUBELET_PORT", value_name = "PORT", default_value_t = 10250)]
    pub kubelet_port: u16,

    /// Authority that signed the kubelet's certificate (PEM), if it is not the cluster's
    #[arg(long, env = "GUARD_KUBELET_CA", value_name = "FILE")]
    pub kubelet_ca: Option<PathBuf>,

    /// Don't verify the kubelet's certificate: the token then goes to whoever answers at its address
    #[arg(long, env = "GUARD_KUBELET_INSECURE_TLS", conflicts_with = "kubelet_ca")]
    pub kubelet_insecure_tls: bool,

    /// Token to show to the kubelet; read again for each request
    #[arg(long, env = "GUARD_TOKEN_FILE", value_name = "FILE", default_value = TOKEN_FILE)]
    pub token_file: PathBuf,

    /// The cluster's authority (PEM)
    #[arg(long, env = "GUARD_CA_FILE", value_name = "FILE", default_value = CA_FILE)]
    pub ca_file: PathBuf,

    /// Time between two samples, 1s to 60s
    #[arg(long, env = "GUARD_INTERVAL", value_name = "DURATION", default_value = "15s", value_parser = duration)]
    pub interval: Duration,

    /// Score over which a pod is anomalous, above 0 and up to 1 [default: 0.7; env: THRESHOLD too]
    #[arg(long, env = "ANOMALY_THRESHOLD", value_name = "SCORE", value_parser = threshold)]
    pub threshold: Option<f64>,

    /// What scores: the model, or each pod's own past alone (robust), which needs no model
    #[arg(long, env = "GUARD_DETECTOR", value_name = "DETECTOR", default_value_t, value_parser = detector())]
    pub detector: Kind,

    /// ONNX file to use instead of the built-in model; read again when it changes
    #[arg(long, env = "MODEL_PATH", value_name = "FILE")]
    pub model: Option<PathBuf>,

    /// Where to keep what was learnt over a restart
    #[arg(long, env = "GUARD_STATE_FILE", value_name = "FILE")]
    pub state_file: Option<PathBuf>,

    /// Network address: /healthz and /readyz for anyone, /metrics over TLS for those who may get it; [::] is every address,
    /// of IPv4 as well
    #[arg(long, env = "GUARD_LISTEN", value_name = "ADDRESS", default_value = "[::]:9465")]
    pub listen: SocketAddr,

    /// Loopback address for /v1/report and /metrics, reached through port-forward
    #[arg(long, env = "GUARD_LOOPBACK", value_name = "ADDRESS", default_value = "127.0.0.1:9466", value_parser = loopback)]
    pub loopback: SocketAddr,

    /// Serving certificate of the network address, with its chain (PEM); read again when it changes
    #[arg(long, env = "GUARD_TLS_CERT", value_name = "FILE", default_value = "/etc/guard/tls/tls.crt")]
    pub tls_cert: PathBuf,

    /// Key of the serving certificate (PEM)
    #[arg(long, env = "GUARD_TLS_KEY", value_name = "FILE", default_value = "/etc/guard/tls/tls.key")]
    pub tls_key: PathBuf,

    /// Authority (PEM) made for scrapers: whoever shows a certificate of it gets /metrics without a token
    #[arg(long, env = "GUARD_CLIENT_CA", value_name = "FILE")]
    pub client_ca: Option<PathBuf>,

    /// For whom the tokens of scrapers must be made out
    #[arg(long, env = "GUARD_AUDIENCE", value_name = "NAME", default_value = "guard-exporter.guard-system.svc")]
    pub audience: String,

    /// Serve /metrics on the network address in plain HTTP too, and to anyone
    #[arg(long, env = "GUARD_INSECURE_METRICS")]
    pub insecure_metrics: bool,

    /// How much to log
    #[arg(long, env = "GUARD_LOG_LEVEL", value_name = "LEVEL", default_value = "info")]
    pub log_level: LogLevel,

    /// Kubeconfig to reach the API server with when running outside of a cluster
    #[arg(long, env = "KUBECONFIG", value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
}

/// How much to log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum LogLevel {
    /// Every request.
    Debug,
    /// Starts, stops and changes.
    Info,
    /// What went wrong and will be tried again.
    #[value(alias = "warn")]
    Warning,
    /// What needs a person.
    Error,
}

impl LogLevel {
    /// The same, in the words of `tracing`.
    pub fn filter(self) -> LevelFilter {
        match self {
            Self::Debug => LevelFilter::DEBUG,
            Self::Info => LevelFilter::INFO,
            Self::Warning => LevelFilter::WARN,
            Self::Error => LevelFilter::ERROR,
        }
    }
}

/// How the kubelet's certificate is judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trust {
    /// It must be signed by an authority in this PEM file, and name the node.
    Authority(PathBuf),
    /// It is not looked at.
    Insecure,
}

/// Everything the exporter needs to know, checked.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The name of this node.
    pub node: String,
    /// The kubelet's address, a name or an IP address.
    pub kubelet_host: String,
    /// The kubelet's port.
    pub kubelet_port: u16,
    /// How its certificate is judged.
    pub trust: Trust,
    /// The file with the token to show to it.
    pub token_file: PathBuf,
    /// Time between two samples.
    pub interval: Duration,
    /// Score over which a pod is anomalous, above 0 and up to 1.
    pub threshold: f64,
    /// What scores.
    pub detector: Kind,
    /// ONNX file to use instead of the built-in model.
    pub model: Option<PathBuf>,
    /// Where to keep what was learnt.
    pub state_file: Option<PathBuf>,
    /// Network address.
    pub listen: SocketAddr,
    /// Address for the report and the metrics.
    pub loopback: SocketAddr,
    /// Where the certificate of `listen` is.
    pub tls: Files,
    /// For whom the tokens of scrapers must be made out.
    pub audience: String,
    /// Whether the metrics are served on `listen` to anyone.
    pub insecure_metrics: bool,
    /// Kubeconfig to use outside of a cluster.
    pub kubeconfig: Option<PathBuf>,
}

/// A setting that cannot be used.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// `THRESHOLD` is not a score.
    #[error("environment variable THRESHOLD: {0}")]
    Threshold(String),
    /// The node name or the kubelet's address is empty, as it is when a field reference of the manifest is missing.
    #[error("{0} is empty: set it from the pod's own fields in the manifest")]
    Empty(&'static str),
}

impl Arguments {
    /// The checked settings. `variable` looks up the environment variables that clap does not know.
    ///
    /// # Errors
    /// If `THRESHOLD` is needed and is no score, or if the node's name or address is empty.
    pub fn resolve(self, variable: impl Fn(&str) -> Option<String>) -> Result<Config, ConfigError> {
        if self.node_name.is_empty() {
            return Err(ConfigError::Empty("--node-name (NODE_NAME)"));
        }
        if self.kubelet_host.is_empty() {
            return Err(ConfigError::Empty("--kubelet-host (HOST_IP)"));
        }
        let threshold = match (self.threshold, variable("THRESHOLD")) {
            (Some(value), _) => value,
            (None, Some(text)) => threshold(&text).map_err(ConfigError::Threshold)?,
            (None, None) => THRESHOLD,
        };
        let trust = if self.kubelet_insecure_tls {
            Trust::Insecure
        } else {
            Trust::Authority(self.kubelet_ca.unwrap_or(self.ca_file))
        };
        Ok(Config {
            node: self.node_name,
            kubelet_host: self.kubelet_host,
            kubelet_port: self.kubelet_port,
            trust,
            token_file: self.token_file,
            interval: self.interval,
            threshold,
            detector: self.detector,
            model: self.model,
            state_file: self.state_file,
            listen: self.listen,
            loopback: self.loopback,
            tls: Files { certificate: self.tls_cert, key: self.tls_key, client_ca: self.client_ca },
            audience: self.audience,
            insecure_metrics: self.insecure_metrics,
            kubeconfig: self.kubeconfig,
        })
    }
}

/// Reads `15s`, `500ms`, `1m` or a bare number of seconds, within the bounds that make sense here.
fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let amount: u64 = digits.parse().map_err(|_| "expected a duration such as 15s".to_owned())?;
    let value = match &text[digits.len()..] {
        "" | "s" => Some(Duration::from_secs(amount)),
        "ms" => Some(Duration::from_millis(amount)),
        "m" => amount.checked_mul(60).map(Duration::from_secs),
        unit => return Err(format!("unknown unit {unit:?}; use ms, s or m")),
    };
    value
        .filter(|value| (SHORTEST..=LONGEST).contains(value))
        .ok_or_else(|| format!("must lie between {}s and {}s", SHORTEST.as_secs(), LONGEST.as_secs()))
}

/// Reads the name of a detector; clap lists the names.
fn detector() -> impl TypedValueParser<Value = Kind> {
    PossibleValuesParser::new(Kind::NAMES).try_map(|name| name.parse::<Kind>())
}

/// Reads a score that can serve as a line.
fn threshold(text: &str) -> Result<f64, String> {
    text.parse()
        .ok()
        .filter(|value: &f64| *value > 0.0 && *value <= 1.0)
        .ok_or_else(|| format!("{text:?} is not a score above 0 and up to 1"))
}

/// Reads an address that nothing outside of the pod can reach: whoever may read scores is decided by who may
/// port-forward, so this must not become a network port by a slip.
fn loopback(text: &str) -> Result<SocketAddr, String> {
    let address: SocketAddr = text.parse().map_err(|_| "expected ADDRESS:PORT".to_owned())?;
    if address.ip().is_loopback() { Ok(address) } else { Err("must be a loopback address".to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments(more: &[&str]) -> Result<Arguments, clap::Error> {
        let base = ["guard-exporter", "--node-name", "node1", "--kubelet-host", "10.0.0.1"];
        Arguments::try_parse_from(base.iter().chain(more))
    }

    fn config(more: &[&str]) -> Config {
        arguments(more).unwrap().resolve(|_| None).unwrap()
    }

    #[test]
    fn defaults_are_those_of_the_manifest() {
        let config = config(&[]);
        assert_eq!(config.kubelet_port, 10250);
        assert_eq!(config.trust, Trust::Authority(CA_FILE.into()));
        assert_eq!(config.interval, Duration::from_secs(15));
        assert!((config.threshold - 0.7).abs() < f64::EPSILON);
        assert_eq!(config.listen.to_string(), "[::]:9465");
        assert_eq!(config.loopback.to_string(), "127.0.0.1:9466");
        assert!(!config.insecure_metrics);
    }

    #[test]
    fn threshold_is_flag_then_variable_then_default() {
        let variable = |name: &str| (name == "THRESHOLD").then(|| "0.9".to_owned());
        let given = arguments(&["--threshold", "0.8"]).unwrap().resolve(variable).unwrap();
        let fallback = arguments(&[]).unwrap().resolve(variable).unwrap();
        assert!((given.threshold - 0.8).abs() < f64::EPSILON);
        assert!((fallback.threshold - 0.9).abs() < f64::EPSILON);
        let wrong = arguments(&[]).unwrap().resolve(|_| Some("high".to_owned())).unwrap_err();
        assert_eq!(wrong.to_string(), "environment variable THRESHOLD: \"high\" is not a score above 0 and up to 1");
    }

    #[test]
    fn a_loopback_address_on_the_network_is_refused() {
        for address in ["0.0.0.0:9466", "10.0.0.1:9466", "[::]:9466", "9466"] {
            assert!(arguments(&["--loopback", address]).is_err(), "{address}");
        }
        assert!(arguments(&["--loopback", "[::1]:9466"]).is_ok());
    }

    #[test]
    fn intervals_are_read_with_units_and_within_bounds() {
        for (text, seconds) in [("15s", 15), ("20", 20), ("1m", 60), ("5000ms", 5)] {
            assert_eq!(duration(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for text in ["", "s", "0", "61s", "2m", "-1s", "1h", "500ms", "99999999999999999999", "18446744073709551615m"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn insecure_and_an_authority_exclude_each_other() {
        assert!(arguments(&["--kubelet-insecure-tls", "--kubelet-ca", "ca.crt"]).is_err());
        assert_eq!(config(&["--kubelet-insecure-tls"]).trust, Trust::Insecure);
        assert_eq!(config(&["--kubelet-ca", "own.crt"]).trust, Trust::Authority("own.crt".into()));
    }

    #[test]
    fn an_empty_node_name_is_refused() {
        let arguments = Arguments::try_parse_from(["x", "--node-name", "", "--kubelet-host", "h"]).unwrap();
        assert!(matches!(arguments.resolve(|_| None), Err(ConfigError::Empty(_))));
    }
}
