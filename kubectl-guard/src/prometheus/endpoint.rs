//! Where a Prometheus is, and who asks: an address with credentials of its own, or a Service behind the API server.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use http::{HeaderMap, HeaderName, HeaderValue, Uri, header};
use kube::Client;
use kube::config::AuthInfo;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;

use super::PrometheusError;
use crate::connect::{Environment, foreign};
use crate::sanitise;

/// Headers that would send a secret from the command line, or bend the request.
const NOT_TO_BE_SET: [HeaderName; 6] = [
    header::AUTHORIZATION,
    header::COOKIE,
    header::HOST,
    header::CONTENT_LENGTH,
    header::TRANSFER_ENCODING,
    header::CONNECTION,
];

/// Everything that is needed to ask.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// Where it is.
    pub place: Place,
    /// Who asks there.
    pub credentials: Credentials,
    /// Headers of each request, such as the tenant's.
    pub headers: HeaderMap,
}

/// Who asks, by files that are read when the client is made.
#[derive(Clone, Debug, Default)]
pub struct Credentials {
    /// A file with a bearer token.
    pub token_file: Option<PathBuf>,
    /// A file with `USER:PASSWORD`.
    pub basic_file: Option<PathBuf>,
    /// A file with the authorities that sign its certificate, instead of the system's.
    pub authority: Option<PathBuf>,
    /// A file with the client's certificate.
    pub certificate: Option<PathBuf>,
    /// A file with the key of that certificate.
    pub key: Option<PathBuf>,
}

impl Credentials {
    /// True if there are none at all.
    pub fn is_empty(&self) -> bool {
        let files = [&self.token_file, &self.basic_file, &self.authority, &self.certificate, &self.key];
        files.into_iter().all(Option::is_none)
    }
}

/// Where a Prometheus is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// At an address.
    Url(Uri),
    /// Behind the API server.
    Service(Service),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url(url) => write!(f, "Prometheus at {}", sanitise::line(&url.to_string())),
            Self::Service(Service { namespace, name, .. }) => write!(f, "Prometheus behind service {namespace}/{name}"),
        }
    }
}

/// A Service, as `NAMESPACE/NAME:PORT` or `NAMESPACE/https:NAME:PORT`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    namespace: String,
    name: String,
    /// What stands behind `services/` in the API server's path.
    reference: String,
}

impl Service {
    pub(super) fn namespace(&self) -> &str {
        &self.namespace
    }

    pub(super) fn path(&self) -> String {
        format!("/api/v1/namespaces/{}/services/{}/proxy", self.namespace, self.reference)
    }
}

impl FromStr for Service {
    type Err = PrometheusError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let plain = |part: &str| {
            !part.is_empty()
                && part.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        };
        let read = || {
            let (namespace, reference) = text.split_once('/')?;
            let parts: Vec<&str> = reference.split(':').collect();
            let (["http" | "https", name, port] | [name, port]) = parts[..] else { return None };
            let good = [namespace, name, port].into_iter().all(plain);
            let service = || Self { namespace: namespace.into(), name: name.into(), reference: reference.into() };
            good.then(service)
        };
        read().ok_or_else(|| PrometheusError::Address {
            text: sanitise::line(text),
            problem: "a Service is named as NAMESPACE/NAME:PORT, or NAMESPACE/https:NAME:PORT",
        })
    }
}

/// Reads the address of the HTTP API, without `/api/v1`.
pub(super) fn url(text: &str) -> Result<Uri, PrometheusError> {
    let wrong = |problem| PrometheusError::Address { text: sanitise::line(text), problem };
    let uri: Uri = text.parse().map_err(|_| wrong("it is no URL"))?;
    if !matches!(uri.scheme_str(), Some("http" | "https")) || uri.host().is_none_or(str::is_empty) {
        return Err(wrong("it must begin with http:// or https:// and name a host"));
    }
    if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
        // Not shown again: it was already too much that the list of processes holds it.
        let text = format!("{}://...@...", uri.scheme_str().unwrap_or_default());
        return Err(PrometheusError::Address { text, problem: "a password belongs in --prometheus-basic-auth-file" });
    }
    if uri.query().is_some() || text.contains('#') {
        return Err(wrong("it must end with its path"));
    }
    if uri.path().trim_end_matches('/').ends_with("/api/v1") {
        return Err(wrong("leave /api/v1 out"));
    }
    Ok(uri)
}

