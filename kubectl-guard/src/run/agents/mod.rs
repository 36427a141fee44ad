//! Programs of the user's that are told of incidents, and may note or propose something.
//!
//! incidents -> [`Insight`], a line of JSON -> the program -> a line of JSON -> [`Word`] -> the log, or [`Asks`] -> `propose`. The
//! schema of both is `kubectl-guard/agent.schema.json`. A program is foreign: it gets no secret, its words are data, and what it
//! proposes is one of the actions that there are, for a target that is over its line, and waits for a person as every proposal does.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::io::AsyncWriteExt as _;
use tokio::process::ChildStdin;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout};

use super::due::{heeding, proposable};
use super::notices::Book;
use super::state::Being;
use super::supervise::{Backoff, Pauses};
use super::{LOOK_AGAIN, Part, Shared, next_reports};
use crate::config::{AgentMode, Config, Program, Remediation};
use crate::connect::Connection;
use crate::error::Error;
use crate::sanitise;

mod insight;
mod process;
mod word;

use insight::{Insight, Told};
use process::{Line, Lines, Process, Rate, Streams};
pub use word::{Ask, Note, Word};

/// Proposals that are not looked at yet; a program that makes more is not listened to.
const MOST_ASKS: usize = 16;
/// Whoever has closed its input and is about to end has ended by then.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// What was proposed by programs, until it is looked at.
#[derive(Default)]
pub struct Asks {
    asks: Mutex<VecDeque<(String, Ask)>>,
    new: Notify,
}

impl Asks {
    /// Keeps a program's proposal; false if there is no room.
    fn put(&self, agent: &str, ask: Ask) -> bool {
        let mut asks = self.asks.lock().unwrap_or_else(PoisonError::into_inner);
        if asks.len() >= MOST_ASKS {
            return false;
        }
        asks.push_back((agent.to_owned(), ask));
        self.new.notify_one();
        true
    }

    /// The next proposal, with the name of its program, once there is one.
    pub async fn next(&self) -> (String, Ask) {
        loop {
            let next = self.asks.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
            if let Some(next) = next {
                return next;
            }
            self.new.notified().await;
        }
    }
}

/// Keeps all programs going until it is let go; then they end, with all that they started.
///
/// # Errors
/// Never: a program that fails is started again.
pub async fn keep(config: &Config, connection: &Connection, shared: &Shared<'_>) -> Result<(), Error> {
    let programs = &config.agents.programs;
    shared.state.keep_agents(|name| programs.contains_key(name));
    shared.state.did(Part::Agents, &format!("{} programs", programs.len()));
    let agents = programs.iter().map(|(name, program)| Agent { name, program, config, connection, shared });
    futures::future::join_all(agents.map(Agent::keep)).await;
    Ok(())
}

/// One program, and what it needs.
#[derive(Clone, Copy)]
struct Agent<'a> {
    name: &'a str,
    program: &'a Program,
    config: &'a Config,
    connection: &'a Connection,
    shared: &'a Shared<'a>,
}

/// Shows a program as ended when it is let go.
struct Shown<'a>(Agent<'a>);

impl Drop for Shown<'_> {
    fn drop(&mut self) {
        self.0.shared.state.agent(self.0.name, |agent| agent.being = Being::Ended);
    }
}

