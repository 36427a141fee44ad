//! A silence: nothing is told of a pod until it ends.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Why, by whom and until when: what a report says of a muted pod.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Silence {
    /// When it ends.
    pub until: Timestamp,
    /// Why.
    pub reason: String,
    /// Who asked for it, as the API server knows them.
    pub by: String,
}
