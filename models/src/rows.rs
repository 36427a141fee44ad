//! From the rows of a table to samples: what a row alone cannot tell, such as the rate of a running total or since when a
//! pod has not been ready.
//!
//! A pod's rows count in the order of their times. A row that is not newer than the one before of its pod (a duplicate, or
//! a table that is not sorted) gives no sample.

use std::collections::HashMap;
use std::sync::Arc;

use jiff::Timestamp;

use crate::sample::{self, PodFacts, PodSample};
use crate::sampler::HOLDS_SECONDS;
use crate::table::{Number, Row};

/// Over a longer pause a rate would be the mean of what nobody watched.
const MAX_PAUSE_SECONDS: f64 = 900.0;
/// Columns whose sum a second is the rate of dropped packets.
const DROPS: [Number; 2] = [Number::ReceiveDrops, Number::SendDrops];
/// The same of network errors.
const ERRORS: [Number; 2] = [Number::ReceiveErrors, Number::SendErrors];
/// The same of disk traffic, in bytes.
const DISK: [Number; 2] = [Number::DiskRead, Number::DiskWritten];
/// How Prometheus' conventions name what only grows: a custom column of such a name is looked at by its rate.
const TOTAL: &str = "_total";

/// What is remembered of every pod between two rows.
#[derive(Clone, Debug, Default)]
pub struct Rows {
    /// By the UID of their samples.
    pods: HashMap<String, Before>,
}

/// The row before.
#[derive(Clone, Debug)]
struct Before {
    at: f64,
    first: Timestamp,
    ready: bool,
    ready_changed: Timestamp,
    restarts: u32,
    drops: Option<Total>,
    errors: Option<Total>,
    disk: Option<Total>,
    oom_events: Option<Total>,
    /// The custom columns that are running totals.
    totals: Vec<(Arc<str>, f64)>,
}

/// A running total when it was last known, and by how much it had grown then, in how many seconds.
#[derive(Clone, Copy, Debug)]
struct Total {
    at: f64,
    value: f64,
    grown: Option<(f64, f64)>,
}

impl Total {
    /// What is known now, after `before`. A total that fell began again: what it had before nobody knows.
    fn after(before: Option<Total>, now: Option<Total>, at: f64) -> Option<Total> {
        let Some(now) = now else { return before.filter(|before| at - before.at <= HOLDS_SECONDS) };
        let grown = before.map(|before| (now.value - before.value, now.at - before.at));
        let grown = grown.filter(|(grown, seconds)| *grown >= 0.0 && *seconds <= MAX_PAUSE_SECONDS);
        Some(Total { grown, ..now })
    }

    fn rate(self) -> Option<f64> {
        self.grown.map(|(grown, seconds)| grown / seconds)
    }
}

impl Rows {
    /// The sample of a row.
    ///
    /// # Errors
    /// The pod, if the row is not newer than its row before.
    pub fn sample(&mut self, mut row: Row) -> Result<PodSample, Box<PodFacts>> {
        let (row_at, at) = (row.at, sample::seconds(row.at));
        let total = |columns: &[Number]| {
            let sum = columns.iter().filter_map(|column| row.number(*column)).reduce(|a, b| a + b);
            sum.map(|value| Total { at, value, grown: None })
        };
        let [drops, errors, disk, oom_events] = [&DROPS[..], &ERRORS, &DISK, &[Number::OomEvents]].map(total);
        let (totals, metrics) = row.take_own().into_iter().partition(|(name, _)| name.ends_with(TOTAL));
        let mut sample = PodSample { metrics, ..row.into_sample() };
        let facts = &mut sample.facts;
        let mut now = Before {
            at,
            first: row_at,
            ready: facts.ready,
            // Until it is seen to change it may be so since the pod began.
            ready_changed: facts.started.or(facts.created).unwrap_or(row_at),
            restarts: facts.restarts,
            drops,
            errors,
            disk,
            oom_events,
            totals,
        };
        let before = self.pods.get_mut(&facts.uid);
        if before.as_ref().is_some_and(|before| now.at <= before.at) {
            return Err(Box::new(sample.facts));
        }
        if let Some(before) = &before {
            now.follow(before, row_at, &mut sample);
        }
        let facts = &mut sample.facts;
        facts.created = facts.created.or(Some(now.first));
        facts.ready_changed = facts.ready_changed.or(Some(now.ready_changed));
        match before {
            Some(before) => *before = now,
            None => drop(self.pods.insert(facts.uid.clone(), now)),
        }
        Ok(sample)
    }

