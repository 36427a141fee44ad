//! Which model to ask, by flags and environment.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use http::Uri;
use kube::config::AuthInfo;

use super::{Budget, LlmError, Usage};
use crate::connect::foreign;
use crate::flags::duration;
use crate::sanitise;

const HEADING: &str = "Language model";
/// Where `OPENAI_API_KEY` belongs.
pub(crate) const DEFAULT_URL: &str = "https://api.openai.com/v1";
/// A small model there.
pub(crate) const DEFAULT_MODEL: &str = "gpt-4o-mini";

/// Flags about the language model.
#[derive(Args)]
pub struct LlmArgs {
    /// Also ask a language model; it gets numbers and pseudonyms, and what it says is never carried out
    #[arg(help_heading = HEADING, long)]
    llm: bool,
    /// Print exactly what would be sent to the model, and send nothing
    #[arg(help_heading = HEADING, long)]
    show_prompt: bool,
    /// Base of an OpenAI-compatible server
    #[arg(help_heading = HEADING)]
    #[arg(long, value_name = "URL", env = "OPENAI_BASE_URL", default_value = DEFAULT_URL, hide_env_values = true)]
    llm_url: String,
    /// Model to ask
    #[arg(help_heading = HEADING, long, value_name = "NAME", env = "OPENAI_MODEL", default_value = DEFAULT_MODEL)]
    llm_model: String,
    /// File with the key, instead of $OPENAI_API_KEY; a server on this machine needs none
    #[arg(help_heading = HEADING, long, value_name = "FILE")]
    openai_api_key_file: Option<PathBuf>,
    /// Time for all tries together
    #[arg(help_heading = HEADING, long, value_name = "DURATION", value_parser = duration::parse, default_value = "30s")]
    llm_timeout: Duration,
    /// Tokens that the answer may have
    #[arg(help_heading = HEADING)]
    #[arg(long, value_name = "N", default_value_t = 600, value_parser = clap::value_parser!(u32).range(50..=8_000))]
    llm_max_tokens: u32,
    /// US dollars for a million tokens sent and received, such as 0.15,0.60: the cost is then shown
    #[arg(help_heading = HEADING, long, value_name = "IN,OUT", env = "GUARD_LLM_PRICE", value_parser = Price::read)]
    llm_price: Option<Price>,
    /// The older tool took the key itself, which every user of the machine can then see in the list of processes
    #[arg(help_heading = HEADING, long, value_name = "KEY", hide = true, value_parser = no_key)]
    openai_api_key: Option<String>,
}

/// US dollars for a million tokens.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Price {
    /// Of tokens sent.
    pub sent: f64,
    /// Of tokens received.
    pub received: f64,
}

/// Where the key is.
#[derive(Default)]
pub(super) enum Key {
    /// In the environment, which nobody changes.
    Environment(String),
    /// In a file: it is read for each question, as it is renewed while a `run` runs.
    File(PathBuf),
    /// Nowhere.
    #[default]
    Nowhere,
}

/// A model that can be asked.
pub struct Endpoint {
    /// The server's base, without `/chat/completions`.
    pub(super) url: Uri,
    /// The name of the model.
    pub model: String,
    pub(super) key: Key,
    /// What tokens cost there, if it is known.
    pub price: Option<Price>,
}

impl LlmArgs {
    /// True if a model is to be asked.
    pub fn asks(&self) -> bool {
        self.llm && !self.show_prompt
    }

    /// True if the request is to be shown.
    pub fn shows(&self) -> bool {
        self.show_prompt
    }

    /// What an answer may cost.
    pub fn budget(&self) -> Budget {
        Budget { time: self.llm_timeout, tokens: self.llm_max_tokens }
    }

    /// The model that the flags name, with the key of the file or of the environment.
    ///
    /// # Errors
    /// If the address or the file cannot be used.
    pub fn endpoint(&self) -> Result<Endpoint, LlmError> {
        Endpoint::open(&self.llm_url, &self.llm_model, self.openai_api_key_file.as_deref(), self.llm_price)
    }
}

impl Endpoint {
    /// The model of this name at this address, with the key of the file or of the environment.
    ///
    /// # Errors
    /// If the address or the file cannot be used.
    pub fn open(url: &str, model: &str, key_file: Option<&Path>, price: Option<Price>) -> Result<Self, LlmError> {
        let variable = || std::env::var("OPENAI_API_KEY").map_or(Key::Nowhere, Key::Environment);
        let key = key_file.map_or_else(variable, |file| Key::File(file.to_owned()));
        let endpoint = Self { url: address(url)?, model: model.to_owned(), key, price };
        // What cannot be used now is told before anything is asked.
        endpoint.key()?;
        Ok(endpoint)
    }

