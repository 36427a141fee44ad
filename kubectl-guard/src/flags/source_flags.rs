//! Where scores are read from: the exporters themselves, or a Prometheus that scrapes them.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::connect::{Connection, Environment};
use crate::error::Error;
use crate::prometheus::{Credentials, Endpoint, Prometheus};
use crate::scores::Source;
use crate::scores::portforward::NAMESPACE;
use crate::scores::prometheus::Matcher;

const HEADING: &str = "Prometheus";

/// Who is asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Asked {
    /// The exporters, by port-forward: all they know
    #[default]
    #[value(alias = "exporter")]
    Exporters,
    /// A Prometheus: what their metrics hold; needs no right to forward ports
    Prometheus,
}

/// Where the exporters are.
#[derive(Args, Clone, Debug)]
pub struct ExporterFlags {
    /// Namespace of the exporters
    #[arg(long, value_name = "NAME", default_value = NAMESPACE)]
    pub guard_namespace: String,
}

impl Default for ExporterFlags {
    fn default() -> Self {
        Self { guard_namespace: NAMESPACE.to_owned() }
    }
}

/// Where scores are read from.
#[derive(Args, Clone, Debug, Default)]
pub struct SourceFlags {
    /// Where scores are read from
    #[arg(long, value_enum, default_value_t, value_name = "SOURCE")]
    source: Asked,
    #[command(flatten)]
    exporters: ExporterFlags,
    #[command(flatten)]
    prometheus: PrometheusFlags,
}

/// Which Prometheus, and as whom. Secrets come from files only: a command line can be read by everybody.
#[derive(Args, Clone, Debug, Default)]
#[expect(clippy::struct_field_names, reason = "they are the names of the flags")]
pub struct PrometheusFlags {
    /// Address of its HTTP API, without /api/v1, such as https://prometheus.example.org
    #[arg(help_heading = HEADING, long, value_name = "URL", conflicts_with = "prometheus_service", hide_short_help = true)]
    prometheus_url: Option<String>,
    /// Its Service, reached through the API server, such as monitoring/prometheus:9090; needs get services/proxy
    #[arg(help_heading = HEADING, long, value_name = "NAMESPACE/NAME:PORT", hide_short_help = true)]
    prometheus_service: Option<String>,
    /// File with a bearer token for it
    #[arg(help_heading = HEADING)]
    #[arg(long, value_name = "FILE", conflicts_with = "prometheus_basic_auth_file", hide_short_help = true)]
    prometheus_token_file: Option<PathBuf>,
    /// File with USER:PASSWORD for it
    #[arg(help_heading = HEADING, long, value_name = "FILE", hide_short_help = true)]
    prometheus_basic_auth_file: Option<PathBuf>,
    /// File with the authorities that sign its certificate, instead of the system's
    #[arg(help_heading = HEADING, long, value_name = "FILE", hide_short_help = true)]
    prometheus_ca_file: Option<PathBuf>,
    /// File with the client certificate for it
    #[arg(help_heading = HEADING, long, value_name = "FILE", requires = "prometheus_client_key", hide_short_help = true)]
    prometheus_client_certificate: Option<PathBuf>,
    /// File with the key of that certificate
    #[arg(help_heading = HEADING, long, value_name = "FILE", requires = "prometheus_client_certificate", hide_short_help = true)]
    prometheus_client_key: Option<PathBuf>,
    /// Header of each request, such as 'X-Scope-OrgID: team-a'; may be repeated
    #[arg(help_heading = HEADING, long, value_name = "NAME: VALUE", hide_short_help = true)]
    prometheus_header: Vec<String>,
    /// Only series with this label, such as cluster=east; may be repeated
    #[arg(help_heading = HEADING, long, value_name = "LABEL=VALUE", hide_short_help = true)]
    prometheus_matcher: Vec<String>,
}

impl SourceFlags {
    /// What the flags name, made ready; nothing is asked yet.
    ///
    /// # Errors
    /// If flags contradict each other or name nothing, or a file with credentials cannot be used.
    pub fn open(&self, connection: &Connection, environment: &Environment) -> Result<Source, Error> {
        let flags = &self.prometheus;
        if self.source == Asked::Exporters {
            return match flags.first() {
                Some(flag) => Err(usage(format!("{flag} is for another source"), "add --source prometheus")),
                None => Ok(Source::Exporters { namespace: self.exporters.guard_namespace.clone() }),
            };
        }
        let (prometheus, matchers) = flags.open(None, connection, environment)?;
        Ok(Source::Prometheus { prometheus: Box::new(prometheus), matchers })
    }
}

impl SourceFlags {
    /// The first of these flags that was typed to say something else than what is usual.
    pub fn first(&self) -> Option<&'static str> {
        if self.source != Asked::default() {
            return Some("--source");
        }
        let elsewhere = self.exporters.guard_namespace != NAMESPACE;
        self.prometheus.first().or(elsewhere.then_some("--guard-namespace"))
    }
}

