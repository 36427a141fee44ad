//! What of the kubeconfig counts: context, cluster and user chosen, and the flags laid over them.

use http::Uri;
use kube::Config;
use kube::config::{AuthInfo, Cluster, Context, ExecAuthCluster, Kubeconfig};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use secrecy::ExposeSecret as _;

use crate::connect::{Environment, foreign, proxy};
use crate::error::Error;
use crate::flags::KubeFlags;
use crate::request::innermost;
use crate::sanitise;

/// One cluster, one user, one namespace.
pub(super) struct Target {
    pub(super) context: String,
    pub(super) cluster_name: String,
    file: String,
    namespace: Option<String>,
    pub(super) cluster: Cluster,
    user: AuthInfo,
}

impl Target {
    /// Chooses from the kubeconfig (read from `file`, as named in errors) what the flags and the current context name.
    pub(super) fn choose(kubeconfig: Kubeconfig, file: &str, flags: &KubeFlags) -> Result<Self, Error> {
        let (context_name, context) = context(&kubeconfig, file, flags)?;
        let cluster_name = flags.cluster.clone().unwrap_or(context.cluster);
        let clusters = kubeconfig.clusters.into_iter().map(|named| (named.name, named.cluster.unwrap_or_default()));
        let mut cluster = match find("cluster", &cluster_name, file, clusters) {
            // With --server nothing else of a cluster is needed.
            Err(_) if flags.server.is_some() && flags.cluster.is_none() => Cluster::default(),
            found => found?,
        };
        let users = kubeconfig.auth_infos.into_iter().map(|named| (named.name, named.auth_info.unwrap_or_default()));
        let mut user = match (&flags.user, context.user) {
            (Some(name), _) => find("user", name, file, users)?,
            // As kubectl: a context whose user is missing connects as nobody.
            (None, Some(name)) => find("user", &name, file, users).unwrap_or_default(),
            (None, None) => AuthInfo::default(),
        };
        lay_over_cluster(&mut cluster, flags);
        lay_over_user(&mut user, flags);
        Ok(Self {
            context: context_name,
            cluster_name,
            file: file.to_owned(),
            namespace: context.namespace.filter(|namespace| !namespace.is_empty()),
            cluster,
            user,
        })
    }

    /// The configuration of kube's client for it.
    pub(super) fn config(&self, environment: &Environment) -> Result<Config, Error> {
        let url = self.url()?;
        let mut config = Config::new(url.clone());
        if let Some(namespace) = &self.namespace {
            config.default_namespace.clone_from(namespace);
        }
        let for_plugins = ExecAuthCluster::try_from(&self.cluster).map_err(|error| self.bad(innermost(&error)))?;
        if let Some(pem) = &for_plugins.certificate_authority_data {
            config.root_cert = Some(self.certificates(pem)?);
        }
        config.accept_invalid_certs = self.cluster.insecure_skip_tls_verify.unwrap_or(false);
        config.disable_compression = self.cluster.disable_compression.unwrap_or(false);
        config.tls_server_name.clone_from(&self.cluster.tls_server_name);
        config.proxy_url = self.proxy(&url, environment)?;
        config.auth_info = self.sender()?;
        if let Some(exec) = config.auth_info.exec.as_mut().filter(|exec| exec.provide_cluster_info) {
            exec.cluster = Some(for_plugins);
        }
        Ok(config)
    }

    /// The user, with a token that a header takes. As with client-go a file with one counts before one that is written out.
    fn sender(&self) -> Result<AuthInfo, Error> {
        let mut user = self.user.clone();
        if user.token_file.is_some() {
            user.token = None;
        }
        if let Some(token) = &user.token {
            let bad = |problem| self.bad(format!("the user's token {problem}; the same goes for --token"));
            foreign::fits_a_header(token.expose_secret()).map_err(bad)?;
        }
        Ok(user)
    }

    fn url(&self) -> Result<Uri, Error> {
        let Some(server) = self.cluster.server.as_deref().filter(|server| !server.is_empty()) else {
            return Err(self.bad(format!("cluster {:?} has no server", sanitise::line(&self.cluster_name))));
        };
        let wrong = || self.bad(format!("server {:?} is no URL such as https://host:6443", sanitise::line(server)));
        let url: Uri = server.parse().map_err(|_| wrong())?;
        match (url.scheme_str(), url.host()) {
            (Some("http" | "https"), Some(host)) if !host.is_empty() => Ok(url),
            _ => Err(wrong()),
        }
    }

