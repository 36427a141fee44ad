//! Why a Prometheus could not be asked, or did not answer.

use crate::error::Failure;
use crate::exit::Exit;

/// What went wrong. Foreign text in it is sanitised.
#[derive(Debug, thiserror::Error)]
pub enum PrometheusError {
    /// What was typed is no address.
    #[error("{text:?} is no address of a Prometheus: {problem}")]
    Address {
        /// As it was typed.
        text: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A header cannot be sent.
    #[error("{text:?} is no header to send to Prometheus: {problem}")]
    Header {
        /// Its name; not its value, which may be a secret.
        text: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// Credentials cannot be used.
    #[error("cannot use the credentials for Prometheus: {0}")]
    Credentials(String),
    /// A matcher selects nothing.
    #[error("{text:?} is no matcher of series: it must be LABEL=VALUE")]
    Matcher {
        /// As it was typed.
        text: String,
    },
    /// There is no answer, or half of one.
    #[error("{server} does not answer: {problem}")]
    Unreachable {
        /// Who was asked.
        server: String,
        /// Why not.
        problem: String,
    },
    /// It does not let us ask.
    #[error("{server} does not let you ask ({status}){}", colon(message))]
    Denied {
        /// Who was asked.
        server: String,
        /// The status of the answer.
        status: u16,
        /// What it says.
        message: String,
    },
    /// It cannot answer.
    #[error("{server} answers with {status}{}", colon(message))]
    Failed {
        /// Who was asked.
        server: String,
        /// The status of the answer.
        status: u16,
        /// What it says.
        message: String,
    },
    /// The API server's proxy takes no query that long.
    #[error("the query is too long to reach {server}")]
    TooLong {
        /// Who was to be asked.
        server: String,
    },
    /// It says more than is believed.
    #[error("the answer of {server} is over {mebibytes} MiB")]
    TooLarge {
        /// Who was asked.
        server: String,
        /// The limit.
        mebibytes: usize,
    },
    /// Something else answers there.
    #[error("{server} does not answer like a Prometheus: {problem}")]
    NotPrometheus {
        /// Who was asked.
        server: String,
        /// What is wrong with the answer.
        problem: String,
    },
    /// The series are of more than one cluster.
    #[error("{server} knows the exporters of several clusters: {}", clusters.join(", "))]
    SeveralClusters {
        /// Who was asked.
        server: String,
        /// The values of the label `cluster`.
        clusters: Vec<String>,
    },
    /// Nothing there comes from an exporter of guard.
    #[error("{server} has no series of guard's exporters")]
    NoSeries {
        /// Who was asked.
        server: String,
    },
}

fn colon(message: &str) -> String {
    if message.is_empty() { String::new() } else { format!(": {message}") }
}

impl PrometheusError {
    /// True if it was typed wrongly: nothing was asked.
    pub fn is_usage(&self) -> bool {
        matches!(self, Self::Address { .. } | Self::Header { .. } | Self::Matcher { .. })
    }
}

impl Failure for PrometheusError {
    fn exit(&self) -> Exit {
        match self {
            Self::Denied { .. } => Exit::NotPermitted,
            typed if typed.is_usage() => Exit::Usage,
            _ => Exit::Error,
        }
    }

    fn may_pass(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::Failed { .. } | Self::NoSeries { .. })
    }

    fn hint(&self) -> Option<&str> {
        Some(match self {
            Self::Address { .. } => {
                "for example: --prometheus-url https://prometheus.example.org, or --prometheus-service monitoring/prometheus:9090"
            }
            Self::Header { .. } => "for example: --prometheus-header 'X-Scope-OrgID: team-a'",
            Self::Credentials(_) => "the files named by --prometheus-token-file and its like are read anew each time",
            Self::Matcher { .. } => "for example: --prometheus-matcher cluster=east",
            Self::Unreachable { .. } => {
                "is the address right? --prometheus-url names it; --prometheus-service goes through the API server"
            }
            Self::Denied { .. } => {
                "see --prometheus-token-file, --prometheus-basic-auth-file, --prometheus-client-certificate and --prometheus-header"
            }
            Self::Failed { .. } => "the same query can be tried in its own web page",
            Self::TooLong { .. } => "--prometheus-url asks at its own address, which takes long queries",
            Self::TooLarge { .. } => "ask for one namespace with -n, or with status for the worst alone with --limit",
            Self::NotPrometheus { .. } => {
                "the address must be that of the HTTP API; for Mimir it ends with /prometheus"
            }
            Self::SeveralClusters { .. } => "choose one: --prometheus-matcher cluster=NAME",
            Self::NoSeries { .. } => {
                "manifests/monitoring says how it comes to scrape the exporters, with honor_labels; for several tenants see --prometheus-header"
            }
        })
    }
}
