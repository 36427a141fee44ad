//! The one request that leaves the machine, within its budget of time, tokens and tries.

use std::time::{Duration, Instant};

use http::{HeaderValue, Method, StatusCode, header};
use http_body_util::{BodyExt as _, Limited};
use kube::Client;
use kube::client::Body;
use serde::{Deserialize, Serialize};

use super::stream::{Broken, Complaint, Stream, Usage};
use super::{Budget, Endpoint, LlmError};
use crate::connect::{Environment, foreign};
use crate::request::innermost;
use crate::sanitise;

/// Tries in all; the server is told nothing twice that it has answered.
const TRIES: u32 = 3;
/// The pause before the second try; twice as long before the third.
const PAUSE: Duration = Duration::from_millis(500);
/// The longest pause that a server may ask for.
const MAX_PAUSE: Duration = Duration::from_secs(10);
/// Bytes of a refusal that are read.
const MAX_REFUSAL: usize = 64 << 10;

/// What came back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reply {
    /// What the model wrote; foreign.
    pub text: String,
    /// What it cost; `None` if the server does not say.
    pub usage: Option<Usage>,
    /// How long it took; `None` if nobody was asked, because the same was answered before.
    #[serde(skip)]
    pub took: Option<Duration>,
}

/// A try that failed.
enum Failure {
    /// The next one may succeed, after the pause that the server asks for.
    Passing(LlmError, Option<Duration>),
    /// The next one would fail as well.
    Final(LlmError),
}

/// Sends the request and reads the answer.
pub(super) async fn ask(
    endpoint: &Endpoint,
    request: &str,
    budget: Budget,
    environment: &Environment,
) -> Result<Reply, LlmError> {
    let client = foreign::client(&endpoint.url, endpoint.auth()?, None, environment)
        .map_err(|problem| LlmError::Unusable { server: endpoint.server(), problem })?;
    let begun = Instant::now();
    let tries = repeat(endpoint, &client, request, budget);
    let late = || LlmError::OverBudget { server: endpoint.server(), what: format!("its {} s", budget.time.as_secs()) };
    let stream = tokio::time::timeout(budget.time, tries).await.map_err(|_| late())??;
    Ok(Reply { text: stream.text, usage: stream.usage, took: Some(begun.elapsed()) })
}

async fn repeat(endpoint: &Endpoint, client: &Client, request: &str, budget: Budget) -> Result<Stream, LlmError> {
    let mut pause = PAUSE;
    for _ in 1..TRIES {
        match attempt(endpoint, client, request, budget.tokens).await {
            Ok(stream) => return Ok(stream),
            Err(Failure::Final(error)) => return Err(error),
            Err(Failure::Passing(_, asked)) => tokio::time::sleep(asked.unwrap_or(pause).min(MAX_PAUSE)).await,
        }
        pause *= 2;
    }
    attempt(endpoint, client, request, budget.tokens).await.map_err(|failure| match failure {
        Failure::Passing(error, _) | Failure::Final(error) => error,
    })
}

async fn attempt(endpoint: &Endpoint, client: &Client, request: &str, tokens: u32) -> Result<Stream, Failure> {
    let server = || endpoint.server();
    let unreachable = |problem| LlmError::Unreachable { server: server(), problem };
    let mut message = http::Request::new(Body::from(request.as_bytes().to_vec()));
    *message.method_mut() = Method::POST;
    // kube puts the base before it.
    *message.uri_mut() = http::Uri::from_static("/chat/completions");
    let json = HeaderValue::from_static("application/json");
    message.headers_mut().insert(header::CONTENT_TYPE, json);
    let response = client.send(message).await;
    let response = response.map_err(|error| Failure::Passing(unreachable(innermost(&error)), None))?;
    if !response.status().is_success() {
        return Err(refusal(&server(), response).await);
    }
    let mut body = response.into_body();
    let mut stream = Stream::default();
    let broken = |broken: Broken| Failure::Final(broken.said_by(&server()));
    while let Some(frame) = body.frame().await {
        // What has begun is not asked for again: it would be paid for twice.
        let frame =
            frame.map_err(|error| Failure::Final(unreachable(format!("it breaks off: {}", innermost(&error)))))?;
        let Ok(bytes) = frame.into_data() else { continue };
        let done = stream.push(&bytes).map_err(broken)?;
        if stream.pieces > tokens.saturating_mul(2) {
            return Err(Failure::Final(LlmError::OverBudget {
                server: server(),
                what: format!("its {tokens} tokens"),
            }));
        }
        if done {
            return Ok(stream);
        }
    }
    stream.finish().map_err(broken)?;
    Ok(stream)
}

async fn refusal(server: &str, response: http::Response<Body>) -> Failure {
    #[derive(Deserialize)]
    struct Refusal {
        error: Complaint,
    }
    let status = response.status();
    let asked = response.headers().get(header::RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
    let body = Limited::new(response.into_body(), MAX_REFUSAL).collect().await;
    let body = body.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let message = serde_json::from_slice::<Refusal>(&body).map(|refusal| refusal.error.message).unwrap_or_default();
    let error =
        LlmError::Refused { server: server.to_owned(), status: status.as_u16(), message: sanitise::line(&message) };
    if status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error() {
        Failure::Passing(error, asked.map(Duration::from_secs))
    } else {
        Failure::Final(error)
    }
}
