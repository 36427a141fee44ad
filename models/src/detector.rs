//! What gives the learnt part of a score: the network, or the pod's own past alone.

use std::fmt;
use std::str::FromStr;

use serde::Deserialize;

use crate::engine::Engine;
use crate::report::ModelInfo;

/// Which detector is asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// [`Detector::Network`].
    #[default]
    Lstm,
    /// [`Detector::Robust`].
    Robust,
}

impl Kind {
    /// Their names, in the order of the enum.
    pub const NAMES: [&str; 2] = ["lstm", "robust"];

    /// The detector of this kind; `model` is asked for a model only where one is needed.
    ///
    /// # Errors
    /// That of `model`.
    pub fn detector<E>(self, model: impl FnOnce() -> Result<Engine, E>) -> Result<Detector, E> {
        match self {
            Self::Lstm => model().map(Detector::from),
            Self::Robust => Ok(Detector::Robust),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Self::NAMES[*self as usize])
    }
}

impl FromStr for Kind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let kinds = [Self::Lstm, Self::Robust];
        kinds
            .into_iter()
            .find(|kind| kind.to_string() == text)
            .ok_or_else(|| format!("{text:?} is neither lstm nor robust"))
    }
}

/// Scores a pod's measured behaviour; hard facts need none.
#[derive(Debug)]
pub enum Detector {
    /// The LSTM of a model file.
    Network(Box<Engine>),
    /// The distance of each reading from the pod's own baseline ([`crate::robust`]): no model, no memory of what followed
    /// what, more false alerts. For those who may not or cannot load a model.
    Robust,
}

impl From<Engine> for Detector {
    fn from(engine: Engine) -> Self {
        Self::Network(Box::new(engine))
    }
}

impl Detector {
    /// The same once more, for another node: nothing is read or checked again.
    #[must_use]
    pub fn again(&self) -> Self {
        match self {
            Self::Network(engine) => engine.again().into(),
            Self::Robust => Self::Robust,
        }
    }

    /// What a report says of it. Without a model file there is no hash.
    pub fn info(&self) -> ModelInfo {
        match self {
            Self::Network(engine) => engine.info().clone(),
            Self::Robust => ModelInfo {
                name: "robust".to_owned(),
                version: env!("CARGO_PKG_VERSION").to_owned(),
                ..ModelInfo::default()
            },
        }
    }
}
