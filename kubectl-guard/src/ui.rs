//! The dashboard: rows and reports in, pages for a browser on this machine out. It reads only.

pub mod door;
pub mod gate;
pub mod look;
pub mod server;
