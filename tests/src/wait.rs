//! Waiting for a condition, never for a time.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// Asks `ready` every 200 ms until it answers; its errors count as "not yet", and the last is told.
///
/// # Errors
/// If `limit` passes first.
pub fn until<T>(what: &str, limit: Duration, mut ready: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let start = Instant::now();
    loop {
        let last = match ready() {
            Ok(Some(value)) => return Ok(value),
            Ok(None) => String::new(),
            Err(error) => format!(": {error:#}"),
        };
        if start.elapsed() > limit {
            bail!("waited {} s for {what}{last}", limit.as_secs());
        }
        std::thread::sleep(Duration::from_millis(200));
    }
}