    /// Drops pods whose last row is older than this (seconds of Unix time).
    pub fn forget_before(&mut self, seconds: f64) {
        self.pods.retain(|_, before| before.at >= seconds);
    }

    /// Drops pods whose last row is later than this (seconds of Unix time): behind a clock that was set back their rows would
    /// be older than that one for as long as it was set back.
    pub fn forget_after(&mut self, seconds: f64) {
        self.pods.retain(|_, before| before.at <= seconds);
    }
}

impl Before {
    fn follow(&mut self, before: &Before, at: Timestamp, sample: &mut PodSample) {
        self.first = before.first;
        self.ready_changed = if self.ready == before.ready { before.ready_changed } else { at };
        sample.reset = self.restarts > before.restarts;
        for (now, before) in [
            (&mut self.drops, before.drops),
            (&mut self.errors, before.errors),
            (&mut self.disk, before.disk),
            (&mut self.oom_events, before.oom_events),
        ] {
            *now = Total::after(before, *now, self.at);
        }
        let measures = &mut sample.measures;
        measures.drops_per_second = self.drops.and_then(Total::rate);
        measures.network_errors_per_second = self.errors.and_then(Total::rate);
        measures.disk_bytes_per_second = self.disk.and_then(Total::rate);
        measures.oom_events = self.oom_events.and_then(|total| total.grown).map(|(grown, _)| grown);
        let pause = self.at - before.at;
        if pause > MAX_PAUSE_SECONDS {
            return;
        }
        let grown = |now: Option<f64>, then: Option<f64>| Some(now? - then?).filter(|grown| *grown >= 0.0);
        for (name, now) in &self.totals {
            let then = before.totals.iter().find(|(other, _)| other == name).map(|(_, total)| *total);
            if let Some(grown) = grown(Some(*now), then) {
                sample.metrics.push((Arc::clone(name), grown / pause));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::Custom;
    use crate::table::Reader;

    fn samples(lines: &str) -> Vec<Option<PodSample>> {
        let header = "timestamp,namespace,pod,containers_ready,containers_total,network_receive_dropped_total,\
                      network_transmit_dropped_total,oom_events_total,restarts_total\n";
        let mut rows = Rows::default();
        let table = format!("{header}{lines}");
        Reader::new(table.as_bytes()).unwrap().map(|row| rows.sample(row.unwrap()).ok()).collect()
    }

    #[test]
    fn totals_become_rates_and_a_total_that_fell_is_unknown() {
        let found = samples(
            "2026-11-22T13:00:00Z,shop,a,1,1,100,0,0,0\n\
             2026-11-22T13:00:30Z,shop,a,1,1,130,30,1,1\n\
             2026-11-22T13:01:00Z,shop,a,1,1,5,0,1,1\n",
        );
        let measures = |i: usize| found[i].as_ref().unwrap().measures;
        assert_eq!((measures(0).drops_per_second, measures(0).oom_events), (None, None));
        assert_eq!((measures(1).drops_per_second, measures(1).oom_events), (Some(2.0), Some(1.0)));
        assert_eq!((measures(2).drops_per_second, measures(2).oom_events), (None, Some(0.0)));
        assert!(found[1].as_ref().unwrap().reset && !found[2].as_ref().unwrap().reset);
    }

    #[test]
    fn a_total_that_is_not_in_every_row_holds_until_it_is_known_again() {
        let table = "timestamp,namespace,pod,fs_reads_total,fs_writes_total\n2026-11-22T13:00:00Z,shop,a,10,90\n\
                     2026-11-22T13:00:30Z,shop,a,,\n2026-11-22T13:01:00Z,shop,a,10,690\n2026-11-22T13:01:30Z,shop,a,,\n\
                     2026-11-22T13:04:30Z,shop,a,,\n";
        let mut rows = Rows::default();
        let found: Vec<_> = Reader::new(table.as_bytes())
            .unwrap()
            .map(|row| rows.sample(row.unwrap()).unwrap().measures.disk_bytes_per_second)
            .collect();
        assert_eq!(found, [None, None, Some(10.0), Some(10.0), None]);
    }

    #[test]
    fn a_column_of_ones_own_is_a_metric_and_a_total_its_rate() {
        let table = "timestamp,namespace,pod,queue,requests_total\n2026-11-22T13:00:00Z,shop,a,7,100\n\
                     2026-11-22T13:00:30Z,shop,a,,400\n2026-11-22T13:01:00Z,shop,a,9,50\n";
        let mut rows = Rows::default();
        let found: Vec<_> =
            Reader::new(table.as_bytes()).unwrap().map(|row| rows.sample(row.unwrap()).unwrap().metrics).collect();
        assert_eq!(
            found,
            [vec![("queue".into(), 7.0)], vec![("requests_total".into(), 10.0)], vec![("queue".into(), 9.0)]]
        );
    }

    #[test]
    fn restarts_before_the_first_row_are_known_by_their_times_alone() {
        let header = "timestamp,namespace,pod,restarts_total,created,terminated_reason,terminated_at\n";
        let told = |cells: &str| {
            let table = format!("{header}2026-11-22T13:00:00Z,shop,a,3,{cells}\n");
            let row = Reader::new(table.as_bytes()).unwrap().next().unwrap().unwrap();
            let sample = Rows::default().sample(row).unwrap();
            Custom::of_status(&sample.facts, sample.at).recent_restarts
        };
        assert_eq!(told(",,"), 0, "the pod is as old as it may be");
        assert_eq!(told("2026-11-22T12:58:00Z,Error,2026-11-22T12:59:50Z"), 3);
        assert_eq!(told("2026-11-22T10:00:00Z,Error,2026-11-22T12:59:50Z"), 1);
    }

    #[test]
    fn readiness_is_known_since_its_change() {
        let found = samples(
            "2026-11-22T13:00:00Z,shop,a,1,1,,,,\n\
             2026-11-22T13:00:30Z,shop,a,0,1,,,,\n\
             2026-11-22T13:01:00Z,shop,a,0,1,,,,\n",
        );
        let facts = &found[2].as_ref().unwrap().facts;
        assert_eq!(facts.ready_changed.unwrap().to_string(), "2026-11-22T13:00:30Z");
        assert_eq!(facts.created.unwrap().to_string(), "2026-11-22T13:00:00Z");
    }

    #[test]
    fn a_pod_counts_again_once_its_row_of_a_time_to_come_is_forgotten() {
        let row = |second: i64, pod: &str| {
            let at = Timestamp::from_second(second).unwrap();
            let table = format!("timestamp,namespace,pod\n{at},shop,{pod}\n");
            Reader::new(table.as_bytes()).unwrap().next().unwrap().unwrap()
        };
        let mut rows = Rows::default();
        assert!(rows.sample(row(9000, "early")).is_ok() && rows.sample(row(1800, "right")).is_ok());
        assert!(rows.sample(row(1830, "early")).is_err());
        rows.forget_after(1890.0);
        assert!(rows.sample(row(1830, "early")).is_ok());
        assert!(rows.sample(row(1800, "right")).is_err(), "what is not ahead is remembered");
    }

    #[test]
    fn duplicates_and_rows_out_of_order_give_no_sample() {
        let found = samples(
            "2026-11-22T13:00:30Z,shop,a,1,1,,,,\n\
             2026-11-22T13:00:30Z,shop,b,1,1,,,,\n\
             2026-11-22T13:00:30Z,shop,a,1,1,,,,\n\
             2026-11-22T13:00:00Z,shop,a,1,1,,,,\n\
             2026-11-22T15:00:31+02:00,shop,b,1,1,,,,\n",
        );
        let newer: Vec<bool> = found.iter().map(Option::is_some).collect();
        assert_eq!(newer, [true, true, false, false, true], "the last one is a second later, in another time zone");
    }
}
