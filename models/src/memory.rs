//! What a scorer has learnt, as bytes: so that a restart of the process forgets nothing. The volume that they lie in ends with its pod.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use crate::features::schema_hash;
use crate::scorer::Scorer;
use crate::series::{Baseline, Series};
use crate::workload::Workload;

/// Raised with every change that an older reader would misread.
const VERSION: u32 = 2;
/// What was learnt is of use for this long without samples; the baselines of workloads for as long as a scorer keeps
/// them itself.
const STALE_SECONDS: f64 = 600.0;

#[derive(Serialize)]
struct Saving<'a> {
    version: u32,
    schema: &'a str,
    model: &'a str,
    at: f64,
    series: &'a HashMap<String, Series>,
    baselines: Vec<(&'a str, &'a Workload, &'a Baseline)>,
}

#[derive(Deserialize)]
struct Header {
    version: u32,
    schema: String,
    model: String,
    at: f64,
}

#[derive(Deserialize)]
struct Body {
    series: HashMap<String, Series>,
    baselines: Vec<(String, Workload, Baseline)>,
}

/// Why saved state was not taken. None of it is fatal: the scorer learns anew.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// Not JSON, or not what was saved.
    #[error("the saved state cannot be read: {0}")]
    Unreadable(#[from] serde_json::Error),
    /// Another version of the format or of the features wrote it.
    #[error("the saved state is of another version (format {found}, features {schema})")]
    Version {
        /// Format version found.
        found: u32,
        /// Feature schema found.
        schema: String,
    },
    /// Its clock is ahead of ours, or it is too old.
    #[error("the saved state is {age:.0} s old, which is outside of 0 to 86400 s")]
    Stale {
        /// Seconds since it was written; negative if that lies in the future.
        age: f64,
    },
}

/// What was taken from saved state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Restored {
    /// Pods that go on where they were.
    pub pods: usize,
    /// Workloads whose baseline is known.
    pub baselines: usize,
}

impl Scorer {
    /// Everything learnt so far, as JSON; `now` in seconds of Unix time.
    pub fn save(&self, now: f64) -> Vec<u8> {
        let baselines = self.baselines.iter().map(|((namespace, workload), b)| (namespace.as_str(), workload, b));
        let saving = Saving {
            version: VERSION,
            schema: &schema_hash(),
            model: &self.model.sha256,
            at: now,
            series: &self.series,
            baselines: baselines.collect(),
        };
        serde_json::to_vec(&saving).unwrap_or_default()
    }

    /// Takes what [`Scorer::save`] wrote. Pods go on if it is at most ten minutes old; baselines for a day. If another
    /// model wrote it, the net's own state is left out and learning goes on from the baselines.
    ///
    /// # Errors
    /// If it is unreadable, of another version, from the future or too old; the scorer is then as it was.
    pub fn restore(&mut self, bytes: &[u8], now: f64) -> Result<Restored, RestoreError> {
        let header: Header = serde_json::from_slice(bytes)?;
        if header.version != VERSION || header.schema != schema_hash() {
            return Err(RestoreError::Version { found: header.version, schema: header.schema });
        }
        let age = now - header.at;
        if !(-1.0..86_400.0).contains(&age) {
            return Err(RestoreError::Stale { age });
        }
        let body: Body = serde_json::from_slice(bytes)?;
        self.baselines = body.baselines.into_iter().map(|(namespace, w, b)| ((namespace, w), b)).collect();
        if age <= STALE_SECONDS {
            self.series = body.series;
        }
        let same_model = header.model == self.model.sha256;
        for series in self.series.values_mut() {
            series.fit(same_model);
        }
        Ok(Restored { pods: self.series.len(), baselines: self.baselines.len() })
    }
}