impl PrometheusFlags {
    /// The Prometheus that the flags name, or the one at `usual`, and which of its series count. Nothing is asked yet.
    ///
    /// # Errors
    /// If nothing names one, flags contradict each other, or a file with credentials cannot be used.
    pub fn open(
        &self,
        usual: Option<&str>,
        connection: &Connection,
        environment: &Environment,
    ) -> Result<(Prometheus, Vec<Matcher>), Error> {
        let prometheus = Prometheus::open(&self.endpoint(usual)?, connection, environment)?;
        let matchers = self.prometheus_matcher.iter().map(|text| text.parse::<Matcher>());
        Ok((prometheus, matchers.collect::<Result<_, _>>()?))
    }

    /// The first of these flags that was typed.
    pub fn first(&self) -> Option<&'static str> {
        let typed = [
            (self.prometheus_url.is_some(), "--prometheus-url"),
            (self.prometheus_service.is_some(), "--prometheus-service"),
            (self.prometheus_token_file.is_some(), "--prometheus-token-file"),
            (self.prometheus_basic_auth_file.is_some(), "--prometheus-basic-auth-file"),
            (self.prometheus_ca_file.is_some(), "--prometheus-ca-file"),
            (self.prometheus_client_certificate.is_some(), "--prometheus-client-certificate"),
            (!self.prometheus_header.is_empty(), "--prometheus-header"),
            (!self.prometheus_matcher.is_empty(), "--prometheus-matcher"),
        ];
        typed.into_iter().find_map(|(typed, flag)| typed.then_some(flag))
    }

    fn endpoint(&self, usual: Option<&str>) -> Result<Endpoint, Error> {
        let credentials = Credentials {
            token_file: self.prometheus_token_file.clone(),
            basic_file: self.prometheus_basic_auth_file.clone(),
            authority: self.prometheus_ca_file.clone(),
            certificate: self.prometheus_client_certificate.clone(),
            key: self.prometheus_client_key.clone(),
        };
        let mut endpoint = match (
            self.prometheus_url.as_deref().or(usual.filter(|_| self.prometheus_service.is_none())),
            &self.prometheus_service,
        ) {
            (Some(url), _) => Endpoint { credentials, ..Endpoint::at(url)? },
            (None, Some(_)) if !credentials.is_empty() => {
                let message = "a Service is reached with the credentials of the kubeconfig".to_owned();
                return Err(usage(message, "leave the files out, or name the address with --prometheus-url"));
            }
            (None, Some(service)) => Endpoint::behind(service)?,
            (None, None) => {
                let hint = "name it with --prometheus-url, or with --prometheus-service NAMESPACE/NAME:PORT";
                return Err(usage("which Prometheus?".into(), hint));
            }
        };
        for header in &self.prometheus_header {
            endpoint.set_header(header)?;
        }
        Ok(endpoint)
    }
}

fn usage(message: String, hint: &str) -> Error {
    Error::Usage { message, hint: hint.to_owned() }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::exit::Exit;
    use crate::flags::KubeFlags;

    #[derive(Parser)]
    struct Typed {
        #[command(flatten)]
        source: SourceFlags,
    }

    fn opened(words: &str) -> Result<Source, Error> {
        let typed = Typed::try_parse_from(words.split(' ')).map_err(|error| usage(error.to_string(), ""))?;
        let kube = KubeFlags { server: Some("http://localhost:1".into()), ..KubeFlags::default() };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let connection = Connection::open(&kube, &Environment::default()).unwrap();
            typed.source.open(&connection, &Environment::default())
        })
    }

    #[test]
    fn a_prometheus_is_named_by_its_address_or_its_service() {
        assert!(matches!(opened("x").unwrap(), Source::Exporters { namespace } if namespace == "guard-system"));
        for words in [
            "x --source prometheus --prometheus-url http://localhost:9090 --prometheus-header X-Scope-OrgID=a",
            "x --source=prometheus --prometheus-service monitoring/prometheus:9090 --prometheus-matcher cluster=east",
        ] {
            assert!(matches!(opened(words).unwrap(), Source::Prometheus { .. }), "{words}");
        }
    }

    #[test]
    fn flags_that_would_do_nothing_are_refused_before_anything_is_asked() {
        for (words, part) in [
            ("x --source prometheus", "which Prometheus?"),
            ("x --prometheus-url http://localhost:9090", "--prometheus-url is for another source"),
            ("x --prometheus-matcher a=b", "--prometheus-matcher is for another source"),
            ("x --source prometheus --prometheus-service a/b:1 --prometheus-token-file f", "of the kubeconfig"),
            ("x --source prometheus --prometheus-service a/b:1 --prometheus-url http://b", "cannot be used with"),
            ("x --source prometheus --prometheus-url https://b --prometheus-client-key k", "required"),
            ("x --source prometheus --prometheus-url http://b --prometheus-matcher 1x=y", "no matcher"),
        ] {
            let error = opened(words).err().unwrap();
            assert_eq!(error.process_exit_code(), Exit::Usage, "{words}");
            assert!(error.to_string().contains(part), "{words}: {error}");
        }
    }
}
