//! From counters to samples: rates, freshness and resets, by the pod's UID.
//!
//! The kubelet reads its cgroups each 10 to 15 s and gives the same numbers until the next time: a reading is fresh only
//! if its own `time` has moved on. Cadvisor is read once a minute; what comes of it holds until the next reading.

use std::collections::{HashMap, HashSet};

use crate::cadvisor::{Cadvisor, PodCadvisor};
use crate::sample::{Measures, Phase, PodFacts, PodSample};
use crate::summary::{Network, PodCounters, Summary};

/// Over a longer pause a rate would be the mean of what nobody watched.
const MAX_PAUSE_SECONDS: f64 = 300.0;
/// A reading this far ahead of the reader's clock is not believed.
const MAX_AHEAD_SECONDS: f64 = 120.0;

/// Turns readings into samples. One for each node.
#[derive(Default)]
pub struct Sampler {
    pods: HashMap<String, Memory>,
}

/// What is remembered of one pod.
#[derive(Default)]
struct Memory {
    cpu_total: Option<(f64, f64)>,
    cpu_at: Option<f64>,
    network: Option<Network>,
    cadvisor: Option<PodCadvisor>,
    started: Option<f64>,
    measures: Measures,
}

impl Sampler {
    /// One sample for each pod that has not succeeded, in the order of `pods`; `now` in seconds of Unix time. A pod that
    /// is not among `pods` is forgotten. Without a summary (the kubelet did not answer) no sample is fresh.
    pub fn tick(
        &mut self,
        now: f64,
        summary: Option<&Summary>,
        cadvisor: Option<&Cadvisor>,
        pods: &[PodFacts],
    ) -> Vec<PodSample> {
        let here: HashSet<&str> = pods.iter().map(|pod| pod.uid.as_str()).collect();
        self.pods.retain(|uid, _| here.contains(uid.as_str()));
        let read = summary.map_or(&[][..], |summary| &summary.pods[..]);
        let by_uid: HashMap<&str, &PodCounters> = read.iter().map(|c| (c.uid.as_str(), c)).collect();
        let by_name: HashMap<(&str, &str), &PodCounters> =
            read.iter().map(|c| ((c.namespace.as_str(), c.name.as_str()), c)).collect();
        let alive = pods.iter().filter(|pod| pod.phase != Phase::Succeeded);
        let sample = |facts: &PodFacts| {
            // The kubelet knows a static pod by another UID than its mirror in the API has.
            let named = || by_name.get(&(facts.namespace.as_str(), facts.name.as_str())).filter(|_| facts.mirror);
            let counters = by_uid.get(facts.uid.as_str()).or_else(named);
            let memory = self.pods.entry(facts.uid.clone()).or_default();
            let read = cadvisor.and_then(|c| c.get(&(facts.namespace.clone(), facts.name.clone())));
            if let Some(read) = read {
                memory.slow(read);
            }
            memory.sample(now, counters.copied(), facts)
        };
        alive.map(sample).collect()
    }
}

/// A rate per second, if the counter did not fall and the pause was neither nothing nor too long.
fn rate(before: (f64, f64), after: (f64, f64)) -> Option<f64> {
    let (seconds, grown) = (after.0 - before.0, after.1 - before.1);
    (seconds > 0.0 && seconds <= MAX_PAUSE_SECONDS && grown >= 0.0).then(|| grown / seconds)
}

