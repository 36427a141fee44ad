//! The model of a file, or the one that ships.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use guard_model::engine::{Engine, MAX_BYTES, SHIPPED};

use crate::error::Error;
use crate::sanitise;

/// The model of this file, or the one that ships, as often as it is asked for.
///
/// # Errors
/// If the file cannot be read, or is too large for a model.
pub fn load(path: Option<&Path>) -> Result<impl Fn() -> Result<Engine, Error>, Error> {
    let file = path.map(Path::to_owned);
    let bytes = match path {
        None => SHIPPED.to_vec(),
        Some(path) => {
            let size = fs::metadata(path).map_err(|source| unreadable(path, source))?.len();
            if size > MAX_BYTES as u64 {
                let problem = format!("{size} bytes, more than the {MAX_BYTES} that are accepted");
                return Err(bad_model(path, problem));
            }
            fs::read(path).map_err(|source| unreadable(path, source))?
        }
    };
    Ok(move || {
        let shown = file.clone().unwrap_or_else(|| PathBuf::from("the model that ships"));
        Engine::load(&bytes).map_err(|error| bad_model(&shown, sanitise::line(&error.to_string())))
    })
}

fn bad_model(path: &Path, problem: String) -> Error {
    let hint = "leave --model (and $MODEL_PATH) out to use the model that ships".to_owned();
    Error::BadFile { path: path.to_owned(), problem, hint }
}

/// The words for a file that cannot be read.
pub fn unreadable(path: &Path, source: io::Error) -> Error {
    Error::Io { doing: sanitise::line(&format!("read {}", path.display())), source }
}
