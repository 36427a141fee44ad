//! The dashboard: rows and reports in, pages for a browser on this machine out. It shows, and hands what a person approves
//! there to a [`crate::desk::Desk`].

pub mod approvals;
mod documents;
pub mod door;
pub mod gate;
pub mod look;
pub mod server;
pub mod worst;