impl Memory {
    fn sample(&mut self, now: f64, counters: Option<&PodCounters>, facts: &PodFacts) -> PodSample {
        let at = counters.and_then(|c| c.cpu.map(|cpu| cpu.at).or(c.memory.map(|m| m.at)).or(c.network.map(|n| n.at)));
        let reset = counters.is_some_and(|c| self.is_reset(c, at));
        let fresh = at.is_some_and(|at| at <= now + MAX_AHEAD_SECONDS && (reset || self.cpu_at.is_none_or(|b| at > b)));
        if let Some(counters) = counters.filter(|_| fresh) {
            if reset {
                self.cpu_total = None;
                self.network = None;
            }
            self.fast(counters);
            self.cpu_at = at;
            self.started = counters.started;
        }
        if counters.is_none() {
            self.measures = Measures::default();
        }
        let share = |used: Option<f64>, limit: Option<f64>| used.zip(limit).map(|(used, limit)| used / limit);
        self.measures.cpu_limit_share = share(self.measures.cpu_cores, facts.cpu_limit_cores);
        self.measures.memory_limit_share = share(self.measures.memory_bytes, facts.memory_limit_bytes);
        let at = self.cpu_at.unwrap_or(now);
        PodSample { at, fresh, reset: fresh && reset, facts: facts.clone(), measures: self.measures }
    }

    /// A container restarted, a counter fell, or the clock went back: what was counted before says nothing any more.
    fn is_reset(&self, counters: &PodCounters, at: Option<f64>) -> bool {
        let restarted = self.started.zip(counters.started).is_some_and(|(before, after)| before < after);
        let cpu = counters.cpu.and_then(|cpu| cpu.total);
        let cpu_fell = self.cpu_total.zip(cpu).is_some_and(|(before, after)| after < before.1);
        let network_fell = self.network.zip(counters.network).is_some_and(|(before, after)| {
            after.at >= before.at && (after.receive < before.receive || after.transmit < before.transmit)
        });
        let backwards = self.cpu_at.zip(at).is_some_and(|(before, after)| after < before);
        restarted || cpu_fell || network_fell || backwards
    }

    fn fast(&mut self, counters: &PodCounters) {
        let m = &mut self.measures;
        m.cpu_cores = counters.cpu.and_then(|cpu| {
            let before = self.cpu_total;
            self.cpu_total = cpu.total.map(|total| (cpu.at, total));
            // The kubelet's own window is exact to the nanosecond; the times in its answer only to the second.
            cpu.cores.or_else(|| rate(before?, (cpu.at, cpu.total?)))
        });
        m.memory_bytes = counters.memory.map(|memory| memory.value);
        m.processes = counters.processes;
        let Some(after) = counters.network else {
            self.network = None;
            (m.receive_bytes_per_second, m.transmit_bytes_per_second, m.network_errors_per_second) = (None, None, None);
            return;
        };
        let before = self.network.replace(after);
        // The network has a time of its own: it may stand still while the CPU's moves on, and its rates then hold.
        if before.is_some_and(|before| before.at >= after.at) {
            self.network = before;
            return;
        }
        let of = |field: fn(&Network) -> f64| rate((before?.at, field(&before?)), (after.at, field(&after)));
        m.receive_bytes_per_second = of(|n| n.receive);
        m.transmit_bytes_per_second = of(|n| n.transmit);
        m.network_errors_per_second = before
            .and_then(|before| Some(((before.at, before.errors?), (after.at, after.errors?))))
            .and_then(|(before, after)| rate(before, after));
    }

    /// A reading of cadvisor: the same counters, once a minute.
    fn slow(&mut self, after: &PodCadvisor) {
        let Some(before) = self.cadvisor.replace(*after) else { return };
        if after.at <= before.at {
            self.cadvisor = Some(before);
            return;
        }
        let grown = |field: fn(&PodCadvisor) -> Option<f64>| {
            field(&before).zip(field(after)).map(|(b, a)| a - b).filter(|grown| *grown >= 0.0)
        };
        let seconds = after.at - before.at;
        let per_second = |field| grown(field).filter(|_| seconds <= MAX_PAUSE_SECONDS).map(|grown| grown / seconds);
        let m = &mut self.measures;
        m.drops_per_second = per_second(|c| c.drops);
        m.disk_bytes_per_second = per_second(|c| c.disk_bytes);
        m.oom_events = grown(|c| c.oom_events);
        m.throttled_share = grown(|c| c.periods)
            .zip(grown(|c| c.throttled))
            .and_then(|(periods, throttled)| (periods > 0.0).then(|| (throttled / periods).min(1.0)));
    }
}

#[cfg(test)]
mod tests;
