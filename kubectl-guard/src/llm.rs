//! `explain --llm` and `run --enable-llm`: what a language model makes of a pod's case, and of several incidents.
//!
//! `Row, Detail -> Case -> request -> Answer -> text`. What leaves the machine is a [`Case`]: numbers and words of closed lists, with
//! pseudonyms for names. What comes back is prose and one of the actions that were offered: nothing in it becomes a
//! command, a target or an approval.

mod answer;
mod args;
mod cache;
mod case;
mod client;
mod error;
mod opinion;
mod patterns;
mod prompt;
mod pseudonyms;
mod stream;
mod text;

pub use answer::Answer;
pub(crate) use args::{DEFAULT_MODEL, DEFAULT_URL};
pub use args::{Endpoint, LlmArgs, Price};
pub use case::Case;
pub use client::Reply;
pub use error::LlmError;
pub use opinion::{Explained, Opinion, Pattern};
pub use patterns::{Group, Incidents, Relation, Seen};
pub use pseudonyms::Pseudonyms;
pub use stream::Usage;
pub use text::{cost, show};

use std::time::Duration;

use crate::connect::Environment;
use crate::plan::ActionKind;

/// What one answer may cost.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    /// For all tries together.
    pub time: Duration,
    /// Tokens of the answer.
    pub tokens: u32,
}

/// Asks about one case, or takes what was answered to the same one before.
///
/// # Errors
/// If there is no answer within the budget, or what comes back is none.
pub async fn ask(
    endpoint: &Endpoint,
    case: &Case,
    names: &Pseudonyms,
    budget: Budget,
    environment: &Environment,
) -> Result<(Answer, Reply), LlmError> {
    let request = prompt::request(case, &endpoint.model, budget.tokens);
    answered(endpoint, &request, budget, environment, |text| answer::parse(text, &case.actions, names)).await
}

/// What comes of the bytes of a whole answer to a case that offered these actions: the way that each answer goes, without the
/// network before it.
///
/// # Errors
/// If they are no such answer.
pub fn read(bytes: &[u8], offered: &[ActionKind], names: &Pseudonyms) -> Result<Answer, LlmError> {
    let mut stream = stream::Stream::default();
    let read = stream.push(bytes).and_then(|_| stream.finish());
    read.map_err(|broken| broken.said_by("the file"))?;
    answer::parse(&stream.text, offered, names)
}

/// Asks which incidents belong together, or takes what was answered to the same question before.
///
/// # Errors
/// If there is no answer within the budget, or what comes back is none.
pub async fn ask_for_patterns(
    endpoint: &Endpoint,
    incidents: &Incidents,
    names: &Pseudonyms,
    budget: Budget,
    environment: &Environment,
) -> Result<(Vec<Group>, Reply), LlmError> {
    let request = prompt::patterns(incidents, &endpoint.model, budget.tokens);
    answered(endpoint, &request, budget, environment, |text| patterns::parse(text, incidents, names)).await
}

async fn answered<T>(
    endpoint: &Endpoint,
    request: &str,
    budget: Budget,
    environment: &Environment,
    parse: impl Fn(&str) -> Result<T, LlmError>,
) -> Result<(T, Reply), LlmError> {
    let place = cache::place(endpoint, request);
    if let Some(reply) = place.as_deref().and_then(cache::read)
        && let Ok(answer) = parse(&reply.text)
    {
        return Ok((answer, reply));
    }
    let reply = client::ask(endpoint, request, budget, environment).await?;
    let answer = parse(&reply.text)?;
    if let Some(place) = place {
        cache::write(&place, &reply);
    }
    Ok((answer, reply))
}

/// About how many tokens a question may cost: what is sent has four bytes to one, and the answer has as many as it may.
pub fn at_most(request: &str, budget: Budget) -> u64 {
    request.len() as u64 / 4 + u64::from(budget.tokens)
}

/// Exactly what would be sent to ask which incidents belong together.
pub fn request_for_patterns(endpoint: &Endpoint, incidents: &Incidents, budget: Budget) -> String {
    prompt::patterns(incidents, &endpoint.model, budget.tokens)
}

/// Exactly what would be sent.
pub fn request(endpoint: &Endpoint, case: &Case, budget: Budget) -> String {
    prompt::request(case, &endpoint.model, budget.tokens)
}

#[cfg(test)]
mod tests;
