//! The boards of `manifests/grafana`, as far as a data source sees them: variables and queries.

use std::collections::BTreeMap;
use std::fs;

use anyhow::{Context, Result};
use serde_json::Value;

/// The boards' files, without their ending.
pub const BOARDS: [&str; 3] = ["fleet", "node", "pod"];

/// One board.
pub struct Board {
    /// Which.
    pub name: &'static str,
    /// All of it.
    pub json: Value,
}

/// A query of a panel, as it is written.
pub struct Query<'a> {
    /// The panel's title.
    pub panel: &'a str,
    /// The expression, with variables.
    pub expression: &'a str,
}

/// A variable that is filled by a query.
pub struct Variable<'a> {
    /// Its name.
    pub name: &'a str,
    /// The series whose labels fill it, with the variables before it.
    pub series: String,
    /// That label.
    pub label: String,
    /// What stands for all of its values, if one may choose all.
    pub all: Option<&'a str>,
}

/// All boards.
///
/// # Errors
/// If a file cannot be read or is no JSON.
pub fn boards() -> Result<Vec<Board>> {
    let read = |name: &'static str| {
        let file = crate::manifests::folder().join("grafana").join(format!("{name}.json"));
        let text = fs::read_to_string(&file).with_context(|| file.display().to_string())?;
        Ok(Board { name, json: serde_json::from_str(&text).with_context(|| file.display().to_string())? })
    };
    BOARDS.into_iter().map(read).collect()
}

impl Board {
    /// Its panels, but for headings.
    pub fn panels(&self) -> impl Iterator<Item = &Value> {
        self.json["panels"].as_array().into_iter().flatten().filter(|panel| panel["type"] != "row")
    }

    /// The queries of its panels.
    pub fn queries(&self) -> impl Iterator<Item = Query<'_>> {
        self.panels().flat_map(|panel| {
            let title = panel["title"].as_str().unwrap_or_default();
            let targets = panel["targets"].as_array().into_iter().flatten();
            targets.filter_map(move |target| Some(Query { panel: title, expression: target["expr"].as_str()? }))
        })
    }

    /// The variables that are filled by `label_values(SERIES, LABEL)`, in their order.
    pub fn variables(&self) -> Vec<Variable<'_>> {
        let read = |variable: &'_ Value| -> Option<(String, String)> {
            let query = variable["query"]["query"].as_str()?.strip_prefix("label_values(")?.strip_suffix(')')?;
            let (series, label) = query.rsplit_once(',')?;
            Some((series.trim().to_owned(), label.trim().to_owned()))
        };
        let all = self.json["templating"]["list"].as_array().into_iter().flatten();
        all.filter_map(|variable| {
            let (series, label) = read(variable)?;
            Some(Variable { name: variable["name"].as_str()?, series, label, all: variable["allValue"].as_str() })
        })
        .collect()
    }
}

/// The expression with the values of variables put in, the longest name first, as Grafana does.
pub fn filled(expression: &str, values: &BTreeMap<String, String>) -> String {
    let mut names: Vec<&String> = values.keys().collect();
    names.sort_by_key(|name| std::cmp::Reverse(name.len()));
    names.into_iter().fold(expression.to_owned(), |text, name| {
        text.replace(&format!("${{{name}}}"), &values[name]).replace(&format!("${name}"), &values[name])
    })
}
