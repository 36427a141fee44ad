//! From the files that were named to what each says: values with the place where each stands.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::merge::{Merged, Origin};
use super::problem::{ConfigError, Place, Problem};
use super::programs;
use super::schema::{Kind, SETTINGS};
use super::tree::{Content, Node, parse};
use crate::nearest::nearest;

/// A configuration is a page or two; what is larger is another file.
const MAX_BYTES: u64 = 256 * 1024;

/// The files of the older tool's folder, and the section that a key without one belongs to.
const FOLDER: [(&str, &str); 3] =
    [("prometheus.yaml", "prometheus"), ("agent_config.yaml", "agents"), ("model_config.yaml", "model")];

/// Lays what `path` says, a file or a folder of files, over what there is.
///
/// # Errors
/// If there is no such file, or something in it is wrong: then all that is wrong with that file.
pub(super) fn lay(path: &Path, merged: &mut Merged) -> Result<(), ConfigError> {
    if !path.is_dir() {
        return lay_file(path, "", merged);
    }
    let files: Vec<(PathBuf, &str)> =
        FOLDER.iter().map(|(name, section)| (path.join(name), *section)).filter(|(file, _)| file.exists()).collect();
    if files.is_empty() {
        let names = FOLDER.map(|(name, _)| name).join(", ");
        return Err(of_file(path, format!("there is none of {names} in this folder")));
    }
    files.iter().try_for_each(|(file, section)| lay_file(file, section, merged))
}

fn lay_file(path: &Path, section: &str, merged: &mut Merged) -> Result<(), ConfigError> {
    let text = text(path).map_err(|problem| of_file(path, problem))?;
    lay_text(&text, path, section, merged)
}

/// Lays the text of a file over what there is, as a whole or not at all.
pub(super) fn lay_text(text: &str, path: &Path, section: &str, merged: &mut Merged) -> Result<(), ConfigError> {
    let failed = |problems| ConfigError::File { file: path.to_owned(), problems };
    let Some(root) = parse(text).map_err(|problem| failed(vec![problem]))? else { return Ok(()) };
    let mut said = Said { section, values: Vec::new(), problems: Vec::new() };
    said.walk("", &root);
    if !said.problems.is_empty() {
        return Err(failed(said.problems));
    }
    for (setting, name, value, place) in said.values {
        merged.put(setting, name, value, Origin::File { file: path.to_owned(), place });
    }
    Ok(())
}

fn of_file(path: &Path, problem: impl Into<String>) -> ConfigError {
    ConfigError::File { file: path.to_owned(), problems: vec![Problem::of_file(problem)] }
}

fn text(path: &Path) -> Result<String, String> {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(MAX_BYTES + 1).read_to_end(&mut bytes));
    read.map_err(|error| format!("it cannot be read: {error}"))?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(format!("more than {MAX_BYTES} bytes"));
    }
    String::from_utf8(bytes).map_err(|_| "it is no text (UTF-8)".to_owned())
}

/// What one file says, and what is wrong with it.
struct Said<'a> {
    section: &'a str,
    values: Vec<(usize, String, Value, Place)>,
    problems: Vec<Problem>,
}

impl Said<'_> {
    /// `prefix` is the section, with a dot behind it; empty for the root.
    fn walk(&mut self, prefix: &str, node: &Node) {
        let Content::Map(entries) = &node.value else {
            let what = if prefix.is_empty() { "a configuration" } else { "this section" };
            self.problems
                .push(Problem::new(node.at, format!("{what} must hold keys and values, not {}", node.shape())));
            return;
        };
        for (key, at, child) in entries {
            let full = self.full(prefix, key);
            match find(&full) {
                Some(index) => self.value(index, child),
                None if is_section(&full) && child.is_null() => {}
                None if is_section(&full) => self.walk(&format!("{full}."), child),
                None => self.problems.push(Problem::new(*at, unknown(prefix, key, self.section))),
            }
        }
    }

    /// In the files of a folder the section may be left out.
    fn full(&self, prefix: &str, key: &str) -> String {
        let full = format!("{prefix}{key}");
        if prefix.is_empty() && !self.section.is_empty() && !is_section(&full) {
            return format!("{}.{key}", self.section);
        }
        full
    }

    fn value(&mut self, index: usize, node: &Node) {
        let kind = SETTINGS[index].kind;
        if let (Kind::Texts, Content::Map(entries)) = (kind, &node.value) {
            for (name, _, node) in entries {
                self.one(index, name, Kind::Text, node);
            }
            return;
        }
        if let (Kind::Programs, Content::Map(entries)) = (kind, &node.value) {
            let read = programs::read(SETTINGS[index].key, entries);
            self.values.extend(read.values.into_iter().map(|(name, value, place)| (index, name, value, place)));
            self.problems.extend(read.problems);
            return;
        }
        self.one(index, "", kind, node);
    }

    fn one(&mut self, index: usize, name: &str, kind: Kind, node: &Node) {
        match kind.of_node(node) {
            Ok(value) => self.values.push((index, name.to_owned(), value, node.at)),
            Err(problem) => {
                let key = [SETTINGS[index].key, name].join(if name.is_empty() { "" } else { "." });
                self.problems.push(Problem::new(node.at, format!("{key}: {problem}")));
            }
        }
    }
}

fn find(full: &str) -> Option<usize> {
    SETTINGS.iter().position(|setting| setting.key == full || setting.alias == Some(full))
}

fn keys() -> impl Iterator<Item = &'static str> {
    SETTINGS.iter().flat_map(|setting| [Some(setting.key), setting.alias]).flatten()
}

fn is_section(full: &str) -> bool {
    keys().any(|key| key.strip_prefix(full).is_some_and(|rest| rest.starts_with('.')))
}

/// The words for a key that there is not, with the nearest one that there is: in the same section, else anywhere.
fn unknown(prefix: &str, key: &str, section: &str) -> String {
    // What follows is no part of a key, and may be an address that is a secret.
    if let Some((name, _)) = key.split_once(':') {
        return format!("there must be a space behind {:?}", crate::sanitise::line(&format!("{name}:")));
    }
    let place = match prefix.strip_suffix('.') {
        Some(place) => format!(" in {place}"),
        None => String::new(),
    };
    let shown = crate::sanitise::line(key);
    let inside = |prefix: &str| {
        let prefix = prefix.to_owned();
        keys().filter_map(move |key| key.strip_prefix(&prefix)?.split('.').next())
    };
    let whole = format!("{prefix}{key}");
    let own = if prefix.is_empty() && !section.is_empty() { format!("{section}.") } else { prefix.to_owned() };
    let nearest = nearest(key, inside(prefix).chain(inside(&own)))
        .or_else(|| keys().find(|known| known.rsplit('.').next() == Some(key)))
        .or_else(|| nearest(&whole, keys()));
    if let Some(nearest) = nearest {
        return format!("there is no key {shown:?}{place}; is {nearest:?} meant?");
    }
    let mut known: Vec<&str> = Vec::new();
    for key in SETTINGS.iter().filter_map(|setting| setting.key.strip_prefix(prefix)?.split('.').next()) {
        if !known.contains(&key) {
            known.push(key);
        }
    }
    format!("there is no key {shown:?}{place}; there are {}", known.join(", "))
}