    /// The key as it is now, if there is one.
    fn key(&self) -> Result<Option<String>, LlmError> {
        let unusable = |place: &str, problem: &str| LlmError::Unusable {
            server: self.server(),
            problem: sanitise::line(&format!("{place}: {problem}")),
        };
        let (place, text) = match &self.key {
            Key::Environment(text) => ("OPENAI_API_KEY".to_owned(), text.clone()),
            Key::File(file) => {
                let place = file.display().to_string();
                let text = std::fs::read_to_string(file).map_err(|error| unusable(&place, &error.to_string()))?;
                (place, text)
            }
            Key::Nowhere => return Ok(None),
        };
        let key = text.trim();
        foreign::fits_a_header(key).map_err(|problem| unusable(&place, &format!("the key {problem}")))?;
        Ok(Some(key.to_owned()).filter(|key| !key.is_empty()))
    }

    /// What is shown to the server.
    ///
    /// # Errors
    /// If the key cannot be used, or if a server elsewhere would be asked without one.
    pub(super) fn auth(&self) -> Result<AuthInfo, LlmError> {
        let key = self.key()?;
        if key.is_none() && !foreign::is_here(&self.url) {
            return Err(LlmError::NoKey { server: self.server() });
        }
        Ok(AuthInfo { token: key.map(Into::into), ..AuthInfo::default() })
    }

    /// Where it is, for words.
    pub fn server(&self) -> String {
        place(&self.url)
    }

    /// # Errors
    /// If the key cannot be used, or if a server elsewhere would be asked without one.
    pub fn check_key(&self) -> Result<(), LlmError> {
        self.auth().map(drop)
    }
}

fn place(url: &Uri) -> String {
    sanitise::line(url.authority().map_or("", |authority| authority.as_str()))
}

fn address(text: &str) -> Result<Uri, LlmError> {
    let wrong = |problem| LlmError::Address { url: sanitise::line(text), problem };
    let url: Uri = text.trim_end_matches('/').parse().map_err(|_| wrong("it is no URL"))?;
    if !matches!(url.scheme_str(), Some("http" | "https")) || url.host().is_none_or(str::is_empty) {
        return Err(wrong("it must begin with http:// or https:// and name a host"));
    }
    if url.authority().is_some_and(|authority| authority.as_str().contains('@')) || url.query().is_some() {
        let problem = "it holds more than a host and a path";
        return Err(LlmError::Address { url: place(&url).split('@').next_back().unwrap_or_default().into(), problem });
    }
    Ok(url)
}

impl Price {
    /// Two numbers with a comma between them.
    ///
    /// # Errors
    /// If they are none.
    pub fn read(text: &str) -> Result<Self, String> {
        let read = || {
            let (sent, received) = text.split_once(',')?;
            let number = |text: &str| text.trim().parse().ok().filter(|n: &f64| n.is_finite() && *n >= 0.0);
            Some(Self { sent: number(sent)?, received: number(received)? })
        };
        read().ok_or_else(|| "two prices are needed, such as 0.15,0.60".to_owned())
    }

    /// What so many tokens cost, in US dollars.
    pub fn of(self, usage: Usage) -> f64 {
        (f64::from(usage.prompt_tokens) * self.sent + f64::from(usage.completion_tokens) * self.received) / 1e6
    }
}

fn no_key(_: &str) -> Result<String, String> {
    Err("a key on the command line is seen by every user of this machine, and stays in the shell's history: put it into a file and \
         name that with --openai-api-key-file, or into OPENAI_API_KEY"
        .to_owned())
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    #[test]
    fn addresses_are_bases_of_servers() {
        for good in ["https://api.openai.com/v1", "http://localhost:11434/v1/", "https://[::1]:8000"] {
            assert!(address(good).is_ok(), "{good}");
        }
        for bad in ["", "localhost:1", "ftp://x", "https://", "https://u:geheim@x/v1", "https://x/v1?key=geheim"] {
            let error = address(bad).unwrap_err();
            assert!(error.is_usage() && !error.to_string().contains("u:geheim"), "{bad}: {error}");
        }
    }

    #[test]
    fn prices_are_two_numbers() {
        assert_eq!(Price::read("0.15,0.60"), Ok(Price { sent: 0.15, received: 0.6 }));
        for bad in ["", "1", "1,x", "-1,2", "1,inf"] {
            assert!(Price::read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_key_is_read_from_its_file_each_time_and_must_be_one_line() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let write = |text: &str| std::fs::write(file.path(), text).unwrap();
        let open = || Endpoint::open(DEFAULT_URL, DEFAULT_MODEL, Some(file.path()), None);
        write("first\n");
        let endpoint = open().unwrap();
        let shown = || endpoint.auth().map(|auth| auth.token.map(|token| token.expose_secret().to_owned()));
        assert_eq!(shown().unwrap().as_deref(), Some("first"));
        write("renewed\n");
        assert_eq!(shown().unwrap().as_deref(), Some("renewed"));
        write("geheim\n# of the team\n");
        for error in [shown().err().unwrap(), open().err().unwrap()] {
            let said = error.to_string();
            assert!(said.contains("the key holds a line break") && !said.contains("geheim"), "{said}");
        }
        write("\n");
        assert!(matches!(shown(), Err(LlmError::NoKey { .. })));
    }
}
