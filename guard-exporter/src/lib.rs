//! The process that runs on every node: it reads its own kubelet and its node's pods, scores every pod, and serves the
//! scores. It changes nothing in the cluster.

pub mod app;
pub mod config;
pub mod gate;
pub mod health;
pub mod kubelet;
pub mod metrics;
pub mod model;
pub mod mutes;
pub mod pipeline;
pub mod process;
pub mod server;
pub mod snapshot;
pub mod state;
pub mod tick;
pub mod tls;
pub mod watch;
