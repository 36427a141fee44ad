//! kubectl's own flags, with kubectl's names and meanings: which cluster, as whom, and which pods.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use crate::flags::duration;

const HEADING: &str = "Connection";
/// As kubectl's.
const CHUNK: u32 = 500;

/// Which cluster, and as whom. No `Debug`: it can hold a token.
#[derive(Args, Clone, Default)]
pub struct KubeFlags {
    /// Namespace to look at, instead of that of the context
    #[arg(help_heading = HEADING, short, long, global = true, env = "K8S_NAMESPACE", value_name = "NAME")]
    pub namespace: Option<String>,
    /// Kubeconfig file to use instead of $KUBECONFIG or ~/.kube/config
    #[arg(help_heading = HEADING, long, global = true, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// Context of the kubeconfig to use
    #[arg(help_heading = HEADING, long, global = true, value_name = "NAME")]
    pub context: Option<String>,
    /// Cluster of the kubeconfig to use
    #[arg(help_heading = HEADING, long, global = true, value_name = "NAME", hide_short_help = true)]
    pub cluster: Option<String>,
    /// User of the kubeconfig to use
    #[arg(help_heading = HEADING, long, global = true, value_name = "NAME", hide_short_help = true)]
    pub user: Option<String>,
    /// User to impersonate
    #[arg(help_heading = HEADING, long = "as", global = true, value_name = "USER", hide_short_help = true)]
    pub impersonate: Option<String>,
    /// Group to impersonate; may be repeated
    #[arg(help_heading = HEADING, long = "as-group", global = true, value_name = "GROUP", hide_short_help = true)]
    pub impersonate_group: Vec<String>,
    /// UID to impersonate
    #[arg(help_heading = HEADING, long = "as-uid", global = true, value_name = "UID", hide_short_help = true)]
    pub impersonate_uid: Option<String>,
    /// Bearer token to authenticate with
    #[arg(help_heading = HEADING, long, global = true, value_name = "TOKEN", hide_short_help = true)]
    pub token: Option<String>,
    /// URL of the API server
    #[arg(help_heading = HEADING, short, long, global = true, value_name = "URL", hide_short_help = true)]
    pub server: Option<String>,
    /// Name that the API server's certificate must bear, instead of its host name
    #[arg(help_heading = HEADING, long, global = true, value_name = "NAME", hide_short_help = true)]
    pub tls_server_name: Option<String>,
    /// File with the certificate authorities of the API server
    #[arg(help_heading = HEADING, long, global = true, value_name = "FILE", hide_short_help = true)]
    pub certificate_authority: Option<PathBuf>,
    /// File with the client certificate
    #[arg(help_heading = HEADING, long, global = true, value_name = "FILE", hide_short_help = true)]
    pub client_certificate: Option<PathBuf>,
    /// File with the client certificate's key
    #[arg(help_heading = HEADING, long, global = true, value_name = "FILE", hide_short_help = true)]
    pub client_key: Option<PathBuf>,
    /// Do not verify the API server's certificate: anyone in between can then read and change everything
    #[arg(help_heading = HEADING, long, global = true, hide_short_help = true)]
    pub insecure_skip_tls_verify: bool,
    /// How long one request may wait for its answer, such as 5s or 1m; 0 waits for ever
    #[arg(help_heading = HEADING)]
    #[arg(long, global = true, value_name = "DURATION", value_parser = duration::parse, default_value = "30s")]
    #[arg(hide_short_help = true)]
    pub request_timeout: Duration,
    /// Ask for uncompressed answers
    #[arg(help_heading = HEADING, long, global = true, hide_short_help = true)]
    pub disable_compression: bool,
    /// Level of detail; from 6 on, the requests are shown
    #[arg(help_heading = HEADING)]
    #[arg(short = 'v', long = "v", global = true, value_name = "LEVEL", default_value_t = 0, hide_short_help = true)]
    pub verbosity: u8,
}

impl KubeFlags {
    /// The same without what was given and left empty, such as `-n "$NAMESPACE"` of a script: as in kubectl, it says nothing.
    /// Whom to act as is left for the API server to refuse: an empty name must not mean oneself.
    #[must_use]
    pub fn without_empty(self) -> Self {
        let said = |text: Option<String>| text.filter(|text| !text.is_empty());
        Self {
            namespace: said(self.namespace),
            context: said(self.context),
            cluster: said(self.cluster),
            user: said(self.user),
            server: said(self.server),
            ..self
        }
    }
}

/// Which pods; for commands that show many.
#[derive(Args, Clone, Debug)]
pub struct Selection {
    /// All namespaces; -n is then ignored
    #[arg(short = 'A', long)]
    pub all_namespaces: bool,
    /// Label selector, such as app=cart,tier!=db
    #[arg(short = 'l', long, value_name = "SELECTOR")]
    pub selector: Option<String>,
    /// Field selector, such as spec.nodeName=node1
    #[arg(long, value_name = "SELECTOR")]
    pub field_selector: Option<String>,
    /// Pods read with one request; 0 reads all with one
    #[arg(long, value_name = "N", default_value_t = CHUNK)]
    pub chunk_size: u32,
}

impl Default for Selection {
    fn default() -> Self {
        Self { all_namespaces: false, selector: None, field_selector: None, chunk_size: CHUNK }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use crate::cli::Cli;

    #[test]
    fn what_is_given_and_empty_says_nothing() {
        let words = ["g", "version", "-n", "", "--context=", "--server=", "--as="];
        let kube = Cli::try_parse_from(words).unwrap().kube.without_empty();
        assert_eq!((kube.namespace, kube.context, kube.server), (None, None, None));
        assert_eq!(kube.impersonate.as_deref(), Some(""), "nobody is not oneself");
    }
}
