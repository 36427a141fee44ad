//! From kubeconfig, flags and environment to a client, as the person who typed the command.
//!
//! What kube would do by itself and a command line must not: fall back to the pod's own service account, retry writes,
//! hide who is asking (no User-Agent), wait for ever, and choose the proxy by the proxy's address.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use http::{HeaderValue, header};
use k8s_openapi::api::authentication::v1::SelfSubjectReview;
use kube::api::PostParams;
use kube::client::{Body, ClientBuilder};
use kube::{Api, Client, Config};
use tower::BoxError;
use tower::util::{MapErrLayer, MapRequestLayer};

use crate::credentials::{self, PluginFailed};
use crate::error::Error;
use crate::flags::KubeFlags;
use crate::request::{Request, Unanswered, innermost};
use crate::sanitise;
use crate::version::VERSION;

mod environment;
pub(crate) mod foreign;
mod kubeconfig;
mod proxy;
mod target;
mod token;

pub use environment::Environment;
pub(crate) use kubeconfig::{Named, names};
use target::Target;
use token::TokenFile;

/// How long the API server may take to accept a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// A cluster, reached as a user.
#[derive(Clone)]
pub struct Connection {
    /// The client: no retries, a User-Agent, a time limit for each answer.
    pub client: Client,
    /// Name of the context, as in the kubeconfig.
    pub context: String,
    /// Name of the cluster, as in the kubeconfig.
    pub cluster: String,
    /// The API server's URL.
    pub server: String,
    /// The namespace asked for: `-n`, else the context's, else `default`.
    pub namespace: String,
}

/// Who the API server takes us for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The user name.
    pub username: String,
    /// The user's UID, if the authenticator gives one.
    pub uid: Option<String>,
    /// Its groups.
    pub groups: Vec<String>,
}

impl Connection {
    /// Connects to what the flags say. No request is made yet, but credential plugins of the kubeconfig may run.
    ///
    /// # Errors
    /// If the kubeconfig cannot be read, does not hold what was named, or makes no client.
    pub fn open(flags: &KubeFlags, environment: &Environment) -> Result<Self, Error> {
        let (kubeconfig, file) = kubeconfig::read(flags, environment)?;
        let target = Target::choose(kubeconfig, &file, flags)?;
        Self::to(&target, flags, environment)
    }

    fn to(target: &Target, flags: &KubeFlags, environment: &Environment) -> Result<Self, Error> {
        let config = config(target, flags, environment)?;
        let server = config.cluster_url.to_string();
        let namespace = flags.namespace.clone().unwrap_or_else(|| config.default_namespace.clone());
        Ok(Self {
            client: client(config)?,
            context: sanitise::line(&target.context),
            cluster: sanitise::line(&target.cluster_name),
            server: sanitise::line(server.trim_end_matches('/')),
            namespace,
        })
    }

    /// The same connection, with `suffix` (such as `plan/0f3a`) behind the User-Agent, so that the API server's audit
    /// log can be matched with the journal. Nothing is connected and no credential plugin runs for it: each write has one.
    ///
    /// # Errors
    /// If `suffix` holds what a header cannot.
    pub fn with_user_agent_suffix(&self, suffix: &str) -> Result<Self, Error> {
        let failed = |problem| Error::Connection { server: self.server.clone(), problem };
        let agent = user_agent(Some(suffix)).map_err(failed)?;
        let inner = self.client.clone();
        let service = tower::service_fn(move |request: http::Request<Body>| {
            let (inner, request) = (inner.clone(), signed(request, &agent));
            async move { inner.send(request).await }
        });
        Ok(Self { client: Client::new(service, self.client.default_namespace()), ..self.clone() })
    }

    /// Asks the API server who we are.
    ///
    /// # Errors
    /// If it does not answer, or does not know us.
    pub async fn identity(&self) -> Result<Identity, Error> {
        let request =
            Request { verb: "create", resource: "selfsubjectreviews", group: "authentication.k8s.io", namespace: None };
        let review = Api::<SelfSubjectReview>::all(self.client.clone())
            .create(&PostParams::default(), &SelfSubjectReview::default())
            .await
            .map_err(|error| request.failed(&error))?;
        let user = review.status.and_then(|status| status.user_info).unwrap_or_default();
        Ok(Identity {
            username: sanitise::line(&user.username.unwrap_or_default()),
            uid: user.uid.as_deref().map(sanitise::line),
            groups: user.groups.unwrap_or_default().iter().map(|group| sanitise::line(group)).collect(),
        })
    }
}

fn config(target: &Target, flags: &KubeFlags, environment: &Environment) -> Result<Config, Error> {
    let mut config = target.config(environment)?;
    config.default_retry = false;
    config.connect_timeout = Some(CONNECT_TIMEOUT);
    config.read_timeout = Some(flags.request_timeout).filter(|timeout| !timeout.is_zero());
    config.reset_reader_on_write = true;
    Ok(config)
}

/// The User-Agent: who asks, in which version, and for which plan; in words, why a header cannot hold that.
fn user_agent(suffix: Option<&str>) -> Result<HeaderValue, String> {
    let mut agent = format!("kubectl-guard/{VERSION} ({}/{})", std::env::consts::OS, std::env::consts::ARCH);
    agent.extend(suffix.into_iter().flat_map(|suffix| [" ", suffix]));
    HeaderValue::from_str(&agent).map_err(|error| error.to_string())
}

/// A request that names no sender yet gets this one.
fn signed<B>(mut request: http::Request<B>, agent: &HeaderValue) -> http::Request<B> {
    request.headers_mut().entry(header::USER_AGENT).or_insert_with(|| agent.clone());
    request
}

/// The request with the token that the file has now.
fn authorised<B>(mut request: http::Request<B>, token: Option<&TokenFile>) -> http::Request<B> {
    if let Some(token) = token {
        request.headers_mut().insert(header::AUTHORIZATION, token.header(Instant::now()));
    }
    request
}

/// Making one runs the credential plugin that the kubeconfig names, more than once: a connection makes one.
fn client(mut config: Config) -> Result<Client, Error> {
    let server = config.cluster_url.to_string();
    let failed = |problem| Error::Connection { server: server.clone(), problem };
    // kube takes the end of the line for a part of the token.
    let token = config.auth_info.token_file.take();
    let token = token.map(|path| TokenFile::open(&path)).transpose().map_err(failed)?;
    let agent = user_agent(None).map_err(failed)?;
    let plugin = credentials::command(&config.auth_info);
    // kube panics on a plugin's token that no header takes.
    let built = catch_unwind(AssertUnwindSafe(|| ClientBuilder::try_from(config)));
    let built = built.map_err(|_| Error::from(PluginFailed::unusable(&plugin)))?;
    let builder = built.map_err(|error| match PluginFailed::behind(&error, &plugin) {
        Some(failed) => failed.into(),
        None => failed(innermost(&error)),
    })?;
    let named = server.trim_end_matches('/').to_owned();
    // What kube itself says of a failure it keeps; a failed transport does not know whom it could not reach.
    let name_the_server = MapErrLayer::new(move |error: BoxError| -> BoxError {
        match PluginFailed::behind(&*error, &plugin) {
            Some(failed) => failed.into(),
            None if error.is::<kube::Error>() => error,
            None => Unanswered::new(&named, error).into(),
        }
    });
    let name_ourselves =
        MapRequestLayer::new(move |request: http::Request<Body>| authorised(signed(request, &agent), token.as_ref()));
    Ok(builder.with_layer(&name_the_server).with_layer(&name_ourselves).build())
}

#[cfg(test)]
mod tests;