impl Agent<'_> {
    async fn keep(self) {
        let _shown = Shown(self);
        let mut backoff = Backoff::new(Pauses::default());
        loop {
            self.shared.state.agent(self.name, |agent| agent.being = Being::Running);
            let began = Instant::now();
            let why = match Process::start(self.program, |name| std::env::var_os(name)) {
                Ok((process, streams)) => self.talk(process, streams).await,
                Err(why) => why,
            };
            let pause = backoff.failed(began.elapsed());
            self.shared.log.error(Part::Agents, &format!("{self}: {why}; again in {pause:?}"));
            let at = Timestamp::now().checked_add(pause).unwrap_or(Timestamp::MAX);
            self.shared.state.agent(self.name, |agent| {
                agent.restarts += 1;
                agent.being = Being::Restarting { why: sanitise::line(&why), at };
            });
            sleep(pause).await;
        }
    }

    /// Talks with the program until it ends, or has to be ended; says why.
    async fn talk(self, process: Process, streams: Streams) -> String {
        self.shared.log.info(Part::Agents, &format!("{self} runs: process {}", process.id()));
        let (spoken, stderr) = (self.listen(streams.stdout), self.overhear(streams.stderr));
        let mut heard = std::pin::pin!(async { tokio::try_join!(spoken, stderr) });
        let why = tokio::select! {
            why = self.tell(streams.stdin) => match why {
                Some(why) => Some(why),
                // Who ends closes everything at once: its last words and its exit code tell more than that nobody reads.
                None => match timeout(LAST_WORDS, &mut heard).await {
                    Ok(heard) => heard.err(),
                    Err(_) => Some("it does not read what it is told, and was ended".to_owned()),
                },
            },
            heard = &mut heard => heard.err(),
        };
        let ended = process.end().await;
        why.unwrap_or(ended)
    }

    /// Tells of what begins, changes and ends; of what lasts already, too. Ends with why nothing more can be told; `None` if
    /// its input is closed.
    async fn tell(self, mut to: ChildStdin) -> Option<String> {
        let mut reports = self.shared.reports.subscribe();
        let (mut book, mut told) = (Book::default(), Told::default());
        loop {
            let heard = self.shared.heard(self.connection, &mut reports).await;
            if let Some((latest, mutes)) = &heard {
                book.take(latest, mutes);
                let targets = proposable(&heeding(latest, mutes), self.config.remediation.confidence_threshold);
                for insight in told.news(&mut book, &targets, &self.connection.context, Timestamp::now()) {
                    if let Err(why) = self.give(&mut to, &insight).await {
                        return why;
                    }
                }
            }
            next_reports(&mut reports, heard.is_none().then_some(LOOK_AGAIN)).await;
        }
    }

    /// Writes a line. What ends the telling is as in [`Agent::tell`].
    async fn give(self, to: &mut ChildStdin, insight: &Insight) -> Result<(), Option<String>> {
        let json = serde_json::to_string(insight).map_err(|error| Some(format!("an incident is no JSON: {error}")))?;
        let line = json + "\n";
        let written = async {
            to.write_all(line.as_bytes()).await?;
            to.flush().await
        };
        match timeout(self.program.timeout, written).await {
            Err(_) => {
                Err(Some(format!("it did not read what it was told within {:?}, and was ended", self.program.timeout)))
            }
            Ok(Err(_)) => Err(None),
            Ok(Ok(())) => {
                self.shared.state.agent(self.name, |agent| agent.told += 1);
                Ok(())
            }
        }
    }

    /// Hears what it says, until it ends, or says too much, which is an error in words.
    async fn listen(self, from: tokio::process::ChildStdout) -> Result<(), String> {
        let (mut lines, mut rate) = (Lines::of(from), Rate::default());
        while let Ok(Some(line)) = lines.next().await {
            rate.take(&line)?;
            match rate.keeps() {
                Some(true) => self.hear(line),
                Some(false) => {
                    self.refuse(&format!(
                        "more than {} lines a minute; the rest of it is dropped",
                        process::MOST_LINES
                    ));
                }
                None => {}
            }
        }
        Ok(())
    }

    /// What it writes to stderr is of interest when looking for its faults. Ends as [`Agent::listen`] does.
    async fn overhear(self, from: tokio::process::ChildStderr) -> Result<(), String> {
        let (mut lines, mut rate) = (Lines::of(from), Rate::default());
        while let Ok(Some(line)) = lines.next().await {
            rate.take(&line)?;
            if let (Some(true), Line::Text(text)) = (rate.keeps(), line) {
                let text = word::fit(&String::from_utf8_lossy(&text));
                self.shared.log.info(Part::Agents, &format!("{self} on stderr: {text}"));
            }
        }
        Ok(())
    }

    fn hear(self, line: Line) {
        let Line::Text(line) = line else {
            return self.refuse(&format!("a line of more than {} bytes", process::LONGEST_LINE));
        };
        match Word::read(&line) {
            Ok(Word::Note(note)) => self.note(&note),
            Ok(Word::Proposal(ask)) => self.ask(ask),
            Err(why) => self.refuse(&why),
        }
    }

    fn note(self, note: &word::Note) {
        let about = note.incident.as_deref().map(|incident| format!(" (incident {})", word::fit(incident)));
        let text = word::fit(&note.text) + &about.unwrap_or_default();
        self.shared.log.info(Part::Agents, &format!("{self} notes: {text}"));
        self.shared.state.agent(self.name, |agent| {
            agent.notes += 1;
            (agent.last, agent.last_at) = (Some(text), Some(Timestamp::now()));
        });
    }

    fn ask(self, ask: Ask) {
        let Remediation { confidence_threshold, .. } = self.config.remediation;
        let targets = proposable(&self.shared.reports.borrow(), confidence_threshold);
        if let Err(why) = ask.check(&targets) {
            return self.refuse(&why);
        }
        if self.config.run.agent_mode == AgentMode::Monitoring {
            return self.refuse("nothing is proposed in --agent-mode monitoring");
        }
        if !self.shared.asks.put(self.name, ask) {
            return self.refuse(&format!("{MOST_ASKS} proposals are not looked at yet"));
        }
        self.shared.state.agent(self.name, |agent| agent.proposals += 1);
    }

    fn refuse(self, why: &str) {
        self.shared.log.warn(Part::Agents, &format!("{self}: refused: {why}"));
        self.shared.state.agent(self.name, |agent| agent.refused += 1);
    }
}

impl std::fmt::Display for Agent<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "agent {}", self.name)
    }
}

#[cfg(test)]
mod tests;
