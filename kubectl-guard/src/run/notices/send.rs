//! Where messages go: addresses from the configuration, and one request for each message.

use std::path::Path;
use std::time::Duration;

use http::{HeaderValue, Method, Uri, header};
use jiff::Timestamp;
use kube::Client;
use kube::client::Body;
use kube::config::AuthInfo;
use serde_json::Value;

use super::{Book, Message, body};
use crate::config::Notices;
use crate::connect::{Environment, foreign};
use crate::error::Error;
use crate::files::unreadable;
use crate::request::innermost;
use crate::sanitise;

/// A sink that does not answer by then is tried again later.
const PATIENCE: Duration = Duration::from_secs(10);

/// Names a file with the address of a webhook: it is a secret, as Slack's is.
const SECRET_URL: &str = "notices.webhook_url_file";

/// What a sink understands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Webhook,
    Slack,
    Alertmanager,
}

/// Somebody who is told.
pub(super) struct Sink {
    kind: Kind,
    client: Client,
    /// Path and query; they may be a secret, and are never shown.
    path: Uri,
    host: String,
}

/// All that the configuration names.
///
/// # Errors
/// If an address or a file with one cannot be used.
pub(super) fn sinks(notices: &Notices, environment: &Environment) -> Result<Vec<Sink>, Error> {
    let mut sinks = Vec::new();
    if let Some((key, url)) = webhook(notices)? {
        let token = notices.webhook_token_file.as_deref().map(secret).transpose()?;
        let auth = AuthInfo { token: token.map(Into::into), ..AuthInfo::default() };
        sinks.push(Sink::open(Kind::Webhook, &url, key, auth, environment)?);
    }
    if let Some(file) = &notices.slack_url_file {
        sinks.push(Sink::open(
            Kind::Slack,
            &secret(file)?,
            "notices.slack_url_file",
            AuthInfo::default(),
            environment,
        )?);
    }
    if let Some(base) = &notices.alertmanager_url {
        let url = format!("{}/api/v2/alerts", base.trim_end_matches('/'));
        sinks.push(Sink::open(Kind::Alertmanager, &url, "notices.alertmanager_url", AuthInfo::default(), environment)?);
    }
    Ok(sinks)
}

/// The webhook's address, and the key that says it.
fn webhook(notices: &Notices) -> Result<Option<(&'static str, String)>, Error> {
    Ok(match (&notices.webhook_url, &notices.webhook_url_file) {
        (Some(_), Some(_)) => {
            return Err(Error::Usage {
                message: "notices.webhook_url and notices.webhook_url_file both name the webhook".to_owned(),
                hint: "leave one of them out".to_owned(),
            });
        }
        (Some(url), None) => Some(("notices.webhook_url", url.clone())),
        (None, Some(file)) => Some((SECRET_URL, secret(file)?)),
        (None, None) => None,
    })
}

/// The one line of a file.
fn secret(file: &Path) -> Result<String, Error> {
    let text = std::fs::read_to_string(file).map_err(|source| unreadable(file, source))?;
    Ok(text.trim().to_owned())
}

impl Sink {
    fn open(kind: Kind, url: &str, key: &str, auth: AuthInfo, environment: &Environment) -> Result<Self, Error> {
        // Not with the address: it may be a secret.
        let wrong = |problem: &str| Error::Usage {
            message: format!("{key}: {problem}"),
            hint: "name an address such as https://alerts.example.org/hook".to_owned(),
        };
        let no_address = || wrong("it is no address that begins with http:// or https:// and names a host");
        let url: Uri = url.parse().map_err(|_| no_address())?;
        let (Some(scheme @ ("http" | "https")), Some(authority)) = (url.scheme_str(), url.authority()) else {
            return Err(no_address());
        };
        if authority.as_str().contains('@') {
            return Err(wrong("it holds a name or a password; a token belongs into notices.webhook_token_file"));
        }
        if kind == Kind::Slack || key == SECRET_URL {
            foreign::keeps_secrets(&url).map_err(|problem| wrong(&problem))?;
        }
        let base: Uri = format!("{scheme}://{authority}").parse().map_err(|_| no_address())?;
        let path = url.path_and_query().map_or("/", |path| path.as_str());
        let path = path.parse().map_err(|_| no_address())?;
        let client = foreign::client(&base, auth, None, environment).map_err(|problem| wrong(&problem))?;
        Ok(Self { kind, client, path, host: sanitise::line(authority.as_str()) })
    }

    /// What it is, in a word.
    pub(super) fn name(&self) -> &'static str {
        match self.kind {
            Kind::Webhook => "webhook",
            Kind::Slack => "slack",
            Kind::Alertmanager => "alertmanager",
        }
    }

    /// True if what still lasts must be told again and again.
    pub(super) fn wants_repeats(&self) -> bool {
        self.kind == Kind::Alertmanager
    }

    /// Tells it.
    ///
    /// # Errors
    /// In words, if it did not take the message.
    pub(super) async fn send(&self, message: &Message, book: &Book, cluster: &str) -> Result<(), String> {
        let (now, cluster) = (Timestamp::now(), sanitise::line(cluster));
        let body = match self.kind {
            Kind::Webhook => body::webhook(message, &cluster, now),
            Kind::Slack => body::slack(message, &cluster, now),
            Kind::Alertmanager => {
                let open = book.known(self.name()).chain(&message.began);
                body::alertmanager(open, &message.ended, &cluster)
            }
        };
        let sent = tokio::time::timeout(PATIENCE, self.post(&body)).await;
        let sent = sent.unwrap_or_else(|_| Err(format!("does not answer within {} s", PATIENCE.as_secs())));
        sent.map_err(|problem| format!("{} at {} {problem}", self.name(), self.host))
    }

    async fn post(&self, body: &Value) -> Result<(), String> {
        let mut request = http::Request::new(Body::from(body.to_string().into_bytes()));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.path.clone();
        request.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let response =
            self.client.send(request).await.map_err(|error| format!("cannot be reached: {}", innermost(&error)))?;
        let status = response.status();
        if status.is_success() { Ok(()) } else { Err(format!("answers {status}")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_address_of_a_webhook_comes_from_the_configuration_or_from_a_file() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "https://hooks.example.org/s3cret\n").unwrap();
        let open = |url: Option<&str>, file: Option<&Path>| {
            let notices = Notices {
                webhook_url: url.map(str::to_owned),
                webhook_url_file: file.map(Path::to_owned),
                webhook_token_file: None,
                slack_url_file: None,
                alertmanager_url: None,
                group_wait: Duration::ZERO,
            };
            assert!(notices.anybody());
            sinks(&notices, &Environment::default())
        };
        let told = open(None, Some(file.path())).unwrap();
        assert_eq!((told[0].name(), &*told[0].host, told[0].path.path()), ("webhook", "hooks.example.org", "/s3cret"));
        let twice = open(Some("http://localhost"), Some(file.path())).err().unwrap();
        assert!(twice.to_string().contains("both name the webhook"), "{twice}");
    }
}
