//! The end-to-end tests' ground: a real Kubernetes cluster on this machine, without Docker.
//!
//! [`world`] makes namespaces of its own for the whole run, so that nothing can outlive it; inside them [`cluster`]
//! starts etcd, the control plane and two [`node`]s; [`person`] runs the product as one of the cluster's people;
//! [`suite`] runs the scenarios one after the other. Everything here may fail loudly: it is test code.

pub mod approval;
pub mod boards;
pub mod browser;
pub mod cgroup;
pub mod cluster;
pub mod customers;
pub mod dashboards;
pub mod figures;
pub mod files;
pub mod fuzzing;
pub mod hear;
pub mod http;
pub mod image;
pub mod inject;
pub mod kills;
pub mod load;
pub mod manifests;
pub mod marks;
pub mod node;
pub mod person;
pub mod pki;
pub mod process;
pub mod readme;
pub mod soak;
pub mod stand_in;
pub mod suite;
pub mod survival;
pub mod svg;
pub mod wait;
pub mod world;
