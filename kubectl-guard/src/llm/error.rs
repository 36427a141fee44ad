//! Why there is no answer of a model.

use crate::error::Failure;
use crate::exit::Exit;

/// What went wrong. Foreign text in it is sanitised.
#[derive(Debug, thiserror::Error)]
pub enum LlmError {
    /// The address cannot be used.
    #[error("{url:?} is no address of a language model: {problem}")]
    Address {
        /// As it was typed.
        url: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// There is no key for a server elsewhere.
    #[error("there is no key for {server}")]
    NoKey {
        /// Who would be asked.
        server: String,
    },
    /// A file with a key, or the client, cannot be used.
    #[error("cannot ask {server}: {problem}")]
    Unusable {
        /// Who would be asked.
        server: String,
        /// Why not.
        problem: String,
    },
    /// There is no answer, or half of one.
    #[error("{server} does not answer: {problem}")]
    Unreachable {
        /// Who was asked.
        server: String,
        /// Why not.
        problem: String,
    },
    /// It does not answer this.
    #[error("{server} refuses ({status}){}{message}", if message.is_empty() { "" } else { ": " })]
    Refused {
        /// Who was asked.
        server: String,
        /// The HTTP status.
        status: u16,
        /// What it says.
        message: String,
    },
    /// It took more than it may.
    #[error("{server} has used up {what}")]
    OverBudget {
        /// Who was asked.
        server: String,
        /// The time, the tokens or the bytes.
        what: String,
    },
    /// What came back is not an answer.
    #[error("the answer is not what was asked for: {problem}")]
    NotAnAnswer {
        /// What is wrong with it.
        problem: String,
    },
}

impl LlmError {
    /// What to do next.
    pub fn next_step(&self) -> &'static str {
        match self {
            Self::Address { .. } => "name its base, such as https://api.openai.com/v1 or http://localhost:11434/v1",
            Self::NoKey { .. } => "set OPENAI_API_KEY or --openai-api-key-file; a server on this machine needs none",
            Self::Unusable { .. } | Self::Unreachable { .. } => "--llm-url or OPENAI_BASE_URL names another server",
            Self::Refused { .. } => "does it know the model? --llm-model names another",
            Self::OverBudget { .. } => "--llm-timeout and --llm-max-tokens allow more",
            Self::NotAnAnswer { .. } => "a larger model may keep to the form; --llm-model names another",
        }
    }

    /// True if the command line is at fault.
    pub fn is_usage(&self) -> bool {
        matches!(self, Self::Address { .. } | Self::NoKey { .. })
    }
}

impl Failure for LlmError {
    fn exit(&self) -> Exit {
        if self.is_usage() { Exit::Usage } else { Exit::Error }
    }

    fn hint(&self) -> Option<&str> {
        Some(self.next_step())
    }
}
