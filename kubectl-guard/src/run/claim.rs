//! Which files this run writes, and nobody else at the same time: rows of two clusters in one table would be scored as those of
//! one, and of two who write a history each would take away what the other has kept.

use std::fs::{File, TryLockError};
use std::path::Path;

use super::Part;
use super::log::Log;
use crate::config::{self, Config};
use crate::error::Error;
use crate::{files, sanitise};

/// Locks what these parts write, for as long as the locks are kept.
///
/// # Errors
/// If another run writes one of them.
pub fn claim(parts: &[Part], config: &Config, log: &Log<'_>) -> Result<Vec<File>, Error> {
    let mut held = Vec::new();
    for (path, setting) in parts.iter().filter_map(|part| written(*part, config)) {
        let shown = sanitise::line(&path.display().to_string());
        match files::lock(path) {
            Ok(lock) => held.extend(lock),
            Err(TryLockError::WouldBlock) => {
                return Err(Error::Usage {
                    message: format!("another run writes {shown}"),
                    hint: format!("start this one in another folder, or name another file with {setting}"),
                });
            }
            // The file itself may well be writable.
            Err(TryLockError::Error(error)) => {
                let said =
                    format!("nothing keeps another run from writing {shown} too, for it cannot be locked: {error}");
                log.warn(Part::Run, &said);
            }
        }
    }
    Ok(held)
}

/// The file that a part writes, and what names it.
fn written(part: Part, config: &Config) -> Option<(&Path, &'static str)> {
    match part {
        Part::Collect => Some((&config.dataset_generator.output_file, "--metrics-file")),
        Part::Score if config.run.only != Some(config::Part::Detect) => {
            Some((&config.agents.output_file, "--insights-file"))
        }
        Part::Propose => Some((&config.remediation.history_file, "remediation.history_file")),
        _ => None,
    }
}
