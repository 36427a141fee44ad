//! Which version this is.

/// The plugin's version, as in the User-Agent and in plans.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// How to bring an installation up to date: whoever leaves flags out takes back what they chose.
pub const INSTALL_AGAIN: &str = "run `kubectl guard install` with all flags of the first time (without them the image and the \
kubelet's TLS go back to the defaults), or `helm upgrade` if Helm made it";