    fn certificates(&self, pem: &[u8]) -> Result<Vec<Vec<u8>>, Error> {
        let certificates: Result<Vec<_>, _> =
            CertificateDer::pem_slice_iter(pem).map(|found| found.map(|der| der.to_vec())).collect();
        match certificates {
            Ok(certificates) if !certificates.is_empty() => Ok(certificates),
            _ => Err(self.bad("its certificate authority holds no PEM certificate".into())),
        }
    }

    /// A proxy that the kubeconfig names is always used; one of the environment unless NO_PROXY exempts the cluster.
    fn proxy(&self, url: &Uri, environment: &Environment) -> Result<Option<Uri>, Error> {
        let named = self.cluster.proxy_url.clone().filter(|proxy| !proxy.is_empty());
        let Some(proxy) = named.or_else(|| proxy::of_environment(url, environment)) else { return Ok(None) };
        Ok(Some(proxy::parse(&proxy).map_err(|problem| self.bad(problem))?))
    }

    fn bad(&self, problem: String) -> Error {
        Error::BadKubeconfig { file: self.file.clone(), problem }
    }
}

fn context(kubeconfig: &Kubeconfig, file: &str, flags: &KubeFlags) -> Result<(String, Context), Error> {
    let current = kubeconfig.current_context.clone().filter(|name| !name.is_empty());
    match flags.context.clone().or(current) {
        Some(name) => {
            let contexts = kubeconfig.contexts.iter();
            let contexts = contexts.map(|named| (named.name.clone(), named.context.clone().unwrap_or_default()));
            let context = find("context", &name, file, contexts)?;
            Ok((name, context))
        }
        None if flags.server.is_some() || flags.cluster.is_some() => Ok(("(none)".to_owned(), Context::default())),
        None => Err(Error::NoCurrentContext {
            file: file.to_owned(),
            available: kubeconfig.contexts.iter().map(|named| sanitise::line(&named.name)).collect(),
        }),
    }
}

fn find<T>(kind: &'static str, name: &str, file: &str, named: impl Iterator<Item = (String, T)>) -> Result<T, Error> {
    let mut available = Vec::new();
    for (candidate, value) in named {
        if candidate == name {
            return Ok(value);
        }
        available.push(sanitise::line(&candidate));
    }
    Err(Error::NotInKubeconfig { kind, name: sanitise::line(name), file: file.to_owned(), available })
}

/// As client-go does it: who names another server speaks of another name, and who names an authority wants it asked.
fn lay_over_cluster(cluster: &mut Cluster, flags: &KubeFlags) {
    if let Some(server) = &flags.server {
        cluster.server = Some(server.clone());
        cluster.tls_server_name = None;
    }
    if let Some(name) = &flags.tls_server_name {
        cluster.tls_server_name = Some(name.clone());
    }
    if let Some(path) = &flags.certificate_authority {
        cluster.certificate_authority = Some(path.to_string_lossy().into_owned());
        cluster.certificate_authority_data = None;
        cluster.insecure_skip_tls_verify = None;
    }
    if flags.insecure_skip_tls_verify {
        cluster.insecure_skip_tls_verify = Some(true);
    }
    if flags.disable_compression {
        cluster.disable_compression = Some(true);
    }
}

fn lay_over_user(user: &mut AuthInfo, flags: &KubeFlags) {
    if let Some(token) = &flags.token {
        user.token = Some(token.clone().into());
        user.token_file = None;
        user.exec = None;
        user.auth_provider = None;
    }
    if let Some(path) = &flags.client_certificate {
        user.client_certificate = Some(path.to_string_lossy().into_owned());
        user.client_certificate_data = None;
    }
    if let Some(path) = &flags.client_key {
        user.client_key = Some(path.to_string_lossy().into_owned());
        user.client_key_data = None;
    }
    if let Some(name) = &flags.impersonate {
        user.impersonate = Some(name.clone());
    }
    if let Some(uid) = &flags.impersonate_uid {
        user.impersonate_uid = Some(uid.clone());
    }
    if !flags.impersonate_group.is_empty() {
        user.impersonate_groups = Some(flags.impersonate_group.clone());
    }
}
