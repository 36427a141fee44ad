//! What each layer says, laid over the one before, with where each value came from.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use serde_json::{Value, json};

use super::problem::{ConfigError, Place};
use super::schema::{Kind, SETTINGS};

/// Who said a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Nobody.
    Default,
    /// A file.
    File {
        /// Which.
        file: PathBuf,
        /// Where in it.
        place: Place,
    },
    /// An environment variable.
    Environment(&'static str),
    /// A flag.
    Flag(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Default => write!(f, "default"),
            Origin::File { file, place } => {
                let file = crate::sanitise::line(&file.display().to_string());
                write!(f, "{file}:{}:{}", place.line, place.column)
            }
            Origin::Environment(name) => write!(f, "${name}"),
            Origin::Flag(name) => write!(f, "--{name}"),
        }
    }
}

/// All settings. A value's key is its setting and, where the user chooses names, the name.
#[derive(Clone, Debug)]
pub struct Merged(BTreeMap<(usize, String), (Value, Origin)>);

/// A value, with the keys that lead to it.
pub(super) struct Leaf<'a> {
    pub(super) path: Vec<&'a str>,
    pub(super) value: &'a Value,
    pub(super) origin: &'a Origin,
}

impl Merged {
    /// What there is if nobody says anything.
    pub(super) fn defaults() -> Self {
        let said = SETTINGS.iter().enumerate().filter(|(_, setting)| !setting.kind.has_names());
        Self(said.map(|(index, setting)| ((index, String::new()), (setting.default(), Origin::Default))).collect())
    }

    pub(super) fn put(&mut self, setting: usize, name: String, value: Value, origin: Origin) {
        self.0.insert((setting, name), (value, origin));
    }

    /// Lays a value that was given as text over what there is.
    pub(super) fn give(&mut self, key: &str, text: &str, origin: Origin) -> Result<(), ConfigError> {
        let Some(index) = SETTINGS.iter().position(|setting| setting.key == key) else { return Ok(()) };
        let value = SETTINGS[index].kind.read(text);
        let value = value.map_err(|text| ConfigError::Given { whose: origin.to_string(), text })?;
        self.put(index, String::new(), value, origin);
        Ok(())
    }

    pub(super) fn leaves(&self) -> impl Iterator<Item = Leaf<'_>> {
        self.0.iter().filter_map(|((index, name), (value, origin))| {
            let setting = SETTINGS.get(*index)?;
            let mut path: Vec<&str> = setting.key.split('.').collect();
            match setting.kind {
                // Its name, and the key that belongs to it.
                Kind::Programs => path.extend(name.split('.')),
                _ => path.extend((!name.is_empty()).then_some(name.as_str())),
            }
            Some(Leaf { path, value, origin })
        })
    }

    /// Who said the value of this key.
    pub fn origin(&self, key: &str) -> Option<&Origin> {
        let index = SETTINGS.iter().position(|setting| setting.key == key)?;
        self.0.get(&(index, String::new())).map(|(_, origin)| origin)
    }

    /// The settings as one tree.
    pub fn tree(&self) -> Value {
        self.tree_of(|_, value| value.clone())
    }

    /// The same of what `made` makes of each key's value.
    pub(super) fn tree_of(&self, made: impl Fn(&str, &Value) -> Value) -> Value {
        let mut root = json!({});
        for leaf in self.leaves() {
            // No setting's key is a section of another's: a property of the tests.
            let place = leaf.path.iter().fold(&mut root, |place, key| &mut place[*key]);
            *place = made(&leaf.path.join("."), leaf.value);
        }
        root
    }
}
