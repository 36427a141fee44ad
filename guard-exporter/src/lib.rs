//! The process that runs on every node: it reads its own kubelet and its node's pods, scores every pod, and serves the
//! scores. It changes nothing in the cluster.

pub mod config;
pub mod kubelet;
pub mod process;
pub mod server;
