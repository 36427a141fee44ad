//! `run status|pause|resume|reload|stop`: orders to a `run` that runs.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueEnum};
use jiff::Timestamp;

use crate::config::{ConfigError, Merged};
use crate::console::Console;
use crate::error::Error;
use crate::exit::Exit;
use crate::render::{self, Style};
use crate::run::Shared;
use crate::run::control::{self, Answer, Control, Order};
use crate::run::state::{Being, State};
use crate::run::steer::Steering;

/// An order.
#[derive(Subcommand, Clone, Debug)]
pub(super) enum OrderArgs {
    /// Show the state of a run: its parts and waiting proposals
    Status(ToRun),
    /// Pause all parts of a run
    Pause(ToRun),
    /// Let a paused run go on
    Resume(ToRun),
    /// Reload the configuration of a run, which accepts or refuses it as a whole
    Reload(ToRun),
    /// Stop a run
    Stop(ToRun),
}

/// Arguments of an order.
#[derive(Args, Clone, Debug)]
pub(super) struct ToRun {
    /// Socket of the run, if it was started with --socket
    #[arg(long, value_name = "FILE")]
    socket: Option<PathBuf>,
    /// Print the answer in this format
    #[arg(short, long, value_enum, value_name = "FORMAT")]
    output: Option<Format>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    /// JSON
    Json,
}

impl OrderArgs {
    fn split(&self) -> (Order, &ToRun) {
        match self {
            OrderArgs::Status(to) => (Order::Status, to),
            OrderArgs::Pause(to) => (Order::Pause, to),
            OrderArgs::Resume(to) => (Order::Resume, to),
            OrderArgs::Reload(to) => (Order::Reload, to),
            OrderArgs::Stop(to) => (Order::Stop, to),
        }
    }
}

/// Gives the order, and shows what came of it.
pub(super) async fn run(order: &OrderArgs, console: &Console) -> Result<Exit, Error> {
    let (order, to) = order.split();
    let answer = control::order(&place(to.socket.as_deref())?, order).await?;
    if to.output.is_some() {
        let text = serde_json::to_string_pretty(&answer)
            .map_err(|error| Error::Io { doing: "write JSON".to_owned(), source: error.into() })?;
        console.line(&text)?;
    } else if order == Order::Status {
        console.print(&shown(&answer.state, Style::of(console, Timestamp::now())))?;
    } else if answer.done {
        console.line(&answer.said)?;
    } else {
        console.warn(&answer.said);
    }
    Ok(if answer.done { Exit::Done } else { Exit::Refused })
}

fn place(socket: Option<&Path>) -> Result<PathBuf, Error> {
    let default = || control::default_path(|name| std::env::var_os(name).map(PathBuf::from));
    socket.map(Path::to_owned).or_else(default).ok_or_else(|| Error::Usage {
        message: "there is no place for the socket of run: none of $XDG_RUNTIME_DIR, $XDG_STATE_HOME and $HOME is set"
            .to_owned(),
        hint: "name one with --socket".to_owned(),
    })
}

fn shown(state: &State, style: Style) -> String {
    let ago = |at: Timestamp| guard_model::words::duration(style.now.duration_since(at).as_secs_f64().max(0.0));
    let being = |being: &Being| match being {
        Being::Running => "running".to_owned(),
        Being::Paused => "paused".to_owned(),
        Being::Ended => "ended".to_owned(),
        Being::Restarting { why, .. } => format!("to be restarted: {why}"),
    };
    let parts: Vec<Vec<String>> = state
        .parts
        .iter()
        .map(|(part, is)| {
            let last = is.last.as_ref().zip(is.last_at).map(|(last, at)| format!("{last}, {} ago", ago(at)));
            vec![part.name().to_owned(), being(&is.being), is.restarts.to_string(), last.unwrap_or_default()]
        })
        .collect();
    let over = match state.anomalous {
        1 => "1 pod over its line".to_owned(),
        many => format!("{many} pods over their line"),
    };
    let mut text = format!("up for {}, {over}\n\n", ago(state.started));
    text.push_str(&render::simple(&["PART", "STATE", "RESTARTS", "LAST"], &parts, style));
    if !state.agents.is_empty() {
        let rows: Vec<Vec<String>> = state
            .agents
            .iter()
            .map(|(name, is)| {
                let last = is.last.as_ref().zip(is.last_at).map(|(last, at)| format!("{last}, {} ago", ago(at)));
                let count = |n: u64| n.to_string();
                vec![
                    name.clone(),
                    being(&is.being),
                    count(is.restarts),
                    count(is.told),
                    count(is.notes),
                    count(is.proposals),
                    count(is.refused),
                    last.unwrap_or_default(),
                ]
            })
            .collect();
        text.push('\n');
        let head = ["AGENT", "STATE", "RESTARTS", "TOLD", "NOTES", "PROPOSALS", "REFUSED", "LAST NOTE"];
        text.push_str(&render::simple(&head, &rows, style));
    }
    if !state.proposals.is_empty() {
        let rows: Vec<Vec<String>> = state
            .proposals
            .iter()
            .map(|waiting| {
                let score = waiting.score.map_or_else(String::new, |score| format!("{score:.2}"));
                let reason = waiting.reason.clone().unwrap_or_default();
                let by = waiting.by.to_string();
                vec![waiting.action.clone(), by, score, ago(waiting.at), reason, waiting.command.clone()]
            })
            .collect();
        text.push('\n');
        text.push_str(&render::simple(&["PROPOSED", "BY", "SCORE", "SINCE", "REASON", "COMMAND"], &rows, style));
    }
    text
}

