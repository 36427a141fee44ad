//! What each command does: arguments in, text to the console and an exit code out.

pub mod analyze;
pub mod audit;
pub mod collect;
pub mod completion;
pub mod config;
pub mod demo;
pub mod doctor;
pub mod explain;
pub mod fix;
pub mod history;
pub mod incidents;
pub mod install;
pub mod man;
pub mod mute;
pub mod run;
pub mod status;
pub mod ui;
pub mod uninstall;
pub mod version;
