//! `agents.programs`: programs of the user's, each by a name that the user chose.

use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};

use super::problem::{Place, Problem};
use super::schema::Kind;
use super::seconds;
use super::tree::{Content, Node};
use crate::nearest::nearest;

/// More programs would cost more than they tell.
const MOST: usize = 16;
/// Words of one command.
const MOST_WORDS: usize = 64;
/// A name stands in logs and in front of proposals.
const LONGEST_NAME: usize = 40;
/// The keys of one program; the first must be there.
const KEYS: [&str; 3] = ["command", "folder", "timeout"];
/// How long a program may take to read what it is told.
const TIMEOUT: Kind = Kind::Duration(0.1);

/// A program that is told of incidents, and may say something about them.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Program {
    /// The program and its arguments; no shell reads them.
    pub command: Vec<String>,
    /// Where it runs; else where `run` does.
    pub folder: Option<PathBuf>,
    /// How long it may take to read what it is told.
    #[serde(deserialize_with = "seconds", default = "ten_seconds")]
    pub timeout: Duration,
}

fn ten_seconds() -> Duration {
    Duration::from_secs(10)
}

/// What a file says of programs: values by `NAME.KEY`, and what is wrong.
#[derive(Default)]
pub(super) struct Read {
    pub(super) values: Vec<(String, Value, Place)>,
    pub(super) problems: Vec<Problem>,
}

/// Reads the programs under the section `key`.
pub(super) fn read(key: &str, entries: &[(String, Place, Node)]) -> Read {
    let mut read = Read::default();
    for (count, (name, at, node)) in entries.iter().enumerate() {
        if count == MOST {
            read.problems.push(Problem::new(*at, format!("{key}: there may be {MOST} programs at most")));
            break;
        }
        if !is_name(name) {
            let problem = format!(
                "{key}: a program's name has lower-case letters, digits and '-', at most {LONGEST_NAME}, not {:?}",
                crate::sanitise::line(name)
            );
            read.problems.push(Problem::new(*at, problem));
            continue;
        }
        read.program(&format!("{key}.{name}"), name, *at, node);
    }
    read
}

fn is_name(text: &str) -> bool {
    let word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    (1..=LONGEST_NAME).contains(&text.len()) && text.chars().all(word) && !text.starts_with('-')
}

impl Read {
    fn program(&mut self, full: &str, name: &str, at: Place, node: &Node) {
        let Content::Map(entries) = &node.value else {
            let problem = format!("{full} must hold keys and values, not {}", node.kind());
            return self.problems.push(Problem::new(node.at, problem));
        };
        for (key, at, node) in entries {
            let value = match key.as_str() {
                "command" => command(node),
                "folder" => Kind::Text.of_node(node),
                "timeout" => TIMEOUT.of_node(node),
                _ => {
                    self.problems.push(Problem::new(*at, unknown(full, key)));
                    continue;
                }
            };
            match value {
                Ok(value) => self.values.push((format!("{name}.{key}"), value, node.at)),
                Err(problem) => self.problems.push(Problem::new(node.at, format!("{full}.{key}: {problem}"))),
            }
        }
        // Each file says it anew: a later one that spoke of another program's timeout would be a slip.
        if !entries.iter().any(|(key, ..)| key == "command") {
            self.problems
                .push(Problem::new(at, format!("{full} needs a command, such as [/usr/bin/python3, agent.py]")));
        }
    }
}

fn command(node: &Node) -> Result<Value, String> {
    let wrong = |what: String| format!("it must be a list of words such as [/usr/bin/python3, agent.py], not {what}");
    let Content::List(items) = &node.value else { return Err(wrong(node.kind()) + ": no shell reads it") };
    if items.is_empty() || items.len() > MOST_WORDS {
        return Err(wrong(format!("{} of them", items.len())));
    }
    let word = |item: &Node| match &item.value {
        Content::Scalar { text, .. } if !text.contains('\0') && !item.is_null() => Ok(json!(text)),
        _ => Err(wrong(format!("one with {}", item.kind()))),
    };
    let words: Vec<Value> = items.iter().map(word).collect::<Result<_, _>>()?;
    if words[0].as_str().is_none_or(str::is_empty) {
        return Err(wrong("one that begins with nothing".to_owned()));
    }
    Ok(Value::Array(words))
}

fn unknown(full: &str, key: &str) -> String {
    let shown = crate::sanitise::line(key);
    match nearest(key, KEYS.into_iter()) {
        Some(nearest) => format!("there is no key {shown:?} in {full}; is {nearest:?} meant?"),
        None => format!("there is no key {shown:?} in {full}; there are {}", KEYS.join(", ")),
    }
}
