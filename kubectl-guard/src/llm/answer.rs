//! What a model answered, believed only as far as it has the shape that was asked for. Pure.

use serde::Deserialize;

use super::{LlmError, Pseudonyms};
use crate::plan::ActionKind;
use crate::sanitise;

/// Columns of the root cause.
const ROOT_CAUSE: usize = 300;
/// Columns of the explanation.
const EXPLANATION: usize = 1_500;
/// Columns of a check.
const CHECK: usize = 300;
/// Checks that are kept.
const CHECKS: usize = 4;

/// A model's opinion. Its text is sanitised, with names in place of pseudonyms.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// What most likely happened.
    pub root_cause: String,
    /// Why.
    pub explanation: String,
    /// What to check first.
    pub checks: Vec<String>,
    /// What it would do; `None` if nothing that was offered.
    pub action: Option<ActionKind>,
    /// How sure it says it is, 0 to 1.
    pub confidence: f64,
}

#[derive(Deserialize)]
struct Wire {
    root_cause: String,
    explanation: String,
    #[serde(default)]
    checks: Vec<String>,
    action: String,
    confidence: f64,
}

/// Reads an answer to a case that `offered` these actions.
pub(super) fn parse(text: &str, offered: &[ActionKind], names: &Pseudonyms) -> Result<Answer, LlmError> {
    let wrong = |problem: String| LlmError::NotAnAnswer { problem: sanitise::line(&problem) };
    let wire: Wire = serde_json::from_str(unfenced(text)).map_err(|error| wrong(error.to_string()))?;
    let action = match wire.action.as_str() {
        "none" => None,
        name => {
            let found = offered.iter().find(|action| action.name() == name);
            Some(*found.ok_or_else(|| wrong(format!("{name:?} is no action that was offered")))?)
        }
    };
    if !(0.0..=1.0).contains(&wire.confidence) {
        return Err(wrong(format!("its confidence of {} is not between 0 and 1", wire.confidence)));
    }
    let clean = |text: &str, columns| clean(text, names, columns);
    Ok(Answer {
        root_cause: clean(&wire.root_cause, ROOT_CAUSE),
        explanation: clean(&wire.explanation, EXPLANATION),
        checks: wire.checks.iter().take(CHECKS).map(|check| clean(check, CHECK)).collect(),
        action,
        confidence: wire.confidence,
    })
}

/// A model's words as one line, with names in place of pseudonyms.
pub(super) fn clean(text: &str, names: &Pseudonyms, columns: usize) -> String {
    sanitise::fit(&names.reveal(&sanitise::block(text).replace('\n', " ")), columns)
}

/// Without the fence that many models put around JSON.
pub(super) fn unfenced(text: &str) -> &str {
    let text = text.trim();
    let inner = text.strip_prefix("```json").or_else(|| text.strip_prefix("```"));
    inner.and_then(|inner| inner.strip_suffix("```")).unwrap_or(text)
}
