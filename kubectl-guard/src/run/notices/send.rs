//! Where messages go: addresses from the configuration, and one request for each message.
//!
//! Files with addresses and tokens are read for each message: they are renewed while a run runs.

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
    notices: Notices,
    environment: Environment,
}

/// Where one message goes.
struct Place {
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
    for kind in [Kind::Webhook, Kind::Slack, Kind::Alertmanager] {
        let sink = Sink { kind, notices: notices.clone(), environment: environment.clone() };
        // What cannot be used now is told before anything is sent.
        if sink.place()?.is_some() {
            sinks.push(sink);
        }
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
    let line = text.trim();
    // Not with the line: it is a secret.
    let fits = if line.is_empty() { Err("is empty") } else { foreign::fits_a_header(line) };
    fits.map_err(|problem| Error::BadFile {
        path: file.to_owned(),
        problem: format!("it {problem}"),
        hint: "put one line into it: the address, or the token".to_owned(),
    })?;
    Ok(line.to_owned())
}

impl Place {
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
        Ok(Self { client, path, host: sanitise::line(authority.as_str()) })
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

impl Sink {
    /// Where the configuration, and its files as they are now, have it; `None` if nobody is named.
    fn place(&self) -> Result<Option<Place>, Error> {
        let Self { kind, notices, environment } = self;
        let (url, key, token) = match kind {
            Kind::Webhook => {
                let Some((key, url)) = webhook(notices)? else { return Ok(None) };
                (url, key, notices.webhook_token_file.as_deref().map(secret).transpose()?)
            }
            Kind::Slack => {
                let Some(file) = &notices.slack_url_file else { return Ok(None) };
                (secret(file)?, "notices.slack_url_file", None)
            }
            Kind::Alertmanager => {
                let Some(base) = &notices.alertmanager_url else { return Ok(None) };
                (format!("{}/api/v2/alerts", base.trim_end_matches('/')), "notices.alertmanager_url", None)
            }
        };
        let auth = AuthInfo { token: token.map(Into::into), ..AuthInfo::default() };
        Place::open(*kind, &url, key, auth, environment).map(Some)
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
        let place = self.place().map_err(|error| format!("{}: {}", self.name(), error.in_one_line()))?;
        // Whoever is named at the start is named still: another configuration begins this part anew.
        let Some(place) = place else { return Ok(()) };
        let sent = tokio::time::timeout(PATIENCE, place.post(&body)).await;
        let sent = sent.unwrap_or_else(|_| Err(format!("does not answer within {} s", PATIENCE.as_secs())));
        sent.map_err(|problem| format!("{} at {} {problem}", self.name(), place.host))
    }
}

#[cfg(test)]
mod tests {
    use tempfile::NamedTempFile;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    /// A webhook by these settings.
    fn webhook(url: Option<&str>, file: Option<&Path>, token: Option<&Path>) -> Result<Vec<Sink>, Error> {
        let notices = Notices {
            webhook_url: url.map(str::to_owned),
            webhook_url_file: file.map(Path::to_owned),
            webhook_token_file: token.map(Path::to_owned),
            slack_url_file: None,
            alertmanager_url: None,
            group_wait: Duration::ZERO,
        };
        assert!(notices.anybody());
        sinks(&notices, &Environment::default())
    }

    /// A file that holds this.
    fn file(text: &str) -> NamedTempFile {
        let file = NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        file
    }

    /// Tells nothing, and gives the request as the listener read it.
    async fn told(sink: &Sink, listener: &TcpListener) -> String {
        let (message, book) = (Message::default(), Book::default());
        let answer = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = vec![0; 4096];
            let length = stream.read(&mut request).await.unwrap();
            stream.write_all(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n").await.unwrap();
            String::from_utf8_lossy(&request[..length]).into_owned()
        };
        let (sent, request) = tokio::join!(sink.send(&message, &book, "prod"), answer);
        sent.unwrap();
        request
    }

    #[tokio::test]
    async fn the_address_of_a_webhook_comes_from_the_configuration_or_from_a_file() {
        let file = file("https://hooks.example.org/s3cret\n");
        let told = webhook(None, Some(file.path()), None).unwrap();
        let place = told[0].place().unwrap().unwrap();
        assert_eq!((told[0].name(), &*place.host, place.path.path()), ("webhook", "hooks.example.org", "/s3cret"));
        let twice = webhook(Some("http://localhost"), Some(file.path()), None).err().unwrap();
        assert!(twice.to_string().contains("both name the webhook"), "{twice}");
    }

    #[tokio::test]
    async fn a_renewed_token_and_a_new_address_count_from_the_next_message_on() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let (url, token) = (file(&format!("{base}/first\n")), file("one\n"));
        let sinks = webhook(None, Some(url.path()), Some(token.path())).unwrap();
        let request = told(&sinks[0], &listener).await;
        assert!(request.starts_with("POST /first ") && request.contains("authorization: Bearer one\r\n"), "{request}");
        std::fs::write(url.path(), format!("{base}/second\n")).unwrap();
        std::fs::write(token.path(), "two\n").unwrap();
        let request = told(&sinks[0], &listener).await;
        assert!(request.starts_with("POST /second ") && request.contains("authorization: Bearer two\r\n"), "{request}");
        std::fs::remove_file(token.path()).unwrap();
        let problem = sinks[0].send(&Message::default(), &Book::default(), "prod").await.unwrap_err();
        assert!(problem.starts_with("webhook: cannot read "), "{problem}");
    }

    #[tokio::test]
    async fn a_token_is_one_line() {
        for (text, why) in [("geheim\n# of the team\n", "it holds a line break"), ("\n", "it is empty")] {
            let token = file(text);
            let error = webhook(Some("http://localhost"), None, Some(token.path())).err().unwrap().to_string();
            assert!(error.contains(why) && !error.contains("geheim"), "{error}");
        }
    }
}
