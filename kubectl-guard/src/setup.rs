//! Putting the exporter into a cluster and taking it away again.
//!
//! [`manifests`] holds the objects of `manifests/` and lays the choices of the person who installs over them (pure);
//! [`certificates`] makes what the exporters prove themselves with;
//! [`objects`] applies and deletes them as the user; [`strangers`] are what would go with the namespace besides; [`leftovers`] finds what an earlier install made and this one does not
//! (`made` tells who made what); [`rollout`] waits until the exporters are ready.

pub mod certificates;
pub mod leftovers;
mod made;
pub mod manifests;
pub mod objects;
pub mod rollout;
pub mod strangers;

/// The namespace of the exporter, and of nothing else.
pub const NAMESPACE: &str = "guard-system";

/// The name of the exporter's DaemonSet, ServiceAccount and ClusterRole.
pub const EXPORTER: &str = "guard-exporter";
