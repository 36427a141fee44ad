//! `explain --llm`: what a language model makes of a pod's case.
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
mod prompt;
mod pseudonyms;
mod stream;
mod text;

pub use answer::Answer;
pub use args::{Endpoint, LlmArgs};
pub use case::Case;
pub use client::{Reply, Usage};
pub use error::LlmError;
pub use pseudonyms::Pseudonyms;
pub use text::show;

use std::time::Duration;

use crate::connect::Environment;

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
    let place = cache::place(endpoint, &request);
    if let Some(reply) = place.as_deref().and_then(cache::read)
        && let Ok(answer) = answer::parse(&reply.text, &case.actions, names)
    {
        return Ok((answer, reply));
    }
    let reply = client::ask(endpoint, &request, budget, environment).await?;
    let answer = answer::parse(&reply.text, &case.actions, names)?;
    if let Some(place) = place {
        cache::write(&place, &reply);
    }
    Ok((answer, reply))
}

/// Exactly what would be sent.
pub fn request(endpoint: &Endpoint, case: &Case, budget: Budget) -> String {
    prompt::request(case, &endpoint.model, budget.tokens)
}

#[cfg(test)]
mod tests;