/// Reads `NAME: VALUE` or `NAME=VALUE`.
fn set_header(headers: &mut HeaderMap, text: &str) -> Result<(), PrometheusError> {
    let (name, value) = text.split_once([':', '=']).unwrap_or((text, ""));
    let wrong = |problem| PrometheusError::Header { text: sanitise::line(name), problem };
    let value = value.trim();
    if value.is_empty() {
        return Err(wrong("it needs a name and a value"));
    }
    let name = HeaderName::from_str(name.trim()).map_err(|_| wrong("a header cannot be named so"))?;
    if NOT_TO_BE_SET.contains(&name) {
        return Err(wrong("it is made from the other flags only"));
    }
    let mut value = HeaderValue::from_str(value).map_err(|_| wrong("its value holds what a header cannot"))?;
    value.set_sensitive(true);
    headers.append(name, value);
    Ok(())
}

impl Endpoint {
    /// An endpoint at an address as typed.
    ///
    /// # Errors
    /// If the address cannot be understood.
    pub fn at(text: &str) -> Result<Self, PrometheusError> {
        let place = Place::Url(url(text)?);
        Ok(Self { place, credentials: Credentials::default(), headers: HeaderMap::new() })
    }

    /// An endpoint behind the API server, at a Service as typed.
    ///
    /// # Errors
    /// If the Service cannot be understood.
    pub fn behind(text: &str) -> Result<Self, PrometheusError> {
        let place = Place::Service(text.parse()?);
        Ok(Self { place, credentials: Credentials::default(), headers: HeaderMap::new() })
    }

    /// Adds a header as typed: `NAME: VALUE` or `NAME=VALUE`.
    ///
    /// # Errors
    /// If it is none, or one that the other flags make.
    pub fn set_header(&mut self, text: &str) -> Result<(), PrometheusError> {
        set_header(&mut self.headers, text)
    }

    /// The client for `url`, with this endpoint's credentials and the proxy of the environment.
    pub(super) fn client(&self, url: &Uri, environment: &Environment) -> Result<Client, PrometheusError> {
        if self.credentials.token_file.is_some() {
            foreign::keeps_secrets(url).map_err(PrometheusError::Credentials)?;
        }
        let authorities = self.credentials.authority.as_deref().map(authorities).transpose()?;
        foreign::client(url, self.credentials.auth_info()?, authorities, environment)
            .map_err(PrometheusError::Credentials)
    }
}

impl Credentials {
    /// The header that shows the token as its file has it now: tokens are renewed while somebody watches.
    pub(super) fn bearer(&self) -> Result<Option<HeaderValue>, PrometheusError> {
        let Some(file) = &self.token_file else { return Ok(None) };
        let unusable = || PrometheusError::Credentials(format!("{} holds no token", file.display()));
        let text = String::from_utf8(read(file)?).map_err(|_| unusable())?;
        // kube's own reader takes the end of the line for a part of the token.
        let token = Some(text.trim()).filter(|token| !token.is_empty()).ok_or_else(unusable)?;
        foreign::bearer(token).map(Some).map_err(|_| unusable())
    }

    fn auth_info(&self) -> Result<AuthInfo, PrometheusError> {
        let path = |path: &Option<PathBuf>| path.as_ref().map(|path| path.to_string_lossy().into_owned());
        let mut auth = AuthInfo {
            client_certificate: path(&self.certificate),
            client_key: path(&self.key),
            ..AuthInfo::default()
        };
        if let Some(file) = &self.basic_file {
            let text = String::from_utf8_lossy(&read(file)?).into_owned();
            let (user, password) = text
                .trim_end_matches(['\r', '\n'])
                .split_once(':')
                .ok_or_else(|| PrometheusError::Credentials(format!("{} holds no USER:PASSWORD", file.display())))?;
            (auth.username, auth.password) = (Some(user.to_owned()), Some(password.to_owned().into()));
        }
        Ok(auth)
    }
}

fn read(file: &Path) -> Result<Vec<u8>, PrometheusError> {
    std::fs::read(file).map_err(|error| PrometheusError::Credentials(format!("{}: {error}", file.display())))
}

