//! Flags that several commands share: each reads what was typed, and says what is wrong with it.

pub mod dry_run;
pub mod duration;
pub mod kube_flags;
pub mod sink_flags;
pub mod source_flags;
pub mod variables;

pub use dry_run::{DryRun, DryRunFlag};
pub use kube_flags::{KubeFlags, Selection};
pub use sink_flags::{FromSinkFlag, SinkFlags};
pub use source_flags::{ExporterFlags, SourceFlags};
