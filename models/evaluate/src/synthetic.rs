//! Faults of seven kinds put into the calm time of real pods: for what no labelled fault of the data shows.
//!
//! They are made in another way than the trainer's, and only in pods where they matter: five times nothing is nothing.

use std::ops::Range;

use guard_model::sample::{Measures, PodSample};
use guard_train::draw::Draw;
use guard_train::statistics::median;

use crate::day::{Day, Fault, Tick};

/// A pod must have been watched for this long before its fault.
const WATCHED_SECONDS: f64 = 3600.0;
const FAULT_SECONDS: f64 = 360.0;
const LEAK_SECONDS: f64 = 1200.0;
/// Traffic that somebody would miss, in bytes a second.
const SOME_TRAFFIC: f64 = 2000.0;

/// What is done to a sample; the last argument is how much of the fault's time has gone by, 0 to 1.
pub(crate) type Change = fn(&mut Measures, &Typical, f64);
/// A kind of fault, by its name.
type Kind = (&'static str, fn(&Typical) -> bool, Change);

const KINDS: [Kind; 7] = [
    ("cpu to its limit", Typical::has_cpu_limit, |m, t, _| m.cpu_cores = Some(0.93 * t.cpu_limit)),
    ("cpu up by 40 % of its limit", Typical::has_cpu_limit, |m, t, _| {
        m.cpu_cores = m.cpu_cores.map(|cpu| (cpu + 0.4 * t.cpu_limit).min(t.cpu_limit));
    }),
    ("memory up by 40 % of its limit", Typical::has_memory_to_spare, |m, t, _| {
        m.memory_bytes = m.memory_bytes.map(|bytes| bytes + 0.4 * t.memory_limit);
    }),
    ("memory leak", Typical::has_memory_to_spare, |m, t, gone| {
        m.memory_bytes = m.memory_bytes.map(|bytes| bytes + (0.95 * t.memory_limit - bytes).max(0.0) * gone);
    }),
    ("traffic times 5", Typical::has_traffic, |m, _, _| {
        traffic(m, 5.0, 5.0);
        m.cpu_cores = m.cpu_cores.map(|cpu| cpu * 2.0);
    }),
    ("egress times 10", Typical::has_traffic, |m, _, _| traffic(m, 1.0, 10.0)),
    ("silence", Typical::has_traffic, |m, _, _| {
        traffic(m, 0.02, 0.02);
        m.cpu_cores = m.cpu_cores.map(|cpu| cpu * 0.1);
    }),
];

/// Medians of a pod in calm time; NaN is unknown.
pub(crate) struct Typical {
    pub(crate) cpu: f64,
    pub(crate) cpu_limit: f64,
    memory: f64,
    pub(crate) memory_limit: f64,
    receive: f64,
    transmit: f64,
}

impl Typical {
    fn of(samples: &[&PodSample]) -> Typical {
        let middle = |value: fn(&PodSample) -> Option<f64>| {
            median(&samples.iter().map(|sample| value(sample).unwrap_or(f64::NAN)).collect::<Vec<_>>())
        };
        Typical {
            cpu: middle(|s| s.measures.cpu_cores),
            cpu_limit: middle(|s| s.facts.cpu_limit_cores),
            memory: middle(|s| s.measures.memory_bytes),
            memory_limit: middle(|s| s.facts.memory_limit_bytes),
            receive: middle(|s| s.measures.receive_bytes_per_second),
            transmit: middle(|s| s.measures.transmit_bytes_per_second),
        }
    }

    pub(crate) fn has_cpu_limit(&self) -> bool {
        self.cpu < 0.5 * self.cpu_limit
    }

    pub(crate) fn has_memory_to_spare(&self) -> bool {
        self.memory < 0.5 * self.memory_limit
    }

    pub(crate) fn has_traffic(&self) -> bool {
        self.receive > SOME_TRAFFIC && self.transmit > SOME_TRAFFIC
    }
}

fn traffic(measures: &mut Measures, receive: f64, transmit: f64) {
    measures.receive_bytes_per_second = measures.receive_bytes_per_second.map(|rate| rate * receive);
    measures.transmit_bytes_per_second = measures.transmit_bytes_per_second.map(|rate| rate * transmit);
}

/// The calm time of a day with one fault in each pod that one of the kinds matters in. Another seed puts other kinds there.
pub(crate) fn disturb(day: &Day, seed: u64) -> Day {
    let mut draw = Draw::new(seed);
    let span = span(day);
    let mut ticks: Vec<Tick> = day.ticks.iter().filter(|tick| span.contains(&tick.at)).cloned().collect();
    let mut faults = Vec::new();
    let mut next = draw.integer(0, KINDS.len());
    for pod in &day.pods {
        let typical = typical(&ticks, pod);
        let order = (0..KINDS.len()).map(|i| KINDS[(next + i) % KINDS.len()]);
        let Some(kind) = order.into_iter().find(|(_, matters, _)| matters(&typical)) else { continue };
        next += 1;
        let length = if kind.0 == "memory leak" { LEAK_SECONDS } else { FAULT_SECONDS };
        let start = draw.uniform(span.start + WATCHED_SECONDS, span.end - length - 2.0 * day.interval);
        put(&mut ticks, pod, kind.2, &typical, &(start..start + length));
        faults.push(Fault { start, end: start + length, pod: pod.clone(), kind: kind.0.to_owned() });
    }
    Day { ticks, faults, calm: Vec::new(), unlabelled: Vec::new(), pods: day.pods.clone(), ..*day }
}

/// From the first to the last calm time of a day.
pub(crate) fn span(day: &Day) -> Range<f64> {
    day.calm.iter().fold(f64::INFINITY..f64::NEG_INFINITY, |all, c| all.start.min(c.start)..all.end.max(c.end))
}

pub(crate) fn typical(ticks: &[Tick], pod: &str) -> Typical {
    let own = ticks.iter().flat_map(|tick| &tick.samples).filter(|sample| sample.facts.name == *pod);
    Typical::of(&own.collect::<Vec<_>>())
}

/// Changes what a pod shows in this time.
pub(crate) fn put(ticks: &mut [Tick], pod: &str, change: Change, typical: &Typical, span: &Range<f64>) {
    for tick in ticks.iter_mut().filter(|tick| span.contains(&tick.at)) {
        let gone = (tick.at - span.start) / (span.end - span.start);
        for sample in tick.samples.iter_mut().filter(|sample| sample.facts.name == pod) {
            let measures = &mut sample.measures;
            change(measures, typical, gone);
            let share = |used: Option<f64>, limit: f64| Some(used? / limit).filter(|share| share.is_finite());
            measures.cpu_limit_share = share(measures.cpu_cores, typical.cpu_limit);
            measures.memory_limit_share = share(measures.memory_bytes, typical.memory_limit);
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use guard_model::sample::PodFacts;

    /// Seven pods that never change, for so many minutes.
    pub(crate) fn day(minutes: i32) -> Day {
        let sample = |pod: &str, at: f64| PodSample {
            at,
            fresh: true,
            reset: false,
            facts: PodFacts {
                name: pod.to_owned(),
                cpu_limit_cores: Some(1.0),
                memory_limit_bytes: Some(1e8),
                ..PodFacts::default()
            },
            measures: Measures {
                cpu_cores: Some(0.1),
                memory_bytes: Some(2e7),
                receive_bytes_per_second: Some(1e4),
                transmit_bytes_per_second: Some(1e4),
                ..Measures::default()
            },
            metrics: Vec::new(),
        };
        let pods: Vec<String> = (0..7).map(|i| format!("pod-{i}")).collect();
        let tick = |minute: i32| {
            let at = 60.0 * f64::from(minute);
            Tick { at, samples: pods.iter().map(|pod| sample(pod, at)).collect() }
        };
        Day {
            name: "made",
            interval: 60.0,
            ticks: (0..minutes).map(tick).collect(),
            pods: pods.clone(),
            faults: Vec::new(),
            calm: vec![0.0..60.0 * f64::from(minutes)],
            unlabelled: Vec::new(),
        }
    }

    #[test]
    fn each_kind_is_put_into_one_pod_and_only_into_its_time() {
        let disturbed = disturb(&day(200), 1);
        let kinds: std::collections::BTreeSet<&str> =
            disturbed.faults.iter().map(|fault| fault.kind.as_str()).collect();
        assert_eq!(kinds.len(), KINDS.len());
        for (before, after) in day(200).ticks.iter().zip(&disturbed.ticks) {
            for (old, new) in before.samples.iter().zip(&after.samples) {
                let fault = disturbed.faults.iter().find(|fault| fault.pod == new.facts.name).unwrap();
                let within = (fault.start..fault.end).contains(&after.at);
                assert_eq!(old.measures != new.measures, within, "{} at {}", fault.kind, after.at);
            }
        }
    }

    #[test]
    fn a_fault_that_would_not_matter_is_not_made() {
        let mut idle = day(200);
        idle.ticks.iter_mut().flat_map(|tick| &mut tick.samples).for_each(|sample| {
            sample.measures.receive_bytes_per_second = Some(10.0);
            sample.facts.cpu_limit_cores = None;
            sample.facts.memory_limit_bytes = None;
        });
        assert!(disturb(&idle, 1).faults.is_empty());
    }
}
