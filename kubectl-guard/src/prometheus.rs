//! A client of the Prometheus HTTP API, as Prometheus, Thanos, Mimir and VictoriaMetrics speak it: an expression in,
//! series out, never more of the past than was asked for.
//!
//! What it is told is foreign: its labels and messages are sanitised here, its size and its time are bounded, and what is
//! not an answer of that API is an error, never an empty result.

use std::time::Duration;

use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use http_body_util::{BodyExt as _, Limited};
use kube::Client;
use kube::client::Body;

use crate::connect::{Connection, Environment};
use crate::error::Error;
use crate::request::{Request, innermost};
use crate::sanitise;

mod answer;
mod endpoint;
mod error;
mod range;

pub use answer::{Answer, Point, Series, parse};
pub use endpoint::{Credentials, Endpoint, Place, Service};
pub use error::PrometheusError;
pub use range::Range;

/// One answer may take this long; Prometheus itself gives up a little earlier, and can then say why.
const PATIENCE: Duration = Duration::from_secs(30);
/// What Prometheus is told to take at most.
const THEIR_PATIENCE: &str = "25s";
/// What is longer is sent as a form: proxies refuse a long address.
const MOST_BY_ADDRESS: usize = 2048;
/// The longest address that can be asked for; through the API server there is no other way.
const LONGEST: usize = 65_000;
/// The scores of 150,000 pods are a third of this.
const MAX_ANSWER: usize = 128 << 20;

/// A Prometheus that can be asked.
#[derive(Clone)]
pub struct Prometheus {
    client: Client,
    /// What stands before `/api/v1/query`.
    prefix: String,
    headers: HeaderMap,
    credentials: Credentials,
    /// How it is named in errors.
    name: String,
    /// The namespace of its Service, if the API server passes the requests on.
    service_namespace: Option<String>,
}

impl Prometheus {
    /// Makes ready to ask. Nothing is sent yet; `connection` is used only for a Service, with the user's own rights.
    ///
    /// # Errors
    /// If a file with credentials cannot be used.
    pub fn open(
        endpoint: &Endpoint,
        connection: &Connection,
        environment: &Environment,
    ) -> Result<Self, PrometheusError> {
        let (client, prefix, service_namespace) = match &endpoint.place {
            Place::Service(service) => {
                (connection.client.clone(), service.path(), Some(service.namespace().to_owned()))
            }
            Place::Url(url) => (endpoint.client(url, environment)?, String::new(), None),
        };
        let mut headers = endpoint.headers.clone();
        headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        let credentials = endpoint.credentials.clone();
        // What cannot be read now is told before anything is asked.
        credentials.bearer()?;
        Ok(Self { client, prefix, headers, credentials, name: endpoint.place.to_string(), service_namespace })
    }

    /// The place it was asked at, for words.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The value of each series of `expression` now.
    ///
    /// # Errors
    /// If it does not answer, refuses, or answers with something else.
    pub async fn query(&self, expression: &str) -> Result<Answer, Error> {
        self.ask("query", &[("query", expression)]).await
    }

    /// The values of each series of `expression` at every step of `range`, asked for in as many pages as the limits of
    /// Prometheus need.
    ///
    /// # Errors
    /// As [`Self::query`]; a page that fails fails the whole.
    pub async fn query_range(&self, expression: &str, range: Range) -> Result<Answer, Error> {
        let mut whole = Answer::default();
        for page in range.pages() {
            let (start, end, step) = (page.start.to_string(), page.end.to_string(), page.step.to_string());
            let parameters = [("query", expression), ("start", &start), ("end", &end), ("step", &step)];
            whole.append(self.ask("query_range", &parameters).await?);
        }
        Ok(whole)
    }

    async fn ask(&self, what: &str, parameters: &[(&str, &str)]) -> Result<Answer, Error> {
        let mut form = format!("timeout={THEIR_PATIENCE}");
        for (name, value) in parameters {
            form.push('&');
            form.push_str(name);
            form.push('=');
            form.push_str(&encoded(value));
        }
        let request = self.request(&format!("{}/api/v1/{what}", self.prefix), form)?;
        let answered = tokio::time::timeout(PATIENCE, self.fetch(request)).await;
        let (status, body) = answered.unwrap_or_else(|_| {
            Err(PrometheusError::Unreachable {
                server: self.name.clone(),
                problem: format!("no whole answer within {} s", PATIENCE.as_secs()),
            })
        })?;
        if status.is_success() {
            return Ok(answer::parse(&self.name, &body)?);
        }
        Err(self.refused(status, &body))
    }

    /// The request: what is long goes as a form, but through the API server, where `create` on `services/proxy` would be
    /// needed for it.
    fn request(&self, path: &str, form: String) -> Result<http::Request<Body>, PrometheusError> {
        let by_form = self.service_namespace.is_none() && form.len() > MOST_BY_ADDRESS;
        let (uri, body) = if by_form {
            (path.to_owned(), Body::from(form.into_bytes()))
        } else {
            (format!("{path}?{form}"), Body::empty())
        };
        let mut request = http::Request::new(body);
        if uri.len() > LONGEST {
            return Err(PrometheusError::TooLong { server: self.name.clone() });
        }
        *request.uri_mut() = uri.parse().map_err(|error: http::uri::InvalidUri| PrometheusError::Unreachable {
            server: self.name.clone(),
            problem: error.to_string(),
        })?;
        request.headers_mut().clone_from(&self.headers);
        if by_form {
            *request.method_mut() = Method::POST;
            let form = HeaderValue::from_static("application/x-www-form-urlencoded");
            request.headers_mut().insert(header::CONTENT_TYPE, form);
        }
        if let Some(token) = self.credentials.bearer()? {
            request.headers_mut().insert(header::AUTHORIZATION, token);
        }
        Ok(request)
    }

    async fn fetch(&self, request: http::Request<Body>) -> Result<(StatusCode, Vec<u8>), PrometheusError> {
        let unreachable = |problem| PrometheusError::Unreachable { server: self.name.clone(), problem };
        let response = self.client.send(request).await.map_err(|error| unreachable(innermost(&error)))?;
        let status = response.status();
        match Limited::new(response.into_body(), MAX_ANSWER).collect().await {
            Ok(body) => Ok((status, body.to_bytes().to_vec())),
            Err(error) if error.is::<http_body_util::LengthLimitError>() => {
                Err(PrometheusError::TooLarge { server: self.name.clone(), mebibytes: MAX_ANSWER >> 20 })
            }
            Err(error) => Err(unreachable(format!("its answer breaks off: {}", innermost(&*error)))),
        }
    }

    /// The words of a refusal: the API server's about its proxy, else those of whoever answered.
    fn refused(&self, status: StatusCode, body: &[u8]) -> Error {
        let (Some(namespace), Some(said)) = (&self.service_namespace, answer::status_of_kubernetes(body)) else {
            return answer::refusal(&self.name, status, body).into();
        };
        if matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
            let request =
                Request { verb: "get", resource: "services/proxy", group: "", namespace: Some(namespace.as_str()) };
            return request.failed(&kube::Error::Api(Box::new(said)));
        }
        // There is no such Service, or nobody behind it.
        PrometheusError::Unreachable { server: self.name.clone(), problem: sanitise::line(&said.message) }.into()
    }
}

/// `text` as part of a query of a URL.
pub(crate) fn encoded(text: &str) -> String {
    const HEX: [char; 16] = ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F'];
    let mut encoded = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
            encoded.push(char::from(byte));
        } else {
            encoded.extend(['%', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
        }
    }
    encoded
}

#[cfg(test)]
mod tests;