fn authorities(file: &Path) -> Result<Vec<Vec<u8>>, PrometheusError> {
    let text = read(file)?;
    let found: Result<Vec<_>, _> =
        CertificateDer::pem_slice_iter(&text).map(|found| found.map(|der| der.to_vec())).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        _ => Err(PrometheusError::Credentials(format!("{} holds no PEM certificate", file.display()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_those_of_an_http_api() {
        for good in ["http://localhost:9090", "https://mimir.example.org/prometheus", "https://[::1]:9090/"] {
            assert!(url(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "prometheus:9090",
            "ftp://x",
            "/api",
            "https://",
            "https://u:geheim@x",
            "https://x/?q=1",
            "https://x/#a",
            "https://x/api/v1/",
            "http://x y",
        ] {
            let error = url(bad).unwrap_err();
            assert!(error.is_usage() && !error.to_string().contains("geheim"), "{bad}: {error}");
        }
    }

    #[test]
    fn services_are_named_so_that_nothing_else_can_be_reached() {
        let service: Service = "monitoring/https:thanos-query:web".parse().unwrap();
        assert_eq!(service.path(), "/api/v1/namespaces/monitoring/services/https:thanos-query:web/proxy");
        assert!("monitoring/prometheus:9090".parse::<Service>().is_ok());
        for bad in ["prometheus", "a/b", "a/b:", "a/../b:1", "a/b:1/x", "a/ftp:b:1", "a/b:1?x", "/b:1", "A/b:1"] {
            assert!(bad.parse::<Service>().is_err(), "{bad}");
        }
    }

    #[test]
    fn headers_are_those_of_tenants_and_never_of_credentials() {
        let mut headers = HeaderMap::new();
        set_header(&mut headers, "X-Scope-OrgID: team-a|team-b").unwrap();
        set_header(&mut headers, "THANOS-TENANT=x").unwrap();
        assert_eq!(headers["x-scope-orgid"], "team-a|team-b");
        assert_eq!(headers["thanos-tenant"], "x");
        for bad in ["", "x", "x:", ": y", "a b: c", "x: \u{7}", "Authorization: Bearer geheim", "host: x"] {
            let error = set_header(&mut headers, bad).unwrap_err();
            assert!(error.is_usage() && !error.to_string().contains("geheim"), "{bad}: {error}");
        }
    }

    fn problem(url: &str, credentials: Credentials) -> Option<String> {
        let endpoint = Endpoint { credentials, ..Endpoint::at(url).unwrap() };
        let Place::Url(url) = &endpoint.place else { unreachable!("it was made from a URL") };
        endpoint.client(url, &Environment::default()).err().map(|error| error.to_string())
    }

    #[tokio::test]
    async fn credentials_must_be_whole_and_are_not_sent_in_the_clear() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            Some(path)
        };
        let token = || Credentials { token_file: file("token", "geheim\n"), ..Credentials::default() };
        assert_eq!(problem("http://localhost:9090", token()), None);
        assert_eq!(problem("http://127.0.0.1:9090", token()), None);
        assert_eq!(problem("https://prometheus.example.org", token()), None);
        assert!(problem("http://prometheus.example.org", token()).unwrap().contains("in the clear"));
        let basic = |text| Credentials { basic_file: file("basic", text), ..Credentials::default() };
        assert_eq!(problem("https://x", basic("ann:geheim:with:colons\n")), None);
        assert!(problem("https://x", basic("geheim\n")).unwrap().ends_with("holds no USER:PASSWORD"));
        let missing = || Some(folder.path().join("missing"));
        for bad in [missing(), file("empty", "\n"), file("lines", "a\nb")] {
            assert!(Credentials { token_file: bad, ..Credentials::default() }.bearer().is_err());
        }
        for bad in [
            Credentials { basic_file: missing(), ..Credentials::default() },
            Credentials { authority: missing(), ..Credentials::default() },
            Credentials { authority: file("ca", "no PEM"), ..Credentials::default() },
            Credentials { certificate: missing(), key: missing(), ..Credentials::default() },
        ] {
            assert!(problem("https://x", bad.clone()).is_some(), "{bad:?}");
        }
    }
}
