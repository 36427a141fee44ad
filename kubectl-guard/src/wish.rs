//! What a person asked for, as typed: the first noun on the way to a plan.

use crate::plan::{ActionKind, Amounts, DrainOptions};

/// What the user asked for.
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wish {
    /// `--action`; `None` lets the evidence choose.
    pub action: Option<ActionKind>,
    /// `--replicas`.
    pub replicas: Option<i32>,
    /// `--to-revision`.
    pub to_revision: Option<i64>,
    /// `--container`, `--limits`, `--requests`, `--in-place`.
    pub resources: ResourceWish,
    /// The user named target and namespace (`-n`) on the command line.
    pub named: bool,
    /// `--allow-downtime`.
    pub allow_downtime: bool,
    /// `--allow-volume-loss`.
    pub allow_volume_loss: bool,
    /// `--allow-control-plane`.
    pub allow_control_plane: bool,
    /// `--min-schedulable`, in percent.
    pub min_schedulable: Option<u8>,
    /// `--foreign-cordon`.
    pub foreign_cordon: bool,
    /// `--no-cool-down`.
    pub no_cool_down: bool,
    /// The flags of a drain.
    pub drain: DrainOptions,
}

/// What was asked for with `--action resources`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResourceWish {
    /// `--container`.
    pub container: Option<String>,
    /// `--limits`.
    pub limits: Option<Amounts>,
    /// `--requests`.
    pub requests: Option<Amounts>,
    /// `--in-place`.
    pub in_place: bool,
}
