//! Which version this is.

/// The plugin's version, as in the User-Agent and in plans.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
