//! The recorded days: minutes x pods of one application.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::Path;

use anyhow::{Context, Result};
use flate2::read::MultiGzDecoder;
use guard_model::features::{Signals, signals};
use guard_model::table;

/// Applications: short name and day.
pub const APPLICATIONS: [(&str, &str); 2] = [("ob", "2022-08-22"), ("tt", "2023-01-29")];

/// One file: every pod at every minute.
#[derive(Clone, Debug)]
pub struct Series {
    /// Names of the pods, in order.
    pub pods: Vec<String>,
    /// Unix time of each minute.
    pub minutes: Vec<f64>,
    /// Minute by minute, all pods.
    cells: Vec<Signals>,
}

impl Series {
    /// What one pod showed in one minute.
    pub fn cell(&self, minute: usize, pod: usize) -> Signals {
        self.cells[minute * self.pods.len() + pod]
    }

    /// Reads `folder`'s file of this application.
    ///
    /// # Errors
    /// As [`rows`].
    pub fn load(folder: &Path, kind: &str, application: (&str, &str)) -> Result<Series> {
        let mut rows = BTreeMap::new();
        for row in self::rows(folder, kind, application)? {
            let minute = (row.at.as_second() as f64 / 60.0).round() as i64;
            let pod = row.pod.clone();
            rows.insert((minute, pod), signals(&row.into_sample()));
        }
        let pods: Vec<String> = rows.keys().map(|(_, pod)| pod.clone()).collect::<BTreeSet<_>>().into_iter().collect();
        let minutes: Vec<i64> = rows.keys().map(|(minute, _)| *minute).collect::<BTreeSet<_>>().into_iter().collect();
        let at = |minute, pod: &String| rows.get(&(minute, pod.clone())).copied().unwrap_or(Signals::UNKNOWN);
        let cells = minutes.iter().flat_map(|&minute| pods.iter().map(move |pod| at(minute, pod))).collect();
        Ok(Series { pods, minutes: minutes.iter().map(|m| *m as f64 * 60.0).collect(), cells })
    }
}

/// Rows of `folder`'s file of this application; `kind` is `normal` or `faults`.
///
/// # Errors
/// If the file is missing or a row of it cannot be read.
pub fn rows(folder: &Path, kind: &str, (application, day): (&str, &str)) -> Result<Vec<table::Row>> {
    let path = folder.join(format!("{kind}_{application}_{day}.csv.gz"));
    let file = File::open(&path).with_context(|| format!("opening {}", path.display()))?;
    let rows = table::Reader::new(MultiGzDecoder::new(file))?.collect::<Result<_, _>>();
    rows.with_context(|| format!("reading {}", path.display()))
}
