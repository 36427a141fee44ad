//! Who hears of a write, besides the journal.

use std::sync::atomic::AtomicBool;

use crate::sink::Sink;

/// Where the journal is told as well.
#[derive(Clone, Debug)]
pub(super) struct Shared {
    pub(super) sink: Sink,
    /// Nothing is changed that could not be told there first.
    pub(super) required: bool,
}

impl From<(Sink, bool)> for Shared {
    fn from((sink, required): (Sink, bool)) -> Self {
        Self { sink, required }
    }
}

/// Whether Events are made on what was written. They help whoever looks at the object, and nothing depends on them. One
/// that could not be is told once, and no other is tried: of a drain there may be hundreds.
#[derive(Debug, Default)]
pub(super) struct Events {
    pub(super) given_up: AtomicBool,
}
