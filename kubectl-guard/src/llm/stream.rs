//! The answer as it comes: server-sent events of a chat completion, or one JSON document from servers that do not stream. Pure.

use serde::{Deserialize, Serialize};

use super::LlmError;
use crate::sanitise;

/// Bytes of an answer; ten times what the largest budget of tokens needs.
const MAX_BYTES: usize = 1 << 20;

/// What was counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Tokens sent.
    pub prompt_tokens: u32,
    /// Tokens received.
    pub completion_tokens: u32,
}

/// An answer that is being received.
#[derive(Debug, Default)]
pub(super) struct Stream {
    /// What has come and is no whole line yet.
    rest: Vec<u8>,
    bytes: usize,
    /// What the model has written.
    pub(super) text: String,
    /// Pieces that it came in, about one a token.
    pub(super) pieces: u32,
    /// What the server counts.
    pub(super) usage: Option<Usage>,
    done: bool,
}

/// Why a stream cannot be read on.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Broken {
    /// It has no end.
    TooLarge,
    /// A line of it is none of a chat completion.
    Strange(String),
}

impl Broken {
    /// The error that it is, if this server sent it.
    pub(super) fn said_by(self, server: &str) -> LlmError {
        match self {
            Broken::TooLarge => LlmError::OverBudget { server: server.to_owned(), what: "its bytes".into() },
            Broken::Strange(problem) => LlmError::NotAnAnswer { problem: sanitise::line(&problem) },
        }
    }
}

#[derive(Deserialize)]
struct Chunk {
    #[serde(default)]
    choices: Vec<Choice>,
    usage: Option<Usage>,
    error: Option<Complaint>,
}

#[derive(Deserialize)]
struct Choice {
    #[serde(alias = "message")]
    delta: Option<Delta>,
}

#[derive(Deserialize)]
struct Delta {
    content: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct Complaint {
    #[serde(default)]
    pub(super) message: String,
}

impl Stream {
    /// Takes the next bytes. True when the answer has ended.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<bool, Broken> {
        self.bytes += bytes.len();
        if self.bytes > MAX_BYTES {
            return Err(Broken::TooLarge);
        }
        self.rest.extend_from_slice(bytes);
        while let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.rest.drain(..=end).collect();
            self.line(&line)?;
        }
        Ok(self.done)
    }

    /// Takes the end of the answer.
    pub(super) fn finish(&mut self) -> Result<(), Broken> {
        let rest = std::mem::take(&mut self.rest);
        self.line(&rest)
    }

    fn line(&mut self, line: &[u8]) -> Result<(), Broken> {
        let line = String::from_utf8_lossy(line);
        let line = line.trim();
        // Comments and other fields of server-sent events say nothing about the answer.
        let Some(data) = line.strip_prefix("data:").or_else(|| line.starts_with('{').then_some(line)) else {
            return Ok(());
        };
        let data = data.trim();
        if data == "[DONE]" {
            self.done = true;
            return Ok(());
        }
        let chunk: Chunk = serde_json::from_str(data).map_err(|error| Broken::Strange(error.to_string()))?;
        if let Some(complaint) = chunk.error {
            return Err(Broken::Strange(complaint.message));
        }
        self.usage = chunk.usage.or(self.usage.take());
        for content in chunk.choices.into_iter().filter_map(|choice| choice.delta?.content) {
            self.pieces += 1;
            self.text.push_str(&content);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const EVENTS: &str = "\
: ping\n\ndata: {\"choices\":[{\"delta\":{\"role\":\"assistant\"}}]}\n\n\
data: {\"choices\":[{\"delta\":{\"content\":\"{\\\"a\\\":\"}}]}\r\n\r\ndata:{\"choices\":[{\"delta\":{\"content\":\"1}\"}}]}\n\n\
data: {\"choices\":[],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":2}}\n\ndata: [DONE]\n\n";

    #[test]
    fn one_document_is_an_answer_too() {
        let mut stream = Stream::default();
        let text = r#"{"choices":[{"message":{"content":"x"}}],"usage":{"prompt_tokens":3,"completion_tokens":1}}"#;
        assert_eq!(stream.push(text.as_bytes()), Ok(false));
        stream.finish().unwrap();
        assert_eq!((stream.text.as_str(), stream.usage.unwrap().prompt_tokens), ("x", 3));
    }

    #[test]
    fn what_never_ends_and_what_is_no_answer_is_refused() {
        assert_eq!(Stream::default().push(&vec![b'x'; MAX_BYTES + 1]), Err(Broken::TooLarge));
        assert!(matches!(Stream::default().push(b"data: <html>\n"), Err(Broken::Strange(_))));
        let complaint = Stream::default().push(b"data: {\"error\":{\"message\":\"overloaded\"}}\n");
        assert_eq!(complaint, Err(Broken::Strange("overloaded".into())));
    }

    proptest! {
        #[test]
        fn however_it_is_cut_it_is_the_same_answer(cuts in proptest::collection::vec(1..40_usize, 1..60)) {
            let mut stream = Stream::default();
            let (mut rest, mut done) = (EVENTS.as_bytes(), false);
            for cut in cuts.into_iter().chain([EVENTS.len()]) {
                let (now, later) = rest.split_at(cut.min(rest.len()));
                done |= stream.push(now).unwrap();
                rest = later;
            }
            prop_assert!(done);
            prop_assert_eq!(&stream.text, "{\"a\":1}");
            prop_assert_eq!((stream.pieces, stream.usage.unwrap().completion_tokens), (2, 2));
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let mut stream = Stream::default();
            drop(stream.push(&bytes));
            drop(stream.finish());
        }
    }
}
