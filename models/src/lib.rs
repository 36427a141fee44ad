//! What `kubectl guard` knows about pods, as pure functions: samples, features, the LSTM on tract, scores, their
//! explanation, and the types that travel between the exporter and the plugin.
//!
//! One line of travel, one noun a stage, each made once:
//!
//! kubelet JSON ([`summary`], [`cadvisor`]) and pod status ([`pod`]) -> [`sample::PodSample`] by the [`sampler`] ->
//! [`features`] -> [`engine`] -> [`scorer`] -> [`report::NodeReport`].
//!
//! Nothing here looks at the clock, the network, the environment or the disk: what it needs, it is given.

pub mod alert;
pub mod cadvisor;
mod calibration;
pub mod cause;
mod confirm;
pub mod detector;
mod disk;
pub mod engine;
pub mod explain;
pub mod features;
pub mod habit;
mod hush;
pub mod incident;
mod level;
mod limits;
pub mod memory;
mod metric;
pub mod mute;
pub mod pod;
pub mod quantity;
pub mod recording;
mod recurrence;
pub mod replay;
pub mod report;
mod restarts;
mod robust;
pub mod rows;
pub mod rules;
pub mod sample;
pub mod sampler;
pub mod saturation;
pub mod scorer;
mod series;
pub mod silence;
pub mod summary;
pub mod table;
pub mod trend;
pub mod words;
pub mod workload;
