//! What can go wrong between the exporter and its kubelet, in words that name the next step.

use std::path::PathBuf;

use hyper::StatusCode;

/// Why the kubelet could not be read.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum KubeletError {
    /// The token cannot be read.
    #[error("cannot use the token in {}: {cause}; mount the ServiceAccount's token there", file.display())]
    Token {
        /// Where it should be.
        file: PathBuf,
        /// What is wrong with it.
        cause: String,
    },
    /// The authority's certificate cannot be read.
    #[error("cannot use the authority in {}: {cause}; mount a PEM file there", file.display())]
    Authority {
        /// Where it should be.
        file: PathBuf,
        /// What is wrong with it.
        cause: String,
    },
    /// The kubelet's address or the node's name is none.
    #[error("{host:?} cannot be addressed: {cause}; check --node-name and --kubelet-host")]
    Address {
        /// What was given.
        host: String,
        /// What is wrong with it.
        cause: String,
    },
    /// Nobody answers.
    #[error("cannot reach the kubelet at {host}: {cause}; check that it runs and that no network policy is in the way")]
    Unreachable {
        /// Address and port.
        host: String,
        /// What the system said.
        cause: String,
    },
    /// The certificate does not prove that this is the node's kubelet.
    #[error(
        "the kubelet's certificate cannot be verified for {node:?}: {cause}; either let the cluster sign it \
         (serverTLSBootstrap: true in the kubelet's configuration, then approve its CSR), or name the authority that did \
         (--kubelet-ca), or accept that the token goes to whoever answers (install --kubelet-insecure-tls)"
    )]
    Certificate {
        /// The name that it should carry.
        node: String,
        /// Why it was rejected.
        cause: String,
    },
    /// The token was not accepted.
    #[error(
        "the kubelet does not accept the token in {}: it has expired, is of another cluster, or the kubelet cannot \
         ask the API server about it", token_file.display()
    )]
    Unauthorised {
        /// Where the token was read.
        token_file: PathBuf,
    },
    /// The ServiceAccount may not read this.
    #[error(
        "the kubelet refuses {path}: the ServiceAccount needs get on {}; run `kubectl guard install` again, \
         with all flags of the first time",
        resource(path)
    )]
    Forbidden {
        /// The path asked for.
        path: &'static str,
    },
    /// Any other answer than the wanted one.
    #[error("the kubelet answers {path} with {status}")]
    Status {
        /// The path asked for.
        path: &'static str,
        /// What it answered.
        status: StatusCode,
    },
    /// The answer is not whole in time.
    #[error("the kubelet at {host} did not answer {path} within {seconds:.1} s; it may be overloaded")]
    Slow {
        /// The path asked for.
        path: &'static str,
        /// Address and port.
        host: String,
        /// How long was waited.
        seconds: f64,
    },
    /// The answer ended early.
    #[error("the kubelet's answer to {path} broke off: {cause}")]
    Truncated {
        /// The path asked for.
        path: &'static str,
        /// What the connection said.
        cause: String,
    },
    /// The answer is larger than any node's should be.
    #[error("the kubelet's answer to {path} is larger than {} MiB and was not read", super::largest(path) / (1024 * 1024))]
    TooLarge {
        /// The path asked for.
        path: &'static str,
    },
    /// The answer came whole and makes no sense.
    #[error("the kubelet's answer to {path} cannot be understood: {cause}")]
    Malformed {
        /// The path asked for.
        path: &'static str,
        /// What the parser said.
        cause: String,
    },
}

impl KubeletError {
    /// The kind of failure, as a label of few values.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Token { .. } => "token",
            Self::Authority { .. } => "authority",
            Self::Address { .. } => "address",
            Self::Unreachable { .. } => "unreachable",
            Self::Certificate { .. } => "certificate",
            Self::Unauthorised { .. } => "unauthorized",
            Self::Forbidden { .. } => "forbidden",
            Self::Status { .. } => "status",
            Self::Slow { .. } => "timeout",
            Self::Truncated { .. } => "truncated",
            Self::TooLarge { .. } => "too_large",
            Self::Malformed { .. } => "malformed",
        }
    }
}

/// The subresource of nodes that guards a path.
fn resource(path: &str) -> &'static str {
    if path.starts_with("/stats") { "nodes/stats" } else { "nodes/metrics" }
}