/// Listens for orders, if there is a place for it.
pub(super) async fn listen(socket: Option<&Path>) -> Result<Option<Control>, Error> {
    let Ok(path) = place(socket) else { return Ok(None) };
    Control::listen(&path).await.map(Some)
}

/// Obeys orders, for as long as it is polled.
pub(super) async fn serve(
    control: Option<&Control>,
    steering: &Steering<'_, impl Fn() -> Result<Merged, ConfigError>>,
    shared: &Shared<'_>,
) {
    let Some(control) = control else { return std::future::pending().await };
    let obey = |order: Order| {
        let said = match order {
            Order::Status => Ok("it runs".to_owned()),
            Order::Pause => Ok(steering.pause().to_owned()),
            Order::Resume => Ok(steering.resume().to_owned()),
            Order::Reload => steering.reload(),
            Order::Stop => Ok(steering.stop().to_owned()),
        };
        let (done, said) = said.map_or_else(|why| (false, why), |said| (true, said));
        Answer { done, said, state: shared.state.now() }
    };
    control.serve(obey).await;
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::run::Part;
    use crate::run::state::{AgentState, PartState, Proposer, Waiting};

    #[test]
    fn the_state_is_shown_with_what_waits() {
        let at = |second: i64| Timestamp::from_second(1_795_356_000 + second).unwrap();
        let part = |being, restarts, last: Option<&str>| PartState {
            being,
            restarts,
            last: last.map(str::to_owned),
            last_at: last.map(|_| at(580)),
        };
        let why = "the API server does not answer".to_owned();
        let state = State {
            started: at(0),
            pid: 7,
            parts: BTreeMap::from([
                (Part::Collect, part(Being::Restarting { why, at: at(620) }, 3, None)),
                (Part::Score, part(Being::Running, 0, Some("240 rows scored, 1 of 12 pods over the line"))),
                (Part::Propose, part(Being::Paused, 0, Some("1 proposals wait"))),
            ]),
            agents: BTreeMap::from([
                (
                    "note".to_owned(),
                    AgentState {
                        told: 3,
                        notes: 2,
                        proposals: 1,
                        refused: 1,
                        last: Some("cart leaks".to_owned()),
                        last_at: Some(at(540)),
                        ..AgentState::default()
                    },
                ),
                (
                    "over".to_owned(),
                    AgentState {
                        being: Being::Restarting { why: "it ended with exit code 3".to_owned(), at: at(608) },
                        restarts: 4,
                        ..AgentState::default()
                    },
                ),
            ]),
            explanations: Vec::new(),
            patterns: Vec::new(),
            anomalous: 1,
            proposals: vec![Waiting {
                namespace: "shop".to_owned(),
                target: "deployment/cart".to_owned(),
                action: "restart deployment/cart".to_owned(),
                score: Some(0.93),
                reason: Some("memory near its limit".to_owned()),
                at: at(500),
                command: "kubectl guard fix deployment/cart -n shop --action restart".to_owned(),
                asked: None,
                by: Proposer::Agent("note".to_owned()),
            }],
        };
        let style = Style { columns: 160, colour: false, headless: false, now: at(600) };
        insta::assert_snapshot!(shown(&state, style));
    }
}
