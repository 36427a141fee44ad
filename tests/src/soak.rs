//! The soak: hours of `run` and of the exporters under varied load, with faults by a seeded schedule.
//!
//! [`schedule`] says which fault is when; the end-to-end test `soak` carries it out and writes a [`record`]; [`judge`] says
//! what came of it, from the record alone, so that a committed record can be judged again by anybody; [`page`] and [`plot`]
//! show it. All but the test itself is pure.

pub mod judge;
pub mod page;
pub mod plot;
pub mod record;
pub mod schedule;

/// Where the faults happen.
pub const NAMESPACE: &str = "soak";
/// Where the record of the last whole soak is.
pub const RECORD: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/records/soak");
