//! `-o`: the formats of an output, as typed. A document of programs leaves here as text for the console.

use std::ffi::OsStr;

use clap::builder::{PossibleValue, StringValueParser, TypedValueParser};
use serde::Serialize;
use serde_json::Value;

use crate::sanitise;

mod columns;
mod path;
mod template;

pub use columns::Columns;
pub use template::Template;

/// A mistake in a template or a list of columns.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("at character {at}: {problem}")]
pub struct TemplateError {
    at: usize,
    problem: String,
}

impl TemplateError {
    fn new(at: usize, problem: impl Into<String>) -> Self {
        Self { at, problem: problem.into() }
    }
}

/// How to write an output.
#[derive(Clone, Debug)]
pub enum Format {
    /// For people.
    Table,
    /// For people with wide terminals.
    Wide,
    /// `TYPE/NAME`, one a line.
    Name,
    /// A document for programs.
    Machine(Machine),
    /// The cells that were asked for, one line for each element.
    CustomColumns(Columns),
}

/// How to write a whole document.
#[derive(Clone, Debug)]
pub enum Machine {
    /// JSON.
    Json,
    /// YAML.
    Yaml,
    /// What a template picks from it.
    JsonPath(Template),
}

impl Machine {
    /// The document as text, to be printed as it is.
    pub fn write(&self, document: &impl Serialize) -> String {
        // Strings, numbers and lists of them: there is nothing here that cannot be written.
        match self {
            Machine::Json => {
                serde_json::to_string_pretty(document).map_or_else(|error| error.to_string(), |t| t + "\n")
            }
            Machine::Yaml => serde_norway::to_string(document).unwrap_or_else(|error| error.to_string()),
            Machine::JsonPath(template) => template.fill(&value(document)),
        }
    }
}

/// A document, or a part of one, as paths see it.
pub fn value(document: &impl Serialize) -> Value {
    serde_json::to_value(document).unwrap_or_default()
}

/// A value as text. What is not known is `null` in our documents and nothing here, like a key that is missing.
fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => sanitise::whole(text),
        // What is cut could not be read by a program any more.
        other => sanitise::whole(&other.to_string()),
    }
}

/// The formats that a command has, for its `-o`.
#[derive(Clone, Copy, Debug)]
pub struct Formats(&'static [(&'static str, &'static str)]);

const TABLE: (&str, &str) = ("table", "for people");
const WIDE: (&str, &str) = ("wide", "for people with wide terminals");
const JSON: (&str, &str) = ("json", "for programs");
const YAML: (&str, &str) = ("yaml", "for programs");
const JSONPATH: &str = "jsonpath=TEMPLATE";
const COLUMNS: &str = "custom-columns=SPEC";

impl Formats {
    /// Those of a list that people look at.
    pub const OF_STATUS: Self = Self(&[
        TABLE,
        WIDE,
        JSON,
        YAML,
        ("name", "TYPE/NAME, one a line"),
        (JSONPATH, "what a template picks, such as '{.items[*].name}'"),
        (COLUMNS, "a table of TITLE:PATH,..., such as NAME:.name,SCORE:.score"),
    ]);
    /// Those of a few facts.
    pub const OF_VERSION: Self = Self(&[("text", "for people"), JSON, YAML]);
    /// Those of a table that has a wider form and no names.
    pub const OF_INCIDENTS: Self = Self(&[
        TABLE,
        WIDE,
        JSON,
        YAML,
        (JSONPATH, "what a template picks, such as '{.items[*].id}'"),
        (COLUMNS, "a table of TITLE:PATH,..., such as ID:.id,BEGAN:.from,POD:.pods[0].pod"),
    ]);
    /// Those of a table that has no wider form and no names; its document is a list without a frame.
    pub const OF_HISTORY: Self = Self(&[
        TABLE,
        JSON,
        YAML,
        (JSONPATH, "what a template picks, such as '{[*].id}'"),
        (COLUMNS, "a table of TITLE:PATH,..., such as ID:.id,ACTION:.action,TARGET:.target"),
    ]);
    /// The same for mutes.
    pub const OF_MUTES: Self = Self(&[
        TABLE,
        JSON,
        YAML,
        (JSONPATH, "what a template picks, such as '{[*].reason}'"),
        (COLUMNS, "a table of TITLE:PATH,..., such as UNTIL:.until,BY:.by,REASON:.reason"),
    ]);

    fn read(self, text: &str) -> Result<Format, String> {
        let (name, argument) = text.split_once('=').map_or((text, None), |(name, argument)| (name, Some(argument)));
        let known = self.0.iter().map(|(known, _)| *known).find(|known| known.split('=').next() == Some(name));
        let Some(known) = known else {
            let all: Vec<&str> = self.0.iter().map(|(known, _)| *known).collect();
            return Err(format!("there is no such format; there are {}", all.join(", ")));
        };
        match (known.contains('='), argument) {
            (true, None) => return Err(format!("it is written {known}")),
            (false, Some(_)) => return Err(format!("{known} takes nothing behind it")),
            _ => {}
        }
        let argument = argument.unwrap_or_default();
        Ok(match name {
            "wide" => Format::Wide,
            "name" => Format::Name,
            "json" => Format::Machine(Machine::Json),
            "yaml" => Format::Machine(Machine::Yaml),
            "jsonpath" => {
                let template = Template::parse(argument).map_err(|error| format!("jsonpath: {error}"))?;
                Format::Machine(Machine::JsonPath(template))
            }
            "custom-columns" => {
                Format::CustomColumns(Columns::parse(argument).map_err(|error| format!("custom-columns: {error}"))?)
            }
            _ => Format::Table,
        })
    }
}

impl TypedValueParser for Formats {
    type Value = Format;

    fn parse_ref(&self, cmd: &clap::Command, arg: Option<&clap::Arg>, value: &OsStr) -> Result<Format, clap::Error> {
        let formats = *self;
        StringValueParser::new().try_map(move |text| formats.read(&text)).parse_ref(cmd, arg, value)
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        Some(Box::new(self.0.iter().map(|(name, help)| PossibleValue::new(*name).help(*help))))
    }
}

#[cfg(test)]
pub(crate) mod tests;
